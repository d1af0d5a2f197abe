"""What a call raises shows no key (I11): not in its text, not in its causes, and not in a traceback with all locals.

`support.exposure` looks into the frames of our own functions; here are those of every library between, as an error
reporter prints them.
"""

from __future__ import annotations

import base64
import socket
import traceback
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fetch.servers import context_of, serving
from mtlskit.core.certificates import SigningChain
from mtlskit.errors import MTLSError
from mtlskit.fetch import AsyncEnvironment, CertificateUploads, ChainFiles, Environment
from mtlskit.stores import open_store
from mtlskit.testing.certificates import SERVER_AUTH, Authority
from support.exposure import chained, exposed

SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
ELSEWHERE = SERVERS.leaf("server", sans=("dns:a.example",), usages=(SERVER_AUTH,))
STRANGE = Authority.root("Strangers").leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
PAST = datetime.now(UTC) - timedelta(days=1)
MALLORY = Authority.root("Client root").leaf("mallory")
ALICE, OLD = CLIENTS.leaf("alice"), CLIENTS.leaf("old", not_before=PAST - timedelta(days=9), not_after=PAST)
PASSWORD = b"correct horse battery"
FetchAll = Callable[..., list[Any]]


def forms_of(chain: SigningChain) -> list[str]:
    """Of the key: the number as an `int`, in digits, in Base64 of PEM, and as the repr of bytes has it."""
    number = chain.private_key.private_numbers().private_value  # type: ignore[union-attr]
    octets = number.to_bytes(32, "big")
    lines = [line for line in chain.to_pem().decode().partition("-----END")[0].splitlines() if len(line) == 64]
    return [str(number), f"{number:x}", base64.b64encode(octets).decode()[:40], *lines, repr(octets)[2:-1]]


def reported(error: BaseException) -> str:
    """As an error reporter has it: the texts, and the locals of every frame. (That of `traceback` fails, before Python
    3.13, with what has no repr because it was not made to its end.)"""
    frames = [frame for each in chained(error) for frame, _ in traceback.walk_tb(each.__traceback__)]
    shown = [f"{name} = {safe_repr(value)}" for frame in frames for name, value in frame.f_locals.items()]
    return "\n".join([str(error), repr(error), *traceback.format_exception(error), *shown])


def safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"


def check(error: Any, *chains: SigningChain) -> None:
    assert isinstance(error, MTLSError), error
    text = reported(error)
    for chain in chains:
        forms = forms_of(chain)
        assert [form for form in forms if form in text] == []
        assert exposed(error, *forms) == []
    assert PASSWORD.decode() not in text


def test_an_error_that_shows_a_key_is_caught() -> None:
    def fail(value: Any) -> None:
        raise MTLSError("expected another")

    number = ALICE.private_key.private_numbers().private_value  # type: ignore[union-attr]
    for value in (
        number,
        number.to_bytes(32, "big"),
        ALICE.to_pem(),
        ALICE.to_pem().decode(),
        {"key": [f"{number:x}"]},
    ):
        with pytest.raises(MTLSError) as caught:
            fail(value)
        with pytest.raises(AssertionError):
            check(caught.value, ALICE)


# --- calls that fail -----------------------------------------------------------------------------------------------

FAILING: dict[str, tuple[SigningChain, Callable[[], Any], str]] = {
    "refused by TLS 1.2": (MALLORY, lambda: context_of(SERVER, CLIENTS.certificate, version="1.2"), "/"),
    "refused by TLS 1.3": (MALLORY, lambda: context_of(SERVER, CLIENTS.certificate, version="1.3"), "/"),
    "cut off": (ALICE, lambda: context_of(SERVER, CLIENTS.certificate), "/cut"),
    "of no time": (ALICE, lambda: context_of(SERVER, CLIENTS.certificate), "/slow"),
    "not trusted": (ALICE, lambda: context_of(STRANGE, CLIENTS.certificate), "/"),
    "another name": (ALICE, lambda: context_of(ELSEWHERE, CLIENTS.certificate), "/"),
    "garbled": (ALICE, lambda: context_of(SERVER, CLIENTS.certificate), "/garbled"),
    "redirected for ever": (ALICE, lambda: context_of(SERVER, CLIENTS.certificate), "/round"),
    "expired": (OLD, lambda: context_of(SERVER, CLIENTS.certificate), "/"),
}
ROUTES: dict[str, Any] = {
    "/garbled": (200, {"Content-Encoding": "gzip"}, b"not gzip"),
    "/round": (302, {"Location": "/round"}, b""),
}


