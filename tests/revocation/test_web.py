"""Lists from distribution points: bounded in octets and time, and nothing that a server says leads elsewhere."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mtlskit.core.certificates import to_pem
from mtlskit.revocation import ListLimits, RevocationLists
from mtlskit.testing.certificates import SERVER_AUTH
from revocation.conftest import QUICK
from revocation.crls import Site, acme, make_list, wait_until, website

pytest.importorskip("httpx2")


def error_of(lists: RevocationLists, url: str) -> str:
    """What the source says after one attempt."""
    watched = lists.watch([url])
    lists.refresh()
    (status,) = watched.status()
    assert watched.current(datetime.now(UTC)) == ()
    return status.error


def test_a_distribution_point_is_read_as_it_is_sent(lists: RevocationLists, site: Site) -> None:
    watched = lists.watch([site.gives(make_list(3))])
    (status,) = lists.load()
    assert (status.standing.value, status.number, status.error) == ("good", 3, "")
    assert watched.current(datetime.now(UTC))[0].number == 3
    ((_, headers),) = site.seen
    assert headers["accept-encoding"] == "identity"
    assert "cookie" not in headers


def test_it_is_read_again_by_schedule_and_the_last_good_one_stays(quick: RevocationLists, site: Site) -> None:
    watched = quick.watch([site.gives(make_list(3))])
    wait_until(lambda: quick.status()[0].number == 3)
    site.gives(b"", status=503)
    wait_until(lambda: quick.status()[0].failures >= 2)
    assert "the status 200, got 503" in quick.status()[0].error
    assert watched.current(datetime.now(UTC))[0].number == 3
    site.gives(make_list(4))
    wait_until(lambda: watched.current(datetime.now(UTC))[0].number == 4)
    assert quick.status()[0].error == ""


REFUSED: dict[str, tuple[Callable[[Site], str], str]] = {
    "nothing there": (lambda site: site.url("/none"), "the status 200, got 404"),
    "garbage": (lambda site: site.gives(b"<html>hello</html>"), "one revocation list in PEM or DER, got 0"),
    "a length above the limit": (
        lambda site: site.gives(bytes(2_000_000)), "at most 1048576 octets, got 2000000"),
    "no end": (lambda site: site.floods("/flood"), r"at most 1048576 octets, got 1\d{6}"),
    "a length that is not kept": (
        lambda site: site.gives(make_list(1)[:100], content_length="500"), "got RemoteProtocolError"),
    "a compressed list": (lambda site: site.bombs("/bomb"), "as it is, got the content coding 'gzip'"),
    "no HTTP": (lambda site: site.drips(b"", "/x", 0, first=b"\x30\x82 what?\r\n\r\n"), "got RemoteProtocolError"),
    "a header without an end": (
        lambda site: site.drips(b"", "/x", 0, first=b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000), "RemoteProtocolError"),
    "another scheme": (
        lambda site: site.gives(b"", status=302, location=f"https://127.0.0.1:{site.port}/x"),
        "a redirect within http:, got one to https:"),
    "a file": (lambda site: site.gives(b"", status=302, location="file:///etc/passwd"), "a redirect to a URL"),
    "credentials": (
        lambda site: site.gives(b"", status=302, location=f"http://a:b@127.0.0.1:{site.port}/"), "without credentials"),
    "nowhere": (lambda site: site.gives(b"", status=307, location="http://[::/"), "a redirect to a URL"),
    "itself": (lambda site: site.gives(b"", status=302, location="/list.crl"), "at most 3 redirects"),
    "a closed port": (lambda _site: "http://127.0.0.1:9/", "got ConnectError"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_list_is_one_clear_error(lists: RevocationLists, site: Site, case: str) -> None:
    make, told = REFUSED[case]
    assert re.search(told, error_of(lists, make(site)))


def test_a_redirect_within_the_scheme_is_followed(lists: RevocationLists, site: Site) -> None:
    site.gives(make_list(5), "/there")
    kept = lists.watch([site.gives(b"", status=301, location="/there")])
    lists.load()
    assert kept.current(datetime.now(UTC))[0].number == 5


@pytest.mark.parametrize("where", ["header", "body"])
def test_a_slow_server_is_given_up_after_the_whole_time(site: Site, where: str) -> None:
    """Each octet comes in time; a limit per reading would wait for a thousand of them."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
    url = (
        site.drips(b"x-a: b\r\n" * 100, "/slow", 0.05, first=b"HTTP/1.1 200 OK\r\n")
        if where == "header"
        else site.drips(make_list(1) * 9, "/slow", 0.05, first=head)
    )
    lists = RevocationLists(limits=ListLimits(seconds=0.3))
    try:
        begun = time.monotonic()
        assert "within 0.3 s" in error_of(lists, url)
        assert time.monotonic() - begun < 1.5
    finally:
        lists.close()


def test_a_slow_server_holds_up_no_other(site: Site) -> None:
    lists = RevocationLists(limits=ListLimits(seconds=5.0))
    try:
        slow = lists.watch([site.drips(bytes(1000), "/slow", 1.0, first=b"HTTP/1.1 200 OK\r\n\r\n")])
        wait_until(lambda: site.seen)
        good = lists.watch([site.gives(make_list(1))])
        wait_until(lambda: good.current(datetime.now(UTC)), seconds=2)
        assert slow.current(datetime.now(UTC)) == ()
    finally:
        lists.close()


def test_the_environment_names_no_proxy(lists: RevocationLists, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with website() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        kept = lists.watch([site.gives(make_list(2))])
        lists.load()
        assert kept.current(datetime.now(UTC))[0].number == 2
        assert proxy.seen == []


def test_the_server_of_an_https_source_is_verified(tmp_path: Path) -> None:
    chain = acme().leaf("localhost", sans=["dns:localhost"], usages=[SERVER_AUTH])
    pem = tmp_path / "server.pem"
    put_private(pem, chain.to_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))
    data = make_list(6)

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(raw, server_side=True) as tls:
                    tls.recv(65536)
                    tls.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
            except OSError:
                raw.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    trusting = ssl.create_default_context(cadata=to_pem([acme().certificate]).decode())
    url = f"https://localhost:{listener.getsockname()[1]}/"
    strict, right = RevocationLists(), RevocationLists(tls=trusting)
    try:
        assert "got ConnectError" in error_of(strict, url)
        kept = right.watch([url])
        right.load()
        assert kept.current(datetime.now(UTC))[0].number == 6
    finally:
        strict.close()
        right.close()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def put_private(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(data)


def test_without_the_extra_it_says_which_one() -> None:
    code = """
import sys
sys.modules["httpx2"] = None
import mtlskit.revocation
from mtlskit.errors import ConfigurationError
lists = mtlskit.revocation.RevocationLists()
kept = lists.watch(["http://127.0.0.1:9/"])
print(lists.load()[0].error)
lists.close()
try:
    import mtlskit.revocation.http
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("the extra 'fetch'" in line for line in lines)


def test_a_quick_schedule_asks_again_after_failures(site: Site) -> None:
    lists = RevocationLists(schedule=QUICK)
    try:
        lists_kept = lists.watch([site.url("/later")])
        wait_until(lambda: lists.status()[0].failures >= 3)
        site.gives(make_list(1), "/later")
        wait_until(lambda: lists_kept.current(datetime.now(UTC)))
    finally:
        lists.close()
