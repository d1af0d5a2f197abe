"""Every change has its row in the audit log (DESIGN 6): which ones there are, what they say, and who asked for them."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mtlskit.authority import CertificateAuthority, Denied, IssuanceRequest
from mtlskit.authority.publishing import OCSPResponder
from mtlskit.core.audit_events import EVENTS
from mtlskit.core.certificates import SigningChain, to_der, to_pem
from mtlskit.core.policy import AccessPolicy
from mtlskit.core.rules import common_name
from mtlskit.errors import IssuanceError, Unavailable
from mtlskit.fetch import CertificateUploads
from mtlskit.fetch.upload_authorities import AuthorityUploads
from mtlskit.gate import Gate
from mtlskit.ports import AuditRow, Store
from mtlskit.resealing import reseal
from mtlskit.stores import KeyEncryption, SQLiteStore, open_store
from mtlskit.stores.audit import verify_audit
from mtlskit.stores.sqlite_transaction import SQLiteTransaction
from mtlskit.testing.certificates import Authority

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "audit.md"
WHO = "alice@example.com"
HOST = "pay.acme.example"


def rows(store: Store, event: str = "") -> list[AuditRow]:
    with store.snapshot() as snapshot:
        return [row for row in snapshot.scan_audit() if row.event.startswith(event)]


def documented() -> dict[str, frozenset[str]]:
    """Each event of the page, and every detail that its rows may have."""
    found: dict[str, frozenset[str]] = {}
    last: frozenset[str] = frozenset()
    for event, details in re.findall(
        r"^\| `([a-z_.]+)` \| .* \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    ):
        names = frozenset(re.findall(r"`([a-z_0-9]+)`", re.sub(r"\(.*?\)", "", details)))
        last = found[event] = names | last if details.startswith("the same") else names
    return found


def refusing(_: IssuanceRequest) -> Denied:
    return Denied("not today")


class Life:
    """One of everything that is ever written down."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url, keys=KeyEncryption(bytes(32)))
        store = self.store
        self.acme = CertificateAuthority.create("Acme", store=store, requester=WHO)
        self.device = self.acme.issue_client("device", requester=WHO)
        self.acme.renew(self.device.certificate, requester=WHO)
        with pytest.raises(IssuanceError, match="not today"):
            CertificateAuthority.open("Acme", store=store, authorize=refusing).renew(self.device, requester=WHO)
        self.acme.revoke(self.device.certificate, reason="certificate_hold", requester=WHO)
        self.acme.release(self.device.certificate, requester=WHO)
        self.acme.crl()
        OCSPResponder(self.acme).answer(_ocsp_request(self.device.certificate, self.acme.certificate))
        self.acme.export_pkcs12(password=b"secret", requester=WHO)
        self.acme.rotation.prepare(requester=WHO)
        self.acme.rotation.activate(requester=WHO)
        self.acme.rotation.retire(1, remaining="abandon", requester=WHO)
        self._take_over()
        self._host()
        self._upload()

    def _take_over(self) -> None:
        elsewhere = Authority.root("Elsewhere")
        taken = CertificateAuthority.take_over(
            "Elsewhere", SigningChain(elsewhere.key, (elsewhere.certificate,)), store=self.store, requester=WHO,
            last_crl=_last_list(elsewhere),
        )  # fmt: skip
        old = elsewhere.leaf("old").certificate
        taken.record([old], requester=WHO)
        taken.revoke(old, reason="key_compromise", requester=WHO)

    def _host(self) -> None:
        gate = Gate(self.store)
        server = self.acme.issue_server(HOST, requester=WHO)
        gate.hostnames.add(HOST, trust=[self.acme.certificate], server=server, requester=WHO)
        gate.hostnames.add("other.example", trust=[self.acme.certificate], requester=WHO)
        gate.hostnames.replace(HOST, trust=[self.acme.certificate], client_auth="optional", requester=WHO)
        gate.hostnames.remove(HOST, requester=WHO)
        gate.close()

    def _upload(self) -> None:
        uploads = CertificateUploads(self.store)
        device = self.acme.issue_client("upload", requester=WHO)
        uploaded = uploads.upload(device.to_pem(), requester=WHO)
        uploads.upload(device.to_pem(), requester=WHO)
        uploads.replace(uploaded.id, device.to_pem(), requester=WHO)
        uploads.delete(uploaded.id, requester=WHO)
        authorities = AuthorityUploads(self.store)
        roots = to_pem([self.acme.certificate])
        replaced = authorities.upload(roots, requester=WHO)
        authorities.replace(replaced.id, roots, requester=WHO)
        authorities.delete(replaced.id, requester=WHO)
        authorities.upload(roots, requester=WHO)


def _last_list(issuer: Authority) -> x509.CertificateRevocationList:
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder(issuer.certificate.subject, now, now + timedelta(days=7))
    builder = builder.add_extension(x509.CRLNumber(41), critical=False)
    builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(7, now).build())
    return builder.sign(issuer.key, hashes.SHA256())  # type: ignore[arg-type]


def _ocsp_request(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA256())
    return builder.build().public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    url = f"sqlite:///{tmp_path_factory.mktemp('audit')}/state.db"
    lived = Life(url)
    lived.store.close()
    lived.store = open_store(url, keys=KeyEncryption(b"2" * 32, previous=[bytes(32)]))
    reseal(lived.store)
    lived.acme = CertificateAuthority.open("Acme", store=lived.store)
    yield lived
    lived.store.close()


