"""A small HTTP/2 server in a thread that demands a client certificate, and notes on which connection a request came."""

from __future__ import annotations

import json
import socket
import struct
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

from fetch.listening import listening
from fetch.servers import _client

EVERYTHING = 2**31 - 1  # the last stream of a GOAWAY that only says that another one will come


@dataclass
class Ends:
    """The first `connections` end so: when `asked` requests have begun, a GOAWAY says that `taken` of them are taken.

    Those are answered after it, the last one first, if it `answers`; then the connection is closed.
    """

    asked: int
    taken: int
    connections: int = 1
    code: int = 0
    in_two_steps: bool = False
    answers: bool = True


WRONG_HEADS = {
    "/status-of-letters": [(":status", "abc")],
    "/status-of-many": [(":status", "99999")],
    "/status-below-none": [(":status", "-1")],
    "/name-of-others": [(":status", "200"), (b"n\xe4me", b"value")],
    "/value-of-lines": [(":status", "200"), (b"name", b"a\r\nb: c")],
    "/length-of-others": [(":status", "200"), ("content-length", "1")],
}


@dataclass
class Server:
    """What was asked, as (connection, method, path, body); how many requests ran at once on a connection, at most.

    The first `refusing` connections refuse each `/refused`.
    """

    port: int = 0
    ends: Ends | None = None
    refusing: int = 0
    seen: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    most_at_once: int = 0
    connections: int = 0
    versions: list[str | None] = field(default_factory=list)

    def url(self, path: str = "/") -> str:
        return f"https://localhost:{self.port}{path}"


@contextmanager
def serving(context, **options):
    """Runs it on a free port. What a path does: see `_Conversation.answer`."""
    server = Server(**options)
    with listening(lambda raw, number: converse(server, context, raw, number)) as server.port:
        yield server


def converse(server, context, raw, number):
    server.connections = max(server.connections, number)
    raw.settimeout(20)
    with raw, suppress(OSError):
        try:
            tls = context.wrap_socket(raw.dup(), server_side=True)
        except OSError:
            raw.shutdown(socket.SHUT_WR)  # so that the client can read the alert
            while raw.recv(65536):
                pass
            return
        with tls:
            server.versions.append(tls.selected_alpn_protocol())
            _Conversation(server, tls, number).run()
            raw.shutdown(socket.SHUT_WR)  # with requests unread, to close it would take back what was sent
            while raw.recv(65536):
                pass


class _Conversation:
    def __init__(self, server, tls, number):
        self.server, self.tls, self.number = server, tls, number
        self.http2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, validate_outbound_headers=False)
        )
        self.asked: dict[int, tuple[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: list[int] = []
        self.waiting: list[int] = []
        self.taken: list[int] | None = None  # once GOAWAY was sent
        ends = server.ends
        self.ends = ends if ends is not None and number <= ends.connections else None

    def run(self):
        self.http2.initiate_connection()
        self.flush()
        while data := self.tls.recv(65536):
            for event in self.http2.receive_data(data):
                self.take(event)
            self.flush()
            if self.is_over:
                return

    is_over = False

    def flush(self):
        self.tls.sendall(self.http2.data_to_send())

    def take(self, event):
        match event:
            case h2.events.RequestReceived():
                fields = dict(event.headers)
                self.asked[event.stream_id] = (fields[b":method"].decode(), fields[b":path"].decode())
                self.bodies[event.stream_id] = b""
                self.server.most_at_once = max(self.server.most_at_once, len(self.asked))
                if fields[b":path"] == b"/refused" and self.number <= self.server.refusing:
                    self.http2.reset_stream(event.stream_id, error_code=7)
                    del self.asked[event.stream_id]
                elif self.ends is not None and self.taken is None and len(self.asked) == self.ends.asked:
                    self.go_away()
            case h2.events.DataReceived() if event.stream_id not in self.asked or self.is_left(event.stream_id):
                pass  # not read: who sends more than a window of it waits for ever
            case h2.events.DataReceived():
                self.bodies[event.stream_id] += event.data
                self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded() if event.stream_id not in self.asked:
                pass
            case h2.events.StreamEnded():
                self.ended.append(event.stream_id)
                self.answer_taken() if self.ends is not None else self.answer(event.stream_id)

    def is_left(self, stream):
        return self.taken is not None and stream not in self.taken

    def go_away(self):
        self.flush()
        self.taken = list(self.asked)[: self.ends.taken]
        last = self.taken[-1] if self.taken else 0
        for each in (EVERYTHING, last) if self.ends.in_two_steps else (last,):
            self.tls.sendall(struct.pack(">HBBBIII", 0, 13, 7, 0, 0, each, self.ends.code) + b"debug")
            time.sleep(0.02)
        self.answer_taken()

    def answer_taken(self):
        if self.is_over or self.taken is None or not set(self.ended) >= set(self.taken):
            return
        for each in reversed(self.taken if self.ends.answers else []):
            self.server.seen.append((self.number, *self.asked[each], self.bodies[each]))
            self.respond(each)
        self.is_over = True

    def answer(self, stream):
        method, path = self.asked[stream]
        if path == "/later" and stream > 1:  # "I have not begun with this one": to be asked elsewhere
            self.http2.close_connection(last_stream_id=stream - 2)
            self.is_over = True
            return
        self.server.seen.append((self.number, method, path, self.bodies[stream]))
        if path == "/together":  # nobody gets an answer before three have asked
            self.waiting.append(stream)
            if len(self.waiting) < 3:
                return
        elif path == "/reset":
            self.http2.reset_stream(stream, error_code=2)
            del self.asked[stream]
            return
        elif path == "/garbage":
            self.tls.sendall(b"\x00\x00\x04\x08\x00\x00\x00\x00\x01\x00\x00\x00\x00" * 3)  # WINDOW_UPDATE by nothing
            self.is_over = True
            return
        for each in self.waiting or [stream]:
            self.respond(each)
        self.waiting = []
        self.is_over = path == "/last"

    def respond(self, stream):
        method, path = self.asked.pop(stream)
        told = {"client": _client(self.tls), "connection": self.number, "method": method, "path": path}
        self.http2.send_headers(
            stream, WRONG_HEADS.get(path) or [(":status", "200"), ("content-type", "application/json")]
        )
        self.http2.send_data(stream, json.dumps(told).encode(), end_stream=True)
