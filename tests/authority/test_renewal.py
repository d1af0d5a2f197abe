"""Renewing and rekeying: what the ledger says, once more, under today's rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from mtlskit.authority import CertificateAuthority, CertificateOrder, IssuedCertificate, KeySigner, Unfilled
from mtlskit.authority.issuance import Issuing
from mtlskit.authority.renewal import find_recorded
from mtlskit.core.certificates import PresentedChain, SigningChain, common_name, read_sans
from mtlskit.core.names import SanType
from mtlskit.core.profiles import CLIENT, SERVER, AuthorityConstraints, Profile, SanRule
from mtlskit.core.validation import RFC5280, TrustStore, verify_path
from mtlskit.errors import IssuanceError, NotFound
from mtlskit.ports import Store
from mtlskit.testing.certificates import CLIENT_AUTH, Authority, build, name_of, new_key

DAY = timedelta(days=1)
SENSOR = replace(CLIENT, name="sensor", san_rules=(SanRule(SanType.URI, "urn:acme:"),))


def request(key: Any, name: str = "ignored", **extension: Any) -> bytes:
    builder = x509.CertificateSigningRequestBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    ).add_extension(x509.SubjectAlternativeName([x509.DNSName("ignored.example")]), critical=False)
    for value in extension.values():
        builder = builder.add_extension(value, critical=True)
    hashed = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, hashed).public_bytes(Encoding.DER)


def later(acme: CertificateAuthority, store: Store, by: timedelta) -> CertificateAuthority:
    return CertificateAuthority.open(acme.name, store=store, clock=lambda: datetime.now(UTC) + by)


def rows(store: Store, event: str = "certificate.reserved") -> list[Any]:
    with store.snapshot() as snapshot:
        return [row.details for row in snapshot.scan_audit() if row.event == event]


def leaf(chain: PresentedChain) -> x509.Certificate:
    return chain.certificates()[0]


# --- the same key ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["certificate", "issued", "serial", "hexadecimal"])
def test_a_renewal_has_the_same_names_profile_and_key(store: Store, acme: CertificateAuthority, form: str) -> None:
    old = acme.issue_client(
        "device-17", dns=["a.example"], uris=["urn:x"], emails=["a@b.example"], ips=["::1"], lifetime=30 * DAY
    )
    given: dict[str, Any] = {
        "certificate": old.certificate, "issued": old, "serial": old.serial_number, "hexadecimal": f"{old.serial_number:X}",
    }  # fmt: skip
    chain = later(acme, store, 20 * DAY).renew(given[form], requester="alice")
    new = leaf(chain)
    assert new.serial_number != old.serial_number
    assert (new.subject, read_sans(new)) == (old.certificate.subject, read_sans(old.certificate))
    assert new.public_key() == old.certificate.public_key()
    new.verify_directly_issued_by(acme.certificate)
    life = new.not_valid_after_utc - new.not_valid_before_utc
    assert life == old.certificate.not_valid_after_utc - old.certificate.not_valid_before_utc
    extensions = [{each.oid: each.value for each in one.extensions} for one in (old.certificate, new)]
    assert extensions[0] == extensions[1]
    SigningChain(old.private_key, [new])
    when = datetime.now(UTC) + 20 * DAY
    verify_path(chain, TrustStore(acme.anchors), purpose="client_auth", now=when, profile=RFC5280)


def test_the_log_and_the_ledger_say_what_renews_what(store: Store, acme: CertificateAuthority) -> None:
    old = acme.issue_client("device")
    new = leaf(acme.renew(old, requester="alice"))
    newest = acme.rekey(new)
    details = {row["serial"]: row for row in rows(store)}
    assert "renews" not in details[f"{old.serial_number:x}"]
    assert details[f"{new.serial_number:x}"]["renews"] == f"{old.serial_number:x}"
    assert details[f"{new.serial_number:x}"]["renews_issuer_key"] == acme.key_id.hex()
    assert details[f"{new.serial_number:x}"]["requester"] == "alice"
    assert details[f"{newest.serial_number:x}"]["renews"] == f"{new.serial_number:x}"


def test_the_one_before_stays_good_and_can_be_renewed_again(acme: CertificateAuthority) -> None:
    old = acme.issue_client("device")
    first, second = leaf(acme.renew(old)), leaf(acme.renew(old))
    assert len({old.serial_number, first.serial_number, second.serial_number}) == 3
    acme.revoke(first)
    assert [entry.serial_number for entry in acme.crl()] == [first.serial_number]
    leaf(acme.renew(old))


def test_a_lifetime_may_be_given(acme: CertificateAuthority) -> None:
    old = acme.issue_server("pay.acme.example")
    new = leaf(acme.renew(old, lifetime=7 * DAY))
    assert new.not_valid_after_utc - new.not_valid_before_utc == 7 * DAY + timedelta(seconds=30)
    with pytest.raises(IssuanceError, match=r"^lifetime: expected"):
        acme.renew(old, lifetime=399 * DAY)


def test_what_was_not_issued_here_is_not_renewed(store: Store, acme: CertificateAuthority) -> None:
    theirs = CertificateAuthority.create("Umbrella", store=store).issue_client("device")
    for unknown in (theirs, theirs.certificate, theirs.serial_number, 1, "ff"):
        with pytest.raises(NotFound, match="issued by 'Acme devices'"):
            acme.renew(unknown)
        with pytest.raises(NotFound):
            acme.rekey(unknown)


def test_a_forged_certificate_with_a_known_serial_number_is_not_renewed(acme: CertificateAuthority) -> None:
    known = acme.issue_client("device")
    forger = ec.generate_private_key(ec.SECP256R1())
    certificate = known.certificate
    forged = x509.CertificateBuilder(
        certificate.issuer, certificate.subject, forger.public_key(), certificate.serial_number,
        certificate.not_valid_before_utc, certificate.not_valid_after_utc,
    ).sign(forger, hashes.SHA256())  # fmt: skip
    with pytest.raises(NotFound):
        acme.renew(forged)


def test_a_reservation_is_no_certificate(acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(KeySigner, "sign", lambda *_: 1 / 0)
        with pytest.raises(IssuanceError):
            acme.issue_client("device")
    (pending,) = acme.pending()
    with pytest.raises(NotFound):
        acme.renew(pending.serial_number)
    acme.revoke(pending.serial_number)
    with pytest.raises(NotFound):
        acme.renew(pending.serial_number)


@pytest.mark.parametrize("reason", ["key_compromise", "superseded", "certificate_hold"])
def test_a_revoked_certificate_is_not_renewed(store: Store, acme: CertificateAuthority, reason: str) -> None:
    old = acme.issue_client("device")
    acme.revoke(old, reason=reason)
    before = len(rows(store))
    for again in (acme.renew, acme.rekey):
        with pytest.raises(IssuanceError, match="expected one to renew that is not revoked"):
            again(old)
    with pytest.raises(IssuanceError, match="not revoked"):
        acme.rekey(old, request=request(ec.generate_private_key(ec.SECP256R1())))
    assert len(rows(store)) == before


@pytest.mark.invariant("I10")
def test_a_revocation_that_comes_in_between_still_counts(
    store: Store, acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = acme.issue_client("device")
    from mtlskit.authority import desk

    original = find_recorded

    def find(*given: Any) -> Any:
        found = original(*given)
        acme.revoke(old)
        return found

    monkeypatch.setattr(desk.renewal, "find_recorded", find)
    with pytest.raises(IssuanceError, match="not revoked"):
        acme.renew(old)
    assert acme.pending() == ()


def test_an_expired_certificate_is_renewed_only_where_that_is_said(store: Store, acme: CertificateAuthority) -> None:
    old = acme.issue_client("device", lifetime=10 * DAY)
    late = later(acme, store, 13 * DAY)
    with pytest.raises(IssuanceError, match=r"^certificate: expected one that ended at most 0s ago"):
        late.renew(old)
    with pytest.raises(IssuanceError, match="ended at most 2d ago"):
        late.rekey(old, after_expiry=2 * DAY)
    new = leaf(late.renew(old, after_expiry=4 * DAY))
    assert new.not_valid_after_utc > datetime.now(UTC) + 22 * DAY
    assert leaf(late.renew(old, after_expiry=timedelta.max)).subject == old.certificate.subject


def test_a_renewal_does_not_outlive_its_authority(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store, lifetime=20 * DAY)
    old = acme.issue_client("device", lifetime=15 * DAY)
    late = later(acme, store, 10 * DAY)
    assert leaf(late.renew(old)).not_valid_after_utc == acme.certificate.not_valid_after_utc
    with pytest.raises(IssuanceError, match="within the issuer's"):
        late.renew(old, lifetime=15 * DAY)
    leaf(late.renew(old, lifetime=5 * DAY))


# --- profiles -------------------------------------------------------------------------------------------------------


def test_a_profile_has_not_the_name_of_another(acme: CertificateAuthority) -> None:
    """The ledger knows a profile by its name: it would be renewed under ours, with other names and purposes."""
    stricter = replace(CLIENT, most_sans=1)
    with pytest.raises(IssuanceError, match="^profile: expected one with a name of its own, got another 'client'"):
        acme.issue("device", profile=stricter)
    (outcome,) = acme.issue_many([CertificateOrder("device", profile=stricter)])
    assert isinstance(outcome, Unfilled)
    acme.issue("device", profile=replace(CLIENT))
    acme.issue("device", profile=replace(stricter, name="stricter"))


def test_a_profile_of_ones_own_is_to_be_given_again(acme: CertificateAuthority) -> None:
    old = acme.issue(profile=SENSOR, uris=["urn:acme:17"])
    with pytest.raises(IssuanceError, match=r"^profile: expected the profile 'sensor' to be given"):
        acme.renew(old)
    with pytest.raises(IssuanceError, match=r"^profile: expected 'sensor', by which it was issued, got 'client'"):
        acme.renew(old, profile=CLIENT)
    assert read_sans(leaf(acme.renew(old, profile=SENSOR))) == read_sans(old.certificate)
    with pytest.raises(IssuanceError, match=r"^profile: expected 'client'"):
        acme.renew(acme.issue_client("device"), profile=SERVER)


STRICTER: list[tuple[Profile, str]] = [
    (replace(SENSOR, san_rules=(SanRule(SanType.URI, "urn:umbrella:"),)), "uri: expected one inside of urn:umbrella:"),
    (replace(SENSOR, san_types=frozenset({SanType.DNS}), san_rules=()), "uri: expected SAN types dns"),
    (replace(SENSOR, required_sans=frozenset({SanType.IP})), "ip: expected one"),
    (replace(SENSOR, lifetimes=replace(SENSOR.lifetimes, default=DAY, maximum=DAY)), "lifetime: expected"),
]


@pytest.mark.parametrize(("today", "told"), STRICTER)
def test_names_and_lifetime_are_under_todays_profile(acme: CertificateAuthority, today: Profile, told: str) -> None:
    old = acme.issue(profile=SENSOR, uris=["urn:acme:17"])
    for again in (acme.renew, acme.rekey):
        with pytest.raises(IssuanceError, match=told):
            again(old, profile=today)
    assert acme.pending() == ()


def test_names_are_under_todays_issuer(store: Store) -> None:
    key, inside = ec.generate_private_key(ec.SECP256R1()), AuthorityConstraints.for_clients_of("pay.acme.example")
    narrow = CertificateAuthority.create("Narrow", store=store, constraints=inside, signer=KeySigner(key))
    device = new_key()
    elsewhere = build(
        subject=name_of("device"), issuer=narrow.certificate.subject, public_key=device.public_key(), signing_key=key,
        signing_certificate=narrow.certificate, sans=["dns:pay.umbrella.example"], usages=[CLIENT_AUTH],
    )  # fmt: skip
    narrow.record([elsewhere])
    with pytest.raises(IssuanceError, match="name_constraints"):
        narrow.renew(elsewhere, profile=CLIENT)
    leaf(narrow.renew(narrow.issue_client("device", dns=["a.pay.acme.example"])))


@pytest.mark.parametrize("kind", ["root", "intermediate", "cross"])
def test_no_authority_is_renewed_like_this(store: Store, acme: CertificateAuthority, kind: str) -> None:
    below = CertificateAuthority.create("Below", store=store, parent=acme)
    prepared = acme.rotation.prepare()
    assert prepared.cross is not None
    certificate = {"root": acme.certificate, "intermediate": below.certificate, "cross": prepared.cross}[kind]
    with pytest.raises(IssuanceError, match=r"^profile: expected"):
        acme.renew(certificate)
    with pytest.raises(IssuanceError, match=rf"^profile: expected '{kind}', by which it was issued"):
        acme.renew(certificate, profile=CLIENT)


def test_no_authority_that_was_recorded_is_renewed_like_this(store: Store) -> None:
    elsewhere = Authority.root("Old")
    below = elsewhere.intermediate("Below").certificate
    taken = taken_over(store, elsewhere, below)
    with pytest.raises(IssuanceError, match=r"^certificate: expected one of an end entity"):
        taken.renew(below, profile=CLIENT, lifetime=DAY)


# --- what was issued elsewhere --------------------------------------------------------------------------------------


def taken_over(store: Store, elsewhere: Authority, certificate: x509.Certificate) -> CertificateAuthority:
    chain = SigningChain(elsewhere.key, [elsewhere.certificate])
    taken = CertificateAuthority.take_over("Old", chain, store=store)
    taken.record([certificate])
    return taken


def test_what_was_recorded_is_renewed_under_a_given_profile(store: Store) -> None:
    elsewhere = Authority.root("Old root")
    before = elsewhere.leaf("device-17")
    taken = taken_over(store, elsewhere, before.certificate)
    with pytest.raises(IssuanceError, match=r"^profile: expected the profile 'recorded' to be given"):
        taken.renew(before.certificate, lifetime=DAY)
    new = leaf(taken.renew(before.certificate, profile=CLIENT, lifetime=DAY))
    assert new.subject == before.certificate.subject
    assert new.public_key() == before.certificate.public_key()


def test_a_recorded_certificate_with_other_names_is_not_renewed_without_them(store: Store) -> None:
    elsewhere = Authority.root("Old root")
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Acme"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "device-17"),
        ]
    )
    before = build(
        subject=name, issuer=elsewhere.certificate.subject, public_key=new_key().public_key(),
        signing_key=elsewhere.key, signing_certificate=elsewhere.certificate,
    )  # fmt: skip
    taken = taken_over(store, elsewhere, before)
    with pytest.raises(IssuanceError, match=r"^subject: expected a common name and"):
        taken.renew(before, profile=CLIENT, lifetime=DAY)


def test_a_recorded_authority_is_not_renewed_as_a_client(store: Store) -> None:
    elsewhere = Authority.root("Old root")
    below = elsewhere.intermediate("device-17")
    taken = taken_over(store, elsewhere, below.certificate)
    with pytest.raises(IssuanceError, match=r"^certificate: expected one of an end entity"):
        taken.renew(below.certificate, profile=CLIENT, lifetime=DAY)


# --- over a rotation ------------------------------------------------------------------------------------------------


def test_a_renewal_comes_from_the_active_key(store: Store, acme: CertificateAuthority) -> None:
    old, old_key = acme.issue_client("device"), acme.key_id
    acme.rotation.prepare()
    acme.rotation.activate()
    chain = acme.renew(old)
    assert common_name(leaf(chain).issuer) == "Acme devices G2"
    assert len(chain.ders) == 2, "with what leads to the old root"
    assert rows(store)[-1]["renews_issuer_key"] == old_key.hex() != acme.key_id.hex()
    acme.revoke(old)
    with pytest.raises(IssuanceError, match="not revoked"):
        acme.renew(old)


def test_what_a_retired_key_issued_is_not_renewed(acme: CertificateAuthority) -> None:
    old = acme.issue_client("device")
    acme.rotation.prepare()
    acme.rotation.activate()
    acme.rotation.retire(1, remaining="abandon")
    for again in (acme.renew, acme.rekey):
        with pytest.raises(IssuanceError, match="expected one of a trusted generation, got number 1"):
            again(old)


# --- another key ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", ["ec-p256", "ed25519", "rsa-2048"])
def test_a_rekey_makes_a_new_key(acme: CertificateAuthority, key_type: str) -> None:
    old = acme.issue_client("device", uris=["urn:x"], lifetime=30 * DAY)
    new = acme.rekey(old.serial_number, key_type=key_type)
    assert isinstance(new, IssuedCertificate)
    assert new.certificate.public_key() != old.certificate.public_key()
    assert new.certificate.subject == old.certificate.subject
    assert read_sans(new.certificate) == read_sans(old.certificate)
    life = new.certificate.not_valid_after_utc - new.certificate.not_valid_before_utc
    assert life == 30 * DAY + timedelta(seconds=30)


@pytest.mark.parametrize("make", [lambda: ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate])
def test_a_rekey_takes_the_key_of_a_request_and_nothing_else(
    acme: CertificateAuthority, make: Callable[[], Any]
) -> None:
    old, key = acme.issue_client("device", uris=["urn:x"]), make()
    chain = acme.rekey(old, request=request(key))
    assert isinstance(chain, PresentedChain)
    assert leaf(chain).public_key() == key.public_key()
    assert leaf(chain).subject == old.certificate.subject
    assert list(map(str, read_sans(leaf(chain)))) == ["uri:urn:x"]


def test_a_request_must_prove_a_new_strong_key(acme: CertificateAuthority) -> None:
    old = acme.issue_client("device")
    good = request(ec.generate_private_key(ec.SECP256R1()))
    authority = {"basic": x509.BasicConstraints(ca=True, path_length=None)}
    for data, field in (
        (good[:-1] + bytes([good[-1] ^ 1]), "signature"),
        (request(ec.generate_private_key(ec.SECP256K1())), "public_key"),
        (request(old.private_key), "public_key"),
        (request(ec.generate_private_key(ec.SECP256R1()), **authority), "basic_constraints"),
        (b"nothing", "request"),
    ):
        with pytest.raises(IssuanceError, match=rf"^{field}: expected"):
            acme.rekey(old, request=data)
    assert acme.pending() == ()


def test_a_weak_key_on_record_is_not_renewed_but_may_be_replaced(store: Store) -> None:
    elsewhere = Authority.root("Old root")
    before = elsewhere.leaf("device", key=ec.generate_private_key(ec.SECP256K1()))
    taken = taken_over(store, elsewhere, before.certificate)
    with pytest.raises(IssuanceError, match=r"^public_key: expected"):
        taken.renew(before.certificate, profile=CLIENT, lifetime=DAY)
    assert taken.rekey(before.certificate, profile=CLIENT, lifetime=DAY).certificate.subject


def test_no_key_is_made_for_what_is_refused(acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    old = acme.issue(profile=SENSOR, uris=["urn:acme:17"])
    monkeypatch.setattr("mtlskit.authority.renewal.generate_key", lambda _: pytest.fail("a key was made"))
    with pytest.raises(IssuanceError):
        acme.rekey(old, profile=STRICTER[0][0])


def test_a_renewal_draws_a_new_serial_number_like_any_other(acme: CertificateAuthority) -> None:
    assert isinstance(acme._opened.issuing(), Issuing)
    old = acme.issue_client("device")
    assert len({leaf(acme.renew(old)).serial_number for _ in range(5)}) == 5
