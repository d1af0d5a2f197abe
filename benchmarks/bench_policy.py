"""What does a policy decision cost against the same decision written by hand as a Python closure?

The policy: allow if the common name is one of 20, the serial is not in a deny set of 10,000, and a URI SAN is the one
required. Also: whether a policy of 1,000 rules costs more than one of 10. Prints ratios of medians of one run.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable

from mtlskit.core import rules
from mtlskit.core.certificates import ClientIdentity
from mtlskit.core.policy import AccessPolicy, compile_policies
from mtlskit.testing.certificates import Authority

NUMBER, ROUNDS = 20_000, 11
URI = "urn:acme:device:17"
NAMES = [f"device-{number}" for number in range(20)]
DENIED = range(1, 10_001)


def by_hand(identity: ClientIdentity) -> bool:
    """The closure to compare with (its sets are made once)."""
    return identity.common_name in NAME_SET and identity.serial_number not in DENIED_SET and URI in identity.uris


NAME_SET, DENIED_SET = frozenset(NAMES), frozenset(DENIED)


def policy_of(names: int) -> AccessPolicy:
    """The policy with `names` common names."""
    return AccessPolicy(
        decision="allow",
        include=[rules.common_name(f"device-{number}") for number in range(names)],
        require=[rules.uri(URI)],
        exclude=[rules.serial(number) for number in DENIED],
    )


def microseconds(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The median microseconds per call of each, measured by turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            times[name].append(timeit.timeit(function, number=NUMBER) / NUMBER * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Prints the table."""
    leaf = Authority.root().leaf("device-7", sans=(f"uri:{URI}",)).certificate
    identity = ClientIdentity.of(leaf, hostname="pay.acme.example", anchor_id="acme")
    compiled = {names: compile_policies([policy_of(names)]) for names in (10, 20, 1_000)}
    simple = compile_policies([AccessPolicy(decision="allow", include=[rules.common_name("device-7")])])
    assert by_hand(identity)
    assert all(outcome(identity).allowed for outcome in (*compiled.values(), simple))
    found = microseconds(
        {
            "closure by hand": lambda: by_hand(identity),
            "compiled, 20 names": lambda: compiled[20](identity),
            "compiled, 10 names": lambda: compiled[10](identity),
            "compiled, 1,000 names": lambda: compiled[1_000](identity),
            "compiled, one name only": lambda: simple(identity),
        }
    )
    floor = found["closure by hand"]
    for name, value in found.items():
        print(f"{name:26} {value:6.2f} us   {value / floor:5.2f} x closure")
    print(f"1,000 rules / 10 rules: {found['compiled, 1,000 names'] / found['compiled, 10 names']:.2f}")


if __name__ == "__main__":
    main()
