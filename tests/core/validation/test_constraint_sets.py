"""Constraints are looked up by sets; here each answer is compared with the plain one, base by base."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from mtlskit.core.validation.constraints import _first_broken, _network
from mtlskit.core.validation.general_names import Form, Mailbox

HOSTS = [".".join(labels) for size in (1, 2, 3) for labels in itertools.product("abc", repeat=size)]
DOTTED = ["." + host for host in HOSTS]
WILDCARDS = ["*." + host for host in HOSTS]


def is_dns_inside(name: str, base: str) -> bool:
    plain = name.removeprefix("*.")
    below = base if base.startswith(".") else "." + base
    return not base or plain == base or plain.endswith(below) or (plain != name and base == name[1:])


def does_dns_touch(name: str, base: str) -> bool:
    return is_dns_inside(name, base) or (name.startswith("*.") and base.partition(".")[2] == name[2:])


def is_mailbox_inside(name: Mailbox, base: Mailbox) -> bool:
    if base.local:
        return name == base
    return name.host.endswith(base.host) if base.host.startswith(".") else base.host in ("", name.host)


def is_uri_inside(name: str, base: str) -> bool:
    return base in ("", name) or (base.startswith(".") and name.endswith(base))


def is_address_inside(name: bytes, base: bytes) -> bool:
    if len(base) != 2 * len(name):
        return False
    pairs = zip(name, base[: len(name)], base[len(name) :], strict=True)
    return all(octet & mask == wanted & mask for octet, wanted, mask in pairs)


def is_directory_inside(name: tuple[Any, ...], base: tuple[Any, ...]) -> bool:
    return name[: len(base)] == base


ADDRESSES = [bytes(octets) for octets in itertools.product((1, 2), (1, 128), (0,), (3, 255))] + [bytes(16), b"\1" * 16]
NETWORKS = [
    address + bytes([mask]) * len(address) for address in ADDRESSES for mask in (0, 0x80, 0xAA, 0xFF)
]  # fmt: skip
PLAIN = [
    tuple(((b"\x55", "", text),) for text in texts)
    for size in (0, 1, 2)
    for texts in itertools.product("ab", repeat=size)
]
OPAQUE = ((b"\x55", "opaque", "3:00"),)
MAILBOXES = [Mailbox(local, host) for local in "xy" for host in HOSTS[:12]]


@pytest.mark.parametrize(("form", "names", "bases", "is_inside", "touches"), [
    (Form.DNS, HOSTS + WILDCARDS, ["", *HOSTS, *DOTTED], is_dns_inside, does_dns_touch),
    (Form.EMAIL, MAILBOXES, [*MAILBOXES, *[Mailbox("", host) for host in ("", *HOSTS, *DOTTED)]], is_mailbox_inside, is_mailbox_inside),
    (Form.URI, HOSTS, ["", *HOSTS, *DOTTED], is_uri_inside, is_uri_inside),
    (Form.IP, ADDRESSES, NETWORKS, is_address_inside, is_address_inside),
    (Form.DIRECTORY, PLAIN, PLAIN, is_directory_inside, is_directory_inside),
])  # fmt: skip
def test_each_name_against_each_base(
    form: Form, names: list[Any], bases: list[Any], is_inside: Any, touches: Any
) -> None:
    for name, base in itertools.product(names, bases):
        written = _network(base) if form is Form.IP else base
        assert (_first_broken(form, [name], [written], []) is None) is is_inside(name, base), (name, base)
        assert (_first_broken(form, [name], [], [written]) is None) is not touches(name, base), (name, base)
        assert _first_broken(form, [name, name], [written], [written]) == 0


def test_what_has_no_reading_touches_all_that_is_excluded() -> None:
    odd = (OPAQUE,)
    assert _first_broken(Form.DIRECTORY, [odd], [()], []) is None
    assert _first_broken(Form.DIRECTORY, [odd], [], [PLAIN[1]]) == 0
    assert _first_broken(Form.DIRECTORY, [PLAIN[2]], [], [odd]) == 0


def test_what_cannot_be_compared_is_not_allowed_where_its_form_is_constrained() -> None:
    assert _first_broken(Form.DNS, [None], [], []) is None
    for names, permitted, excluded in (([None], ["a"], []), (["a"], ["a", None], []), (["a"], [], [None])):
        assert _first_broken(Form.DNS, names, permitted, excluded) is not None
