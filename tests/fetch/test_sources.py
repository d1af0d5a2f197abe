"""Where a binding's certificate comes from: uploads, files and authorities, and what becomes of it in time."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mtlskit.core.certificates import SigningChain
from mtlskit.errors import CertificateError, ConfigurationError, IssuanceError, Unavailable
from mtlskit.fetch import CertificateUploads, ChainFiles, ClientCertificate, Environment, RenewedChain
from mtlskit.fetch import sources as module
from mtlskit.fetch.sources import UploadedChain
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority

ROOT = Authority.root()
ONE, OTHER = ROOT.leaf("one"), ROOT.leaf("other")


@pytest.fixture
def store() -> Iterator[Any]:
    opened = open_store("memory://")
    yield opened
    opened.close()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock of sources, to be set."""
    moment = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: moment[0])
    return moment


# --- uploads -----------------------------------------------------------------------------------------------------


def test_what_replaces_an_upload_is_taken_at_once(store: Any) -> None:
    uploads = CertificateUploads(store)
    uploaded = uploads.upload(ONE.to_pem())
    source = UploadedChain(store, uploaded.id)
    assert source.current() is source.current()

    uploads.replace(uploaded.id, OTHER.to_pem())

    assert source.current().certificate == OTHER.certificate


def test_an_upload_that_was_deleted_is_not_used_any_more(store: Any) -> None:
    uploads = CertificateUploads(store)
    uploaded = uploads.upload(ONE.to_pem())
    env = Environment({"A": uploaded.id}, store=store)

    uploads.delete(uploaded.id)

    with pytest.raises(CertificateError, match=f"{uploaded.id}.*deleted"):
        env.A.fetch("https://localhost/")
    with pytest.raises(CertificateError, match="deleted"):
        env.A.ssl_context()


def test_another_processs_change_is_looked_for_once_a_second(tmp_path: Path, now: list[float]) -> None:
    mine, theirs = (open_store(f"sqlite:///{tmp_path}/s.db") for _ in range(2))
    uploaded = CertificateUploads(mine).upload(ONE.to_pem())
    source = UploadedChain(mine, uploaded.id)
    CertificateUploads(theirs).replace(uploaded.id, OTHER.to_pem())

    now[0] = 0.9
    assert source.current().certificate == ONE.certificate
    now[0] = 1.1
    assert source.current().certificate == OTHER.certificate
    mine.close()
    theirs.close()


