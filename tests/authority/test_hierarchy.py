"""Authorities below others, what their certificates let them issue, and those that existed elsewhere."""

from __future__ import annotations

import ipaddress
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlskit.authority import CertificateAuthority, KeySigner
from mtlskit.core.certificates import PresentedChain, SigningChain, to_der
from mtlskit.core.names import SanType
from mtlskit.core.profiles import (
    CLIENT,
    NO_CONSTRAINTS,
    AuthorityConstraints,
    ExtendedKeyUsage,
    NameSubtree,
    SanRule,
    spiffe,
)
from mtlskit.core.validation import COMPATIBLE, RFC5280, TrustStore, verify_path
from mtlskit.core.verdict import Allow
from mtlskit.errors import ConfigurationError, Conflict, IssuanceError, NotFound, PathError
from mtlskit.gate import Gate
from mtlskit.ports import Store
from mtlskit.testing.certificates import Authority, new_key

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
FOR_ACME = AuthorityConstraints.for_clients_of("pay.acme.example")


def accepted(chain: PresentedChain, *anchors: x509.Certificate, purpose: str = "client_auth") -> bool:
    try:
        verify_path(chain, TrustStore(anchors), purpose=purpose, now=datetime.now(UTC), profile=RFC5280)
    except PathError:
        return False
    return True


# --- below another authority ----------------------------------------------------------------------------------------


def test_an_intermediate_issues_with_its_chain_and_is_recorded_by_its_parent(
    store: Store, acme: CertificateAuthority
) -> None:
    below = CertificateAuthority.create("Acme east", store=store, parent=acme)
    device = below.issue_client("device-17")
    assert [each.subject for each in device.certificates] == [device.certificate.subject, below.certificate.subject]
    assert accepted(device.presented(), acme.certificate)
    assert accepted(device.presented(), below.certificate)
    assert below.anchors == (below.certificate,)
    acme.revoke(below.certificate)
    assert [entry.serial_number for entry in acme.crl()] == [below.certificate.serial_number]


def test_the_clients_of_one_intermediate_are_not_those_of_its_sibling(store: Store, acme: CertificateAuthority) -> None:
    east, west = (CertificateAuthority.create(name, store=store, parent=acme) for name in ("East", "West"))
    gate = Gate(store)
    gate.hostnames.add("east.example", trust=east.anchors)
    for authority, expected in ((east, True), (west, False)):
        verdict = gate.explain("east.example", certificate=authority.issue_client("device-17").chain_pem())
        assert isinstance(verdict, Allow) is expected
    gate.close()


def test_an_intermediate_does_not_outlive_its_parent(store: Store) -> None:
    root = CertificateAuthority.create("Short", store=store, lifetime=timedelta(days=30))
    with pytest.raises(IssuanceError, match="lifetime: expected a life within the issuer's"):
        CertificateAuthority.create("Longer", store=store, parent=root, lifetime=timedelta(days=31))
    below = CertificateAuthority.create("Within", store=store, parent=root, lifetime=timedelta(days=20))
    with pytest.raises(IssuanceError, match="lifetime"):
        below.issue_client("device-17", lifetime=timedelta(days=21))


def test_no_authority_follows_where_the_path_length_ends(store: Store) -> None:
    root = CertificateAuthority.create("Two", store=store, constraints=AuthorityConstraints(path_length=1))
    below = CertificateAuthority.create("One", store=store, parent=root)
    with pytest.raises(IssuanceError, match="path_length: expected at most 1 authorities below"):
        CertificateAuthority.create("None", store=store, parent=below)
    assert [each.name for each in CertificateAuthority.list(store)] == ["One", "Two"]


def test_of_makers_at_once_one_makes_the_intermediate_and_the_others_certificates_are_revoked(
    store: Store, acme: CertificateAuthority
) -> None:
    def make(_: int) -> CertificateAuthority | None:
        try:
            return CertificateAuthority.create("Race", store=store, parent=acme)
        except Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        made = [each for each in pool.map(make, range(4)) if each is not None]
    assert len(made) == 1
    revoked = {entry.serial_number for entry in acme.crl()}
    assert made[0].certificate.serial_number not in revoked
    assert acme.pending() == ()


def test_ensure_opens_an_authority_with_the_signer_that_was_given(store: Store) -> None:
    signer = KeySigner(new_key())
    first, second = (CertificateAuthority.ensure("Token", store=store, signer=signer) for _ in range(2))
    assert first.key_id == second.key_id
    assert second.issue_client("device").certificates
    with pytest.raises(ConfigurationError, match="another key"):
        CertificateAuthority.ensure("Token", store=store, signer=KeySigner(new_key()))


