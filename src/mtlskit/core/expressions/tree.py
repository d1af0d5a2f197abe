"""What an expression says, as a value: comparisons, negations and combinations, and the one text of each.

Nothing here recurses: a node is made after its operands, and takes its text and depth from theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from mtlskit.core.expressions.addresses import AddressRange
from mtlskit.core.expressions.vocabulary import Connective, Field, Operator

_BINDING = {Connective.AND: 3, Connective.XOR: 2, Connective.OR: 1}


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean field, bare."""

    field: Field


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field against literals in their canonical form, sorted and each once; more than one with `in` only."""

    field: Field
    operator: Operator
    values: tuple[str, ...] | tuple[AddressRange, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The contrary."""

    operand: Node
    depth: int = field(compare=False, repr=False)
    text: str = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Combination:
    """Two or more expressions, none of them a combination by the same connective."""

    connective: Connective
    operands: tuple[Node, ...]
    depth: int = field(compare=False, repr=False)
    text: str = field(compare=False, repr=False)


Leaf: TypeAlias = Flag | Comparison
Node: TypeAlias = Leaf | Negation | Combination


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """An expression of the rules language; `parse` makes it. Equal, and of one hash, to those of the same `str()`.

    `text` is what was written, `str()` the canonical rendering, which parses to an equal expression. `fields` are the
    names of the fields it reads; `asks_request` says whether one of them is of the request.
    """

    text: str
    root: Node = field(repr=False)
    canonical: str = field(repr=False)
    fields: frozenset[str] = field(repr=False)
    asks_request: bool = field(repr=False)

    @classmethod
    def of(cls, text: str, root: Node) -> Expression:
        """The expression that `text` was parsed to."""
        fields = [leaf.field for leaf in leaves(root)]
        return cls(
            text,
            root,
            text_of(root),
            frozenset(each.name for each in fields),
            any(each.attribute is None for each in fields),
        )

    def __eq__(self, other: object) -> bool:
        return self.canonical == other.canonical if isinstance(other, Expression) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.canonical)

    def __str__(self) -> str:
        return self.canonical


def negated(node: Node) -> Node:
    """Not `node`."""
    text = text_of(node)
    text = f"not ({text})" if isinstance(node, Combination) else f"not {text}"
    return Negation(node, depth_of(node) + 1, text)


def combined(connective: Connective, nodes: Sequence[Node]) -> Node:
    """All of `nodes` under one connective; of a single one itself."""
    if len(nodes) == 1:
        return nodes[0]
    flat: list[Node] = []
    for node in nodes:
        is_same = isinstance(node, Combination) and node.connective is connective
        flat.extend(node.operands if isinstance(node, Combination) and is_same else (node,))
    text = f" {connective} ".join(_operand_text(connective, operand) for operand in flat)
    return Combination(connective, tuple(flat), max(map(depth_of, flat)) + 1, text)


def depth_of(node: Node) -> int:
    """How many levels of negations and combinations there are."""
    return node.depth if isinstance(node, Negation | Combination) else 0


def leaves(root: Node) -> Iterator[Leaf]:
    """The comparisons in the order of the text."""
    waiting = [root]
    while waiting:
        match waiting.pop():
            case Negation(operand):
                waiting.append(operand)
            case Combination(_, operands):
                waiting.extend(reversed(operands))
            case Flag() | Comparison() as leaf:
                yield leaf


def text_of(node: Node) -> str:
    """The canonical text: English operators, single spaces, no bracket that precedence makes needless."""
    match node:
        case Flag(asked):
            return asked.name
        case Comparison():
            return _comparison_text(node)
        case Negation() | Combination():
            return node.text


def _operand_text(connective: Connective, operand: Node) -> str:
    text = text_of(operand)
    is_looser = isinstance(operand, Combination) and _BINDING[operand.connective] < _BINDING[connective]
    return f"({text})" if is_looser else text


def _comparison_text(node: Comparison) -> str:
    name, values = node.field.name, [literal_text(value) for value in node.values]
    if node.operator is Operator.IN:
        return f"{name} in {{{' '.join(values)}}}"
    if node.operator in (Operator.STARTS_WITH, Operator.ENDS_WITH):
        return f"{node.operator}({name}, {values[0]})"
    return f"{name} {node.operator} {values[0]}"


def literal_text(value: str | AddressRange) -> str:
    """A literal as the language writes it."""
    if isinstance(value, AddressRange):
        return str(value)
    return '"' + "".join(map(_written, value)) + '"'


def _written(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{octet:02X}" for octet in character.encode())
