"""From octets to a list that may take the place of another: PEM or DER, size, dates, and that it does not go back.

The signature is not judged here, since whose key must have made it depends on who asks: `verify_path` looks at it for
every hostname. So that a forged list cannot push out a good one, the last list that somebody has found authentic is
kept beside a newer one until that is found authentic too.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from mtlskit.core.validation import RevocationList
from mtlskit.errors import CertificateError
from mtlskit.revocation.schedule import ListLimits

_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_END: Final = b"-----END X509 CRL-----"
_WHITE: Final = b" \t\r\n"
_PIECE = 1 << 20  # octets decoded at a time: long steps would hold up every other thread
_NO_TIME = timedelta(0)


class LoadedList(RevocationList):
    """A list from a source. `tolerance` lengthens its time at both ends; `stated` is the time that it states."""

    __slots__ = ("stated",)

    def __init__(self, data: bytes, tolerance: timedelta = _NO_TIME) -> None:
        super().__init__(data)
        self.stated = (self.this_update, self.next_update)
        if tolerance:
            self.this_update = _moved(self.this_update, -tolerance)
            self.next_update = None if self.next_update is None else _moved(self.next_update, tolerance)

    @property
    def is_confirmed(self) -> bool:
        """Whether a verdict has found the signature right, under a key that is certified as the issuer's."""
        return any(list(self._verified.values()))

    @property
    def is_disowned(self) -> bool:
        """Whether it was asked whose it is, and it was never confirmed."""
        return bool(self._verified) and not self.is_confirmed


def read_list(data: bytes, limits: ListLimits, tolerance: timedelta = _NO_TIME) -> LoadedList:
    """The list in `data`, PEM or DER; raises CertificateError."""
    check_size(len(data), limits)
    listed = LoadedList(as_der(data), tolerance)
    if listed.has_unknown_critical_extension():
        raise CertificateError("expected a revocation list without unknown critical extensions, got one with")
    return listed


def check_size(octets: int, limits: ListLimits) -> None:
    """Raises CertificateError for more octets than the limit."""
    if octets > limits.octets:
        raise CertificateError(f"expected a revocation list of at most {limits.octets} octets, got {octets}")


def check_date(listed: LoadedList, now: datetime) -> None:
    """Raises CertificateError for a list that would not count at this moment: such a one displaces nothing."""
    if listed.next_update is None or not listed.this_update <= now <= listed.next_update:
        first, last = listed.stated
        until = "without a nextUpdate" if last is None else f"to {last.isoformat()}"
        raise CertificateError(
            f"expected a revocation list that holds at {now.isoformat(timespec='seconds')}, "
            f"got one from {first.isoformat()} {until}"
        )


def check_order(listed: LoadedList, before: LoadedList) -> None:
    """Raises CertificateError for a list that goes back: the same issuer, key and scope, but a lower number."""
    if _series(listed) == _series(before) and _place(listed) < _place(before):
        raise CertificateError(
            f"expected a revocation list that does not go back from {_told(before)}, got {_told(listed)}"
        )


def as_der(data: bytes) -> bytes:
    """The DER of the one list in `data`, which is PEM or DER already; raises CertificateError."""
    if data[:1] == b"\x30":
        return data
    if b"PRIVATE KEY-----" in data:
        raise CertificateError("expected a revocation list, got PEM that holds a private key")
    found = data.count(_BEGIN)
    start, stop = data.find(_BEGIN), data.find(_END)
    if found != 1 or stop < start:
        raise CertificateError(f"expected one revocation list in PEM or DER, got {found} in {len(data)} octets")
    try:
        return b"".join(_decoded(data[start + len(_BEGIN) : stop]))
    except (binascii.Error, ValueError):
        raise CertificateError("expected a revocation list in PEM, got other text than base64") from None


def _decoded(text: bytes) -> Iterator[bytes]:
    rest = b""
    for at in range(0, len(text), _PIECE):
        clean = rest + text[at : at + _PIECE].translate(None, _WHITE)
        whole = len(clean) // 4 * 4
        yield base64.b64decode(clean[:whole], validate=True)
        rest = clean[whole:]
    if rest:
        raise ValueError


def _series(listed: LoadedList) -> tuple[object, ...]:
    return (listed.name, listed.aki, listed.scope_octets)


def _place(listed: LoadedList) -> tuple[int, datetime]:
    return (-1 if listed.number is None else listed.number, listed.this_update)


def _told(listed: LoadedList) -> str:
    number = "no number" if listed.number is None else f"number {listed.number}"
    return f"{number} of {listed.stated[0].isoformat()}"


def _moved(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return moment
