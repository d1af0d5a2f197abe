"""Rotation: at every stage old and new clients get in, whoever trusts the old root, the new one, or both."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mtlskit.authority import (
    CertificateAuthority,
    Denied,
    Generation,
    GenerationState,
    IssuanceRequest,
    RevokedSerials,
    issuance,
    renewal,
)
from mtlskit.authority.creation import open_signer
from mtlskit.authority.issuance import Superseded
from mtlskit.authority.ledger import CERTIFICATE, CertificateRecord
from mtlskit.core.certificates import PresentedChain, SigningChain, to_pem
from mtlskit.core.profiles import AuthorityConstraints
from mtlskit.core.validation import RFC5280, TrustStore, verify_path
from mtlskit.core.verdict import Allow
from mtlskit.errors import ConfigurationError, Conflict, IssuanceError, MTLSError, NotFound, PathError
from mtlskit.gate import Gate
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.stores.audit import verify_audit
from mtlskit.testing.certificates import Authority

HOST = "pay.acme.example"
ACTIVE, PREPARED, RETIRING, RETIRED = (
    GenerationState.ACTIVE, GenerationState.PREPARED, GenerationState.RETIRING, GenerationState.RETIRED,
)  # fmt: skip


def accepted(chain: PresentedChain, *anchors: x509.Certificate, helpers: tuple[x509.Certificate, ...] = ()) -> bool:
    trust = TrustStore(anchors, intermediates=helpers)
    try:
        verify_path(chain, trust, purpose="client_auth", now=datetime.now(UTC), profile=RFC5280)
    except PathError:
        return False
    return True


def states(authority: CertificateAuthority) -> list[GenerationState]:
    return [each.state for each in authority.generations]


@pytest.mark.parametrize("constraints", [
    AuthorityConstraints(), AuthorityConstraints.for_clients_of("pay.acme.example"), AuthorityConstraints(path_length=2),
], ids=["none", "a hostname's", "a length"])  # fmt: skip
def test_old_and_new_clients_get_in_whichever_root_is_trusted(store: Store, constraints: AuthorityConstraints) -> None:
    acme = CertificateAuthority.create("Acme", store=store, constraints=constraints)
    old_root, old = acme.certificate, acme.issue_client("old device")
    prepared = acme.rotation.prepare()
    assert states(acme) == [ACTIVE, PREPARED]
    assert acme.certificate == old_root, "nothing is issued by the new key yet"
    assert len(acme.issue_client("another old device").certificates) == 1
    active = acme.rotation.activate()
    assert (states(acme), active.certificate) == ([RETIRING, ACTIVE], prepared.certificate)
    new_root, new = acme.certificate, acme.issue_client("new device")
    assert acme.anchors == (old_root, new_root)
    for anchors in (acme.anchors, (old_root,), (new_root,)):
        assert accepted(new.presented(), *anchors), "it presents what leads to the old root"
        assert accepted(old.presented(), *anchors, helpers=acme.cross_certificates)
    assert not accepted(old.presented(), new_root)
    acme.rotation.retire(1, remaining="abandon")
    assert (states(acme), acme.anchors) == ([RETIRED, ACTIVE], (new_root,))
    assert len(acme.issue_client("newest device").certificates) == 1, "nothing leads to a retired root"
    assert AuthorityConstraints.of(new_root) == AuthorityConstraints.of(old_root)


def test_a_gate_that_trusts_all_anchors_lets_both_in_until_one_is_retired(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    gate, old = Gate(store), acme.issue_client("old")
    gate.hostnames.add("pay.acme.example", trust=acme.anchors)
    acme.rotation.prepare()
    acme.rotation.activate()
    new = acme.issue_client("new")
    for trust in (acme.anchors[:1], acme.anchors):
        gate.hostnames.replace("pay.acme.example", trust=trust)
        for device in (old, new):
            assert isinstance(gate.explain("pay.acme.example", certificate=device.chain_pem()), Allow)
    acme.rotation.retire(1, remaining="abandon")
    gate.hostnames.replace("pay.acme.example", trust=acme.anchors)
    assert not isinstance(gate.explain("pay.acme.example", certificate=old.chain_pem()), Allow)
    assert isinstance(gate.explain("pay.acme.example", certificate=new.chain_pem()), Allow)
    gate.close()


def test_a_rotation_goes_on_over_generations(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    devices = [acme.issue_client("device-1")]
    for number in (2, 3):
        acme.rotation.prepare()
        acme.rotation.activate()
        devices.append(acme.issue_client(f"device-{number}"))
    assert states(acme) == [RETIRING, RETIRING, ACTIVE]
    assert [each.certificate.subject.rfc4514_string() for each in acme.generations] == [
        "CN=Acme G1",
        "CN=Acme G2",
        "CN=Acme G3",
    ]
    assert all(accepted(each.presented(), *acme.anchors) for each in devices)


def test_every_generation_revokes_and_lists_its_own(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    old = acme.issue_client("old")
    acme.rotation.prepare()
    acme.rotation.activate()
    new = acme.issue_client("new")
    acme.revoke(old.serial_number)
    acme.revoke(new)
    assert [each.serial_number for each in acme.crl(generation=1)] == [old.serial_number]
    assert [each.serial_number for each in acme.crl()] == [new.serial_number]
    assert acme.crl(generation=1).is_signature_valid(acme.generations[0].certificate.public_key())  # type: ignore[arg-type]
    revoked = RevokedSerials(store)
    for device, generation in zip((old, new), acme.generations, strict=True):
        assert revoked.reason_of(bytes.fromhex(generation.key_id), device.serial_number) == "unspecified"
    revoked.close()
    with pytest.raises(NotFound, match="got the number 9"):
        acme.crl(generation=9)


def test_a_generation_with_good_certificates_is_not_retired_by_mistake(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    device = acme.issue_client("old")
    with pytest.raises(Conflict, match="got the active one"):
        acme.rotation.retire(1)
    acme.rotation.prepare()
    acme.rotation.activate()
    with pytest.raises(
        Conflict, match="expected no good or pending certificates of generation 1, got 1, the last until"
    ):
        acme.rotation.retire(1)
    assert states(acme) == [RETIRING, ACTIVE]
    acme.revoke(device)
    acme.rotation.retire(1)
    acme.rotation.retire(1)
    assert states(acme) == [RETIRED, ACTIVE]
    with pytest.raises(NotFound):
        acme.rotation.retire(7)
    with pytest.raises(ConfigurationError, match="refuse, abandon"):
        acme.rotation.retire(1, remaining="perhaps")


def test_the_stages_can_be_called_again_and_in_their_order_only(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    with pytest.raises(Conflict, match="expected a prepared generation"):
        acme.rotation.activate()
    assert acme.rotation.prepare() == acme.rotation.prepare()
    acme.rotation.retire(2)
    assert states(acme) == [ACTIVE, RETIRED]
    with pytest.raises(Conflict):
        acme.rotation.activate()
    assert acme.rotation.prepare().number == 3


def test_another_process_issues_by_the_new_key_at_once(tmp_path: Path) -> None:
    keys = KeyEncryption(bytes(32))
    first, second = (open_store(f"sqlite:///{tmp_path}/state.db", keys=keys) for _ in range(2))
    here = CertificateAuthority.create("Acme", store=first)
    there = CertificateAuthority.open("Acme", store=second)
    there.issue_client("before")
    here.rotation.prepare()
    here.rotation.activate()
    assert there.issue_client("after").certificate.issuer == here.certificate.subject
    assert there.certificate == here.certificate
    for store in (first, second):
        verify_audit(store)
        store.close()


def test_a_crash_between_key_and_cross_certificates_is_made_good(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    acme = CertificateAuthority.create("Acme", store=store)

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mtlskit.authority.stages.certify_each_other", crash)
        with pytest.raises(KeyboardInterrupt):
            acme.rotation.prepare()
    again = CertificateAuthority.open("Acme", store=store)
    assert [each.cross for each in again.generations] == [None, None]
    prepared = again.rotation.prepare()
    assert prepared.cross is not None
    assert prepared.back is not None
    assert len(again.generations) == 2


def test_an_intermediate_rotates_below_the_same_root(store: Store, acme: CertificateAuthority) -> None:
    below = CertificateAuthority.create("Below", store=store, parent=acme)
    old = below.issue_client("old")
    below.rotation.prepare()
    below.rotation.activate()
    new = below.issue_client("new")
    for device in (old, new):
        assert accepted(device.presented(), acme.certificate)
        assert accepted(device.presented(), *below.anchors)
    assert [each.state for each in CertificateAuthority.open("Below", store=store).generations] == [RETIRING, ACTIVE]


def test_a_root_below_which_nothing_may_stand_rotates_without_cross_certificates(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store, constraints=AuthorityConstraints(path_length=0))
    prepared = acme.rotation.prepare()
    assert (prepared.cross, prepared.back) == (None, None)
    old = acme.issue_client("old")
    acme.rotation.activate()
    new = acme.issue_client("new")
    assert all(accepted(each.presented(), *acme.anchors) for each in (old, new))
    assert not accepted(new.presented(), acme.anchors[0])


def test_a_root_that_was_taken_over_rotates(store: Store) -> None:
    elsewhere = Authority.root("An odd name, of somebody else's choosing")
    before = elsewhere.leaf()
    acme = CertificateAuthority.take_over("Acme", SigningChain(elsewhere.key, [elsewhere.certificate]), store=store)
    acme.rotation.prepare(lifetime=timedelta(days=20))
    acme.rotation.activate()
    new = acme.issue_client("new", lifetime=timedelta(days=1))
    assert accepted(new.presented(), elsewhere.certificate)
    assert accepted(before.presented(), acme.certificate, helpers=acme.cross_certificates)


def test_an_intermediate_that_was_taken_over_needs_its_parent(store: Store) -> None:
    root = Authority.root()
    middle = root.intermediate()
    taken = CertificateAuthority.take_over(
        "Middle", SigningChain(middle.key, [middle.certificate, root.certificate]), store=store
    )
    with pytest.raises(ConfigurationError, match="expected the authority above 'Middle' in the store"):
        taken.rotation.prepare()


def test_an_intermediate_that_was_taken_over_finds_its_parent_by_the_key(store: Store) -> None:
    root, other = Authority.root(), Authority.root("Other root")
    middle = root.intermediate()
    chain = SigningChain(middle.key, [middle.certificate, root.certificate])
    taken = CertificateAuthority.take_over("Middle", chain, store=store)
    for name, each in (("Other", other), ("Root", root)):
        CertificateAuthority.take_over(name, SigningChain(each.key, [each.certificate]), store=store)
    with pytest.raises(ConfigurationError, match="expected the authority above 'Middle', got 'Other'"):
        taken.rotation.prepare(parent=CertificateAuthority.open("Other", store=store))
    assert taken.rotation.prepare().certificate.issuer == root.certificate.subject
    taken.rotation.activate()
    assert accepted(taken.issue_client("device").presented(), root.certificate)
    taken.rotation.retire(1)
    serials = {each.serial_number for each in CertificateAuthority.open("Root", store=store).crl()}
    assert serials == {middle.certificate.serial_number}, "though Root did not know of it"


def test_a_record_that_changes_again_and_again_ends_in_an_error(
    acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*_: Any, **__: Any) -> bytes:
        raise Superseded

    monkeypatch.setattr("mtlskit.authority.desk.issue", changed)
    with pytest.raises(Conflict, match="to stand still"):
        acme.issue_client("device-17")


def test_the_cross_certificates_are_in_the_ledger_and_can_be_revoked(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    prepared = acme.rotation.prepare()
    assert prepared.cross is not None
    acme.rotation.activate()
    acme.revoke(prepared.cross)
    assert [each.serial_number for each in acme.crl(generation=1)] == [prepared.cross.serial_number]
    with pytest.raises(IssuanceError, match="got its own"):
        acme.revoke(acme.certificate)
    events = {row.event for row in _rows(store)}
    assert {"authority.prepared", "authority.cross_certified", "authority.activated"} <= events


def _rows(store: Store) -> list[Any]:
    with store.snapshot() as snapshot:
        return list(snapshot.scan_audit())


def forged(generation: Generation, store: Store) -> SigningChain:
    """What a thief of a generation's key signs for himself."""
    thief = Authority(generation.certificate, open_signer(store, generation.key_id)._key)
    return thief.leaf("admin")


