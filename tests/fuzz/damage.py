"""Damages DER in ways that a parser meets late: the outer shape stays whole, one element inside is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import strategies as st

from support.der import content, elements, encode, seq

_CONSTRUCTED = 0x20
_OCTET_STRING, _BIT_STRING = 0x04, 0x03
_TAGS = (
    0x01,
    0x02,
    0x03,
    0x04,
    0x05,
    0x06,
    0x0C,
    0x13,
    0x14,
    0x16,
    0x17,
    0x18,
    0x1E,
    0x30,
    0x31,
    0x80,
    0x82,
    0xA0,
    0xA3,
    0x1F,
)
_CONTENTS = (
    b"", b"\0", b"\xff", b"\x80", b"\0\0", b"\x7f" * 21, b"\xff\xff", b"20250101000000Z", b"\x30\x00", b"\x05\x00", b"a\0b",
    b"\x30\x80\x00\x00", b"\x84\xff\xff\xff\xff", b"*." + b"a" * 300,
)  # fmt: skip

Node = tuple[int, Any]  # the tag, and the octets or the elements inside


def parsed(data: bytes) -> list[Node]:
    """The elements in `data`, down to what is primitive and into what a string wraps."""
    return [_node(each) for each in elements(data)]


def _node(element: bytes) -> Node:
    inside = content(element)
    if element[0] & _CONSTRUCTED or (element[0] == _OCTET_STRING and _is_der(inside)):
        return element[0], parsed(inside)
    return element[0], inside


def _is_der(data: bytes) -> bool:
    try:
        return bool(data) and sum(map(len, elements(data))) == len(data) and b"".join(elements(data)) == data
    except IndexError:
        return False


def built(node: Node) -> bytes:
    """The node in DER."""
    tag, inside = node
    return encode(tag, inside if isinstance(inside, bytes) else b"".join(map(built, inside)))


def places(nodes: list[Node]) -> list[tuple[list[Node], int]]:
    """Every element, as the list that it is in and its position there."""
    found = []
    for position, (_, inside) in enumerate(nodes):
        found.append((nodes, position))
        if isinstance(inside, list):
            found.extend(places(inside))
    return found


@st.composite
def damaged(draw: Callable[[Any], Any], data: bytes) -> bytes:
    """`data` with one to three of its elements changed, moved, doubled or taken out; all lengths are right."""
    nodes = parsed(data)
    for _ in range(draw(st.integers(1, 3))):
        found = places(nodes)
        if not found:
            break
        siblings, position = found[draw(st.integers(0, len(found) - 1))]
        _damage(draw, siblings, position)
    return b"".join(map(built, nodes))


def _damage(draw: Callable[[Any], Any], siblings: list[Node], position: int) -> None:
    tag, inside = siblings[position]
    match draw(st.sampled_from(("drop", "double", "tag", "content", "cut", "swap", "flip"))):
        case "drop":
            del siblings[position]
        case "double":
            siblings.insert(position, siblings[position])
        case "tag":
            siblings[position] = (draw(st.sampled_from(_TAGS)), inside)
        case "content":
            siblings[position] = (tag, draw(st.sampled_from(_CONTENTS) | st.binary(max_size=12)))
        case "cut":
            siblings[position] = (tag, built(siblings[position])[2:-1])
        case "swap":
            other = draw(st.integers(0, len(siblings) - 1))
            siblings[position], siblings[other] = siblings[other], siblings[position]
        case _:
            octets = bytearray(built(siblings[position]))
            octets[draw(st.integers(0, len(octets) - 1))] ^= draw(st.integers(1, 255))
            siblings[position] = (tag, bytes(octets)[2:])


def resigned(data: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The signed structure in `data` signed anew, so that what is wrong inside is looked at; `data` where it is none."""
    try:
        tbs, algorithm, *_ = elements(content(data))
    except (IndexError, ValueError):
        return data
    return seq(tbs, algorithm, encode(_BIT_STRING, b"\0", key.sign(tbs, ec.ECDSA(hashes.SHA256()))))
