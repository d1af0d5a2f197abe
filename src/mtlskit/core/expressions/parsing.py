"""The grammar: text to tree in one pass from left to right, without recursion. Closest binds not, then and, xor, or."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NoReturn

from mtlskit.core.expressions import literals
from mtlskit.core.expressions.addresses import AddressRange
from mtlskit.core.expressions.scanner import DEEPEST_NESTING, Scanner
from mtlskit.core.expressions.tree import (
    Comparison,
    Expression,
    Flag,
    Leaf,
    Node,
    combined,
    depth_of,
    negated,
)
from mtlskit.core.expressions.vocabulary import (
    CONNECTIVES,
    FIELDS,
    FOREIGN_OPERATORS,
    FUNCTIONS,
    OPERATORS,
    Connective,
    Field,
    Kind,
    Operator,
    is_foreign_word,
)
from mtlskit.errors import ExpressionError

LONGEST_TEXT: Final = 16 * 1024  # octets in UTF-8, as written and in the canonical form

_NOT_HERE = ", which is not supported here"
_BY_BINDING = tuple(Connective)
_OPERATORS_OF = {
    Kind.TEXT: (Operator.EQ, Operator.NE, Operator.IN, Operator.CONTAINS),
    Kind.ADDRESS: (Operator.EQ, Operator.NE, Operator.IN),
}


def parse(text: str) -> Expression:
    """The expression that `text` says; raises ExpressionError for whatever is none, or is none that is spoken here.

    The work is linear in the text's length. Bounds: `LONGEST_TEXT`, `DEEPEST_NESTING`.
    """
    _check_text(text)
    scanner = Scanner(text)
    root = _Parser(scanner).root()
    if depth_of(root) > DEEPEST_NESTING:
        raise ExpressionError(f"expected at most {DEEPEST_NESTING} levels of expressions, got {depth_of(root)}")
    expression = Expression.of(text, root)
    _check_length(len(expression.canonical.encode()), "octets in its canonical form")
    return expression


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise ExpressionError(f"expected an expression as str, got {type(text).__name__}")
    _check_length(len(text), "characters")
    try:
        octets = text.encode()
    except UnicodeEncodeError as error:
        column = error.start + 1
        raise ExpressionError(
            f"expected a character of UTF-8 at column {column}, got {text[error.start]!r}", column
        ) from None
    _check_length(len(octets), "octets")


def _check_length(length: int, unit: str) -> None:
    if length > LONGEST_TEXT:
        raise ExpressionError(f"expected an expression of at most {LONGEST_TEXT} octets, got {length} {unit}")


class _Level:
    """What stands between two brackets: operands that wait for what binds less closely than what joined them."""

    __slots__ = ("_waiting", "negations")

    def __init__(self) -> None:
        self.negations = 0
        self._waiting: dict[Connective, list[Node]] = {connective: [] for connective in Connective}

    def take(self, operand: Node) -> None:
        for _ in range(self.negations):
            operand = negated(operand)
        self.negations = 0
        self._waiting[Connective.AND].append(operand)

    def join(self, connective: Connective) -> None:
        """Closes all that binds more closely than `connective`."""
        for closer, looser in pairwise(_BY_BINDING[: _BY_BINDING.index(connective) + 1]):
            self._waiting[looser].append(combined(closer, self._waiting[closer]))
            self._waiting[closer] = []

    def node(self) -> Node:
        self.join(Connective.OR)
        return combined(Connective.OR, self._waiting[Connective.OR])


class _Parser:
    __slots__ = ("_levels", "_nesting", "_scanner")

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._levels = [_Level()]
        self._nesting = 0

    def root(self) -> Node:
        while True:
            self._open()
            self._take(self._leaf())
            while len(self._levels) > 1 and self._scanner.takes(")"):
                self._nesting -= 1
                self._take(self._levels.pop().node())
            connective = CONNECTIVES.get(self._scanner.peek())
            if connective is None:
                return self._finished()
            self._scanner.takes(self._scanner.peek())
            self._levels[-1].join(connective)

    def _open(self) -> None:
        """Steps over the negations and brackets before an operand."""
        while True:
            start = self._scanner.at
            if self._takes_not():
                self._levels[-1].negations += 1
            elif self._scanner.takes("("):
                self._levels.append(_Level())
            else:
                return
            self._nesting += 1
            if self._nesting > DEEPEST_NESTING:
                self._scanner.fail(f"at most {DEEPEST_NESTING} nested brackets and negations", start)

    def _takes_not(self) -> bool:
        word = self._scanner.peek()
        return self._scanner.takes("not") if word == "not" else word != "!=" and self._scanner.takes("!")

    def _take(self, operand: Node) -> None:
        self._nesting -= self._levels[-1].negations
        self._levels[-1].take(operand)

    def _finished(self) -> Node:
        if len(self._levels) > 1:
            self._scanner.fail("and, xor, or, or ')'")
        if not self._scanner.is_at_end:
            self._scanner.fail("and, xor, or, or the end")
        return self._levels[0].node()

    def _leaf(self) -> Leaf:
        word = self._scanner.peek()
        if word in FUNCTIONS:
            return self._call(FUNCTIONS[word], word)
        field = self._field("a known field")
        if field.kind is Kind.BOOLEAN:
            return self._flag(field)
        operator = self._operator(field)
        if operator is Operator.IN:
            return Comparison(field, operator, self._set(field))
        return Comparison(field, operator, self._single(field, operator))

    def _field(self, expected: str) -> Field:
        word = self._scanner.peek()
        field = FIELDS.get(word)
        if field is None:
            self._scanner.fail(expected, note=_NOT_HERE if is_foreign_word(word) else "")
        self._scanner.takes(word)
        return field

    def _flag(self, field: Field) -> Leaf:
        operator = self._scanner.peek()
        if operator in OPERATORS or operator in FOREIGN_OPERATORS:
            self._scanner.fail(f"and, xor, or, or the end after the boolean {field.name}")
        return Flag(field)

    def _call(self, operator: Operator, word: str) -> Leaf:
        self._scanner.takes(word)
        self._scanner.needs("(")
        start = self._scanner.at
        field = self._field("a known field")
        if field.kind is not Kind.TEXT:
            self._scanner.fail("a field of text", start)
        self._scanner.needs(",")
        value = self._text(field, operator)
        self._scanner.needs(")")
        return Comparison(field, operator, (value,))

    def _operator(self, field: Field) -> Operator:
        word = self._scanner.peek()
        allowed = _OPERATORS_OF[field.kind]
        operator = OPERATORS.get(word)
        if operator not in allowed:
            note = _NOT_HERE if word in FOREIGN_OPERATORS else ""
            self._scanner.fail(f"one of {', '.join(allowed)} after {field.name}", note=note)
        self._scanner.takes(word)
        return operator

    def _set(self, field: Field) -> tuple[str, ...] | tuple[AddressRange, ...]:
        self._check_no_list()
        self._scanner.needs("{")
        if field.kind is Kind.ADDRESS:
            ranges = [self._range("an IP address, network or range")]
            while not self._scanner.takes("}"):
                ranges.append(self._range("an IP address, network or range, or '}'"))
            return tuple(sorted(set(ranges), key=lambda each: each.key))
        texts = [self._text(field, Operator.IN)]
        while not self._scanner.takes("}"):
            if not self._scanner.is_text_next():
                self._scanner.fail("a string in double quotes or '}'")
            texts.append(self._text(field, Operator.IN))
        return tuple(sorted(set(texts)))

    def _check_no_list(self) -> None:
        if self._scanner.text.startswith("$", self._scanner.at):
            self._scanner.fail("'{'", note=_NOT_HERE)

    def _single(self, field: Field, operator: Operator) -> tuple[str, ...] | tuple[AddressRange, ...]:
        if field.kind is not Kind.ADDRESS:
            return (self._text(field, operator),)
        start = self._scanner.at
        found = self._range("an IP address")
        text = self._scanner.text[start : self._scanner.at]
        if "/" in text or ".." in text:
            self._scanner.fail("a single IP address", start)
        return (found,)

    def _range(self, expected: str) -> AddressRange:
        start = self._scanner.at
        try:
            return AddressRange.parse(self._scanner.address(expected))
        except ValueError:
            self._scanner.fail(expected, start)

    def _text(self, field: Field, operator: Operator) -> str:
        start = self._scanner.at
        value = self._scanner.string()
        try:
            return literals.canonical(field, operator, value)
        except literals.Unfit as unfit:
            return self._unfit(str(unfit), field, start)

    def _unfit(self, expected: str, field: Field, start: int) -> NoReturn:
        self._scanner.fail(f"{expected} for {field.name}", start)