def verdicts(gate: Gate, leaf: x509.Certificate, *above: x509.Certificate) -> list[str]:
    """Of a client that shows its certificate with each of the others, and with all."""
    chains = [[leaf], *([leaf, each] for each in above), [leaf, *above]]
    found = (gate.explain(HOST, certificate=to_pem(chain)) for chain in chains)
    return ["allow" if isinstance(each, Allow) else each.reason.value for each in found]


def ledger(authority: CertificateAuthority, store: Store) -> list[x509.Certificate]:
    """Every certificate that the authority's keys have ever signed."""
    with store.snapshot() as snapshot:
        rows = [row for each in authority.generations for row in snapshot.scan(CERTIFICATE, each.key_id)]
    ders = [CertificateRecord.from_bytes(row.value).der for row in rows]
    return [x509.load_der_x509_certificate(der) for der in ders if der is not None]


@pytest.mark.invariant(1)
def test_no_path_leads_to_a_key_that_is_retired(store: Store) -> None:
    """What other keys certified it by is revoked with it, or whoever has the old key would be let in for ever."""
    acme = CertificateAuthority.create("Acme", store=store)
    old = acme.issue_client("old").certificate
    acme.rotation.prepare()
    acme.rotation.activate()
    acme.rotation.retire(1, remaining="abandon", requester="alice")
    gate = Gate(store)
    gate.hostnames.add(HOST, trust=acme.anchors, intermediates=acme.cross_certificates)
    thief = forged(acme.generations[0], store).certificate
    assert acme.cross_certificates == ()
    for leaf in (old, thief):
        assert "allow" not in verdicts(gate, leaf, *(each for each in ledger(acme, store) if each != leaf))
    assert verdicts(gate, acme.issue_client("new").certificate) == ["allow", "allow"]
    (back,) = (
        each
        for each in ledger(acme, store)
        if each.subject == acme.generations[0].certificate.subject and each.issuer == acme.certificate.subject
    )
    assert acme.crl().get_revoked_certificate_by_serial_number(back.serial_number) is not None
    gate.close()