def test_a_store_that_fails_leaves_the_certificate_that_there_is_and_says_so_once(
    store: Any, now: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    poll, is_gone = store.poll, [True]

    def gone(*_: Any) -> Any:
        raise Unavailable("expected a store, got none")

    monkeypatch.setattr(store, "poll", lambda: gone() if is_gone[0] else poll())
    uploads = CertificateUploads(store)
    uploaded = uploads.upload(ONE.to_pem())
    source = UploadedChain(store, uploaded.id)

    for _ in range(3):
        now[0] += 2
        assert source.current().certificate == ONE.certificate
    is_gone[0] = False
    assert len(caplog.records) == 1
    with monkeypatch.context() as failing:
        failing.setattr(CertificateUploads, "signing_chain", gone)
        uploads.replace(uploaded.id, OTHER.to_pem())
        assert source.current().certificate == ONE.certificate
        assert source.current().certificate == ONE.certificate
    assert len(caplog.records) == 2
    now[0] += 2
    assert source.current().certificate == OTHER.certificate


def test_a_source_that_nobody_has_is_not_kept_by_the_store(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded = CertificateUploads(store).upload(ONE.to_pem())
    there, add = [0], store.subscribe

    def counted(callback: Any) -> Any:
        remove = add(callback)
        there[0] += 1

        def removed() -> None:
            there[0] -= 1
            remove()

        return removed

    monkeypatch.setattr(store, "subscribe", counted)
    kept = UploadedChain(store, uploaded.id)
    for _ in range(3):
        UploadedChain(store, uploaded.id)
    gc.collect()

    assert there == [1]
    assert kept.current().certificate == ONE.certificate


# --- files -------------------------------------------------------------------------------------------------------


def write(path: Path, content: bytes) -> None:
    """As a careful writer does it, whole and at once."""
    beside = path.with_name("new")
    beside.write_bytes(content)
    beside.replace(path)


def test_files_are_looked_at_once_a_second(tmp_path: Path, now: list[float]) -> None:
    chain = tmp_path / "chain.pem"
    write(chain, ONE.to_pem())
    source = ChainFiles(chain)
    write(chain, OTHER.to_pem())

    now[0] = 0.9
    assert source.current().certificate == ONE.certificate
    now[0] = 1.1
    found = source.current()
    assert found.certificate == OTHER.certificate
    now[0] = 9
    assert source.current() is found


def test_a_chain_whose_key_has_not_come_yet_is_waited_for(
    tmp_path: Path, now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    write(chain, ONE.chain_pem())
    write(key, ONE.to_pem())
    source = ChainFiles(chain, key)

    write(chain, OTHER.chain_pem())
    for now[0] in (2, 4):
        assert source.current().certificate == ONE.certificate
    write(key, OTHER.to_pem())
    now[0] = 6
    assert source.current().certificate == OTHER.certificate
    chain.unlink()
    now[0] = 8
    assert source.current().certificate == OTHER.certificate
    assert ["another key" in record.getMessage() for record in caplog.records] == [True, False]
    assert "PRIVATE" not in caplog.text


def test_a_file_that_could_not_be_read_once_is_read_again(
    tmp_path: Path, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = tmp_path / "chain.pem"
    write(chain, ONE.to_pem())
    source = ChainFiles(chain)
    write(chain, OTHER.to_pem())

    def busy(_: Path) -> Any:
        raise ConfigurationError("expected a file that can be read, got a busy one")

    with monkeypatch.context() as failing:
        failing.setattr(module, "content_of", busy)
        now[0] = 2
        assert source.current().certificate == ONE.certificate
    now[0] = 4
    assert source.current().certificate == OTHER.certificate


def test_pkcs12_and_encrypted_keys_are_read(tmp_path: Path) -> None:
    (tmp_path / "one.p12").write_bytes(ONE.to_pkcs12(password=b"secret"))
    (tmp_path / "one.pem").write_bytes(ONE.to_pem(password=b"secret"))

    for source in (
        ChainFiles(pkcs12=tmp_path / "one.p12", password=b"secret"),
        ChainFiles(tmp_path / "one.pem", password=b"secret"),
    ):
        assert source.current().certificate == ONE.certificate


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        (("missing.pem",), {}),
        ((".",), {}),
        (("chain.pem",), {}),
        (("chain.pem", "other.pem"), {}),
        (("one.pem",), {"pkcs12": "one.p12"}),
        ((None, "one.pem"), {"pkcs12": "one.p12"}),
        ((), {"pkcs12": "one.p12", "password": b"wrong"}),
        (("big.pem",), {}),
        (("a\0b",), {}),
    ],
)
def test_files_that_cannot_be_used_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chain.pem").write_bytes(ONE.chain_pem())
    Path("one.pem").write_bytes(ONE.to_pem())
    Path("other.pem").write_bytes(OTHER.to_pem())
    Path("one.p12").write_bytes(ONE.to_pkcs12(password=b"secret"))
    Path("big.pem").write_bytes(ONE.to_pem() + b" " * (1024 * 1024))

    with pytest.raises((CertificateError, ConfigurationError), match="expected ") as caught:
        ChainFiles(*arguments, **options)
    assert "PRIVATE" not in str(caught.value)


# --- what is issued and renewed ----------------------------------------------------------------------------------


class Issuing:
    """An authority that issues certificates of ten days, and a clock."""

    def __init__(self) -> None:
        self.start = datetime.now(UTC).replace(microsecond=0)
        self.now = self.start
        self.issued: list[SigningChain] = []
        self.fault: Exception | None = None
        self.seconds = 0.0

    def __call__(self) -> SigningChain:
        if self.fault is not None:
            raise self.fault
        time.sleep(self.seconds)
        end = self.now + timedelta(days=10)
        self.issued.append(ROOT.leaf(f"gateway-{len(self.issued)}", not_before=self.now, not_after=end))
        return self.issued[-1]

    def clock(self) -> datetime:
        return self.now

    def after(self, **delta: float) -> None:
        self.now = self.start + timedelta(**delta)


def settled(source: RenewedChain) -> SigningChain:
    """The chain once the renewal that this call may have begun is over."""
    source.current()
    deadline = time.monotonic() + 10
    while any(thread.name == "mtlskit-renewal" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return source.current()


def test_a_certificate_is_renewed_at_two_thirds_of_its_life() -> None:
    issuing = Issuing()
    source = RenewedChain(issuing, clock=issuing.clock)

    issuing.after(days=10 * (2 / 3 - 1 / 20) - 0.01)
    assert settled(source) is issuing.issued[0]
    issuing.after(days=10 * (2 / 3 + 1 / 20) + 0.01)
    assert settled(source) is issuing.issued[1]
    assert len(issuing.issued) == 2


def test_not_all_are_renewed_at_the_same_moment() -> None:
    issuing = Issuing()

    assert len({RenewedChain(issuing, clock=issuing.clock)._renew_at for _ in range(20)}) > 15


def test_a_renewal_that_fails_is_tried_again_and_is_loud_when_it_is_late(caplog: pytest.LogCaptureFixture) -> None:
    issuing = Issuing()
    source = RenewedChain(issuing, clock=issuing.clock)
    issuing.fault = IssuanceError("expected an authority, got none")

    for days, level in ((7.5, logging.WARNING), (7.51, None), (8, logging.WARNING), (9.5, logging.ERROR)):
        caplog.clear()
        issuing.after(days=days)
        assert settled(source) is issuing.issued[0]
        assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    assert "expected an authority, got none" in caplog.text
    issuing.fault = None
    issuing.after(days=9.9)
    assert settled(source) is issuing.issued[1]


def test_one_that_has_ended_is_issued_by_whoever_asks() -> None:
    issuing = Issuing()
    source = RenewedChain(issuing, clock=issuing.clock)
    issuing.after(days=11)
    issuing.fault = IssuanceError("expected an authority, got none")
    with pytest.raises(IssuanceError):
        source.current()
    issuing.fault = None

    found: list[SigningChain] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        found.append(source.current())

    issuing.seconds = 0.05
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {id(chain) for chain in found} == {id(issuing.issued[1])}
    assert len(issuing.issued) == 2


def test_what_cannot_be_issued_fails_when_the_environment_is_made() -> None:
    issuing = Issuing()
    issuing.fault = IssuanceError("expected an authority, got none")

    with pytest.raises(IssuanceError):
        RenewedChain(issuing)
    with pytest.raises(CertificateError, match="chain with its key"):
        RenewedChain(lambda: "chain")  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("wrong", [7, None, b"pem", object()])
def test_what_is_no_source_is_refused(store: Any, wrong: Any) -> None:
    for given in (wrong, ClientCertificate(certificate=wrong)):
        with pytest.raises(ConfigurationError, match="for the binding 'A'"):
            Environment({"A": given}, store=store)


@pytest.mark.invariant(14)
def test_i14_a_slow_reader_does_not_put_back_what_another_has_replaced(store):
    uploads = CertificateUploads(store)
    certificate_id = uploads.upload(ROOT.leaf("first").to_pem()).id
    source = UploadedChain(store, certificate_id)
    read, reading, go_on = source._uploads.signing_chain, threading.Event(), threading.Event()

    def slowly(given):
        found = read(given)
        if threading.current_thread() is slow:
            reading.set()
            assert go_on.wait(10)
        return found

    source._uploads.signing_chain = slowly
    slow = threading.Thread(target=source.current)
    uploads.replace(certificate_id, ROOT.leaf("second").to_pem())
    slow.start()
    assert reading.wait(10)
    uploads.replace(certificate_id, ROOT.leaf("third").to_pem())
    go_on.set()
    slow.join()

    assert "third" in source.current().certificate.subject.rfc4514_string()


def test_of_many_who_ask_after_a_change_one_reads(store):
    uploads = CertificateUploads(store)
    certificate_id = uploads.upload(ROOT.leaf("first").to_pem()).id
    source = UploadedChain(store, certificate_id)
    read, readers, together = source._uploads.signing_chain, [], threading.Barrier(5)

    def slowly(given):
        readers.append(threading.current_thread())
        time.sleep(0.05)
        return read(given)

    def ask():
        together.wait(10)
        assert "second" in source.current().certificate.subject.rfc4514_string()

    source._uploads.signing_chain = slowly
    uploads.replace(certificate_id, ROOT.leaf("second").to_pem())
    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(readers) == 1
