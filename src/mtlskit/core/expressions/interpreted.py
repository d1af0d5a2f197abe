"""An expression asked of one client, comparison by comparison: slow, plain, and able to say what each one saw.

The values are Kleene's three: true, false and None, which is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, assert_never

from mtlskit.core.expressions.readings import (
    RevokedCertificates,
    has_one_reading,
    is_name,
    name_among,
    request_fact,
)
from mtlskit.core.expressions.tree import (
    Combination,
    Comparison,
    Expression,
    Flag,
    Leaf,
    Negation,
    Node,
    leaves,
    text_of,
)
from mtlskit.core.expressions.vocabulary import Connective, Field, Operator
from mtlskit.core.fields import ClientCertificateFields
from mtlskit.core.request import ClientAddress, RequestFacts

_LONGEST_SHOWN = 128
_Value: TypeAlias = str | bool | ClientAddress


class Seen(NamedTuple):
    """What one comparison saw: its canonical text, what it said (None: unknown), and the value, escaped and cut.

    `value` is None where no value was told.
    """

    comparison: str
    result: bool | None
    value: str | None


def evaluate(
    expression: Expression,
    fields: ClientCertificateFields,
    request: RequestFacts,
    *,
    revoked: RevokedCertificates = RevokedCertificates.NOT_VERIFIED,
) -> bool | None:
    """What the expression says of a client and a request; None where that hangs on what is not known."""
    return _result(expression.root, _Facts(fields, request, revoked))


def explain_parts(
    expression: Expression,
    fields: ClientCertificateFields,
    request: RequestFacts,
    *,
    revoked: RevokedCertificates = RevokedCertificates.NOT_VERIFIED,
) -> tuple[Seen, ...]:
    """Each comparison of the expression, in the order of its text, with what it saw. Every one is asked."""
    facts = _Facts(fields, request, revoked)
    return tuple(
        Seen(text_of(leaf), _result(leaf, facts), _shown(facts.told(leaf.field))) for leaf in leaves(expression.root)
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    fields: ClientCertificateFields
    request: RequestFacts
    revoked: RevokedCertificates

    def told(self, field: Field) -> _Value | None:
        """The field's value, whether or not it has one reading."""
        if field.attribute is None:
            return request_fact(field, self.request)
        if field.attribute == "cert_verified" and self.fields.cert_revoked:
            return self.revoked is RevokedCertificates.VERIFIED
        value: str | bool = getattr(self.fields, field.attribute)
        return value

    def known(self, leaf: Leaf) -> _Value | None:
        """The value that the comparison may use."""
        field, value = leaf.field, self.told(leaf.field)
        if field.attribute is None or not self.fields.cert_presented:
            return value
        if field.attribute in self.fields.unread:
            return None
        if isinstance(leaf, Comparison) and is_name(field):
            name = name_among(field, self.fields)
            return value if has_one_reading(field, leaf.operator, name, str(value)) else None
        return value


def _result(node: Node, facts: _Facts) -> bool | None:
    match node:
        case Flag():
            found = facts.known(node)
            return None if found is None else bool(found)
        case Comparison():
            value = facts.known(node)
            return None if value is None else _compared(node.operator, value, node.values)
        case Negation(operand):
            result = _result(operand, facts)
            return None if result is None else not result
        case Combination(connective, operands):
            return _joined(connective, [_result(operand, facts) for operand in operands])


def _compared(operator: Operator, value: Any, wanted: Sequence[Any]) -> bool:
    match operator:
        case Operator.EQ | Operator.IN:
            return any(_is(value, each) for each in wanted)
        case Operator.NE:
            return not _is(value, wanted[0])
        case Operator.CONTAINS:
            return wanted[0] in value
        case Operator.STARTS_WITH:
            return bool(value.startswith(wanted[0]))
        case Operator.ENDS_WITH:
            return bool(value.endswith(wanted[0]))
        case _:
            assert_never(operator)


def _is(value: Any, wanted: Any) -> bool:
    return value == wanted if isinstance(wanted, str) else value in wanted


def _joined(connective: Connective, results: Sequence[bool | None]) -> bool | None:
    match connective:
        case Connective.AND:
            return False if False in results else _unless_unknown(results, True)
        case Connective.OR:
            return True if True in results else _unless_unknown(results, False)
        case Connective.XOR:
            return _unless_unknown(results, results.count(True) % 2 == 1)
        case _:
            assert_never(connective)


def _unless_unknown(results: Sequence[bool | None], otherwise: bool) -> bool | None:
    return None if None in results else otherwise


def _shown(value: _Value | None) -> str | None:
    if value is None:
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    escaped = text.encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= _LONGEST_SHOWN else escaped[:_LONGEST_SHOWN] + "..."
