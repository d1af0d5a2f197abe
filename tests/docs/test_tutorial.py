"""The tutorial, followed to the letter: its files, its service in a process of its own, its four visits."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtlskit.gate.servers.uvicorn import bind
from support.pages import ROOT, blocks

PAGE = ROOT / "docs" / "tutorial" / "first-gate.md"


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    port = _free_port()
    for block in blocks(PAGE):
        if block.file is not None:
            (tmp_path / block.file).write_text(block.code.replace("8443", str(port)), encoding="utf-8")
    _run(tmp_path, "make.py")
    with _service(tmp_path, port) as log:
        assert _visit(tmp_path, port, "acme-till-1.pem") == (200, "hello acme-till-1 at pay.acme.example\n")
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            _visit(tmp_path, port, None)
        with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
            _visit(tmp_path, port, "umbrella-till-1.pem")
        _run(tmp_path, "revoke.py")
        time.sleep(1.1)  # another process: the change is looked for once a second
        status, body = _visit(tmp_path, port, "acme-till-1.pem")
        assert (status, '"reason":"revoked"' in body) == (403, True)
    told = next(block.code for block in blocks(PAGE) if block.language == "text")
    assert told in log.read_text()


def _free_port() -> int:
    with bind("127.0.0.1", 0) as listener:
        port: int = listener.getsockname()[1]
        return port


def _run(directory: Path, script: str) -> None:
    done = subprocess.run([sys.executable, script], cwd=directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@contextmanager
def _service(directory: Path, port: int) -> Iterator[Path]:
    log = directory / "service.log"
    with log.open("w") as output:
        command = [sys.executable, "-u", "service.py"]
        process = subprocess.Popen(command, cwd=directory, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_open(port, process)
            yield log
        finally:
            process.terminate()
            process.wait(timeout=15)


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the service did not open its port")


def _visit(directory: Path, port: int, certificate: str | None) -> tuple[int, str]:
    """As the tutorial's `curl --resolve ... --cacert server-root.pem [--cert ...]`."""
    context = ssl.create_default_context(cafile=str(directory / "server-root.pem"))
    if certificate is not None:
        context.load_cert_chain(directory / certificate)
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    with context.wrap_socket(raw, server_hostname="pay.acme.example") as tls:
        connection = http.client.HTTPConnection("unused")
        connection.sock = tls
        connection.request("GET", "/", headers={"Host": f"pay.acme.example:{port}"})
        response = connection.getresponse()
        return response.status, response.read().decode()
