"""The addresses of the rules language: single ones, networks and ranges, compared as what they are."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network, summarize_address_range
from itertools import islice
from typing import Any

from mtlskit.core.request import ClientAddress, unmapped

_NETWORK = re.compile(r"([^/]+)/(0|[1-9][0-9]{0,2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AddressRange:
    """The addresses from `first` to `last`, both of one version. An IPv4 address within IPv6 is an IPv4 address."""

    first: ClientAddress
    last: ClientAddress

    @classmethod
    def parse(cls, text: str) -> AddressRange:
        """From `192.0.2.1`, `192.0.2.0/24` or `192.0.2.1..192.0.2.9`; raises ValueError, also for bits of a host."""
        first, dots, last = text.partition("..")
        if dots:
            return cls._of(_address(first), _address(last))
        network = _NETWORK.fullmatch(text)
        if network is None:
            return cls._of(_address(text), _address(text))
        found = ip_network((str(_address(network[1])), int(network[2])))
        return cls._of(found[0], found[-1])

    @classmethod
    def _of(cls, first: ClientAddress, last: ClientAddress) -> AddressRange:
        first, last = unmapped(first), unmapped(last)
        if first.version != last.version or int(first) > int(last):
            raise ValueError("no range")
        return cls(first, last)

    @property
    def is_single(self) -> bool:
        """Whether it is one address."""
        return self.first == self.last

    @property
    def key(self) -> tuple[int, int, int]:
        """The version and both ends, to sort and to compare by."""
        return self.first.version, int(self.first), int(self.last)

    def __contains__(self, address: ClientAddress) -> bool:
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)

    def __str__(self) -> str:
        if self.is_single:
            return str(self.first)
        first: Any = self.first  # of one version with `last`, which the stub asks for in its type
        networks = list(islice(summarize_address_range(first, self.last), 2))
        return str(networks[0]) if len(networks) == 1 else f"{self.first}..{self.last}"


class AddressSet:
    """All addresses of some ranges, found by halving."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[AddressRange]) -> None:
        self._starts: list[tuple[int, int]] = []
        self._ends: list[tuple[int, int]] = []
        for version, first, last in sorted(each.key for each in ranges):
            if self._ends and (version, first) <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], (version, last))
            else:
                self._starts.append((version, first))
                self._ends.append((version, last))

    def __contains__(self, address: ClientAddress) -> bool:
        key = (address.version, int(address))
        position = bisect_right(self._starts, key) - 1
        return position >= 0 and key <= self._ends[position]


def _address(text: str) -> ClientAddress:
    if "%" in text:
        raise ValueError("a zone means something on one machine only")
    return ip_address(text)