def _ours(host: str) -> AuthorityConstraints:
    return AuthorityConstraints.for_clients_of(host)


@pytest.mark.parametrize(
    ("there", "wanted", "different"),
    [
        (NO_CONSTRAINTS, _ours("a.example"), "path_length, extended_key_usages, permitted"),
        (_ours("a.example"), _ours("b.example"), "permitted"),
        (_ours("a.example"), AuthorityConstraints.for_servers_of("a.example"), "extended_key_usages, excluded"),
        (_ours("a.example"), NO_CONSTRAINTS, "path_length, extended_key_usages, permitted"),
        (NO_CONSTRAINTS, AuthorityConstraints(excluded=(NameSubtree(SanType.DNS, "a.example"),)), "excluded"),
    ],
)
@pytest.mark.parametrize("below", [False, True])
def test_ensure_gives_no_authority_with_other_constraints(
    store: Store, there: AuthorityConstraints, wanted: AuthorityConstraints, different: str, below: bool
) -> None:
    parent = CertificateAuthority.create("Root", store=store) if below else None
    made = [CertificateAuthority.ensure("A", store=store, parent=parent, constraints=there) for _ in range(2)]
    assert made[0].key_id == made[1].key_id == CertificateAuthority.ensure("A", store=store).key_id
    with pytest.raises(Conflict, match=f"'A' with these constraints, got other {different}$"):
        CertificateAuthority.ensure("A", store=store, parent=parent, constraints=wanted)


def test_all_who_ensure_an_authority_at_once_get_the_same(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: CertificateAuthority.ensure("Shared", store=store), range(16)))
    assert len({each.key_id for each in found}) == 1
    assert CertificateAuthority.ensure("Shared", store=store).key_id == found[0].key_id


# --- what the certificate above allows ------------------------------------------------------------------------------


def test_a_hostnames_client_authority_issues_for_clients_and_its_own_names_alone(store: Store) -> None:
    authority = CertificateAuthority.create("Acme devices", store=store, constraints=FOR_ACME)
    found = {each.oid: each.value for each in authority.certificate.extensions}
    assert list(found[x509.ExtendedKeyUsage.oid]) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert found[x509.NameConstraints.oid].permitted_subtrees == [x509.DNSName("pay.acme.example")]
    assert found[x509.BasicConstraints.oid].path_length == 1
    device = authority.issue_client("device-17", dns=["device-17.pay.acme.example"], uris=["urn:acme:17"])
    assert accepted(device.presented(), authority.certificate)
    with pytest.raises(IssuanceError, match="extended_key_usage: expected purposes among the issuer's clientAuth"):
        authority.issue_server("pay.acme.example")
    with pytest.raises(IssuanceError, match="name_constraints: "):
        authority.issue_client("device-17", dns=["pay.umbrella.example"])
    with pytest.raises(IssuanceError, match="name_constraints: "):
        authority.issue_client("pay.umbrella.example")
    assert authority.pending() == ()


def test_what_is_refused_is_what_the_validator_would_refuse(store: Store) -> None:
    subtrees = AuthorityConstraints(
        permitted=(NameSubtree(SanType.EMAIL, "acme.example"), NameSubtree(SanType.IP, "10.0.0.0/8")),
        excluded=(NameSubtree(SanType.URI, "bad.example"), NameSubtree(SanType.DNS, "secret.acme.example")),
    )
    root = CertificateAuthority.create("Subtrees", store=store, constraints=subtrees)
    below = CertificateAuthority.create("Below", store=store, parent=root)
    good: list[dict[str, list[str]]] = [
        {"emails": ["a@acme.example"]}, {"ips": ["10.1.2.3"]}, {"uris": ["https://good.example/"]}, {"dns": ["a.example"]},
    ]  # fmt: skip
    bad: list[dict[str, list[str]]] = [
        {"emails": ["a@other.example"]}, {"ips": ["192.0.2.1"]}, {"uris": ["https://bad.example/"]},
        {"dns": ["a.secret.acme.example"]},
    ]  # fmt: skip
    for authority in (root, below):
        for names in good:
            assert accepted(authority.issue_client("device-17", **names).presented(), root.certificate)
        for names in bad:
            with pytest.raises(IssuanceError, match="name_constraints"):
                authority.issue_client("device-17", **names)


