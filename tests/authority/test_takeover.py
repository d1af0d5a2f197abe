"""Taking over: the lists go on where they were, what was revoked stays revoked, and what was issued can be recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from mtlskit.authority import CertificateAuthority, ListScope, RevokedSerials, Subjects, inheritance, revocation
from mtlskit.authority.ledger import REVOCATION
from mtlskit.authority.publishing import OCSPResponder, Publication, StatusService
from mtlskit.core.certificates import PresentedChain, SigningChain, public_key_id
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.verdict import Allow, Deny
from mtlskit.errors import Conflict, IssuanceError, NotFound, Unavailable
from mtlskit.gate import Gate
from mtlskit.ports import Store
from mtlskit.testing.certificates import Authority, new_key
from support import der

from .checking import standing
from .test_ocsp_responder import ask
from .test_revocation import entry, number

NOW = datetime.now(UTC).replace(microsecond=0)
HOST = "pay.acme.example"
Entry = tuple[int, x509.ReasonFlags | None]
Extension = tuple[x509.ExtensionType, bool]


def last_list(
    issuer: Authority,
    entries: Iterable[Entry] = (),
    *,
    crl_number: int | None = 41,
    extensions: Iterable[Extension] = (),
    entry_extensions: Iterable[Extension] = (),
    key: ec.EllipticCurvePrivateKey | None = None,
) -> x509.CertificateRevocationList:
    """A list as an authority elsewhere makes it."""
    builder = x509.CertificateRevocationListBuilder(issuer.certificate.subject, NOW, NOW + timedelta(days=7))
    numbers = [] if crl_number is None else [(x509.CRLNumber(crl_number), False)]
    for extension, critical in (*numbers, *extensions):
        builder = builder.add_extension(extension, critical)
    for serial, reason in entries:
        listed = x509.RevokedCertificateBuilder(serial, NOW - timedelta(days=3))
        for extension, critical in (*([] if reason is None else [(x509.CRLReason(reason), False)]), *entry_extensions):
            listed = listed.add_extension(extension, critical)
        builder = builder.add_revoked_certificate(listed.build())
    return builder.sign(key or issuer.key, hashes.SHA256())  # type: ignore[arg-type]


def taken(store: Store, issuer: Authority, listed: x509.CertificateRevocationList | None) -> CertificateAuthority:
    chain = SigningChain(issuer.key, [issuer.certificate])
    return CertificateAuthority.take_over("Old", chain, store=store, last_crl=listed)


@pytest.mark.invariant("I10")
def test_lists_have_numbers_above_those_from_before(store: Store) -> None:
    old = Authority.root("Old")
    device = old.leaf("device").certificate
    before = last_list(old)
    authority = taken(store, old, before)
    authority.record([device])
    authority.revoke(device)
    lists = [authority.crl(), authority.delta_crl(), authority.crl()]
    assert [number(each) for each in (before, *lists)] == [41, 42, 43, 44]
    assert standing(authority, device, [before, lists[0]]) == "revoked"
    assert [number(each) for each in (CertificateAuthority.open("Old", store=store).crl(),)] == [45]
    served = StatusService(authority, Publication()).answer("GET", "/1.crl", {}).body
    assert number(x509.load_der_x509_crl(served)) == 46


def test_numbers_may_be_as_long_as_they_may_be(store: Store) -> None:
    old = Authority.root("Old")
    longest = (1 << 158) - 1
    authority = taken(store, old, last_list(old, crl_number=longest))
    authority.crl()
    assert number(authority.delta_crl()) == longest + 2
    with pytest.raises(IssuanceError, match="last_crl: expected a number"):
        taken(store, old, last_list(old, crl_number=longest + 1))


def test_a_list_without_a_number_leaves_its_entries(store: Store) -> None:
    old = Authority.root("Old")
    made = taken(store, old, last_list(old, [(7, None)], crl_number=None)).crl()
    assert (number(made), [each.serial_number for each in made]) == (1, [7])


@pytest.mark.invariant("I10")
def test_what_was_revoked_stays_revoked_recorded_or_not(store: Store) -> None:
    old = Authority.root("Old")
    lost, other = (old.leaf(name).certificate for name in ("lost", "other"))
    gate = Gate(store)
    gate.hostnames.add(HOST, trust=[old.certificate])
    revoked = RevokedSerials(store)
    assert revoked.reason_of(_key_id(old), lost.serial_number) is None
    assert isinstance(judged(gate, lost), Allow), "the gate has looked before there was anything to see"
    authority = taken(store, old, last_list(old, [(lost.serial_number, x509.ReasonFlags.key_compromise)]))
    refused = judged(gate, lost)
    assert isinstance(refused, Deny)
    assert refused.reason == "revoked"
    assert isinstance(judged(gate, other), Allow)
    assert revoked.reason_of(_key_id(old), lost.serial_number) == "key_compromise"
    found = entry(authority.crl(), lost.serial_number)
    assert found is not None
    assert found.revocation_date_utc == NOW - timedelta(days=3)
    assert found.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
    told = ocsp.load_der_ocsp_response(OCSPResponder(authority).answer(ask(lost, old.certificate)).response)
    assert told.certificate_status is ocsp.OCSPCertStatus.REVOKED
    gate.close()


def test_whoever_nobody_knows_is_on_the_lists_of_both_kinds(store: Store) -> None:
    old = Authority.root("Old")
    below, device = old.intermediate("Below").certificate, old.leaf("device").certificate
    serials = {below.serial_number, device.serial_number}
    authority = taken(store, old, last_list(old, [(each, None) for each in serials]))
    assert listed(authority, Subjects.AUTHORITIES) == listed(authority, Subjects.END_ENTITIES) == serials
    authority.record([below, device])
    assert listed(authority, Subjects.AUTHORITIES) == {below.serial_number}
    assert listed(authority, Subjects.END_ENTITIES) == {device.serial_number}
    assert authority.revoke(device).not_after == device.not_valid_after_utc


def test_a_hold_from_before_can_be_released_or_made_to_last(store: Store) -> None:
    old = Authority.root("Old")
    hold = x509.ReasonFlags.certificate_hold
    authority = taken(store, old, last_list(old, [(7, hold), (8, hold), (9, x509.ReasonFlags.superseded)]))
    assert authority.release(7) is not None
    assert authority.revoke(8, reason="key_compromise").reason == "key_compromise"
    assert authority.revoke(9).reason == "superseded"
    with pytest.raises(Conflict, match="revoked for good"):
        authority.release(8)
    with pytest.raises(NotFound):
        authority.revoke(7)
    assert {each.serial_number for each in authority.crl()} == {8, 9}


def test_every_entry_has_its_row_in_the_log_and_so_has_the_list(store: Store) -> None:
    old = Authority.root("Old")
    taken(store, old, last_list(old, [(7, None), (8, None)]))
    with store.snapshot() as snapshot:
        rows = list(snapshot.scan_audit())
    assert [row.event for row in rows] == ["certificate.revoked", "certificate.revoked", "authority.created"]
    assert [row.details.get("last_crl") for row in rows] == [None, None, "41"]


@pytest.mark.invariant("I10")
def test_what_was_interrupted_is_taken_up_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Authority.root("Old")
    before = last_list(old, [(serial, None) for serial in range(1, 8)])
    monkeypatch.setattr(inheritance, "_PAGE", 3)
    pages = count()

    def adopt(*given: Any, **told: Any) -> None:
        if next(pages) == 4:
            raise Unavailable("the disk is full")
        revocation.adopt(*given, **told)

    monkeypatch.setattr(inheritance, "adopt", adopt)
    with pytest.raises(Unavailable):
        taken(store, old, before)
    with pytest.raises(NotFound):
        CertificateAuthority.open("Old", store=store)
    with store.snapshot() as snapshot:
        assert len(list(snapshot.scan(REVOCATION, _key_id(old).hex()))) == 3
    authority = taken(store, old, before)
    assert [each.serial_number for each in authority.crl()] == list(range(1, 8))
    with store.snapshot() as snapshot:
        events = [row.event for row in snapshot.scan_audit()]
    assert events.count("certificate.revoked") == 7


def _refused() -> dict[str, tuple[str, Callable[[Authority], object]]]:
    point = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    removed = x509.ReasonFlags.remove_from_crl
    return {
        "another type": ("expected an x509.CertificateRevocationList", lambda _: b"list"),
        "another issuer": ("another issuer", lambda _: last_list(Authority.root("Other"))),
        "another key": ("signature", lambda old: last_list(old, key=new_key())),
        "delta": ("delta list", lambda old: last_list(old, extensions=[(x509.DeltaCRLIndicator(3), True)])),
        "part": ("issuing distribution point", lambda old: last_list(old, extensions=[(point, True)])),
        "critical": ("critical", lambda old: last_list(old, extensions=[(unknown, True)])),
        "critical entry": ("critical", lambda old: last_list(old, [(7, None)], entry_extensions=[(unknown, True)])),
        "removal": ("remove_from_crl", lambda old: last_list(old, [(7, None), (8, removed)])),
        "long serial": ("serial: expected a number of 20 octets", _with_long_serial),
    }


def _with_long_serial(old: Authority) -> x509.CertificateRevocationList:
    made = last_list(old, [(7, None)])
    version, algorithm, issuer, this, following, entries, *rest = der.elements(der.content(made.tbs_certlist_bytes))
    _, date = der.elements(der.content(der.content(entries)))
    changed = der.seq(
        version, algorithm, issuer, this, following, der.seq(der.seq(der.integer(1 << 160), date)), *rest
    )  # fmt: skip
    signature = old.key.sign(changed, ec.ECDSA(hashes.SHA256()))  # type: ignore[call-arg, arg-type, union-attr]
    return x509.load_der_x509_crl(der.seq(changed, algorithm, der.encode(0x03, b"\0", signature)))


REFUSED = _refused()


@pytest.mark.parametrize("what", REFUSED)
def test_another_list_is_refused_and_nothing_is_taken_over(
    store: Store, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, make = REFUSED[what]
    monkeypatch.setattr(inheritance, "_PAGE", 1)
    old = Authority.root("Old")
    with pytest.raises(IssuanceError, match=f"^last_crl: .*{told}"):
        taken(store, old, make(old))  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        CertificateAuthority.open("Old", store=store)
    with store.snapshot() as snapshot:
        assert list(snapshot.scan(REVOCATION, _key_id(old).hex())) == []


def test_a_list_is_not_taken_for_an_authority_that_there_is(store: Store) -> None:
    old, other = Authority.root("Old"), Authority.root("Other")
    authority = taken(store, old, None)
    for issuer, name in ((other, "Old"), (old, "Again")):
        chain, before = SigningChain(issuer.key, [issuer.certificate]), last_list(issuer, [(7, None)])
        with pytest.raises(Conflict):
            CertificateAuthority.take_over(name, chain, store=store, last_crl=before)
    assert list(authority.crl()) == []


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("odd", [-5, 1 << 160], ids=["negative", "21 octets"])
def test_a_serial_number_that_no_list_can_tell_is_not_recorded(store: Store, odd: int) -> None:
    old = Authority.root("Old")
    authority = taken(store, old, None)
    fine = old.leaf("fine").certificate
    forged = der.Fields.of(der.der_of(old.leaf("odd").certificate)).but(serial=der.integer(odd)).sign(old.key)
    with pytest.raises(IssuanceError, match="^serial: expected a number of 20 octets"):
        authority.record([fine, x509.load_der_x509_certificate(forged)])
    with pytest.raises(NotFound):
        authority.revoke(fine)
    authority.record([fine])
    authority.revoke(fine)
    assert [each.serial_number for each in authority.crl()] == [fine.serial_number]


def test_what_was_issued_before_can_be_recorded_after_rotations(store: Store) -> None:
    old = Authority.root("Old")
    first, second = (old.leaf(name).certificate for name in ("first", "second"))
    authority = taken(store, old, None)
    new = []
    for _ in range(2):
        authority.rotation.prepare()
        authority.rotation.activate()
        new.append(authority.issue_client("new").certificate)
    authority.record([first, *new])
    authority.revoke(first)
    assert entry(authority.crl(generation=1), first.serial_number) is not None
    stranger = Authority.root("Old").leaf("stranger").certificate
    with pytest.raises(IssuanceError, match="^signature: "):
        authority.record([second, stranger])
    with pytest.raises(NotFound):
        authority.revoke(second)


def judged(gate: Gate, certificate: x509.Certificate) -> Allow | Deny:
    evidence = PeerEvidence(server_name=HOST, presented=PresentedChain.from_certificates(certificate))
    return gate.decide(evidence, HOST)


def listed(authority: CertificateAuthority, subjects: Subjects) -> set[int]:
    return {each.serial_number for each in authority.crl(scope=ListScope(subjects=subjects))}


def _key_id(issuer: Authority) -> bytes:
    return public_key_id(issuer.certificate)
