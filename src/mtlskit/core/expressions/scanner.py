"""The text of an expression, read from left to right. Owns the places and the words of its errors."""

from __future__ import annotations

import re
from typing import Final, NoReturn

from mtlskit.errors import ExpressionError

DEEPEST_NESTING: Final = 64  # brackets and negations around a comparison, and levels of what was parsed
_LONGEST_SHOWN = 60
_MOST_HASHES = 255

_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
_SIGN = re.compile(r"==|!=|<=|>=|&&|\|\||\^\^|[<>~&]")
_ADDRESS = re.compile(r"[0-9A-Za-z:./%_-]+")
_RAW = re.compile(r'r(#*)"')
_QUOTED = re.compile(r'[^"\\]+')
_ESCAPE = re.compile(r'\\(?:(["\\])|x([0-9A-Fa-f]{2}))')
_SHOWN = re.compile(r'[\w.$:/%]+|"[^"]*"?|==|!=|<=|>=|&&|\|\||\^\^|.', re.DOTALL)


class Scanner:
    """A place in a text. Each method steps over white space first, and over what it finds."""

    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._skip()

    @property
    def is_at_end(self) -> bool:
        """Whether nothing but white space is left."""
        return self.at == len(self.text)

    def fail(self, expected: str, at: int | None = None, note: str = "") -> NoReturn:
        """Raises ExpressionError for what stands at `at`, or here."""
        at = self.at if at is None else at
        found = _SHOWN.match(self.text, at)
        got = _shown(found[0]) if found else "the end"
        raise ExpressionError(f"expected {expected} at column {at + 1}, got {got}{note}", at + 1)

    def takes(self, symbol: str) -> bool:
        """Steps over `symbol` if it stands here."""
        if not self.text.startswith(symbol, self.at):
            return False
        self._move(self.at + len(symbol))
        return True

    def needs(self, symbol: str) -> None:
        """Steps over `symbol`; raises ExpressionError where it does not stand here."""
        if not self.takes(symbol):
            self.fail(repr(symbol))

    def peek(self) -> str:
        """The word or operator sign that stands here, empty where none does. Stays where it is."""
        found = _WORD.match(self.text, self.at) or _SIGN.match(self.text, self.at)
        return found[0] if found else ""

    def is_text_next(self) -> bool:
        """Whether a string literal begins here."""
        return self.text.startswith('"', self.at) or _RAW.match(self.text, self.at) is not None

    def string(self) -> str:
        """A quoted or raw string's value; raises ExpressionError."""
        raw = _RAW.match(self.text, self.at)
        if raw:
            return self._raw(len(raw[1]), raw.end())
        if not self.text.startswith('"', self.at):
            self.fail("a string in double quotes")
        return self._quoted()

    def address(self, expected: str) -> str:
        """The characters of an address, a network or a range; raises ExpressionError, "expected `expected`"."""
        found = _ADDRESS.match(self.text, self.at)
        if found is None:
            self.fail(expected)
        self._move(found.end())
        return found[0]

    def _quoted(self) -> str:
        start, at, octets = self.at, self.at + 1, bytearray()
        while not self.text.startswith('"', at):
            if plain := _QUOTED.match(self.text, at):
                octets += plain[0].encode()
                at = plain.end()
            elif escape := _ESCAPE.match(self.text, at):
                octets += bytes.fromhex(escape[2]) if escape[2] else escape[1].encode()
                at = escape.end()
            elif at == len(self.text):
                self.fail("a closing quote", at)
            else:
                self.fail(r"one of \", \\ and \xHH", at)
        self._move(at + 1)
        return self._decoded(bytes(octets), start)

    def _raw(self, hashes: int, first: int) -> str:
        if hashes > _MOST_HASHES:
            self.fail(f"at most {_MOST_HASHES} number signs before a raw string")
        closing = '"' + "#" * hashes
        end = self.text.find(closing, first)
        if end < 0:
            self.fail(f"a closing {_shown(closing)}", len(self.text))
        self._move(end + len(closing))
        return self.text[first:end]

    def _decoded(self, octets: bytes, start: int) -> str:
        try:
            return octets.decode()
        except UnicodeDecodeError:
            self.fail("a string in UTF-8", start)

    def _move(self, at: int) -> None:
        self.at = at
        self._skip()

    def _skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")
