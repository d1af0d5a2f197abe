"""GeneralNames in DER (RFC 5280, 4.2.1.6) as forms and octets, and in the shape in which they can be compared.

What has no comparable shape is None: a name that cannot be compared is never inside of what is permitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple, assert_never

from mtlskit.core.validation import der
from mtlskit.core.validation.names import comparable_name


class Form(Enum):
    """The forms of a GeneralName, by their tag."""

    OTHER = 0xA0
    EMAIL = 0x81
    DNS = 0x82
    X400 = 0xA3
    DIRECTORY = 0xA4
    EDI_PARTY = 0xA5
    URI = 0x86
    IP = 0x87
    REGISTERED_ID = 0x88

    __hash__ = object.__hash__


# RFC 9598, 4: an e-mail address in an otherName is bound by the e-mail constraints.
_UTF8_MAILBOX = bytes.fromhex("06082b06010505070809")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_LONGEST_HOST = 253
# RFC 3986, 3: the authority follows "//" and ends before the path, the query or the fragment.
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)", re.ASCII)
_PORT = re.compile(r":[0-9]*\Z", re.ASCII)
_ADDRESS_OCTETS = (4, 16)


class Mailbox(NamedTuple):
    """An e-mail address: the part before the `@` as it is, the host in lower case."""

    local: str
    host: str


def forms_and_octets(data: bytes, start: int, stop: int) -> Iterator[tuple[Form, bytes]]:
    """Each GeneralName between `start` and `stop`: its form and its content; raises DERError."""
    for _, tag, first, last in der.children(data, start, stop):
        form = form_of(tag)
        content = data[first:last]
        if form is Form.OTHER and content.startswith(_UTF8_MAILBOX):
            form = Form.EMAIL
        yield form, content


def form_of(tag: int) -> Form:
    """The form that a tag stands for; raises DERError."""
    try:
        return Form(tag)
    except ValueError:
        raise der.DERError(f"expected a general name, got tag {tag:#04x}") from None


def comparable(form: Form, octets: bytes) -> Any:
    """What a name of that form is compared by, or None."""
    match form:
        case Form.DNS:
            return comparable_dns(_ascii(octets))
        case Form.EMAIL:
            return _mailbox(_ascii(octets))
        case Form.URI:
            return _uri_host(_ascii(octets))
        case Form.IP:
            return octets if len(octets) in _ADDRESS_OCTETS else None
        case Form.DIRECTORY:
            return _directory(octets)
        case Form.OTHER | Form.X400 | Form.EDI_PARTY | Form.REGISTERED_ID:
            return None
        case _:
            assert_never(form)


def comparable_dns(text: str | None) -> str | None:
    """A DNS name, or a wildcard as the whole leftmost label, in lower case; None for anything else."""
    if text is None:
        return None
    name = text.lower()
    return name if is_host(name.removeprefix("*.")) else None


def is_host(name: str) -> bool:
    """Whether `name` is one or more labels in lower case."""
    return 0 < len(name) <= _LONGEST_HOST and all(map(_LABEL.fullmatch, name.split(".")))


def _ascii(octets: bytes) -> str | None:
    return octets.decode("ascii") if octets.isascii() else None


# RFC 5321, 4.1.2. A quoted local part may hold an `@`; no other may.
def _mailbox(text: str | None) -> Mailbox | None:
    local, at, host = (text or "").rpartition("@")
    quoted = len(local) > 1 and local[0] == local[-1] == '"'
    if not at or not local or ("@" in local and not quoted) or not is_host(host.lower()):
        return None
    return Mailbox(local, host.lower())


# RFC 5280, 4.2.1.10: a URI without a host name cannot be compared; an address is no host name.
def _uri_host(text: str | None) -> str | None:
    authority = _AUTHORITY.match(text or "")
    if authority is None:
        return None
    host = _PORT.sub("", authority[1].rpartition("@")[2]).lower()
    return host if is_host(host) and not host.rpartition(".")[2].isdigit() else None


def _directory(octets: bytes) -> Any:
    try:
        return comparable_name(octets)
    except der.DERError:
        return None
