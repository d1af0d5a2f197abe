"""The command line's manners: results on stdout, one line of error on stderr, exit status 2, never a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

RUN = "import sys; from mtlskit.cli import main; sys.exit(main())"
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {names!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Block())
"""


def mtlskit(
    *arguments: str, without: tuple[str, ...] = (), directory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own, as if some distributions were not installed."""
    code = BLOCK.format(names=without) + RUN if without else RUN
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=directory)


def assert_refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """One line on stderr with these parts, nothing on stdout, exit status 2."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mtlskit: ")
    for part in parts:
        assert part in done.stderr


def test_version_is_that_of_the_distribution() -> None:
    done = mtlskit("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"mtlskit {version('mtlskit')}\n", "")


@pytest.mark.parametrize("command", [("demo",), ("mtls-certificate",), ("mtls-certificate", "upload")])
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    done = mtlskit(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: mtlskit" in done.stdout


def test_help_lists_every_command() -> None:
    done = mtlskit("--help")
    assert done.returncode == 0
    assert "demo" in done.stdout
    assert "mtls-certificate" in done.stdout


def test_help_of_the_whole_needs_neither_server_nor_http_client() -> None:
    assert mtlskit("--help", without=("uvicorn", "httpx2", "httpcore2")).returncode == 0


@pytest.mark.bare
@pytest.mark.parametrize("missing", [("click", "rich"), ("click",)])
def test_without_click_the_missing_extra_is_named(missing: tuple[str, ...]) -> None:
    assert_refused(mtlskit("demo", without=missing), "expected the extra 'cli' (pip install 'mtlskit[cli]')")


def test_without_rich_the_missing_extra_is_named() -> None:
    assert_refused(mtlskit("demo", without=("rich",)), "the extra 'cli'", "rich is not installed")


def test_without_uvicorn_the_missing_extra_is_named() -> None:
    assert_refused(mtlskit("demo", without=("uvicorn",)), "expected the extra 'uvicorn'")


def test_without_the_http_engine_the_missing_extra_is_named_before_anything_is_made(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    assert_refused(mtlskit("demo", "--directory", str(directory), without=("httpcore2",)), "expected the extra 'fetch'")
    assert not directory.exists()


def test_an_unknown_backend_is_refused() -> None:
    assert_refused(mtlskit("demo", "--backend", "gnutls"), "'gnutls'", "pyopenssl", "see 'mtlskit demo --help'")


def test_an_unknown_command_and_an_unknown_option_are_refused() -> None:
    assert_refused(mtlskit("dmeo"), "dmeo")
    assert_refused(mtlskit("demo", "--fast"), "--fast")


def test_a_port_in_use_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = mtlskit("demo", "--port", port, "--directory", str(tmp_path / "state"))
    assert_refused(done, f"127.0.0.1:{port}", "is in use")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to look like a file\n" * 40, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_corrupt_database_is_refused_and_left_as_it_is(content: bytes, tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    database.write_bytes(content)
    done = mtlskit("mtls-certificate", "--store", f"sqlite:///{database}", "list")
    assert_refused(done, str(database))
    assert database.read_bytes() == content


def test_a_demo_does_not_start_over_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "mtlskit.db").write_bytes(b"corrupt")
    assert_refused(mtlskit("demo", "--directory", str(tmp_path)), "without an earlier demo", str(tmp_path))


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(mtlskit("demo", "--directory", str(tmp_path / "file" / "below")), "expected a directory")


@pytest.mark.parametrize("url", ["redis://", "sqlite:///", "mysql://localhost/x"])
def test_an_unknown_store_is_refused(url: str) -> None:
    assert_refused(mtlskit("mtls-certificate", "--store", url, "list"), "store URL")


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("verify", "--help")])
def test_a_stdout_that_is_full_is_one_line_of_error(arguments: tuple[str, ...]) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("there is no device that is always full")
    command = [sys.executable, "-c", RUN, *arguments]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("mtlskit: expected to ")
    assert "No space left on device" in done.stderr


def test_a_reader_that_goes_away_is_told_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", RUN, "--help"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("path", ["x" * 300, "x" * 300 + "/y"])
def test_a_name_that_no_file_can_have_is_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("")
    assert_refused(mtlskit("ca", "list", "--store", f"sqlite:///{path}", directory=tmp_path), "that is there")
    assert_refused(mtlskit("keys", "new", "--out", path, directory=tmp_path), "expected")
    assert_refused(mtlskit("sign", path, directory=tmp_path), "File name too long")


def test_a_chain_file_without_its_key_is_refused(tmp_path: Path) -> None:
    done = mtlskit("mtls-certificate", "upload", "--cert", "no.pem", "--key", "no.pem", directory=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "mtlskit: Could not read file: no.pem\n"
