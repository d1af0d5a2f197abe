"""Servers of others that demand client certificates: nginx, and OpenSSL's own. Each is ended by its process id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtlskit.core.certificates import SigningChain, to_pem
from mtlskit.testing.certificates import Authority

_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log crit;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_timeout {keep_alive}; keepalive_requests {requests};
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl {http2}; server_name localhost; ssl_protocols TLSv{version};
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
    ssl_client_certificate {folder}/clients.pem; ssl_verify_client on; ssl_verify_depth 3; {crl}
    location / {{ return 200 "$ssl_client_s_dn $connection $request_uri"; }}
    location /away {{ return 302 $arg_to; }}
  }}
}}
"""
_SETTINGS = {"version": "1.3", "http2": "", "crl": "", "keep_alive": "75s", "requests": "1000"}


@contextmanager
def nginx(folder: Path, server: SigningChain, clients: Authority, **settings: str) -> Iterator[str]:
    """nginx that tells whom it sees, over which connection, asking for what; gives its URL without the path."""
    program = shutil.which("nginx") or pytest.skip("nginx is not installed")
    port = _free_port()
    _write(folder, server, clients)
    text = _NGINX.format(folder=folder, port=port, **{**_SETTINGS, **settings})
    (folder / "nginx.conf").write_text(text)
    command = [program, "-c", folder / "nginx.conf", "-p", folder, "-e", folder / "error.log"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield f"https://localhost:{port}"
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def s_server(folder: Path, server: SigningChain, clients: Authority, *options: str) -> Iterator[str]:
    """`openssl s_server -www`, whose page has the certificate that it saw; gives its URL without the path."""
    program = shutil.which("openssl") or pytest.skip("the program openssl is not installed")
    _write(folder, server, clients)
    command = [
        program, "s_server", "-accept", "127.0.0.1:0", "-cert", folder / "server.pem", "-key", folder / "server.pem",
        "-CAfile", folder / "clients.pem", "-Verify", "1", "-verify_return_error", "-www", *options,
    ]  # fmt: skip
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            accepts = next((line for line in process.stdout if line.startswith("ACCEPT ")), None)
            assert accepts is not None, "s_server ended before it accepted"
            yield f"https://localhost:{accepts.rpartition(':')[2].strip()}"
        finally:
            process.terminate()
            process.wait(10)


def _write(folder: Path, server: SigningChain, clients: Authority) -> None:
    with open(os.open(folder / "server.pem", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(server.to_pem())
    (folder / "clients.pem").write_bytes(to_pem([clients.certificate]))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return int(unused.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except OSError:
            assert process.poll() is None, "the server ended before it listened"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return
