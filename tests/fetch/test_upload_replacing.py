"""Another certificate under the same id: whole, recorded, told of, and not over what somebody else put there."""

import hashlib
import pickle
import threading

import pytest

from mtlskit.errors import CertificateError, ConfigurationError, Conflict, NotFound, StoreError, Unavailable
from mtlskit.fetch import CertificateUploads
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority
from support.exposure import exposed

ROOT = Authority.root("Test root")
OLD, NEW, THIRD = (ROOT.leaf(name) for name in ("old", "new", "third"))


@pytest.fixture(params=["memory://", "sqlite"])
def store(request, tmp_path):
    opened = open_store(request.param if "://" in request.param else f"sqlite:///{tmp_path}/uploads.db")
    yield opened
    opened.close()


@pytest.fixture
def uploads(store):
    return CertificateUploads(store)


def audit(store):
    with store.snapshot() as snapshot:
        return [(row.event, dict(row.details)) for row in snapshot.scan_audit()]


@pytest.mark.parametrize("form", ["pem", "pkcs12"])
def test_the_id_stays_and_the_rest_is_new(uploads, store, form):
    before = uploads.upload(OLD.to_pem(), name="partner")
    topics = set()
    store.subscribe(topics.update)

    if form == "pem":
        after = uploads.replace(before.id, NEW.chain_pem(), NEW.to_pem(), requester="alice")
    else:
        after = uploads.replace_pkcs12(before.id, NEW.to_pkcs12(password=b"x"), password=b"x", requester="alice")

    assert (after.id, after.name, after.serial_number) == (before.id, "partner", NEW.serial_number)
    assert after.uploaded_on > before.uploaded_on
    assert uploads.list() == uploads.list("partner") == (after,)
    assert uploads.signing_chain(before.id).private_key_der() == NEW.private_key_der()
    assert topics == {f"client-certificate:{before.id}"}
    event, details = audit(store)[-1]
    assert (event, details["id"], details["requester"]) == ("client_certificate.replaced", before.id, "alice")
    assert details["serial"] == f"{NEW.serial_number:x}"


def test_another_name_is_found_and_the_old_one_no_more(uploads):
    uploaded, unnamed = uploads.upload(OLD.to_pem(), name="partner"), uploads.upload(OLD.to_pem())

    uploads.replace(uploaded.id, NEW.to_pem(), name="renamed")
    uploads.replace(unnamed.id, NEW.to_pem(), name="named")

    assert uploads.list("partner") == ()
    assert [each.id for each in uploads.list("renamed")] == [uploaded.id]
    assert [each.id for each in uploads.list("named")] == [unnamed.id]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ((NEW.chain_pem(), OLD.to_pem()), CertificateError),
        ((NEW.chain_pem(),), CertificateError),
        ((b"",), CertificateError),
    ],
)
def test_what_cannot_be_used_replaces_nothing(uploads, store, given, error):
    uploaded = uploads.upload(OLD.to_pem())
    before = audit(store)
    with pytest.raises(error) as caught:
        uploads.replace(uploaded.id, *given)
    with pytest.raises(ConfigurationError, match="expected a name"):
        uploads.replace(uploaded.id, NEW.to_pem(), name="a\nb")
    assert exposed(caught.value, OLD.to_pem().splitlines()[1]) == []
    assert uploads.signing_chain(uploaded.id).certificates == OLD.certificates
    assert audit(store) == before


@pytest.mark.parametrize("certificate_id", ["", "no-such", "\0", "\ud800", None, 7])
def test_what_is_not_there_is_not_replaced(uploads, certificate_id):
    with pytest.raises(NotFound, match="expected the id of an uploaded certificate"):
        uploads.replace(certificate_id, NEW.to_pem())
    with pytest.raises(NotFound, match="expected the id of an uploaded certificate"):
        uploads.replace_pkcs12(certificate_id, b"")


class Meddling(CertificateUploads):
    """Somebody else is quicker, between the reading and the writing."""

    meddle = staticmethod(lambda: None)

    def _value(self, *given):
        self.meddle()
        return super()._value(*given)


def test_who_comes_second_is_told_and_changes_nothing(uploads, store):
    uploaded = uploads.upload(OLD.to_pem(), name="partner")
    late = Meddling(store)
    late.meddle = lambda: uploads.replace(uploaded.id, NEW.to_pem(), name="first")

    with pytest.raises(Conflict, match="got one changed meanwhile"):
        late.replace(uploaded.id, THIRD.to_pem(), name="second")

    assert uploads.signing_chain(uploaded.id).certificates == NEW.certificates
    assert (len(uploads.list("first")), uploads.list("second"), uploads.list("partner")) == (1, (), ())


def test_what_was_deleted_meanwhile_does_not_come_back(uploads, store):
    uploaded = uploads.upload(OLD.to_pem(), name="partner")
    late = Meddling(store)
    late.meddle = lambda: uploads.delete(uploaded.id)

    with pytest.raises(NotFound, match="expected the id of an uploaded certificate"):
        late.replace(uploaded.id, NEW.to_pem())

    assert uploads.list() == uploads.list("partner") == ()


def test_many_at_once_leave_one_whole(uploads):
    uploaded = uploads.upload(OLD.to_pem(), name="partner")
    leaves, done = [ROOT.leaf(f"leaf {number}") for number in range(8)], []

    def work(leaf):
        try:
            done.append(uploads.replace(uploaded.id, leaf.to_pem(), name=leaf.certificate.subject.rfc4514_string()))
        except (Conflict, Unavailable) as error:
            done.append(error)

    threads = [threading.Thread(target=work, args=(leaf,)) for leaf in leaves]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    (left,) = uploads.list()
    assert left in done
    assert len(done) == len(leaves)
    assert uploads.list(left.name) == (left,)
    assert uploads.signing_chain(uploaded.id).serial_number == left.serial_number


def test_a_broken_record_can_be_deleted_but_not_replaced_without_a_name(uploads, store):
    with store.transaction() as transaction:
        transaction.insert("client-certificate", "", "x", b"\xff")
    with pytest.raises(StoreError, match="'x'"):
        uploads.replace("x", NEW.to_pem())
    uploads.replace("x", NEW.to_pem(), name="mended")
    assert uploads.get("x").name == "mended"
    with store.transaction() as transaction:
        transaction.replace("client-certificate", "", "x", b"\xff")
    uploads.delete("x")
    with pytest.raises(NotFound):
        uploads.get("x")


def test_what_is_told_can_be_pickled_and_what_has_a_key_cannot(uploads):
    uploaded = uploads.upload(OLD.to_pem())
    assert pickle.loads(pickle.dumps(uploaded)) == uploaded
    with pytest.raises(TypeError):
        pickle.dumps(uploads.signing_chain(uploaded.id))


def test_nothing_stays_behind_of_what_was_renamed_and_deleted(uploads, store):
    uploaded = uploads.upload(OLD.to_pem(), name="partner")
    uploads.replace(uploaded.id, NEW.to_pem(), name="renamed")
    uploads.delete(uploaded.id)
    with store.snapshot() as snapshot:
        for name in ("partner", "renamed"):
            partition = hashlib.sha256(name.encode()).hexdigest()
            assert list(snapshot.scan("client-certificate-name", partition)) == []
