"""What rules ask for beside the certificate: who evaluates them has to bring it, and cannot remember the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import assert_never

from mtlskit.core.rules.selectors import OF_ISSUANCE, OF_REQUEST
from mtlskit.core.rules.values import (
    AllOf,
    AnyOf,
    AnyValidCertificate,
    Everyone,
    InExpression,
    Lasting,
    Lifetime,
    Not,
    Rule,
    RuleGroup,
    Selected,
    TimeWindow,
    inner,
)


class Asked(StrEnum):
    """What is known of a request beside the certificate of its client."""

    REQUEST = "request"  # its hostname, method, path, client address
    TIME = "time"
    ISSUANCE = "issuance"  # what the store's authorities know of the certificate


def asked_by(rules: Iterable[Rule]) -> frozenset[Asked]:
    """Everything that one of the rules asks for."""
    return frozenset(asked for rule in rules for asked in _asked(rule))


def _asked(rule: Rule) -> Iterator[Asked]:
    match rule:
        case Selected(selector):
            if selector in OF_REQUEST:
                yield Asked.REQUEST
            if selector in OF_ISSUANCE:
                yield Asked.ISSUANCE
        case InExpression(expression):
            if expression.asks_request:
                yield Asked.REQUEST
        case TimeWindow() | Lasting(Lifetime.REMAINING):
            yield Asked.TIME
        case AllOf() | AnyOf() | Not() | RuleGroup():
            yield from asked_by(inner(rule))
        case Everyone() | AnyValidCertificate() | Lasting():
            return
        case _:
            assert_never(rule)
