"""What a trust store remembers of intermediates: that they parse to this, and that this key signed them.

Only intermediates of paths that held come in, so nobody can fill it but who holds a certificate of an anchor's; and
their number is bounded all the same. Both facts follow from octets alone: nothing that time, purpose, profile or
revocation could change is remembered. A memo may be shared between threads: each step is one operation on a dictionary.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from mtlskit.core.validation.certificate import ParsedCertificate

REMEMBERED: Final = 16  # intermediates of one trust store: with all that hangs on one, about 4 KiB each


class IntermediateMemo:
    """Intermediates by their octets, each with the key (SubjectPublicKeyInfo) that is known to have signed it."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[ParsedCertificate, bytes]] = {}

    def parsed(self, data: bytes) -> ParsedCertificate | None:
        """The certificate that these octets are, if it is remembered."""
        known = self._known.get(data)
        return None if known is None else known[0]

    def is_signed_by(self, certificate: ParsedCertificate, spki: bytes) -> bool:
        """Whether it is remembered that this key signed the certificate; False says nothing."""
        known = self._known.get(certificate.der)
        return known is not None and known[1] == spki

    def remember(self, chain: tuple[ParsedCertificate, ...]) -> None:
        """Takes the intermediates of a path (leaf first, the anchor's certificate last) whose signatures hold."""
        for certificate, issuer in pairwise(chain[1:]):
            if certificate.der not in self._known:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[certificate.der] = (certificate, issuer.frame.spki)
