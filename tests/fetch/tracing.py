"""What a process writes, as strace saw it: which files it opened for writing, and every octet that went into them.

Pipes, sockets and files that are in memory only are not on any disk; all else counts as a file.
"""

from __future__ import annotations

import ast
import base64
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_OPENS = ("open", "openat", "openat2", "creat")
_WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
_MOVES = ("rename", "renameat", "renameat2", "link", "linkat")
_COPIES = ("sendfile", "copy_file_range", "splice")
_CALLS = ",".join((*_OPENS, *_WRITES, *_MOVES, *_COPIES, "mmap", "memfd_create"))
_LINE = re.compile(r"(?P<call>\w+)\((?P<arguments>.*)\)\s+= (?P<result>.*)", re.DOTALL)
_TEXT = re.compile(r'"(?P<content>(?:[^"\\]|\\.)*)"(?P<cut>\.\.\.)?')
_DESCRIPTOR = re.compile(r"\d+<(?P<what>.*?)>(?:\(deleted\))?(?=, |\)|$)")
_NO_FILE = re.compile(
    r"(?:pipe|socket|anon_inode|TCP|TCPv6|UDP|UNIX|NETLINK)[:\[].*|/memfd:.*|/dev/(?:null|tty|pts/\d+)"
)
_FOR_WRITING = re.compile(r"\bO_(?:WRONLY|RDWR|CREAT|TRUNC)\b")


@dataclass
class Trace:
    """`opened` for writing or made otherwise; `written` to each file; `memory` has what was made in memory only."""

    opened: set[str] = field(default_factory=set)
    written: defaultdict[str, bytes] = field(default_factory=lambda: defaultdict(bytes))
    memory: set[str] = field(default_factory=set)

    def showing(self, *secrets: bytes) -> list[str]:
        """The files into which any of the secrets went, in any of the forms of `shows`."""
        return sorted(path for path, content in self.written.items() if any(shows(content, each) for each in secrets))


def shows(content: bytes, secret: bytes) -> bool:
    """Whether the secret is in it: as it is, in hexadecimal digits or in Base64, broken into lines or not."""
    assert len(secret) >= 16, "what is short is anywhere"
    if secret in content or secret.hex().encode() in content.lower():
        return True
    joined = content.replace(b"\\n", b"").translate(None, b"\r\n \t").translate(bytes.maketrans(b"-_", b"+/"))
    return any(each in joined for each in _in_base64(secret))


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """What its octets become wherever they begin among those before them, without the digits that others share."""
    for before in range(3):
        whole = (len(secret) + before) // 3 * 4
        yield base64.b64encode(bytes(before) + secret)[4 if before else 0 : whole]


def traced(script: str, given: str, folder: Path, **environment: str) -> tuple[str, Trace]:
    """Runs the script under strace with `given` as its input; gives what it printed, and what it wrote."""
    program = shutil.which("strace") or pytest.skip("strace is not installed")
    if subprocess.run([program, "-o", "/dev/null", "true"], capture_output=True, timeout=30).returncode != 0:
        pytest.skip("no process may be traced here")
    folder.mkdir()
    # No cache of byte code, and no coverage: both write files of their own.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [program, "-ff", "-y", "-s", "1048576", "-e", f"trace={_CALLS}", "-o", folder / "trace",
         sys.executable, "-B", "-W", "error", "-c", script],
        input=given, capture_output=True, text=True, timeout=120, env={**kept, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, _read(folder)


def _read(folder: Path) -> Trace:
    found = Trace()
    for path in sorted(folder.iterdir()):  # one of each thread: no line is broken by another's
        for line in path.read_text(encoding="utf-8").splitlines():
            match = _LINE.fullmatch(line)
            if match is not None:
                _note(found, match["call"], match["arguments"])
    return found


def _note(trace: Trace, call: str, arguments: str) -> None:
    texts = _texts(arguments)
    if call == "memfd_create":
        trace.memory.add(texts[0].decode())
    elif call == "creat" or (call in _OPENS and _FOR_WRITING.search(_TEXT.sub("", arguments))):
        _open(trace, texts[0].decode())
    elif call in _MOVES:
        _open(trace, texts[1].decode())
    elif call == "mmap" and "PROT_WRITE" in arguments and "MAP_SHARED" in arguments:
        for described in _DESCRIPTOR.finditer(arguments):
            _open(trace, described["what"])
    elif call in _WRITES:
        described = _DESCRIPTOR.match(arguments)
        assert described is not None, arguments
        if not _NO_FILE.fullmatch(described["what"]):
            trace.written[described["what"]] += b"".join(texts)
    assert call not in _COPIES, f"expected writes whose octets are seen, got {call}({arguments})"


def _open(trace: Trace, path: str) -> None:
    if not _NO_FILE.fullmatch(path):
        trace.opened.add(path)


def _texts(arguments: str) -> list[bytes]:
    """The texts among the arguments, which strace writes with C's escapes."""
    found = list(_TEXT.finditer(arguments))
    assert not any(text["cut"] for text in found), "strace has cut an argument"
    return [ast.literal_eval(f'b"{text["content"]}"') for text in found]
