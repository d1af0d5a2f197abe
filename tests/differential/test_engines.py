"""`verify_path` against OpenSSL (its verifier, and a handshake) and `cryptography`'s verifier, on random hierarchies."""

from __future__ import annotations

import pytest

from differential.classes import CLASSES, Class, explaining
from differential.engines import ENGINES, ours
from differential.hierarchies import DEVIATIONS, hierarchy
from support.validation import ACCEPTED

# cryptography warns of serial numbers while it parses them.
pytestmark = pytest.mark.filterwarnings("ignore")

SAMPLE, ALL = range(120), range(300, 5_000)


def differences(seeds: range) -> tuple[set[Class], list[str]]:
    """The classes seen, and what belongs to none."""
    seen: set[Class] = set()
    new: list[str] = []
    for seed in seeds:
        case = hierarchy(seed)
        for name, (engine, profile) in ENGINES.items():
            mine, theirs = ours(case, profile), engine(case)
            if theirs is None or (mine == ACCEPTED) == (theirs == ACCEPTED):
                continue
            found = explaining(name, mine, case.deviations)
            if found is None:
                new.append(f"seed {seed}, {name}: we say {mine}, it says {theirs}; {sorted(case.deviations)}")
            else:
                seen.add(found)
    return seen, new


def test_no_difference_is_new_in_a_sample() -> None:
    _, new = differences(SAMPLE)
    assert new == []


@pytest.mark.slow
def test_no_difference_is_new_and_every_class_is_seen() -> None:
    seen, new = differences(ALL)
    assert new == []
    assert [each.why for each in CLASSES if each not in seen] == []


def test_the_engines_agree_on_most_so_that_agreement_means_something() -> None:
    verdicts = [
        (ours(case, profile), engine(case))
        for case in map(hierarchy, range(40))
        for engine, profile in ENGINES.values()
    ]
    agreed = [mine for mine, theirs in verdicts if (mine == ACCEPTED) == (theirs == ACCEPTED)]
    assert agreed.count(ACCEPTED) >= 20
    assert len(agreed) - agreed.count(ACCEPTED) >= 20


def test_a_seed_always_gives_the_same_shape() -> None:
    for seed in range(20):
        first, second = hierarchy(seed), hierarchy(seed)
        assert first.deviations == second.deviations
        assert (len(first.presented), len(first.anchors)) == (len(second.presented), len(second.anchors))
    assert len(DEVIATIONS) > 30
