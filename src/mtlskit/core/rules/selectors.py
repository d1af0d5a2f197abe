"""What a rule can look at, and the one form in which each is written and compared. Owns the canonical texts."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Final, TypeAlias

from mtlskit.core.names import Hostname, SanType, SubjectAlternativeName
from mtlskit.core.request import plain_path
from mtlskit.core.spiffe import is_spiffe_id, is_spiffe_prefix, is_trust_domain
from mtlskit.errors import ConfigurationError, InvalidName

Network: TypeAlias = IPv4Network | IPv6Network
Value: TypeAlias = str | int | Network

_SHA256_DIGITS: Final = 64
_LONGEST_SERIAL: Final = 20  # octets (RFC 5280, 4.1.2.2)
_HEXADECIMAL: Final = frozenset(string.hexdigits)
_KEY_TYPE: Final = re.compile(r"ec-p(?:256|384|521)|ed25519|ed448|rsa-[1-9][0-9]{2,4}", re.ASCII)
_KEY_FAMILY: Final = re.compile(r"ec-p?|ed|rsa-[0-9]{0,5}", re.ASCII)
_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Z-]{1,64}", re.ASCII)  # RFC 9110, 5.6.2 and 9.1; without lower case
_DNS_START: Final = re.compile(r"[a-z0-9_][a-z0-9_.-]*", re.ASCII)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_URI_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", re.ASCII)


class Selector(StrEnum):
    """What of a certificate or a request a rule looks at."""

    COMMON_NAME = "common_name"
    ORGANIZATION = "organization"
    ORGANIZATIONAL_UNIT = "organizational_unit"
    DNS = "dns"
    URI = "uri"
    EMAIL = "email"
    IP = "ip"
    SPIFFE_ID = "spiffe_id"
    SPIFFE_TRUST_DOMAIN = "spiffe_trust_domain"
    FINGERPRINT = "fingerprint"
    PUBLIC_KEY = "public_key"
    SERIAL = "serial"
    KEY_TYPE = "key_type"
    ANCHOR = "anchor"
    ANCHOR_KEY = "anchor_key"
    PROFILE = "profile"
    AUTHORITY = "authority"
    HOSTNAME = "hostname"
    METHOD = "method"
    PATH = "path"
    CLIENT_ADDRESS = "client_address"


OF_REQUEST: Final = frozenset({Selector.HOSTNAME, Selector.METHOD, Selector.PATH, Selector.CLIENT_ADDRESS})
OF_ISSUANCE: Final = frozenset({Selector.PROFILE, Selector.AUTHORITY})


class Form(StrEnum):
    """How a rule's values and what is looked at are compared."""

    ONE_OF = "one_of"  # equal to one of the values; of networks: inside one
    PREFIX = "prefix"
    SUFFIX = "suffix"


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes the canonical value from what people write, per form; it raises. A form that is None is not had."""

    whole: Callable[[object], Value]
    prefix: Callable[[object], str] | None = None
    suffix: Callable[[object], str] | None = None


def canonical(selector: Selector, form: Form, value: object) -> Value:
    """The value in the one spelling that is compared; raises ConfigurationError or InvalidName."""
    kind = KINDS[selector]
    make = {Form.ONE_OF: kind.whole, Form.PREFIX: kind.prefix, Form.SUFFIX: kind.suffix}[form]
    if make is None:
        raise ConfigurationError(f"expected whole values of {selector.value}, got a {form.value}")
    return make(value)


def canonical_san(san_type: SanType, value: str) -> str | None:
    """A certificate's SAN value in the one spelling that is compared; None if it has not its type's form."""
    if san_type is SanType.EMAIL and ":" in value.rpartition("@")[2]:
        return None  # a domain has no port, though a hostname's text may
    try:
        return SubjectAlternativeName.of(san_type, value).value
    except InvalidName:
        return None


def hexadecimal(text: object) -> str | None:
    """The digits in lower case without colons; None if there are others."""
    digits = text.replace(":", "").lower() if isinstance(text, str) else ""
    return digits if digits and _HEXADECIMAL.issuperset(digits) else None


def _text(what: str, value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigurationError(f"expected {what} as non-empty text without NUL, got {value!r:.80}")
    return value


def _san(san_type: SanType, value: object) -> str:
    found = canonical_san(san_type, value) if isinstance(value, str) else None
    if found is None:
        raise InvalidName(f"expected a value of the form of {san_type.value!r}, got {value!r:.80}")
    return found


def _dns_prefix(value: object) -> str:
    text = _text("the start of a hostname", value)
    if not _DNS_START.fullmatch(text):
        raise InvalidName(f"expected the start of a hostname in lower case, got {value!r:.80}")
    return text


def _dns_suffix(value: object) -> str:
    text = _text("the end of a hostname", value)
    if not text.startswith("."):  # or "acme.example" would be an end of "evilacme.example"
        raise InvalidName(f"expected the end of a hostname from a dot on, as '.acme.example', got {value!r:.80}")
    return f".{Hostname.parse(text[1:])}"


def _uri_prefix(value: object) -> str:
    text = _text("the start of a URI", value)
    _san(SanType.URI, f"{text}x")
    authority = _URI_AUTHORITY.match(text)
    if authority is not None and authority.end() == len(text):
        # or "https://acme.example" would be a start of "https://acme.example.evil.example"
        raise InvalidName(f"expected the start of a URI with its whole authority and a slash, got {value!r:.80}")
    return text


def _uri_suffix(value: object) -> str:
    text = _text("the end of a URI", value)
    _san(SanType.URI, f"x:{text}")
    return text


def _email_prefix(value: object) -> str:
    text = _text("the start of an e-mail address", value)
    _san(SanType.EMAIL, f"{text}x@a.example")  # with an "@" in it, it would end in the middle of a domain
    return text


def _email_suffix(value: object) -> str:
    local, at, domain = _text("the end of an e-mail address", value).rpartition("@")
    if not at:
        raise InvalidName(f"expected the end of an e-mail address from its @ on, got {value!r:.80}")
    return _san(SanType.EMAIL, f"x{local}@{domain}")[1:]


def _spiffe_id(value: object) -> str:
    if not isinstance(value, str) or not is_spiffe_id(value):
        raise InvalidName(f"expected a SPIFFE id with a path, got {value!r:.80}")
    return value


def _spiffe_prefix(value: object) -> str:
    if not isinstance(value, str) or not is_spiffe_prefix(value):
        raise InvalidName(
            f"expected the start of a SPIFFE id with its whole trust domain and a slash, got {value!r:.80}"
        )
    return value


def _spiffe_suffix(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/") or not is_spiffe_id(f"spiffe://x{value}"):
        raise InvalidName(f"expected the end of a SPIFFE id from a slash on, got {value!r:.80}")
    return value


def _trust_domain_suffix(value: object) -> str:
    if not isinstance(value, str) or not value.startswith(".") or not is_trust_domain(value):
        raise InvalidName(f"expected the end of a trust domain from a dot on, got {value!r:.80}")
    return value


def _trust_domain(value: object) -> str:
    if not isinstance(value, str) or not is_trust_domain(value):
        raise InvalidName(f"expected a SPIFFE trust domain, as 'acme.example', got {value!r:.80}")
    return value


def _sha256(value: object) -> str:
    digits = hexadecimal(value)
    if digits is None or len(digits) != _SHA256_DIGITS:
        raise ConfigurationError(f"expected SHA-256 as 64 hexadecimal digits, got {value!r:.80}")
    return digits


def _serial(value: object) -> int:
    digits = hexadecimal(value)
    number = int(digits, 16) if digits is not None else value
    is_number = isinstance(number, int) and not isinstance(number, bool)
    if not is_number or not 0 < number < 1 << (8 * _LONGEST_SERIAL):  # type: ignore[operator]
        raise ConfigurationError(
            f"expected a positive serial number of at most 20 octets, as int or in hexadecimal, got {value!r:.80}"
        )
    return number  # type: ignore[return-value]


def _key_type(value: object) -> str:
    if not isinstance(value, str) or not _KEY_TYPE.fullmatch(value):
        raise ConfigurationError(f"expected a key type, as 'ec-p256', 'ed25519' or 'rsa-3072', got {value!r:.80}")
    return value


def _key_family(value: object) -> str:
    if not isinstance(value, str) or not _KEY_FAMILY.fullmatch(value):
        raise ConfigurationError(f"expected the start of a key type, as 'ec-' or 'rsa-', got {value!r:.80}")
    return value


def _hostname(value: object) -> str:
    if not isinstance(value, str) or ":" in value:
        raise InvalidName(f"expected a hostname without a port, got {value!r:.80}")
    return Hostname.parse(value).name


def _method(value: object) -> str:
    if not isinstance(value, str) or not _METHOD.fullmatch(value):
        raise ConfigurationError(f"expected a request method in upper case, as 'GET', got {value!r:.80}")
    return value


def _path(value: object) -> str:
    found = plain_path(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigurationError(
            f"expected a decoded path from / on, without dot segments, empty segments or backslashes, got {value!r:.80}"
        )
    return found


def _path_suffix(value: object) -> str:
    text = _text("the end of a path", value)
    _path(f"/x{text}")
    return text


def _network(value: object) -> Network:
    """An address is the network of that one address."""
    try:
        if isinstance(value, str) and "%" not in value:  # a zone says which link of one machine
            return ip_network(value)
    except ValueError:
        pass
    raise InvalidName(f"expected an IP address or a network in CIDR notation, got {value!r:.80}")


def _client_network(value: object) -> Network:
    """As of an address, with IPv4 clients as IPv4 (`RequestFacts`): ::ffff:10.0.0.0/104 is 10.0.0.0/8."""
    network = _network(value)
    if network.version == 6 and network.subnet_of(_MAPPED):
        mapped = IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        return IPv4Network((mapped, network.prefixlen - _MAPPED.prefixlen))
    return network


def _names(what: str) -> Kind:
    return Kind(*(partial(_text, part) for part in (what, f"the start of {what}", f"the end of {what}")))


_DIGEST = Kind(_sha256)
_HOSTNAMES = Kind(_hostname, _dns_prefix, _dns_suffix)
KINDS: Final[dict[Selector, Kind]] = {
    Selector.COMMON_NAME: _names("a common name"),
    Selector.ORGANIZATION: _names("an organization"),
    Selector.ORGANIZATIONAL_UNIT: _names("an organizational unit"),
    Selector.DNS: Kind(partial(_san, SanType.DNS), _dns_prefix, _dns_suffix),
    Selector.URI: Kind(partial(_san, SanType.URI), _uri_prefix, _uri_suffix),
    Selector.EMAIL: Kind(partial(_san, SanType.EMAIL), _email_prefix, _email_suffix),
    Selector.IP: Kind(_network),
    Selector.SPIFFE_ID: Kind(_spiffe_id, _spiffe_prefix, _spiffe_suffix),
    Selector.SPIFFE_TRUST_DOMAIN: Kind(_trust_domain, suffix=_trust_domain_suffix),
    Selector.FINGERPRINT: _DIGEST,
    Selector.PUBLIC_KEY: _DIGEST,
    Selector.SERIAL: Kind(_serial),
    Selector.KEY_TYPE: Kind(_key_type, _key_family),
    Selector.ANCHOR: _names("the id of a trust anchor"),
    Selector.ANCHOR_KEY: _DIGEST,
    Selector.PROFILE: _names("the name of a profile"),
    Selector.AUTHORITY: _names("the name of an authority"),
    Selector.HOSTNAME: _HOSTNAMES,
    Selector.METHOD: Kind(_method),
    Selector.PATH: Kind(_path, _path, _path_suffix),
    Selector.CLIENT_ADDRESS: Kind(_client_network),
}
