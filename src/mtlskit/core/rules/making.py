"""The functions that make rules. Each raises ConfigurationError or InvalidName for what could never match."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import TypedDict, Unpack

from mtlskit.core.expressions import Expression, parse
from mtlskit.core.given import several
from mtlskit.core.names import SanType
from mtlskit.core.rules.selectors import Form, Selector, Value
from mtlskit.core.rules.values import (
    WEEK,
    AllOf,
    AnyOf,
    AnyValidCertificate,
    Everyone,
    InExpression,
    Lasting,
    Lifetime,
    Not,
    Rule,
    RuleGroup,
    Selected,
    TimeWindow,
    Weekday,
)
from mtlskit.errors import ConfigurationError, InvalidName


class TextForms(TypedDict, total=False):
    """What can stand in the place of a whole value."""

    prefix: str
    suffix: str
    one_of: Iterable[str]


def everyone() -> Everyone:
    """Every request: `{"everyone": {}}`. Only a `bypass` policy lets in who has no certificate, see `AccessPolicy`."""
    return Everyone()


def any_valid_certificate() -> AnyValidCertificate:
    """Any certificate that was verified for the hostname: `{"certificate": {}}`."""
    return AnyValidCertificate()


def common_name(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """The subject's common name, if it has exactly one, character by character."""
    return _text(Selector.COMMON_NAME, value, **forms)


