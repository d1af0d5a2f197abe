"""Of many uploads a page is read, one is found by its name, and all are gone through by and by."""

import hashlib
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from mtlskit.errors import ConfigurationError
from mtlskit.fetch import CertificateUploads
from mtlskit.fetch.upload_records import new_id
from mtlskit.ports import Record
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority

LEAF = Authority.root("Test root").leaf("device")
MANY = 600  # more than two pages
EVEN = hashlib.sha256(b"even").hexdigest()


def stocked(store):
    """A store with many uploads: copies of one, for what stands in a record is not the point."""
    uploads = CertificateUploads(store)
    first = uploads.upload(LEAF.to_pem(), name="even")
    with store.transaction() as transaction:
        record = transaction.get("client-certificate", "", first.id)
        name = next(transaction.scan("client-certificate-name", EVEN))
        for number in range(1, MANY):
            key = new_id(first.uploaded_on - timedelta(seconds=number))
            transaction.insert("client-certificate", "", key, record.value)
            if number % 2 == 0:
                transaction.insert("client-certificate-name", EVEN, key, name.value)
    return uploads


@pytest.fixture(scope="module", params=["memory://", "sqlite"])
def store(request, tmp_path_factory):
    where = tmp_path_factory.mktemp("uploads")
    opened = open_store(request.param if "://" in request.param else f"sqlite:///{where}/uploads.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def uploads(store):
    return stocked(store)


def ids(found):
    return [each.id for each in found]


@pytest.mark.parametrize("name", [None, "even"])
@pytest.mark.parametrize("size", [1, 50, 256, 300, MANY, MANY + 1])
def test_pages_make_up_the_whole(uploads, name, size):
    if size == 1:
        assert ids(uploads.list(name, limit=1)) == ids(uploads.list(name))[:1]
        return
    found, after = [], ""
    while page := uploads.list(name, after=after, limit=size):
        assert len(page) <= size
        found += page
        after = page[-1].id
    assert ids(found) == ids(uploads.list(name))
    assert len(found) == (MANY if name is None else MANY // 2)


def test_all_come_in_the_order_of_their_upload(uploads):
    found = ids(uploads)
    assert found == ids(uploads.list()) == sorted(found)
    assert len(found) == MANY


def test_a_page_of_nothing(uploads):
    assert uploads.list(limit=0) == uploads.list(after=ids(uploads)[-1]) == uploads.list("odd") == ()
    with pytest.raises(ConfigurationError, match="expected how many"):
        uploads.list(limit=-1)


def test_who_goes_through_all_keeps_nobody_waiting(uploads):
    reading = iter(uploads)
    next(reading)
    added = uploads.upload(LEAF.to_pem(), name="added")
    assert added.id in ids(reading)
    uploads.delete(added.id)


def test_a_name_costs_no_look_at_the_others(uploads, store, monkeypatch):
    read = []
    monkeypatch.setattr("mtlskit.fetch.upload_records.read_upload", lambda record: read.append(record) or record)
    one = uploads.upload(LEAF.to_pem(), name="needle")
    assert [each.key for each in uploads.list("needle")] == [one.id]
    assert len(read) == 1
    assert isinstance(read[0], Record)
    uploads.delete(one.id)
    assert uploads.list("needle") == ()


def test_names_that_are_nearly_the_same_are_others(uploads):
    one = uploads.upload(LEAF.to_pem(), name="Zoë")
    assert uploads.list("Zoe") == uploads.list("zoë") == ()
    assert uploads.list("Zoë") == (one,)
    uploads.delete(one.id)


def test_ids_sort_by_the_moment_and_are_uuids():
    start = datetime(2026, 3, 1, tzinfo=UTC)
    moments = [start + timedelta(microseconds=number) for number in (0, 1, 2, 999, 1_000, 1_001, 10**9)]
    made = [new_id(each) for each in moments]
    assert made == sorted(made)
    assert {uuid.UUID(each).version for each in made} == {7}
    assert {uuid.UUID(each).variant for each in made} == {uuid.RFC_4122}
    assert len({new_id(start) for _ in range(1_000)}) == 1_000
    assert uuid.UUID(new_id(datetime(1900, 1, 1, tzinfo=UTC))).version == 7
    assert uuid.UUID(new_id(datetime.max.replace(tzinfo=UTC))).version == 7