@pytest.mark.invariant(11)
@pytest.mark.parametrize("case", FAILING)
def test_a_call_that_fails_shows_no_key(fetch_all: FetchAll, case: str) -> None:
    chain, context, path = FAILING[case]
    options = {"timeout": 0.1} if path == "/slow" else {}
    with serving(context(), **ROUTES) as server:
        (error,) = fetch_all({"A": chain, "B": ALICE}, ("A", server.url(path), options), trust=[SERVERS.certificate])

    check(error, chain, ALICE)


@pytest.mark.invariant(11)
@pytest.mark.parametrize("is_silent", [False, True], ids=["closed", "silent"])
def test_a_call_without_a_server_shows_no_key(fetch_all: FetchAll, is_silent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        call = ("A", f"https://localhost:{listener.getsockname()[1]}/", {"timeout": 0.2})
        if not is_silent:
            listener.close()
        (error,) = fetch_all({"A": ALICE}, call, trust=[SERVERS.certificate])

    check(error, ALICE)


# --- sources that fail ---------------------------------------------------------------------------------------------


@pytest.mark.invariant(11)
def test_a_source_that_fails_shows_no_key(fetch_all: FetchAll) -> None:
    class Failing:
        """Has a certificate when the environment is made, and fails with the next call."""

        def __init__(self) -> None:
            self.asked = 0

        def current(self) -> SigningChain:
            self.asked += 1
            if self.asked > 1:
                raise MTLSError("expected a certificate, got none")
            return ALICE

    with closing(open_store("memory://")) as store:
        uploads = CertificateUploads(store)
        gone = uploads.upload(ALICE.to_pem()).id

        class Deleting:
            def current(self) -> SigningChain:
                uploads.delete(gone) if uploads.list() else None
                return ALICE

        bindings = {"GONE": gone, "DELETING": Deleting(), "FAILING": Failing()}
        calls = [(name, "https://localhost:9/", {}) for name in ("FAILING", "DELETING", "GONE")]
        for error in fetch_all(bindings, *calls, store=store, trust=[SERVERS.certificate]):
            check(error, ALICE)


@pytest.mark.invariant(11)
@pytest.mark.parametrize("kind", [Environment, AsyncEnvironment])
def test_an_environment_that_cannot_be_made_shows_no_key(backend: str, tmp_path: Path, kind: Any) -> None:
    (tmp_path / "chain.p12").write_bytes(ALICE.to_pkcs12(password=PASSWORD))
    (tmp_path / "chain.pem").write_bytes(ALICE.to_pem(password=PASSWORD))
    (tmp_path / "other.pem").write_bytes(
        CLIENTS.leaf("other").chain_pem() + ALICE.to_pem().partition(b"-----BEGIN C")[0]
    )
    attempts: list[Callable[[], Any]] = [
        lambda: ChainFiles(pkcs12=tmp_path / "chain.p12", password=PASSWORD + b"!"),
        lambda: ChainFiles(tmp_path / "chain.pem", password=PASSWORD + b"!"),
        lambda: ChainFiles(tmp_path / "other.pem"),
        lambda: SigningChain.from_pem(ALICE.to_pem()[:-200]),
        lambda: {"_": ALICE},
        lambda: {"A": ALICE, "B": "no such id"},
    ]
    for attempt in attempts:
        with pytest.raises(MTLSError) as caught:
            kind(attempt(), backend=backend, trust=[SERVERS.certificate])
        check(caught.value, ALICE)
