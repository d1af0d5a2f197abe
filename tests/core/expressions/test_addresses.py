"""Addresses are compared as addresses, and every set of them has one text."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.expressions.addresses import AddressRange, AddressSet


@pytest.mark.parametrize(("text", "canonical"), [
    ("192.0.2.1", "192.0.2.1"),
    ("192.0.2.1/32", "192.0.2.1"),
    ("192.0.2.0/24", "192.0.2.0/24"),
    ("192.0.2.0..192.0.2.255", "192.0.2.0/24"),
    ("192.0.2.1..192.0.2.1", "192.0.2.1"),
    ("192.0.2.1..192.0.2.9", "192.0.2.1..192.0.2.9"),
    ("0.0.0.0/0", "0.0.0.0/0"),
    ("2001:0DB8::/32", "2001:db8::/32"),
    ("::1..::5", "::1..::5"),
    ("::/0", "::/0"),
    ("::ffff:192.0.2.1", "192.0.2.1"),
    ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
    ("::ffff:0:0/96", "0.0.0.0/0"),
])  # fmt: skip
def test_a_range_has_one_text(text, canonical):
    assert str(AddressRange.parse(text)) == canonical
    assert AddressRange.parse(canonical) == AddressRange.parse(text)


@pytest.mark.parametrize("text", [
    "", "192.0.2", "192.0.2.256", "192.0.02.1", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/024", "192.0.2.0/",
    "192.0.2.0/255.255.255.0", "192.0.2.9..192.0.2.1", "192.0.2.1..::1", "192.0.2.1..", "..192.0.2.1", "a..b..c",
    "192.0.2.0/24..192.0.3.0/24", "fe80::1%eth0", "fe80::%1/64", "::ffff:0:0/95", "::..::ffff:192.0.2.1", "g::",
])  # fmt: skip
def test_what_is_no_range_is_refused(text):
    with pytest.raises(ValueError):
        AddressRange.parse(text)


ADDRESSES = st.integers(0, 40).map(lambda number: IPv4Address(0x0A000000 + number)) | st.integers(0, 40).map(
    lambda number: ip_address(f"2001:db8::{number:x}")
)
RANGES = (
    st.tuples(ADDRESSES, ADDRESSES)
    .filter(lambda ends: ends[0].version == ends[1].version)
    .map(lambda ends: AddressRange(*sorted(ends)))
)


@given(st.lists(RANGES, max_size=6), ADDRESSES)
def test_a_set_holds_what_one_of_its_ranges_holds(ranges, address):
    assert (address in AddressSet(ranges)) is any(address in each for each in ranges)
