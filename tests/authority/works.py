"""What is done with a store that may break at any step, what of it was acknowledged, and what must hold afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlskit.authority import CertificateAuthority, CertificateOrder, Filled, IssuedCertificate
from mtlskit.authority.ledger import AUTHORITY
from mtlskit.authority.publishing import ListName, Publication
from mtlskit.authority.publishing.published import PublishedLists
from mtlskit.core.certificates import PresentedChain, SigningChain, to_der
from mtlskit.fetch.uploads import KIND as UPLOAD
from mtlskit.fetch.uploads import CertificateUploads, utc_now
from mtlskit.gate import Gate
from mtlskit.ports import Store
from mtlskit.testing.certificates import Authority, name_of, new_key

from .faults import Stepping
from .test_lists import listed, number_of

Work = Callable[[], object]

_THEIRS = [Authority.root(f"Customer {number}") for number in range(2)]
_CLIENT = _THEIRS[0].leaf("client")
_SERVER = _THEIRS[0].leaf("server", sans=["dns:*.acme.example"], usages=[ExtendedKeyUsageOID.SERVER_AUTH])
_REQUEST = x509.CertificateSigningRequestBuilder(name_of("device")).sign(new_key(), hashes.SHA256())
HOSTNAME = "hostname"
# A second time, these say that they were done already.
ONCE = ("create", "below", "activate", "add_hostname", "remove_hostname", "forget")


class Works:
    """Each public method gets something ready and gives the work itself, which notes what was acknowledged to it.

    `stepping` is the store as the works see it, `store` the one behind it, by which everything is looked at.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime] = utc_now) -> None:
        self.store = store
        self.stepping = Stepping(store)
        self._settings: dict[str, Any] = {"store": self.stepping, "clock": clock}
        self.acme = CertificateAuthority.create("Acme", **self._settings)
        self.issued: dict[int, bytes] = {}
        self.revoked: set[int] = set()
        self.numbers: list[int] = []
        self.there: dict[tuple[str, str], bool] = {}  # what was made and not removed: kind and key
        self.gate = Gate(self.stepping)
        self.uploads = CertificateUploads(self.stepping, clock=clock)
        self._published = PublishedLists(self.acme._opened, Publication())
        self._count = count()

    # Certificates.

    def issue(self) -> Work:
        return lambda: self._took(self.acme.issue_client("device", requester="test"))

    def sign_request(self) -> Work:
        return lambda: self._took(self.acme.sign_request(_REQUEST.public_bytes(Encoding.DER)))

    def batch(self) -> Work:
        def work() -> None:
            orders = [CertificateOrder(f"device-{number}") for number in range(4)]
            for outcome in self.acme.issue_many(orders, batch_size=2):
                if not isinstance(outcome, Filled):
                    raise outcome.error
                self._took(outcome.issued)

        return work

    def renew(self) -> Work:
        old = self._new()
        return lambda: self._took(self.acme.renew(old))

    def rekey(self) -> Work:
        old = self._new()
        return lambda: self._took(self.acme.rekey(old))

    def take_over(self) -> Work:
        theirs = Authority.root("Theirs")
        leaves = [theirs.leaf(f"leaf-{number}").certificate for number in range(2)]
        name = self._name("Taken over")
        chain = SigningChain(theirs.key, (theirs.certificate,))
        taken = CertificateAuthority.take_over(name, chain, **self._settings)
        self._made(taken)
        return lambda: taken.record(leaves)

    # Revocation.

    def revoke(self) -> Work:
        return self._revoking(self._new(), "key_compromise")

    def revoke_pending(self) -> Work:
        """A reservation that a failure has left, if there is one."""
        pending = self.acme.pending()
        return self._revoking(pending[0].serial_number if pending else self._new(), "superseded")

    def revoke_held(self) -> Work:
        return self._revoking(self._held(), "key_compromise")

    def release(self) -> Work:
        serial = self._held()

        def work() -> None:
            self.revoked.discard(serial)  # whatever becomes of it: nothing is promised of it until it is done
            self.acme.release(serial)

        return work

    # Lists.

    def crl(self) -> Work:
        self._revoking(self._new(), "superseded")()
        return self._crl

    def delta_crl(self) -> Work:
        self._crl()
        self._revoking(self._new(), "superseded")()
        return lambda: self.numbers.append(number_of(self.acme.delta_crl()))

    def publish(self) -> Work:
        self._revoking(self._new(), "superseded")()

        def work() -> None:
            wanted = set(self.revoked)
            found = self._published.current(ListName(1))
            if found.record.number > max(self.numbers, default=0):  # not the one before, which serves meanwhile
                assert wanted <= listed(x509.load_der_x509_crl(found.der))
                self.numbers.append(found.record.number)

        return work

    # Authorities.

    def create(self) -> Work:
        name = self._name("Root")
        return lambda: self._made(CertificateAuthority.create(name, **self._settings))

    def ensure(self) -> Work:
        name = self._name("Root")
        return lambda: self._made(CertificateAuthority.ensure(name, **self._settings))

    def below(self) -> Work:
        name = self._name("Below")
        return lambda: self._made(CertificateAuthority.create(name, parent=self.acme, **self._settings))

    def prepare(self) -> Work:
        return self._fresh().rotation.prepare

    def prepare_below(self) -> Work:
        return self._fresh(parent=self.acme).rotation.prepare

    def activate(self) -> Work:
        fresh = self._fresh()
        fresh.rotation.prepare()
        return fresh.rotation.activate

    def retire(self) -> Work:
        fresh = self._fresh()
        fresh.rotation.prepare()
        fresh.rotation.activate()
        return lambda: fresh.rotation.retire(1)

    def export(self) -> Work:
        return lambda: self.acme.export_pkcs12(password=b"correct horse")

    # Hostnames and uploads.

    def add_hostname(self) -> Work:
        pattern = f"h{next(self._count)}.acme.example"
        return lambda: self._known(
            HOSTNAME, str(self.gate.hostnames.add(pattern, trust=[_THEIRS[0].certificate], server=_SERVER).pattern)
        )

    def replace_hostname(self) -> Work:
        pattern = self._hostname()
        return lambda: self.gate.hostnames.replace(pattern, trust=[each.certificate for each in _THEIRS[1:]])

    def remove_hostname(self) -> Work:
        pattern = self._hostname()

        def work() -> None:
            self.there.pop((HOSTNAME, pattern), None)
            self.gate.hostnames.remove(pattern)

        return work

    def upload(self) -> Work:
        return lambda: self._known(UPLOAD, self._upload())

    def forget(self) -> Work:
        uploaded = self._upload()
        return lambda: self.uploads.delete(uploaded)

    # How.

    def close(self) -> None:
        self.gate.close()

    def _took(self, given: IssuedCertificate | PresentedChain) -> None:
        leaf = given.certificate if isinstance(given, IssuedCertificate) else given.certificates()[0]
        assert leaf.serial_number not in self.issued
        self.issued[leaf.serial_number] = to_der(leaf)

    def _new(self) -> int:
        made = self.acme.issue_client("device")
        self._took(made)
        return made.serial_number

    def _held(self) -> int:
        serial = self._new()
        self._revoking(serial, "certificate_hold")()
        return serial

    def _revoking(self, serial: int, reason: str) -> Work:
        def work() -> None:
            self.acme.revoke(serial, reason=reason)
            self.revoked.add(serial)

        return work

    def _crl(self) -> None:
        made = self.acme.crl()
        assert self.revoked <= listed(made)
        self.numbers.append(number_of(made))

    def _name(self, kind: str) -> str:
        return f"{kind} {next(self._count)}"

    def _fresh(self, **settings: Any) -> CertificateAuthority:
        made = CertificateAuthority.create(self._name("Rotating"), **self._settings, **settings)
        self._made(made)
        return made

    def _made(self, authority: CertificateAuthority) -> None:
        self._known(AUTHORITY, authority.name)

    def _known(self, kind: str, key: str) -> None:
        self.there[kind, key] = True

    def _hostname(self) -> str:
        pattern = f"h{next(self._count)}.acme.example"
        self.gate.hostnames.add(pattern, trust=[_THEIRS[0].certificate], server=_SERVER)
        self._known(HOSTNAME, pattern)
        return pattern

    def _upload(self) -> str:
        return self.uploads.upload(_CLIENT.to_pem()).id
