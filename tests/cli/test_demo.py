"""`mtlskit demo` as a user runs it: a process of its own, real sockets, both backends."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mtlskit.cli.demo.client import Peer
from mtlskit.cli.demo.run import run
from mtlskit.cli.demo.scenario import ACME, DEVICE, make_scenario, prepare_directory
from mtlskit.errors import ConfigurationError
from mtlskit.gate.servers.uvicorn import bind

COMMAND = [sys.executable, "-c", "import sys; from mtlskit.cli import main; sys.exit(main())"]


def mtlskit(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("backend", ["pyopenssl", "ssl"])
def test_every_row_is_as_expected_within_twenty_seconds(backend: str, tmp_path: Path) -> None:
    done = mtlskit("demo", "--backend", backend, "--json", "--directory", str(tmp_path / "new" / "state"))
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["as_expected"] is True
    assert document["seconds"] < 20
    assert document["directory"] == str(tmp_path / "new" / "state")
    assert all(row["as_expected"] and row["backend"] == backend for row in document["rows"])
    reasons = {row["attempt"]: row["reason"] for row in document["rows"]}
    neighbour = "wrong_tenant_issuer" if backend == "pyopenssl" else "unknown_issuer"
    assert reasons["umbrella's till-3 at acme"] == neighbour
    assert reasons["revoked while its connection is open"] == "revoked"
    assert {"no_certificate", "expired", "authority_mismatch", "server_name_unknown"} <= set(reasons.values())
    resumed = {row["attempt"]: row["happened"] for row in document["rows"] if "resumed" in row["attempt"]}
    assert resumed == {
        "acme's session resumed at acme, TLS 1.2": "200 resumed",
        "acme's session resumed at umbrella, TLS 1.2": "TLS alert",
        "acme's session resumed at acme, TLS 1.3": "200 resumed",
        "acme's session resumed at umbrella, TLS 1.3": "TLS alert",
    }


def test_tables_of_both_backends_say_where_the_state_is_and_what_ssl_cannot_see(tmp_path: Path) -> None:
    done = mtlskit("demo", "--directory", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "TLS by pyopenssl" in done.stdout
    assert "TLS by ssl" in done.stdout
    assert "all as expected" in done.stdout
    assert "the standard library's ssl shows nothing of a certificate that it refused" in done.stdout
    assert f"The state stays in {tmp_path}" in done.stdout
    assert "\x1b" not in done.stdout


def test_private_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    make_scenario(prepare_directory(tmp_path / "state"), 1).store.close()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    keys = [path for path in (tmp_path / "state").iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert keys
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_rows_are_as_expected_on_every_event_loop(loop: str, tmp_path: Path) -> None:
    pytest.importorskip("uvloop")
    with bind("127.0.0.1", 0) as listener:
        scenario = make_scenario(tmp_path, listener.getsockname()[1])
        scenario.wait_until_expired()
        rows = run(scenario, "pyopenssl", listener, loop=loop)
        scenario.store.close()
    assert [row for row in rows if not row.as_expected] == []


def test_a_row_that_is_not_as_expected_gives_status_one(tmp_path: Path) -> None:
    # The protection is taken out: the neighbour's root is trusted at acme too.
    breaking = (
        "import mtlskit.cli.demo.scenario as scenario\n"
        "made = scenario._hostname_settings\n"
        "def broken(acme, umbrella, *rest):\n"
        "    settings = made(acme, umbrella, *rest)\n"
        "    settings[scenario.ACME]['trust'] = [acme.certificate, umbrella.certificate]\n"
        "    del settings[scenario.ACME]['policies']\n"
        "    return settings\n"
        "scenario._hostname_settings = broken\n"
        "from mtlskit.cli import main; main()\n"
    )
    arguments = ["demo", "--backend", "pyopenssl", "--json", "--directory", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", breaking, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    wrong = [row["attempt"] for row in json.loads(done.stdout)["rows"] if not row["as_expected"]]
    assert wrong == ["umbrella's till-3 at acme", "acme's device that no policy names"]


def test_an_earlier_demo_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "mtlskit.db").write_text("not a database")
    with pytest.raises(ConfigurationError, match="without an earlier demo"):
        prepare_directory(tmp_path)
    assert (tmp_path / "mtlskit.db").read_text() == "not a database"


def test_serve_stays_up_prints_curl_lines_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    arguments = [*COMMAND, "demo", "--backend", "pyopenssl", "--serve", "--directory", str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            lines = _curl_lines(process.stdout, 5)
            assert _answer(lines[0], tmp_path) == (200, DEVICE)
            assert _answer(lines[-1], tmp_path) == (200, None)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == ""


def _curl_lines(stdout: Any, count: int) -> list[list[str]]:
    lines: list[list[str]] = []
    while len(lines) < count:
        line = stdout.readline()
        assert line, "the demo ended before it served"
        if line.startswith("curl "):
            lines.append(shlex.split(line))
    return lines


def _answer(words: list[str], directory: Path) -> tuple[int | None, str | None]:
    """What curl would get: the line is taken apart, so that the test needs no curl."""
    hostname, port, address = words[words.index("--resolve") + 1].split(":")
    assert (words[-1], address) == (f"https://{hostname}:{port}/whoami", "127.0.0.1")
    certificate = Path(words[words.index("--cert") + 1]) if "--cert" in words else None
    peer = Peer(int(port), Path(words[words.index("--cacert") + 1]), certificate)
    _wait_until_open(int(port))
    reply = peer.get(hostname)
    return reply.status, reply.identity


def _wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


def test_state_of_the_demo_serves_the_certificate_commands(tmp_path: Path) -> None:
    make_scenario(prepare_directory(tmp_path), 1).store.close()
    store = f"sqlite:///{tmp_path / 'mtlskit.db'}"
    done = mtlskit("mtls-certificate", "--store", store, "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    uploaded = json.loads(done.stdout)
    assert {each["name"] for each in uploaded} == {"billing-service", "reports-service"}
    bound = (tmp_path / "wrangler.toml").read_text()
    assert set(re.findall(r'certificate_id = "([^"]+)"', bound)) == {each["id"] for each in uploaded}


def test_the_peer_tells_a_closed_port_and_an_untrusted_server_apart(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        scenario = make_scenario(tmp_path, port)
        scenario.store.close()
    reply = Peer(port, scenario.server_root_file, scenario.device(DEVICE), ssl.TLSVersion.TLSv1_3).get(ACME)
    assert reply.status is None
    assert reply.ended.startswith("ConnectionRefusedError")
    assert os.path.exists(scenario.bindings_file)