@pytest.mark.parametrize("base", ["", "a b", "10.0.0.1/8", "*.acme.example"])
@pytest.mark.parametrize("kind", [SanType.DNS, SanType.IP])
def test_a_subtree_that_is_none_is_refused(kind: SanType, base: str) -> None:
    with pytest.raises(IssuanceError, match="name_constraints"):
        NameSubtree(kind, base)


def test_server_constraints(store: Store) -> None:
    constraints = AuthorityConstraints.for_servers_of("*.acme.example")
    servers = CertificateAuthority.create("Servers", store=store, constraints=constraints)
    presented = servers.issue_server("*.acme.example").presented()
    trust = TrustStore(servers.anchors)
    verify_path(presented, trust, purpose="server_auth", reference_name="a.acme.example", now=datetime.now(UTC))
    with pytest.raises(IssuanceError, match="extended_key_usage"):
        servers.issue_client("device-17")
    with pytest.raises(IssuanceError, match="name_constraints"):
        servers.issue_server("umbrella.example")


@pytest.mark.parametrize("address", ["10.0.0.1", "0.0.0.0", "255.255.255.255", "::", "2001:db8::1", "::ffff:10.0.0.1"])
def test_the_authority_of_a_hostnames_servers_certifies_no_address(store: Store, address: str) -> None:
    constraints = AuthorityConstraints.for_servers_of("pay.acme.example")
    servers = CertificateAuthority.create("Servers", store=store, constraints=constraints)
    said = f"^name_constraints: expected names that every CA above permits, got ip '{ipaddress.ip_address(address)}'$"
    with pytest.raises(IssuanceError, match=said):
        servers.issue_server("pay.acme.example", ips=[address])
    assert servers.issue_server("pay.acme.example", "www.pay.acme.example")
    assert AuthorityConstraints.for_clients_of("pay.acme.example").excluded == (), "a client's address is not bound"


ONE_SAID: dict[str, tuple[dict[str, Any], str]] = {
    "dns": ({"dns": ["a.pay.acme.example", "pay.umbrella.example"]}, "dns 'pay.umbrella.example'"),
    "a wildcard": ({"dns": ["*.acme.example"]}, "dns '*.acme.example'"),
    "uri": ({"uris": ["urn:x", "https://good.example/", "https://bad.example/a"]}, "uri 'urn:x'"),
    "uri, another": ({"uris": ["https://good.example/", "https://bad.example/'a"]}, 'uri "https://bad.example/\'a"'),
    "email": ({"emails": ["a@acme.example", "b@umbrella.example"]}, "email 'b@umbrella.example'"),
    "ip": ({"ips": ["10.0.0.1", "192.0.2.1"]}, "ip '192.0.2.1'"),
    "common name": ({"common_name": "pay.umbrella.example"}, "common_name 'pay.umbrella.example'"),
    "long": ({"uris": [f"https://bad.example/{'a' * 500}"]}, f"uri 'https://bad.example/{'a' * 79}"),
}


@pytest.mark.parametrize("which", ONE_SAID)
def test_the_error_says_which_name_is_not_permitted(store: Store, which: str) -> None:
    constraints = AuthorityConstraints(
        permitted=(
            NameSubtree(SanType.DNS, "pay.acme.example"), NameSubtree(SanType.EMAIL, "acme.example"),
            NameSubtree(SanType.IP, "10.0.0.0/8"),
        ),
        excluded=(NameSubtree(SanType.URI, "bad.example"),),
    )  # fmt: skip
    authority = CertificateAuthority.create("Acme", store=store, constraints=constraints)
    names, said = ONE_SAID[which]
    with pytest.raises(IssuanceError) as caught:
        authority.issue_client(names.get("common_name"), **{k: v for k, v in names.items() if k != "common_name"})
    assert str(caught.value) == f"name_constraints: expected names that every CA above permits, got {said}"


# --- profiles of one's own ------------------------------------------------------------------------------------------

