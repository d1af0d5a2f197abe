"""A server process to measure: one app, behind the gate on either backend, behind one static context, or nginx.

Run as `python -m benchmarks.serving KIND DIRECTORY`; prints its port. The CPU is that of the scheduler's clock for its
threads, read from outside, so that asking costs the measured server nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtlskit.testing.certificates import SERVER_AUTH, Authority

KINDS = ("plain", "gate-ssl", "gate-pyopenssl")
HOSTNAME = "pay.acme.example"
BIG = 100 * 1024 * 1024
_CHUNK = b"x" * (64 * 1024)
_TICKS = os.sysconf("SC_CLK_TCK")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """`/` gives two bytes, `/big` gives BIG bytes in pieces of 64 KiB."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    big = scope["path"] == "/big"
    length = BIG if big else 2
    await send({
        "type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % length)]
    })  # fmt: skip
    if not big:
        await send({"type": "http.response.body", "body": b"ok"})
        return
    for _ in range(BIG // len(_CHUNK)):
        await send({"type": "http.response.body", "body": _CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@dataclass(frozen=True)
class Material:
    """The certificates of one measurement."""

    server_root: Authority
    devices: Authority

    @classmethod
    def make(cls) -> Material:
        return cls(Authority.root("Server root"), Authority.root("Acme devices"))

    def write(self, directory: Path) -> None:
        chain = self.server_root.leaf("server", sans=[f"dns:{HOSTNAME}"], usages=[SERVER_AUTH])
        client = self.devices.leaf("device-17")
        (directory / "server.pem").write_bytes(chain.to_pem())
        (directory / "client.pem").write_bytes(client.to_pem())
        for name, authority in (("devices", self.devices), ("root", self.server_root)):
            from mtlskit.core.certificates import to_pem

            (directory / f"{name}.pem").write_bytes(to_pem([authority.certificate]))


@dataclass(frozen=True)
class Served:
    """A running server."""

    port: int
    pids: tuple[int, ...]
    directory: Path

    def cpu(self) -> float:
        """User and system CPU seconds of the server so far, from the scheduler's nanosecond clock."""
        return sum(_cpu_seconds(pid) for pid in self.pids)

    def client_context(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = context.maximum_version = version
        context.load_verify_locations(self.directory / "root.pem")
        context.load_cert_chain(self.directory / "client.pem")
        return context


def _cpu_seconds(pid: int) -> float:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


@contextmanager
def served(kind: str, material: Material) -> Iterator[Served]:
    """Starts a server of that kind in a process of its own, and stops it by its pid."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        material.write(directory)
        command = [sys.executable, "-m", "benchmarks.serving", kind, name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                words = process.stdout.readline().split()
                yield Served(int(words[0]), tuple(map(int, words[1:])) or (process.pid,), directory)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=10)


def main(kind: str, directory: Path) -> None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    print(listener.getsockname()[1], flush=True)
    settings: dict[str, Any] = {
        "log_level": "warning",
        "loop": os.environ.get("BENCH_LOOP", "asyncio"),
        "http": "httptools",
    }
    if kind == "plain":
        import uvicorn

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.pem")
        context.load_verify_locations(directory / "devices.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        uvicorn.Server(
            uvicorn.Config(app, ssl_context_factory=lambda _config, _default: context, proxy_headers=False, **settings)
        ).run(sockets=[listener])
        return
    import mtlskit
    from mtlskit.core.certificates import SigningChain, read_certificate
    from mtlskit.gate.servers import uvicorn as adapter

    gate = mtlskit.Gate(mtlskit.open_store("memory://"), backend=kind.removeprefix("gate-"))
    gate.hostnames.add(
        HOSTNAME,
        trust=[read_certificate((directory / "devices.pem").read_bytes())],
        server=SigningChain.from_pem((directory / "server.pem").read_bytes()),
    )
    adapter.Server(adapter.config(app, gate, **settings)).run(sockets=[listener])


NGINX = shutil.which("nginx")
_NGINX_CONFIGURATION = """
daemon off; worker_processes 1; pid {d}/nginx.pid; error_log {d}/error.log crit;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {d}/b; proxy_temp_path {d}/p;
  fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  server {{
    listen 127.0.0.1:{port} ssl; server_name {hostname}; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {d}/server.pem; ssl_certificate_key {d}/server.pem; ssl_client_certificate {d}/devices.pem;
    ssl_verify_client on; ssl_session_tickets off; ssl_session_cache off;
    location / {{ return 200 "ok"; }}
  }}
}}
"""


def nginx(directory: Path) -> None:
    """nginx with one worker, client certificates demanded, no tickets, no session cache."""
    import time

    assert NGINX is not None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    text = _NGINX_CONFIGURATION.format(d=directory, port=port, hostname=HOSTNAME)
    (directory / "nginx.conf").write_text("user root;\n" + text if os.geteuid() == 0 else text)
    with subprocess.Popen(
        [NGINX, "-c", directory / "nginx.conf", "-p", directory, "-e", directory / "e.log"]
    ) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        worker = ""
        while not worker:
            time.sleep(0.05)
            worker = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        print(port, worker, flush=True)
        process.wait()


if __name__ == "__main__":
    nginx(Path(sys.argv[2])) if sys.argv[1] == "nginx" else main(sys.argv[1], Path(sys.argv[2]))
