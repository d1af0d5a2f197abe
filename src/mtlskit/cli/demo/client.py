"""The peer that tries: the standard library's `ssl` on a plain socket, so that every part of it can be chosen."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SECONDS = 5.0
_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back: a status and a JSON document, or else how TLS ended."""

    status: int | None = None
    document: dict[str, Any] | None = None
    ended: str = ""

    @classmethod
    def of(cls, error: Exception) -> Reply:
        """What an error of the connection says."""
        return cls(ended=_told(error))

    @property
    def identity(self) -> str | None:
        """The common name that the app saw."""
        identity = (self.document or {}).get("identity")
        return identity["common_name"] if identity else None


class Peer:
    """One client: whom it trusts, what it shows and speaks. One connection's session can be offered on the next."""

    def __init__(
        self, port: int, trust: Path, certificate: Path | None = None, version: ssl.TLSVersion | None = None
    ) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(trust))
        if certificate is not None:
            self._context.load_cert_chain(certificate)
        if version is not None:
            self._context.minimum_version = self._context.maximum_version = version

    def without_server_name(self) -> Peer:
        """The same peer, telling no name; the chain of the server is verified all the same."""
        self._context.check_hostname = False
        return self

    def get(self, server_name: str | None, *, host: str | None = None) -> Reply:
        """One request on a connection of its own. `host` is the request's authority, the server name if not given."""
        try:
            with self.connected(server_name) as connection:
                return connection.get(host or server_name or "localhost")
        except OSError as error:
            return Reply.of(error)

    @contextmanager
    def connected(self, server_name: str | None, *, session: ssl.SSLSession | None = None) -> Iterator[Connection]:
        """A connection after its handshake; raises OSError (TLS errors are such)."""
        raw = socket.create_connection(("127.0.0.1", self._port), timeout=_SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            tls = self._context.wrap_socket(raw, server_hostname=server_name, session=session)
        except OSError:
            raw.close()
            raise
        with tls:
            yield Connection(tls)


class Connection:
    """A TLS connection that is kept alive."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls
        self._http = http.client.HTTPConnection("unused")
        self._http.sock = tls

    @property
    def resumed(self) -> bool:
        """Whether the handshake was shortened by a session of before."""
        return bool(self._tls.session_reused)

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session to resume; TLS 1.3 has it only after the first answer."""
        return self._tls.session

    def get(self, host: str) -> Reply:
        """One request with that Host. A refusal of TLS 1.3 shows here, at the first read."""
        try:
            self._http.request("GET", "/whoami", headers={"Host": host})
            response = self._http.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            return Reply.of(error)
        return Reply(status=response.status, document=json.loads(body))


def _told(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    if isinstance(error, ssl.SSLError) and isinstance(reason, str) and _ALERT.match(reason):
        return f"TLS alert: {_ALERT.sub('', reason).replace('_', ' ').lower()}"
    return f"{type(error).__name__}: {error}"
