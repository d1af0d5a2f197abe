"""What does a policy decision cost against the same decision written by hand as a Python closure, and in other engines?

The policy: allow if the common name is one of 20, the serial is not in a deny set of 10,000, and a URI SAN has the
prefix required. Also: whether a policy of 1,000 rules costs more than one of 10. Prints ratios of medians of one run.

The closures begin at the certificate, or (`on values`, the floor) at what the policy looks at, read beforehand.
Ours ends with a reason; what it reads of a client it keeps for the client's next request. The other engines (those of
`policy_peers` that are installed) begin at values too, and end with a yes or no.
Run: `python -m benchmarks.bench_policy`, after `pip install common-expression-language pycasbin cedarpy cel-python`.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from benchmarks.policy_peers import PEERS, Client, Peer, Policy
from mtlskit.core import rules
from mtlskit.core.certificates import ClientIdentity
from mtlskit.core.names import SanType
from mtlskit.core.policy import AccessPolicy, CompiledPolicies, compile_policies
from mtlskit.testing.certificates import Authority

Decide: TypeAlias = Callable[[ClientIdentity], bool]

NUMBER, ROUNDS, ROUND_SECONDS = 20_000, 11, 0.05
PREFIX = "urn:acme:device:"
URI = f"{PREFIX}17"
OTHER_URI = "urn:acme:gateway:17"
NAMES = [f"device-{number}" for number in range(20)]
DENIED = range(1, 10_001)


def by_hand(identity: ClientIdentity) -> bool:
    """The closure to compare with, written to be fast (its sets are made once)."""
    if identity.common_name not in NAME_SET or identity.serial_number in DENIED_SET:
        return False
    for san in identity.sans:  # noqa: SIM110  a generator would cost more than the rest
        if san.type is SanType.URI and san.value.startswith(PREFIX):
            return True
    return False


def by_hand_in_short(identity: ClientIdentity) -> bool:
    """The same as one would write it without a thought for its cost."""
    return (
        identity.common_name in NAME_SET
        and identity.serial_number not in DENIED_SET
        and any(uri.startswith(PREFIX) for uri in identity.uris)
    )


def by_hand_on_values(client: Client) -> bool:
    """The same on what was read before, as the other engines are asked: the least that a decision can cost."""
    if client.common_name not in NAME_SET or client.serial in DENIED_TEXTS:
        return False
    for uri in client.uris:  # noqa: SIM110
        if uri.startswith(PREFIX):
            return True
    return False


NAME_SET, DENIED_SET = frozenset(NAMES), frozenset(DENIED)
DENIED_TEXTS = frozenset(f"{number:x}" for number in DENIED)


def policy_of(names: int) -> AccessPolicy:
    """The policy with `names` common names."""
    return AccessPolicy(
        decision="allow",
        include=[rules.common_name(f"device-{number}") for number in range(names)],
        require=[rules.uri(prefix=PREFIX)],
        exclude=[rules.serial(number) for number in DENIED],
    )


def clients() -> tuple[list[ClientIdentity], list[ClientIdentity]]:
    """Clients to let in (the first one is measured), and one to shut out for each part of the policy."""
    root = Authority.root()

    def client(name: str = "device-7", *uris: str, serial: int | None = None) -> ClientIdentity:
        leaf = root.leaf(name, sans=[f"uri:{uri}" for uri in uris or (URI,)], serial_number=serial).certificate
        return ClientIdentity.of(leaf, hostname="pay.acme.example", anchor_id="acme")

    welcome = [client(), client("device-7", OTHER_URI, URI)]
    return welcome, [client("device-7x"), client(serial=DENIED[-1]), client("device-7", OTHER_URI)]


def read(identity: ClientIdentity) -> Client:
    """What the other engines are given."""
    return Client(identity.common_name or "", f"{identity.serial_number:x}", identity.uris)


def check(decide: Decide, welcome: Sequence[ClientIdentity], others: Sequence[ClientIdentity]) -> None:
    """Sees that it is the same decision."""
    assert all(map(decide, welcome))
    assert not any(map(decide, others))


def microseconds(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The median microseconds per call of each, measured by turns; a slow one is called less often in its turn."""
    numbers = {name: _number(function) for name, function in functions.items()}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            times[name].append(timeit.timeit(function, number=numbers[name]) / numbers[name] * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def _number(function: Callable[[], object]) -> int:
    """As many calls as fit a round, going by the fastest of five."""
    return max(1, min(NUMBER, int(ROUND_SECONDS / min(timeit.repeat(function, number=1, repeat=5)))))


def main() -> None:
    """Prints the table."""
    welcome, others = clients()
    identity = welcome[0]
    compiled = {names: compile_policies([policy_of(names)]) for names in (10, 20, 1_000)}
    values = read(identity)
    simple = compile_policies([AccessPolicy(decision="allow", include=[rules.common_name("device-7")])])
    for closure in (by_hand, by_hand_in_short, partial(_read_and_asked, by_hand_on_values)):
        check(closure, welcome, others)
    for outcome in compiled.values():
        check(partial(_allowed, outcome), welcome, others)
    assert simple(identity).allowed
    functions: dict[str, Callable[[], object]] = {
        "closure by hand": lambda: by_hand(identity),
        "closure by hand, on values": lambda: by_hand_on_values(values),
        "closure by hand, in short": lambda: by_hand_in_short(identity),
        "compiled, 20 names": lambda: compiled[20](identity),
        "compiled, 10 names": lambda: compiled[10](identity),
        "compiled, 1,000 names": lambda: compiled[1_000](identity),
        "compiled, one name only": lambda: simple(identity),
        "read for another engine": lambda: read(identity),
    }
    engines = {_title(peer): peer for peer in PEERS if peer.version is not None}
    wanted = Policy(tuple(NAMES), tuple(f"{number:x}" for number in DENIED), PREFIX)
    for title, peer in engines.items():
        decide = peer.decision(wanted)
        check(partial(_read_and_asked, decide), welcome, others)
        functions[title] = partial(decide, read(identity))
    found = microseconds(functions)
    floor, ours = found["closure by hand, on values"], found["compiled, 20 names"]
    for name, value in found.items():
        against = f"   {value / ours:7.2f} x compiled, 20 names" if name in engines else ""
        print(f"{name:34} {value:8.2f} us   {value / floor:7.2f} x closure{against}")
    for peer in PEERS:
        if peer.version is None:
            print(f"{peer.name:34} not installed: pip install {peer.name}")
    print(f"1,000 rules / 10 rules: {found['compiled, 1,000 names'] / found['compiled, 10 names']:.2f}")


def _allowed(policies: CompiledPolicies, identity: ClientIdentity) -> bool:
    return policies(identity).allowed


def _read_and_asked(decide: Callable[[Client], bool], identity: ClientIdentity) -> bool:
    return decide(read(identity))


def _title(peer: Peer) -> str:
    return f"{peer.name} {peer.version}"


if __name__ == "__main__":
    main()