def organization(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """The subject's organizationName, if it has exactly one, character by character."""
    return _text(Selector.ORGANIZATION, value, **forms)


def organizational_unit(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """The subject's organizationalUnitName, if it has exactly one, character by character."""
    return _text(Selector.ORGANIZATIONAL_UNIT, value, **forms)


def san(text: str) -> Selected:
    """A subject alternative name as `dns:`, `uri:`, `email:` or `ip:` and its whole value; of `ip:` also a network."""
    kind, colon, value = text.partition(":") if isinstance(text, str) else ("", "", "")
    if not colon or kind not in SanType.__members__.values():
        raise InvalidName(f"expected 'dns:', 'uri:', 'email:' or 'ip:' and a value, got {text!r:.80}")
    return _selected(Selector(kind), value)


def dns(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """A dNSName: equal after `Hostname.parse`. `*.acme.example` matches that very entry, not what it covers.

    A suffix begins with a dot: `.acme.example` matches every name below.
    """
    return _text(Selector.DNS, value, **forms)


def uri(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """A uniformResourceIdentifier, character by character. A prefix holds the whole authority, if there is one."""
    return _text(Selector.URI, value, **forms)


def email(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """An rfc822Name: the local part exactly, the domain as a hostname (RFC 5280, 7.5).

    A prefix is of the local part; a suffix holds the `@` and the whole domain.
    """
    return _text(Selector.EMAIL, value, **forms)


def ip(value: str | None = None, *, one_of: Iterable[str] | None = None) -> Selected:
    """An iPAddress: equal to the address, or inside of the network (CIDR)."""
    return _selected(Selector.IP, value, one_of)


def spiffe_id(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """The SPIFFE id, if the certificate has exactly one URI (X509-SVID, 2).

    A prefix holds the whole trust domain, a suffix whole segments from a slash on.
    """
    return _text(Selector.SPIFFE_ID, value, **forms)


def spiffe_trust_domain(
    value: str | None = None, *, suffix: str | None = None, one_of: Iterable[str] | None = None
) -> Selected:
    """The trust domain of the SPIFFE id. A suffix begins with a dot."""
    return _text(Selector.SPIFFE_TRUST_DOMAIN, value, suffix=suffix, one_of=one_of)


def fingerprint(sha256: str | None = None, *, one_of: Iterable[str] | None = None) -> Selected:
    """SHA-256 of the certificate's DER in hexadecimal, of any case, with or without colons.

    Of both spellings that an ECDSA signature has: whoever has the certificate can write the other one.
    """
    return _selected(Selector.FINGERPRINT, sha256, one_of)


def public_key(sha256: str | None = None, *, one_of: Iterable[str] | None = None) -> Selected:
    """SHA-256 of the certificate's SubjectPublicKeyInfo in DER, in hexadecimal: the key, whatever its certificate."""
    return _selected(Selector.PUBLIC_KEY, sha256, one_of)


def serial(number: int | str | None = None, *, one_of: Iterable[int | str] | None = None) -> Selected:
    """A serial number, as int or in hexadecimal of any case, with or without colons. Unique for its issuer only."""
    return _selected(Selector.SERIAL, number, one_of)


def key_type(value: str | None = None, *, prefix: str | None = None, one_of: Iterable[str] | None = None) -> Selected:
    """The kind of the certificate's key: `ec-p256`, `ec-p384`, `ec-p521`, `ed25519`, `ed448`, `rsa-` and its bits."""
    return _text(Selector.KEY_TYPE, value, prefix=prefix, one_of=one_of)


def anchor(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """The id of the trust anchor that the certificate's path ends at, as the hostname's record names it."""
    return _text(Selector.ANCHOR, value, **forms)


def anchor_key(sha256: str | None = None, *, one_of: Iterable[str] | None = None) -> Selected:
    """SHA-256 of the SubjectPublicKeyInfo of the trust anchor that the path ends at, in hexadecimal."""
    return _selected(Selector.ANCHOR_KEY, sha256, one_of)


def profile(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """The profile by which an authority of the gate's store issued the certificate."""
    return _text(Selector.PROFILE, value, **forms)


def authority(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """The name of the authority of the gate's store that issued the certificate."""
    return _text(Selector.AUTHORITY, value, **forms)


def lifetime(*, at_least: timedelta | None = None, at_most: timedelta | None = None) -> Lasting:
    """The whole life of the certificate, from notBefore to notAfter. Bounds are inclusive."""
    return Lasting(Lifetime.TOTAL, at_least, at_most)


def remaining(*, at_least: timedelta | None = None, at_most: timedelta | None = None) -> Lasting:
    """What is left of the certificate's life at the moment of the request. Bounds are inclusive."""
    return Lasting(Lifetime.REMAINING, at_least, at_most)


def hostname(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """The hostname that is asked for, equal after `Hostname.parse`: for policies that several hostnames share."""
    return _text(Selector.HOSTNAME, value, **forms)


def method(value: str | None = None, *, one_of: Iterable[str] | None = None) -> Selected:
    """The request's method, character by character (RFC 9110, 9.1)."""
    return _selected(Selector.METHOD, value, one_of)


def path(value: str | None = None, **forms: Unpack[TextForms]) -> Selected:
    """The request's path, decoded, without the query, character by character.

    A prefix matches whole segments: `/admin` matches `/admin` and `/admin/users`, not `/administrator`. A path about
    which readers could disagree (dot segments, empty segments, encoded slashes) is unreadable.
    """
    return _text(Selector.PATH, value, **forms)


def client_address(value: str | None = None, *, one_of: Iterable[str] | None = None) -> Selected:
    """The address that the request comes from, as the server or a proxy that it trusts knows it; also a network."""
    return _selected(Selector.CLIENT_ADDRESS, value, one_of)


def time_window(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    start: time | None = None,
    end: time | None = None,
    days: Iterable[Weekday | str] = WEEK,
    timezone: str = "UTC",
) -> TimeWindow:
    """The moment of the request: from `since` (UTC-aware) until before `until`; from `start` until before `end` on
    these `days` (`mon` to `sun`) in `timezone` (IANA). A window past midnight belongs to the day on which it starts.
    """
    given = tuple(Weekday(day) if isinstance(day, Weekday) else day for day in several(days, "days"))
    return TimeWindow(since, until, start, end, given, timezone)


def all_of(*rules: Rule) -> AllOf:
    """Where every one of the rules matches."""
    return AllOf(rules)


def any_of(*rules: Rule) -> AnyOf:
    """Where at least one of the rules matches."""
    return AnyOf(rules)


def not_(rule: Rule) -> Not:
    """Where the rule certainly does not match: of what is unreadable, nothing is certain."""
    return Not(rule)


def group(
    include: Iterable[Rule],
    *,
    require: Iterable[Rule] = (),
    exclude: Iterable[Rule] = (),
    id: str = "",  # noqa: A002 - Access's word
    name: str = "",
) -> RuleGroup:
    """A rule group of Access: one of `include`, all of `require`, none of `exclude`."""
    parts = {"include": include, "require": require, "exclude": exclude}
    return RuleGroup(id=id, name=name, **{part: several(rules, part) for part, rules in parts.items()})


def expression(text: str | Expression) -> InExpression:
    """A Cloudflare rule expression: `http.host eq "pay.acme.example" and cf.tls_client_auth.cert_verified`.

    Raises ExpressionError with the column.
    """
    return InExpression(text if isinstance(text, Expression) else parse(text))


def _text(
    selector: Selector,
    value: str | None,
    *,
    prefix: str | None = None,
    suffix: str | None = None,
    one_of: Iterable[str] | None = None,
) -> Selected:
    given = sum(each is not None for each in (value, prefix, suffix, one_of))
    if given != 1:
        raise ConfigurationError(f"expected a value, a prefix, a suffix or one_of of {selector.value}, got {given}")
    if prefix is not None:
        return Selected(selector, Form.PREFIX, (prefix,))
    if suffix is not None:
        return Selected(selector, Form.SUFFIX, (suffix,))
    return _selected(selector, value, one_of)


def _selected(selector: Selector, value: Value | None, one_of: Iterable[Value] | None = None) -> Selected:
    if (value is None) is (one_of is None):
        raise ConfigurationError(
            f"expected a value or one_of of {selector.value}, got {'neither' if value is None else 'both'}"
        )
    return Selected(selector, Form.ONE_OF, (value,) if one_of is None else several(one_of, selector.value))