SENSOR = replace(
    CLIENT,
    name="sensor",
    san_rules=(
        SanRule(SanType.DNS, "acme.example"), SanRule(SanType.URI, "urn:acme:"), SanRule(SanType.EMAIL, "acme.example"),
        SanRule(SanType.IP, "10.0.0.0/8"), SanRule(SanType.EMAIL, "one@other.example"),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("names", "field"), [
    ({"dns": ["a.acme.example", "acme.example"]}, None),
    ({"dns": ["*.acme.example"]}, None),
    ({"uris": ["urn:acme:17"]}, None),
    ({"emails": ["a@acme.example", "one@other.example"]}, None),
    ({"ips": ["10.255.0.1"]}, None),
    ({"dns": ["notacme.example"]}, "dns"),
    ({"dns": ["acme.example.evil.example"]}, "dns"),
    ({"uris": ["urn:acme2:17"]}, "uri"),
    ({"uris": ["urn:acme:"]}, "uri"),
    ({"emails": ["a@sub.acme.example"]}, "email"),
    ({"emails": ["two@other.example"]}, "email"),
    ({"ips": ["11.0.0.1"]}, "ip"),
    ({"ips": ["2001:db8::1"]}, "ip"),
])  # fmt: skip
def test_a_profiles_rules_bind_every_name(acme: CertificateAuthority, names: dict[str, Any], field: str | None) -> None:
    request = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    csr = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(request._key, hashes.SHA256())
    if field is None:
        acme.sign_request(csr.public_bytes(Encoding.DER), profile=SENSOR, **names)
        acme.issue("sensor", profile=SENSOR, **names)
        return
    with pytest.raises(IssuanceError, match=f"{field}: expected one inside of"):
        acme.sign_request(csr.public_bytes(Encoding.DER), profile=SENSOR, **names)
    with pytest.raises(IssuanceError, match=f"{field}: expected one inside of"):
        acme.issue("sensor", profile=SENSOR, **names)


@pytest.mark.parametrize(("kind", "base"), [
    (SanType.DNS, "*.acme.example"), (SanType.DNS, "ACME.example"), (SanType.URI, "spiffe://acme.example"),
    (SanType.IP, "10.0.0.1/8"), (SanType.EMAIL, "a@b@"), (SanType.DNS, ""),
])  # fmt: skip
def test_a_rule_whose_base_is_none_is_refused(kind: SanType, base: str) -> None:
    with pytest.raises(ConfigurationError):
        SanRule(kind, base)


def test_a_spiffe_profile_certifies_ids_of_its_trust_domain(acme: CertificateAuthority) -> None:
    profile = spiffe("acme.example")
    workload = acme.issue(profile=profile, uris=["spiffe://acme.example/billing"])
    assert workload.certificate.subject == x509.Name([])
    usages = workload.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    for uris in (
        [],
        ["spiffe://umbrella.example/billing"],
        ["spiffe://acme.example.evil/billing"],
        ["https://acme.example/"],
    ):
        with pytest.raises(IssuanceError):
            acme.issue(profile=profile, uris=uris, dns=["a.example"])
    with pytest.raises(ConfigurationError):
        spiffe("Acme/Example")


def test_no_end_entity_is_issued_as_an_authority(acme: CertificateAuthority) -> None:
    from mtlskit.core.profiles import INTERMEDIATE, ROOT

    for profile in (ROOT, INTERMEDIATE):
        with pytest.raises(IssuanceError, match="profile: expected one of an end entity"):
            acme.issue("device-17", profile=profile)


# --- taken over -----------------------------------------------------------------------------------------------------


def test_an_authority_that_exists_is_taken_over_with_its_key(store: Store) -> None:
    elsewhere = Authority.root("Old root")
    chain = SigningChain(elsewhere.key, [elsewhere.certificate])
    taken = CertificateAuthority.take_over("Old", chain, store=store)
    again = CertificateAuthority.open("Old", store=store)
    for authority in (taken, again):
        assert accepted(authority.issue_client("device-17", lifetime=DAY).presented(), elsewhere.certificate)
    assert taken.certificate == elsewhere.certificate


def test_an_intermediate_is_taken_over_with_those_above_it(store: Store) -> None:
    root = Authority.root()
    middle = root.intermediate("Middle", path_length=0)
    taken = CertificateAuthority.take_over(
        "Middle", SigningChain(middle.key, [middle.certificate, root.certificate]), store=store
    )
    device = taken.issue_client("device-17", lifetime=DAY)
    assert len(device.certificates) == 2, "the root is not presented"
    assert accepted(device.presented(), root.certificate)
    with pytest.raises(IssuanceError, match="path_length"):
        CertificateAuthority.create("Below", store=store, parent=taken)


def test_what_was_issued_before_can_be_recorded_and_revoked(store: Store) -> None:
    elsewhere = Authority.root("Old root")
    before, strangers = elsewhere.leaf().certificate, Authority.root("Old root").leaf().certificate
    taken = CertificateAuthority.take_over("Old", SigningChain(elsewhere.key, [elsewhere.certificate]), store=store)
    with pytest.raises(NotFound):
        taken.revoke(before)
    taken.record([before, before])
    taken.record([before])
    taken.revoke(before.serial_number)
    assert [entry.serial_number for entry in taken.crl()] == [before.serial_number]
    with pytest.raises(IssuanceError, match="signature: expected certificates that this authority issued"):
        taken.record([strangers])


def test_a_signer_keeps_the_key(store: Store) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = CertificateAuthority.create("Token", store=store, signer=KeySigner(key))
    made.issue_client("device-17")
    closed = CertificateAuthority.open("Token", store=store)
    with pytest.raises(ConfigurationError, match="expected the signer with the key of 'Token'"):
        closed.issue_client("device-18")
    CertificateAuthority.open("Token", store=store, signer=KeySigner(key)).issue_client("device-18")
    with pytest.raises(ConfigurationError, match="one with another key"):
        CertificateAuthority.open("Token", store=store, signer=KeySigner(ec.generate_private_key(ec.SECP256R1())))


def _chain(authority: Authority, **changes: Any) -> SigningChain:
    return SigningChain(changes.get("key", authority.key), [authority.certificate])


OLD = Authority.root(not_after=NOW - timedelta(days=1), not_before=NOW - timedelta(days=9))
LATER = Authority.root(not_before=NOW + timedelta(days=1), not_after=NOW + timedelta(days=9))
WEAK = Authority.root(key=rsa.generate_private_key(public_exponent=65537, key_size=1024))


@pytest.mark.parametrize(("chain", "field"), [
    (lambda: Authority.root().leaf(), "basic_constraints"),
    (lambda: _chain(OLD), "validity"),
    (lambda: _chain(LATER), "validity"),
    (lambda: _chain(WEAK), "public_key"),
    (lambda: _chain(Authority.root(extensions=[(_usage(key_cert_sign=True, crl_sign=False), True)])), "key_usage"),
    (lambda: _chain(Authority.root(extensions=[(_usage(key_cert_sign=False, crl_sign=True), True)])), "key_usage"),
    (lambda: _chain(Authority.root(without=[x509.SubjectKeyIdentifier])), "subject_key_identifier"),
    (lambda: _with_other_root(), "chain"),
], ids=["a leaf", "expired", "not yet valid", "weak", "no lists", "no certificates", "no key identifier", "another root"])  # fmt: skip
def test_what_is_no_usable_authority_is_not_taken_over(store: Store, chain: Any, field: str) -> None:
    with pytest.raises(IssuanceError, match=f"^{field}: expected"):
        CertificateAuthority.take_over("Odd", chain(), store=store)
    assert CertificateAuthority.list(store) == ()


def test_a_root_without_key_usage_is_taken_over(store: Store) -> None:
    """As `openssl req -x509` makes one: its key is for anything (RFC 5280, 4.2.1.3), and every profile accepts it."""
    root = Authority.root(without=[x509.KeyUsage])
    taken = CertificateAuthority.take_over("Plain", _chain(root), store=store)
    device = taken.issue_client("device")
    for profile in (COMPATIBLE, RFC5280):
        verify_path(
            device.presented(), TrustStore(taken.anchors), purpose="client_auth", now=datetime.now(UTC), profile=profile
        )


def _usage(*, key_cert_sign: bool, crl_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False, key_cert_sign=key_cert_sign, crl_sign=crl_sign, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _with_other_root() -> SigningChain:
    middle = Authority.root().intermediate()
    return SigningChain(middle.key, [middle.certificate, Authority.root("Other").certificate])


def test_one_key_belongs_to_one_authority(store: Store) -> None:
    elsewhere = Authority.root("Old root")
    chain = SigningChain(elsewhere.key, [elsewhere.certificate])
    CertificateAuthority.take_over("Old", chain, store=store)
    with pytest.raises(Conflict, match="one that another authority has"):
        CertificateAuthority.take_over("Again", chain, store=store)
    with pytest.raises(Conflict):
        CertificateAuthority.take_over("Old", _chain(Authority.root("Third")), store=store)
    with pytest.raises(ConfigurationError, match="with its private key, or a signer"):
        CertificateAuthority.take_over("Keyless", [elsewhere.certificate], store=store)
    assert to_der(CertificateAuthority.open("Old", store=store).certificate) == to_der(elsewhere.certificate)


def test_the_two_purposes_of_constraints_are_told_apart() -> None:
    assert FOR_ACME.extended_key_usages == (ExtendedKeyUsage.CLIENT_AUTH,)
    assert AuthorityConstraints.for_servers_of("a.example").extended_key_usages == (ExtendedKeyUsage.SERVER_AUTH,)
