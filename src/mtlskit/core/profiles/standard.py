"""The profiles that there are from the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from mtlskit.core.names import SanType
from mtlskit.core.profiles.values import (
    DNSLabels,
    ExtendedKeyUsage,
    KeyUsage,
    Lifetimes,
    Profile,
    RequestNames,
    ResponderCheck,
    Role,
    SanPresence,
    SanRule,
    URIForm,
    is_host,
)
from mtlskit.errors import ConfigurationError

CLIENT: Final = Profile(
    name="client",
    role=Role.END_ENTITY,
    key_usages=frozenset({KeyUsage.DIGITAL_SIGNATURE}),
    extended_key_usages=(ExtendedKeyUsage.CLIENT_AUTH,),
    lifetimes=Lifetimes(minimum=timedelta(seconds=1), default=timedelta(days=90), maximum=timedelta(days=3650)),
    san_types=frozenset(SanType),
    san_presence=SanPresence.OPTIONAL,
    request_names=RequestNames.REQUEST_IF_CALLER_GIVES_NONE,
)
SERVER: Final = Profile(
    name="server",
    role=Role.END_ENTITY,
    key_usages=frozenset({KeyUsage.DIGITAL_SIGNATURE}),
    extended_key_usages=(ExtendedKeyUsage.SERVER_AUTH,),
    lifetimes=Lifetimes(minimum=timedelta(seconds=1), default=timedelta(days=90), maximum=timedelta(days=398)),
    san_types=frozenset({SanType.DNS, SanType.IP}),
    san_presence=SanPresence.REQUIRED,
    request_names=RequestNames.CALLER_ONLY,
    dns_labels=DNSLabels.WITHOUT_UNDERSCORE,
)
# Who answers OCSP requests in an authority's place (RFC 6960, 4.2.2.2): `OCSPResponder(delegates=[...])`.
OCSP_RESPONDER: Final = Profile(
    name="ocsp_responder",
    role=Role.END_ENTITY,
    key_usages=frozenset({KeyUsage.DIGITAL_SIGNATURE}),
    extended_key_usages=(ExtendedKeyUsage.OCSP_SIGNING,),
    lifetimes=Lifetimes(minimum=timedelta(minutes=1), default=timedelta(days=7), maximum=timedelta(days=31)),
    san_types=frozenset(),
    san_presence=SanPresence.OPTIONAL,
    request_names=RequestNames.CALLER_ONLY,
    responder_check=ResponderCheck.NOT_ASKED,
)
# Those for end entities by their names, by which a ledger knows them.
PROFILES: Final[Mapping[str, Profile]] = {each.name: each for each in (CLIENT, SERVER, OCSP_RESPONDER)}
ROOT: Final = Profile(
    name="root",
    role=Role.AUTHORITY,
    key_usages=frozenset({KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN}),
    extended_key_usages=(),
    lifetimes=Lifetimes(minimum=timedelta(seconds=1), default=timedelta(days=3650), maximum=timedelta(days=9131)),
    san_types=frozenset(),
    san_presence=SanPresence.OPTIONAL,
    request_names=RequestNames.CALLER_ONLY,
)
# An authority below another one.
INTERMEDIATE: Final = replace(
    ROOT,
    name="intermediate",
    lifetimes=Lifetimes(minimum=timedelta(seconds=1), default=timedelta(days=1825), maximum=timedelta(days=9131)),
)
# The key of one generation of an authority certified by another, so that who trusts either follows (RFC 4158, 1.5).
CROSS: Final = replace(INTERMEDIATE, name="cross")


def spiffe(trust_domain: str, *, name: str = "spiffe") -> Profile:
    """The profile of X.509-SVIDs of one trust domain: one SPIFFE id, for both sides of a connection, an hour long.

    Raises ConfigurationError for what is no trust domain.
    """
    rule = SanRule(SanType.URI, f"spiffe://{trust_domain}/")
    if not is_host(trust_domain):
        raise ConfigurationError(f"expected a SPIFFE trust domain, got {trust_domain!r}")
    return replace(
        CLIENT,
        name=name,
        extended_key_usages=(ExtendedKeyUsage.CLIENT_AUTH, ExtendedKeyUsage.SERVER_AUTH),
        lifetimes=Lifetimes(minimum=timedelta(minutes=1), default=timedelta(hours=1), maximum=timedelta(days=7)),
        san_types=frozenset({SanType.URI, SanType.DNS}),
        san_presence=SanPresence.REQUIRED,
        uri_form=URIForm.SPIFFE_ID,
        san_rules=(rule,),
        required_sans=frozenset({SanType.URI}),
    )
