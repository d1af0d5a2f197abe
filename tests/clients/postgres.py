"""A PostgreSQL on loopback whose users are let in by certificates only, from an installed server that has TLS."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtlskit.core.certificates import to_pem

_NOBODY = 65534
_SETTINGS = (
    "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\nssl = on\n"
    "ssl_cert_file = 'server.pem'\nssl_key_file = 'server.pem'\nssl_ca_file = 'clients.pem'\n"
)


def ssl_binaries() -> Path | None:
    """Where `initdb` and `postgres` are, if the server is built with TLS."""
    places = [Path(found).resolve().parent for found in [shutil.which("postgres")] if found]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").exists() and (place / "pg_config").exists():
            told = subprocess.run([place / "pg_config", "--configure"], capture_output=True, text=True, timeout=30)
            if "openssl" in told.stdout:
                return place
    return None


class SSLPostgres:
    """A running server. `port` is on loopback."""

    def __init__(self, directory: Path, binaries: Path) -> None:
        self.directory = directory
        self.binaries = binaries
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    @classmethod
    @contextmanager
    def running(cls, binaries, chain, anchor, *, user) -> Iterator[SSLPostgres]:
        directory = Path(tempfile.mkdtemp(prefix="mtlskit-postgres-"))
        directory.chmod(0o755)
        server = cls(directory, binaries)
        try:
            server._make(chain, anchor, user)
            with server._started():
                yield server
        finally:
            shutil.rmtree(directory)

    def _make(self, chain, anchor, user) -> None:
        data = self.directory / "data"
        data.mkdir(mode=0o700)
        if os.getuid() == 0:
            os.chown(data, _NOBODY, _NOBODY)
        self._run("initdb", "-D", str(data), "-U", user, "-A", "reject", "-E", "UTF8", "--no-sync")
        # `cert` is clientcert=verify-full: the certificate's common name must be the user's.
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 cert\n")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(f"{_SETTINGS}port = {self.port}\n")
        for name, content in (("server.pem", chain.to_pem()), ("clients.pem", to_pem([anchor]))):
            (data / name).touch(mode=0o600)
            (data / name).write_bytes(content)
            if os.getuid() == 0:
                os.chown(data / name, _NOBODY, _NOBODY)

    @contextmanager
    def _started(self) -> Iterator[None]:
        with (self.directory / "log").open("wb") as log:
            command = [self.binaries / "postgres", "-D", str(self.directory / "data")]
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory, **_user())
        try:
            deadline = time.monotonic() + 30
            while not self._answers():
                assert process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < deadline, "the server did not answer"
                time.sleep(0.02)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return b"ready to accept connections" in (self.directory / "log").read_bytes()
        except OSError:
            return False

    def _run(self, name: str, *arguments: str) -> None:
        command = [self.binaries / name, *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self.directory, timeout=60, **_user())


def _user():
    """A server refuses to be root's."""
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
