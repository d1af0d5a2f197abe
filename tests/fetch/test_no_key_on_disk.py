"""No private key is ever written to a disk by calling with it (I11): a process that does everything is traced.

What it wrote is searched for the private numbers themselves, as they are, in hexadecimal digits and in Base64, so that
no form of a key is missed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fetch.servers import context_of, serving
from fetch.tracing import Trace, shows, traced
from mtlskit.core.certificates import PrivateKey, SigningChain, to_pem
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, CLIENTS, STRANGERS = Authority.root("Server root"), Authority.root("Client root"), Authority.root("Strangers")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
GIVEN = CLIENTS.leaf("given")
IN_FILE = CLIENTS.leaf("in a file", key=ed25519.Ed25519PrivateKey.generate())
UPLOADED = CLIENTS.leaf("uploaded", key=rsa.generate_private_key(65537, 2048))
PASSWORD, STORE_KEY = b"a password of a file", bytes(range(100, 132))

CALLING = """
import asyncio, json, os, sys

from cryptography import x509

from mtlskit.authority import CertificateAuthority
from mtlskit.core.certificates import SigningChain
from mtlskit.errors import MTLSError
from mtlskit.fetch import AsyncEnvironment, CertificateUploads, ChainFiles, Environment, RenewedChain
from mtlskit.stores import KeyEncryption, open_store

given = json.load(sys.stdin)
if given["without"]:
    delattr(os, given["without"])
store = open_store(given["store"], keys=KeyEncryption(bytes.fromhex(given["store_key"])))
acme = CertificateAuthority.take_over("Acme", SigningChain.from_pem(given["authority"]), store=store)
issued = []


def issue():
    issued.append(acme.issue_client("renewed"))
    return issued[-1]


bindings = {
    "GIVEN": SigningChain.from_pem(given["pem"]),
    "FILE": ChainFiles(pkcs12=given["pkcs12"], password=given["password"].encode()),
    "UPLOAD": CertificateUploads(store).upload(given["upload"]).id,
    "RENEWED": RenewedChain(issue),
}
told = []


def of(call):
    try:
        return call().json()["client"]
    except MTLSError as error:
        return type(error).__name__


async def of_task(call):
    try:
        return (await call()).json()["client"]
    except MTLSError as error:
        return type(error).__name__


async def main(options):
    async with AsyncEnvironment(bindings, **options) as env:
        for name in env:
            for url in given["urls"]:
                told.append(await of_task(lambda: env[name].fetch(url)))


for backend in ("ssl", "pyopenssl"):
    trust = [x509.load_pem_x509_certificate(given["trust"].encode())]
    options = {"store": store, "backend": backend, "trust": trust}
    with Environment(bindings, **options) as env:
        for name in env:
            for url in given["urls"]:
                told.append(of(lambda: env[name].fetch(url)))
    asyncio.run(main(options))
