"""What an exception would show of a secret: in its text, and in the locals of our frames, however it was chained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import mtlskit

_OURS = str(Path(mtlskit.__file__).parent)


def exposed(error: BaseException, *secrets: bytes | str) -> list[str]:
    """Where each of the secrets shows: `message`, or a function's name and that of its local variable."""
    octets = [each.encode() if isinstance(each, str) else each for each in secrets]
    assert all(octets), "an empty secret shows everywhere"
    return sorted({place for each in chained(error) for place in _places(each, octets)})


def chained(error: BaseException) -> Iterator[BaseException]:
    """The exception, and all that it was raised from or while handling."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [other for other in (each.__cause__, each.__context__) if other is not None]


def _places(error: BaseException, secrets: list[bytes]) -> Iterator[str]:
    if any(_has((str(error), repr(error), error.args), secret) for secret in secrets):
        yield "message"
    for frame in _frames(error):
        for name, value in frame.f_locals.items():
            if any(_has(value, secret) for secret in secrets):
                yield f"{frame.f_code.co_qualname}: {name}"


def _frames(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(_OURS):
            yield trace.tb_frame
        trace = trace.tb_next


# Of what is neither text nor octets, what its repr says: so much a report with locals would show.
def _has(value: object, secret: bytes) -> bool:
    match value:
        case str():
            return secret in value.encode("utf-8", "surrogatepass")
        case bytes() | bytearray() | memoryview():
            return secret in bytes(value)
        case tuple() | list() | set() | frozenset():
            return any(_has(each, secret) for each in value)
        case dict():
            return any(_has(each, secret) for pair in value.items() for each in pair)
        case _:
            shown = _shown(value)
            return secret in shown.encode("utf-8", "surrogatepass") or repr(secret)[2:-1] in shown


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # an object that was not made to its end
        return ""
