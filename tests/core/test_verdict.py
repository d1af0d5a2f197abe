"""`decide`: every step in its order, and nothing that asks a clock or the outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mtlskit.core.certificates import PresentedChain
from mtlskit.core.custom_hostname import ClientAuth, CustomHostname
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.names import HostnamePattern
from mtlskit.core.policy import AccessPolicy
from mtlskit.core.rules import any_valid_certificate, common_name, method, profile, remaining
from mtlskit.core.validation import TrustStore
from mtlskit.core.verdict import Allow, Deny, decide
from mtlskit.errors import ConfigurationError
from mtlskit.testing.certificates import CLIENT_AUTH, SERVER_AUTH, Authority

NOW = datetime.now(UTC)
ROOT = Authority.root("Acme root")
NAME = "pay.acme.example"
ALLOW_17 = AccessPolicy(decision="allow", include=[common_name("device-17")])
DENY_17 = AccessPolicy(decision="deny", include=[common_name("device-17")])
ALLOW_ANY = AccessPolicy(decision="allow", include=[any_valid_certificate()])


def record(client_auth: str = "required", *policies: AccessPolicy, **settings: Any) -> CustomHostname:
    trust = TrustStore([] if client_auth == "none" else [ROOT.certificate])
    usual = {"pattern": HostnamePattern.parse(NAME), "client_auth": ClientAuth(client_auth), "trust": trust}
    return CustomHostname(**{**usual, "policies": policies, **settings})


def evidence(name: str | None = "device-17", **options: Any) -> PeerEvidence:
    presented = None if name is None else ROOT.leaf(name, **options).presented()
    return PeerEvidence(server_name=NAME, presented=presented)


def reason(verdict: Allow | Deny) -> str:
    return verdict.reason.value if isinstance(verdict, Deny) else "allow"


@pytest.mark.parametrize(
    ("client_auth", "policies", "name", "expected"),
    [
        ("required", (), "device-17", "allow"),
        ("required", (), None, "no_certificate"),
        ("required", (ALLOW_17,), "device-17", "allow"),
        ("required", (ALLOW_17,), "device-18", "policy_denied"),
        ("required", (DENY_17,), "device-18", "policy_denied"),
        ("required", (DENY_17, ALLOW_ANY), "device-18", "allow"),
        ("required", (ALLOW_ANY, DENY_17), "device-17", "policy_denied"),
        ("optional", (), "device-17", "allow"),
        ("optional", (), None, "allow"),
        ("optional", (ALLOW_17,), None, "no_certificate"),
        ("optional", (ALLOW_17,), "device-18", "policy_denied"),
        ("none", (), "device-17", "allow"),
        ("none", (), None, "allow"),
    ],
)
def test_the_table_of_what_is_asked_and_what_comes(
    client_auth: str, policies: tuple[AccessPolicy, ...], name: str | None, expected: str
) -> None:
    verdict = decide(record(client_auth, *policies), evidence(name), NAME, now=NOW)
    assert reason(verdict) == expected
    if isinstance(verdict, Allow):
        assert (verdict.identity is not None) == (client_auth != "none" and name is not None)


def test_a_certificate_that_comes_to_an_optional_hostname_must_be_good() -> None:
    stranger = PeerEvidence(server_name=NAME, presented=Authority.root("Other").leaf("device-17").presented())
    assert reason(decide(record("optional"), stranger, NAME, now=NOW)) == "unknown_issuer"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"not_after": NOW - timedelta(seconds=2)}, "expired"),
        ({"not_before": NOW + timedelta(hours=1)}, "not_yet_valid"),
        ({"usages": [SERVER_AUTH]}, "wrong_purpose"),
        ({"usages": [SERVER_AUTH, CLIENT_AUTH]}, "allow"),
        ({"ca": True}, "profile_violation"),
    ],
)
def test_the_certificate_is_judged(options: dict[str, Any], expected: str) -> None:
    assert reason(decide(record(), evidence(**options), NAME, now=NOW)) == expected


def test_the_moment_is_an_argument() -> None:
    seen = evidence()
    for days, expected in ((0, "allow"), (-1, "not_yet_valid"), (31, "expired")):
        assert reason(decide(record(), seen, NAME, now=NOW + timedelta(days=days))) == expected


@pytest.mark.invariant(12)
def test_i12_a_stranger_may_cost_only_so_much() -> None:
    many = ROOT.leaf().certificates * 11
    verdict = decide(
        record(), PeerEvidence(server_name=NAME, presented=PresentedChain.from_certificates(*many)), NAME, now=NOW
    )
    assert reason(verdict) == "limit_exceeded"


@pytest.mark.invariant(4)
@pytest.mark.parametrize("junk", [b"", b"\0", b"\x30\x82\xff\xff", b"\x30\x03\x02\x01\x01"])
def test_i4_bytes_that_are_no_certificate_are_denied(junk: bytes) -> None:
    presented = PresentedChain.from_der(junk)
    assert reason(decide(record(), PeerEvidence(server_name=NAME, presented=presented), NAME, now=NOW)) == "malformed"


@pytest.mark.invariant(4)
@pytest.mark.parametrize("error", [RuntimeError("boom"), MemoryError(), RecursionError(), ValueError("x")])
def test_i4_whatever_goes_wrong_denies(error: Exception) -> None:
    def broken(*_arguments: Any) -> Any:
        raise error

    assert reason(decide(record(), evidence(), NAME, now=NOW, verify=broken)) == "internal_error"


@pytest.mark.invariant(3)
def test_i3_the_record_must_cover_the_server_name() -> None:
    other = record(pattern=HostnamePattern.parse("pay.umbrella.example"))
    assert reason(decide(other, evidence(), NAME, now=NOW)) == "server_name_unknown"
    assert reason(decide(None, evidence(), NAME, now=NOW)) == "server_name_unknown"


@pytest.mark.parametrize(
    ("client_auth", "settings", "told"),
    [
        ("required", {"trust": TrustStore([])}, "expected trust anchors for 'pay.acme.example'"),
        ("optional", {"trust": TrustStore([])}, "expected trust anchors"),
        ("none", {"trust": TrustStore([ROOT.certificate])}, "neither trust anchors nor policies"),
        ("none", {"policies": (ALLOW_ANY,)}, "neither trust anchors nor policies"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(client_auth: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        record(client_auth, **settings)


@pytest.mark.invariant(6)
@pytest.mark.parametrize(
    ("rule", "is_per_request"),
    [
        (common_name("device-17"), False),
        (profile("client"), False),
        (method("GET"), True),
        (remaining(at_least=timedelta(seconds=1)), True),
    ],
)
def test_i6_a_verdict_that_hangs_on_the_request_or_the_moment_says_so(rule: Any, is_per_request: bool) -> None:
    policy = AccessPolicy(decision="allow", include=[any_valid_certificate(), rule])
    verdict = decide(record("required", policy), evidence(), NAME, now=NOW)

    assert isinstance(verdict, Allow)
    assert (verdict.again is not None) is is_per_request