@pytest.mark.invariant(1)
def test_no_path_leads_to_a_key_that_was_given_up_before_it_was_used(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    acme.rotation.prepare()
    acme.rotation.retire(2)
    gate = Gate(store)
    gate.hostnames.add(HOST, trust=acme.anchors)
    thief = forged(acme.generations[1], store).certificate
    assert "allow" not in verdicts(gate, thief, *ledger(acme, store))
    gate.close()


@pytest.mark.invariant(1)
def test_the_authority_above_vouches_no_more_for_a_key_that_is_retired(store: Store) -> None:
    root = CertificateAuthority.create("Root", store=store)
    child = CertificateAuthority.create("Child", store=store, parent=root)
    old, old_authority = child.issue_client("old").certificate, child.certificate
    child.rotation.prepare()
    child.rotation.activate()
    child.rotation.retire(1, remaining="abandon", requester="alice")
    gate = Gate(store)
    gate.hostnames.add(HOST, trust=root.anchors)
    assert verdicts(gate, old, old_authority) == ["unknown_issuer", "revoked", "revoked"]
    assert verdicts(gate, child.issue_client("new").certificate, child.certificate)[1] == "allow"
    with store.snapshot() as snapshot:
        (row,) = (row for row in snapshot.scan_audit() if row.event == "certificate.revoked")
    assert (row.details["authority"], row.details["requester"]) == ("Root", "alice")
    gate.close()


def test_a_child_presents_the_parent_that_certified_it(store: Store) -> None:
    root = CertificateAuthority.create("Root", store=store)
    middle = CertificateAuthority.create("Middle", store=store, parent=root)
    child = CertificateAuthority.create("Child", store=store, parent=middle)
    for each in (middle, child):
        each.rotation.prepare()
        each.rotation.activate()
    leaf = child.issue_client("device")
    assert leaf.certificates[2] == middle.certificate
    assert accepted(leaf.presented(), root.certificate)


def test_the_hook_is_asked_for_a_new_key_of_an_intermediate(store: Store) -> None:
    root = CertificateAuthority.create("Root", store=store)
    CertificateAuthority.create("Child", store=store, parent=root)
    asked: list[IssuanceRequest] = []

    def no(request: IssuanceRequest) -> Denied:
        asked.append(request)
        return Denied("not today")

    child = CertificateAuthority.open("Child", store=store, authorize=no)
    with pytest.raises(IssuanceError, match="not today"):
        child.rotation.prepare()
    granted = CertificateAuthority.open("Child", store=store)
    with pytest.raises(IssuanceError, match="not today"):
        granted.rotation.prepare(parent=CertificateAuthority.open("Root", store=store, authorize=no))
    assert [(each.authority, each.profile.name) for each in asked] == [("Root", "intermediate")] * 2
    assert len(ledger(root, store)) == 2
    with pytest.raises(ConfigurationError, match="expected the authority above 'Child', got 'Child'"):
        granted.rotation.prepare(parent=granted)
    child.rotation.prepare(parent=root)
    assert states(CertificateAuthority.open("Child", store=store)) == [ACTIVE, PREPARED]


def test_of_several_that_prepare_an_intermediate_one_makes_its_key(store: Store) -> None:
    root = CertificateAuthority.create("Root", store=store)
    CertificateAuthority.create("Child", store=store, parent=root)
    start, failures = threading.Barrier(3), []

    def prepare() -> None:
        child = CertificateAuthority.open("Child", store=store)
        start.wait()
        try:
            child.rotation.prepare()
        except MTLSError as error:
            failures.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    child = CertificateAuthority.open("Child", store=store)
    assert (failures, states(child)) == ([], [ACTIVE, PREPARED])
    listed = {each.serial_number for each in root.crl()}
    made = {
        each.serial_number for each in ledger(root, store) if each.subject == child.generations[1].certificate.subject
    }
    assert made - listed == {child.generations[1].certificate.serial_number}


def test_what_was_given_out_is_what_is_activated(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    given_out = acme.rotation.prepare().number
    acme.rotation.retire(given_out)
    acme.rotation.prepare()
    with pytest.raises(Conflict, match="expected generation 2 of 'Acme' to be prepared, got 3"):
        acme.rotation.activate(given_out)
    assert states(acme) == [ACTIVE, RETIRED, PREPARED]
    assert acme.rotation.activate(3).number == 3


def test_a_certificate_that_is_being_signed_keeps_its_generation(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    acme, other = CertificateAuthority.create("Acme", store=store), CertificateAuthority.open("Acme", store=store)
    sign = issuance.sign

    def rotated_meanwhile(*arguments: Any) -> bytes:
        monkeypatch.setattr(issuance, "sign", sign)
        other.rotation.prepare()
        other.rotation.activate()
        with pytest.raises(Conflict, match="good or pending certificates of generation 1, got 1"):
            other.rotation.retire(1)
        return sign(*arguments)

    monkeypatch.setattr(issuance, "sign", rotated_meanwhile)
    acme.issue_client("late")
    assert states(other) == [RETIRING, ACTIVE]


def test_what_is_retired_meanwhile_is_not_renewed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    acme, other = CertificateAuthority.create("Acme", store=store), CertificateAuthority.open("Acme", store=store)
    device = acme.issue_client("device")
    acme.rotation.prepare()
    acme.rotation.activate()
    find = renewal.find_recorded

    def found(*arguments: Any) -> Any:
        recorded = find(*arguments)
        other.rotation.retire(1, remaining="abandon")
        return recorded

    monkeypatch.setattr(renewal, "find_recorded", found)
    with pytest.raises(IssuanceError, match="expected one to renew of a trusted generation, got one of a retired one"):
        acme.renew(device)


@pytest.mark.parametrize("level", ["Middle", "Child"])
def test_an_authority_whose_certificate_is_revoked_issues_no_more(store: Store, level: str) -> None:
    """It must not: nobody who knows of the revocation would take what it issues. Its lists go on."""
    root = CertificateAuthority.create("Root", store=store)
    middle = CertificateAuthority.create("Middle", store=store, parent=root)
    child = CertificateAuthority.create("Child", store=store, parent=middle)
    device = child.issue_client("device")
    if level == "Middle":
        root.revoke(middle.certificate, reason="certificate_hold")
    else:
        middle.revoke(child.certificate, reason="certificate_hold")
    with pytest.raises(IssuanceError, match="expected 'Child' to be good, got its certificate revoked"):
        child.issue_client("another")
    child.revoke(device)
    assert len(child.crl()) == 1
    (root if level == "Middle" else middle).release((middle if level == "Middle" else child).certificate)
    child.issue_client("another")
