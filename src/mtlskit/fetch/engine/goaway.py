"""GOAWAY of HTTP/2 kept from the engine, which gives up every stream for it, also those that the server still answers.

Stands between the network and the engine. What comes passes, frame by frame (RFC 9113, 4.1); in the place of a GOAWAY
(6.8) the engine is told of each stream above the last one that it is reset, as one that the server has not begun with
(8.7). Pure.
"""

from __future__ import annotations

import struct
from typing import Final

_HEAD: Final = struct.Struct(">HBBBI")  # the length in 24 bits, type, flags, stream
_RESET: Final = struct.Struct(">HBBBII")
_LAST: Final = struct.Struct(">I")
_DATA, _HEADERS, _RST_STREAM, _GOAWAY = 0, 1, 3, 7
_END_STREAM, _END_HEADERS = 1, 4
_REFUSED_STREAM: Final = 7
_ID: Final = 0x7FFF_FFFF  # without the bit that is reserved
_MOST_HELD: Final = _HEAD.size + 8


class Frames:
    """What the server sends over one connection. `refused` are the streams of ours that it has not begun with."""

    def __init__(self) -> None:
        self.refused: set[int] = set()
        self._last: int | None = None
        self._open: set[int] = set()
        self._held = b""  # of a frame whose beginning is not whole
        self._left = 0  # octets of the frame that has begun
        self._is_kept = False  # that frame, from the engine
        self._ends: int | None = None  # the stream whose last frame that is

    def open(self, stream: int) -> None:
        """Our side is about to open that stream."""
        self._open.add(stream)

    @property
    def has_gone_away(self) -> bool:
        """Whether the server said that it takes no more streams."""
        return self._last is not None

    @property
    def is_over(self) -> bool:
        """Whether streams were refused and all others have ended: nothing comes any more that somebody waits for."""
        return bool(self.refused) and not self._open

    def is_behind_others(self, stream: int) -> bool:
        """Whether streams before that one were taken when the server said up to where it goes."""
        return bool(self._last) and stream > (self._last or 0)

    def received(self, data: bytes) -> bytes:
        """What the engine is given of what came; nothing, where all of it is kept or waits for the rest."""
        data, self._held = self._held + data, b""
        given: list[bytes] = []
        at = 0
        while at < len(data):
            if not self._left and not self._begin(data[at : at + _MOST_HELD], given):
                self._held = data[at:]
                break
            part = data[at : at + self._left]
            if not self._is_kept:
                given.append(part)
            self._left -= len(part)
            at += len(part)
            if not self._left and self._ends is not None:
                self._open.discard(self._ends)
                self._ends = None
        return b"".join(given)

    def _begin(self, start: bytes, given: list[bytes]) -> bool:
        """Whether so much of a frame is enough to know it."""
        if len(start) < _HEAD.size:
            return False
        high, low, kind, flags, stream = _HEAD.unpack_from(start)
        length, stream = high << 8 | low, stream & _ID
        is_goaway = kind == _GOAWAY and not stream and length >= 8  # any other is wrong, which the engine will say
        is_reset = kind == _RST_STREAM and length == 4
        if len(start) < _HEAD.size + 8 * is_goaway + 4 * is_reset:
            return False
        if is_goaway:
            given.append(self._gone_away(_LAST.unpack_from(start, _HEAD.size)[0] & _ID))
        elif is_reset:
            self._reset(stream, _LAST.unpack_from(start, _HEAD.size)[0])
        elif _is_last(kind, flags):
            self._ends = stream
        self._left, self._is_kept = _HEAD.size + length, is_goaway
        return True

    def _gone_away(self, last: int) -> bytes:
        # A server that ends in peace says at first that it takes all, and later up to where it went.
        self._last = last
        refused = sorted(stream for stream in self._open if stream > last)
        self._open.difference_update(refused)
        self.refused.update(refused)
        return b"".join(_RESET.pack(0, 4, _RST_STREAM, 0, stream, _REFUSED_STREAM) for stream in refused)

    def _reset(self, stream: int, code: int) -> None:
        if stream in self._open:
            self._open.discard(stream)
            if code == _REFUSED_STREAM:
                self.refused.add(stream)


def _is_last(kind: int, flags: int) -> bool:
    # Headers may go on in other frames.
    return bool(flags & _END_STREAM) and (kind == _DATA or (kind == _HEADERS and bool(flags & _END_HEADERS)))