def test_the_page_lists_what_is_written_down_and_nothing_else(life: Life) -> None:
    listed, seen = documented(), rows(life.store)
    assert tuple(listed) == EVENTS
    assert {row.event for row in seen} == set(listed)
    for event, names in listed.items():
        assert frozenset().union(*(row.details for row in seen if row.event == event)) == names, event
    assert verify_audit(life.store) is not None


def test_whoever_asked_is_in_every_row_of_what_somebody_asks_for(life: Life) -> None:
    asked = [row for row in rows(life.store) if "requester" in row.details]
    # The certificates that the two keys of a root give each other are asked for by nobody else.
    assert {row.details["requester"] for row in asked} == {WHO}
    silent = {row.event for row in rows(life.store)} - {row.event for row in asked}
    assert silent == {"certificate.issued", "crl.numbered", "crl.signed", "ocsp.started", "keys.resealed"}


def test_every_signature_of_a_certificate_has_its_two_rows(life: Life) -> None:
    reserved = [row.details["serial"] for row in rows(life.store, "certificate.reserved")]
    issued = {row.details["serial"]: row.details["sha256"] for row in rows(life.store, "certificate.issued")}
    assert sorted(issued) == sorted(reserved)
    device = life.device.certificate
    assert issued[f"{device.serial_number:x}"] == hashlib.sha256(to_der(device)).hexdigest()


def test_a_row_says_what_of_a_hostname_is_different_and_what_stands_now() -> None:
    store, who = open_store("memory://"), {"requester": WHO}
    gate, acme = Gate(store), CertificateAuthority.create("Acme", store=store)
    trust = [acme.certificate]
    server = acme.issue_server(HOST)
    policies = [AccessPolicy(name="tills", decision="allow", include=[common_name("till-7")])]
    gate.hostnames.add(HOST, trust=trust, server=server)
    gate.hostnames.replace(HOST, trust=trust, server=server, **who)
    gate.hostnames.replace(HOST, trust=trust, server=server, policies=policies, **who)
    gate.hostnames.replace(HOST, trust=trust, server=acme.issue_server(HOST), policies=policies, **who)
    added, same, policy, chain = (row.details for row in rows(store, "hostname."))
    assert same["sha256"] == added["sha256"]
    assert [each["changed"] for each in (same, policy, chain)] == ["", "policies", "server"]
    assert len({each["sha256"] for each in (same, policy, chain)}) == 3
    gate.close()


CHANGES: dict[str, Callable[[Life], object]] = {
    "authority.created": lambda life: CertificateAuthority.create("Umbrella", store=life.store),
    "authority.prepared": lambda life: life.acme.rotation.prepare(),
    "certificate.reserved": lambda life: life.acme.issue_client("another"),
    "certificate.revoked": lambda life: life.acme.revoke(life.device.certificate),
    "crl.numbered": lambda life: life.acme.crl(),
    "hostname.added": lambda life: Gate(life.store).hostnames.add(HOST, trust=[life.acme.certificate]),
    "hostname.replaced": lambda life: Gate(life.store).hostnames.replace(
        "other.example", trust=[life.acme.certificate]
    ),
    "hostname.removed": lambda life: Gate(life.store).hostnames.remove("other.example"),
    "client_certificate.uploaded": lambda life: CertificateUploads(life.store).upload(life.device.to_pem()),
    "client_certificate.replaced": lambda life: [
        CertificateUploads(life.store).replace(each.id, life.device.to_pem())
        for each in CertificateUploads(life.store).list()
    ],
    "ca_certificate.uploaded": lambda life: AuthorityUploads(life.store).upload(to_pem([life.acme.certificate])),
    "ca_certificate.replaced": lambda life: [
        AuthorityUploads(life.store).replace(each.id, to_pem([life.acme.certificate]))
        for each in AuthorityUploads(life.store)
    ],
    "ca_certificate.deleted": lambda life: [
        AuthorityUploads(life.store).delete(each.id) for each in AuthorityUploads(life.store)
    ],
    "client_certificate.deleted": lambda life: [
        CertificateUploads(life.store).delete(each.id) for each in CertificateUploads(life.store).list()
    ],
}


@pytest.mark.parametrize("event", CHANGES)
def test_what_cannot_be_written_down_does_not_happen(life: Life, event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row and the change are one transaction: a log that takes no row leaves everything as it was."""
    wanted = SQLiteTransaction.append_audit
    asked: list[str] = []

    def append_audit(self: Any, each: str, details: Mapping[str, str]) -> None:
        asked.append(each)
        if each == event:
            raise Unavailable("expected the log to take a row, got a full one")
        wanted(self, each, details)

    monkeypatch.setattr(SQLiteTransaction, "append_audit", append_audit)
    before = content(life.store)
    with pytest.raises(Unavailable, match="got a full one"):
        CHANGES[event](life)
    assert asked == [event]
    assert content(life.store) == before


def content(store: Store) -> list[tuple[Any, ...]]:
    """Every record that there is, from behind."""
    assert isinstance(store, SQLiteStore)
    with closing(sqlite3.connect(store._path)) as database:
        return database.execute("SELECT * FROM records ORDER BY 1, 2, 3").fetchall()
