"""Whether what a store holds of its authorities, hostnames and uploads fits together: nothing is there by halves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

from cryptography import x509

from mtlskit.authority.changes import HEAD, changes_after
from mtlskit.authority.creation import open_signer
from mtlskit.authority.generations import AuthorityRecord, Generation, GenerationState
from mtlskit.authority.ledger import (
    AUTHORITY,
    AUTHORITY_KEY,
    CERTIFICATE,
    RESERVATION,
    REVOCATION,
    CertificateRecord,
    Revocation,
)
from mtlskit.authority.list_records import LATEST, LIST, ListRecord
from mtlskit.authority.publishing.published import DOCUMENT, PUBLISHED
from mtlskit.authority.takeover import RECORDED
from mtlskit.core.certificates import public_key_id, spki_id
from mtlskit.core.profiles import ROOT
from mtlskit.fetch.uploads import KIND as UPLOAD
from mtlskit.fetch.uploads import CertificateUploads
from mtlskit.gate import Gate
from mtlskit.gate.anchor_index import _BY_KEY
from mtlskit.ports import AuditRow, Snapshot, Store
from mtlskit.stores.audit import verify_rows

Rows = Sequence[AuditRow]


def check_store(store: Store, gate: Gate) -> None:
    """Asserts it of everything."""
    with store.snapshot() as snapshot:
        rows = list(snapshot.scan_audit())
        verify_rows(rows)
        authorities = [AuthorityRecord.from_json(each.value) for each in snapshot.scan(AUTHORITY, "")]
        keys = {each.key for each in snapshot.scan(AUTHORITY_KEY, "")}
        generations = {each.key_id: each for authority in authorities for each in authority.generations}
        for issuer, generation in generations.items():
            told = [row for row in rows if _issuer(row) == issuer]
            _check_certificates(snapshot, generation, told)
            _check_revocations(snapshot, issuer, told)
            _check_lists(snapshot, issuer, told)
    assert keys == generations.keys()
    assert keys == {_issuer(row) for row in rows if row.event in ("authority.created", "authority.prepared")}
    for authority in authorities:
        assert [each.state for each in authority.generations].count(GenerationState.ACTIVE) == 1
    for issuer in generations:
        assert spki_id(open_signer(store, issuer).public_key()).hex() == issuer
    _check_hostnames(store, gate, rows)
    _check_uploads(store, rows)


def _check_certificates(snapshot: Snapshot, generation: Generation, rows: Rows) -> None:
    issuer, above = generation.key_id, generation.certificate
    reserved = {each.key for each in snapshot.scan(RESERVATION, issuer)}
    found = {each.key: CertificateRecord.from_bytes(each.value) for each in snapshot.scan(CERTIFICATE, issuer)}
    assert not reserved & found.keys()
    for key, each in found.items():
        if each.der is not None:
            certificate = x509.load_der_x509_certificate(each.der)
            assert f"{certificate.serial_number:040x}" == key
            tbs = hashlib.sha256(certificate.tbs_certificate_bytes).hexdigest()
            assert tbs == each.reservation.tbs_sha256
            if each.reservation.profile != RECORDED:
                assert above.not_valid_before_utc <= certificate.not_valid_before_utc
                assert certificate.not_valid_after_utc <= above.not_valid_after_utc
    issued = {key for key, each in found.items() if each.reservation.profile not in (ROOT.name, RECORDED)}
    assert _serials(rows, "certificate.reserved") == reserved | issued
    assert _serials(rows, "certificate.issued") == {key for key in issued if found[key].der is not None}
    recorded = {key for key, each in found.items() if each.reservation.profile == RECORDED}
    assert _serials(rows, "certificate.recorded") == recorded


def _check_revocations(snapshot: Snapshot, issuer: str, rows: Rows) -> None:
    changes = list(changes_after(snapshot, issuer, 0))
    head = snapshot.get(HEAD, "", issuer)
    assert [each.number for each in changes] == list(range(1, int(head.value if head else 0) + 1))
    told = [row for row in rows if row.event in ("certificate.revoked", "certificate.released")]
    assert [(f"certificate.{each.kind}", each.key) for each in changes] == [(row.event, _serial(row)) for row in told]
    left: dict[str, Revocation | None] = {each.key: each.left for each in changes}
    found = {each.key: Revocation.of(each) for each in snapshot.scan(REVOCATION, issuer)}
    assert found == {key: each for key, each in left.items() if each is not None}
    assert found.keys() <= {each.key for each in snapshot.scan(CERTIFICATE, issuer)}


def _check_lists(snapshot: Snapshot, issuer: str, rows: Rows) -> None:
    lists = [ListRecord.from_json(each.value) for each in snapshot.scan(LIST, issuer)]
    assert [each.number for each in lists] == list(range(1, len(lists) + 1))
    assert [each.number for each in lists] == _numbers(rows, "crl.numbered")
    signed = [each for each in lists if each.sha256]
    assert [each.number for each in signed] == sorted(_numbers(rows, "crl.signed"))
    assert all(one.last_change <= other.last_change for one, other in pairwise(lists))
    complete = [each.number for each in signed if each.base is None]
    assert [int(each.value) for each in snapshot.scan(LATEST, issuer)] == complete[-1:]
    published = {each.key: ListRecord.from_json(each.value) for each in snapshot.scan(PUBLISHED, issuer)}
    documents = {each.key: each.value for each in snapshot.scan(DOCUMENT, issuer)}
    assert {key: each.sha256 for key, each in published.items()} == {
        key: hashlib.sha256(each).hexdigest() for key, each in documents.items()
    }
    assert all(each in lists for each in published.values())


def _check_hostnames(store: Store, gate: Gate, rows: Rows) -> None:
    hostnames = list(gate.hostnames)  # their keys are opened
    assert {str(each.pattern) for each in hostnames} == _left(rows, "hostname", "hostname")
    for anchor in {anchor.certificate for each in hostnames for anchor in each.trust.anchors}:
        trusting = {str(each.pattern) for each in hostnames if anchor in _anchors(each.trust.anchors)}
        by_name = {str(each.pattern) for each in gate.hostnames.trusting(anchor.subject, limit=1_000)}
        with store.snapshot() as snapshot:
            by_key = {each.key for each in snapshot.scan(_BY_KEY, public_key_id(anchor).hex())}
        assert trusting == by_name == by_key


def _check_uploads(store: Store, rows: Rows) -> None:
    uploads = CertificateUploads(store)
    found = {each.id for each in uploads.list()}
    assert found == _left(rows, "client_certificate", "id")
    for each in found:
        uploads.signing_chain(each)
    with store.snapshot() as snapshot:
        assert found == {each.key for each in snapshot.scan(UPLOAD, "")}


def _anchors(anchors: Iterable[object]) -> set[object]:
    return {getattr(each, "certificate", None) for each in anchors}


def _left(rows: Rows, about: str, key: str) -> set[str]:
    """What the audit log says is there: added or uploaded, and not removed or deleted since."""
    last = {row.details[key]: row.event for row in rows if row.event.startswith(f"{about}.")}
    return {each for each, event in last.items() if not event.endswith(("removed", "deleted"))}


def _issuer(row: AuditRow) -> str:
    return row.details.get("issuer_key", "")


def _serial(row: AuditRow) -> str:
    return row.details["serial"].rjust(40, "0")


def _serials(rows: Rows, event: str) -> set[str]:
    return {_serial(row) for row in rows if row.event == event}


def _numbers(rows: Rows, event: str) -> list[int]:
    return [int(row.details["number"]) for row in rows if row.event == event]