store.close()
numbers = [each.private_key.private_numbers().private_value for each in issued]
print(json.dumps({"told": told, "secrets": [number.to_bytes(32, "big").hex() for number in numbers]}))
"""


def secrets_of(key: PrivateKey) -> list[bytes]:
    """The octets without which it is no key."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return [key.private_numbers().private_value.to_bytes(key.key_size // 8, "big")]
        case rsa.RSAPrivateKey():
            numbers = key.private_numbers()
            return [each.to_bytes((each.bit_length() + 7) // 8, "big") for each in (numbers.d, numbers.p, numbers.q)]
        case _:
            return [key.private_bytes_raw()]


SECRETS = [PASSWORD, STORE_KEY]
for known in (GIVEN.private_key, IN_FILE.private_key, UPLOADED.private_key, CLIENTS.key):
    SECRETS += secrets_of(known)


def run(folder: Path, *, without: str = "") -> tuple[list[bytes], Trace]:
    """Every kind of source, on every backend, with an answer and with a refusal: what is secret of it, and the trace."""
    folder.mkdir()
    (folder / "chain.p12").write_bytes(IN_FILE.to_pkcs12(password=PASSWORD))
    with (
        serving(context_of(SERVER, CLIENTS.certificate)) as good,
        serving(context_of(SERVER, STRANGERS.certificate)) as bad,
    ):
        given = {
            "urls": [good.url(), bad.url()],
            "store": f"sqlite:///{folder}/state.db",
            "store_key": STORE_KEY.hex(),
            "authority": SigningChain(CLIENTS.key, [CLIENTS.certificate]).to_pem().decode(),
            "pem": GIVEN.to_pem().decode(),
            "pkcs12": str(folder / "chain.p12"),
            "password": PASSWORD.decode(),
            "upload": UPLOADED.to_pem().decode(),
            "trust": to_pem([SERVERS.certificate]).decode(),
            "without": without,
        }
        out, trace = traced(CALLING, json.dumps(given), folder / "trace", TMPDIR=str(folder))
    told = json.loads(out)
    assert told["told"] == [
        who for name in ("given", "in a file", "uploaded", "renewed") for who in (name, "ClientCertificateRefused")
    ] * 4  # fmt: skip
    return [*SECRETS, *map(bytes.fromhex, told["secrets"])], trace


def in_files(folder: Path, secrets: list[bytes]) -> list[str]:
    """The files that hold a secret now, however it came there."""
    found = (path for path in folder.iterdir() if path.is_file())
    return [path.name for path in found if any(shows(path.read_bytes(), secret) for secret in secrets)]


def opened_in(folder: Path, trace: Trace) -> set[str]:
    """The files that were opened for writing, by their names in the folder; those elsewhere by their paths."""
    return {path.removeprefix(f"{folder}/") for path in trace.opened}


DATABASE = {"state.db", "state.db-wal", "state.db-shm", "state.db-journal"}


@pytest.mark.invariant(11)
def test_no_key_is_written_to_a_file_whatever_it_is_from_and_however_the_call_ends(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    secrets, trace = run(folder)

    assert trace.showing(*secrets) == []
    assert in_files(folder, secrets) == []
    assert opened_in(folder, trace) <= DATABASE
    assert trace.written[f"{folder}/state.db-wal"], "the trace has what is written to the store"
    assert "chain" in trace.memory, "the trace has what goes to files in memory"


@pytest.mark.invariant(11)
def test_where_no_file_can_be_in_memory_only_the_key_in_it_is_encrypted(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    secrets, trace = run(folder, without="memfd_create")

    assert trace.showing(*secrets) == []
    others = opened_in(folder, trace) - DATABASE
    assert any(name.endswith(".pem") for name in others)
    assert not any((folder / name).exists() for name in others)


# --- the checks themselves -----------------------------------------------------------------------------------------

LEAKS = {
    "PEM": "open(path, 'wb').write(pem)",
    "PEM without line breaks": "open(path, 'wb').write(pem.replace(b'\\n', b''))",
    "PEM in JSON": "open(path, 'w').write(json.dumps({'key': pem.decode()}))",
    "DER": "os.write(os.open(path, os.O_WRONLY | os.O_CREAT), der)",
    "the number": "os.pwrite(os.open(path, os.O_WRONLY | os.O_CREAT), number, 100)",
    "the number in two parts": "file = open(path, 'wb', buffering=0); file.write(number[:9]); file.write(number[9:])",
    "the number in digits": "open(path, 'w').write(number.hex())",
    "several buffers": "os.writev(os.open(path, os.O_WRONLY | os.O_CREAT), [b'x', der])",
    "a thread's": "thread = threading.Thread(target=lambda: open(path, 'wb').write(number)); thread.start(); thread.join()",
    "a child's": "os.fork() or open(path, 'wb').write(number)",
    "a file that is gone": "file = open(path, 'wb', buffering=0); os.unlink(path); file.write(number)",
}  # fmt: skip
LEAKING = """
import json, os, sys, threading, warnings

from cryptography.hazmat.primitives import serialization as s

warnings.simplefilter("ignore")
pem = sys.stdin.buffer.read()
key = s.load_pem_private_key(pem, None)
der = key.private_bytes(s.Encoding.DER, s.PrivateFormat.TraditionalOpenSSL, s.NoEncryption())
number = key.private_numbers().private_value.to_bytes(32, "big")
path = {path!r}
{leak}
"""
KEY_PEM = GIVEN.to_pem().decode().partition("-----BEGIN CERTIFICATE")[0]


@pytest.mark.parametrize("leak", LEAKS)
def test_a_process_that_writes_a_key_is_caught(tmp_path: Path, leak: str) -> None:
    path = str(tmp_path / "leak")
    _, trace = traced(LEAKING.format(path=path, leak=LEAKS[leak]), KEY_PEM, tmp_path / "trace")

    assert trace.showing(*secrets_of(GIVEN.private_key)) == [path]
    assert trace.opened == {path}


def test_what_goes_to_pipes_sockets_and_memory_is_no_leak(tmp_path: Path) -> None:
    leak = (
        "import socket; one, other = socket.socketpair(); print(number.hex()); one.sendall(number); "
        "os.write(other.fileno(), number); os.write(os.memfd_create('here'), number)"
    )
    out, trace = traced(LEAKING.format(path="", leak=leak), KEY_PEM, tmp_path / "trace")

    assert shows(out.encode(), *secrets_of(GIVEN.private_key))
    assert (trace.opened, dict(trace.written), trace.memory) == (set(), {}, {"here"})
