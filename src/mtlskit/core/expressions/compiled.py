"""An expression as one function, made once: literals in sets, and of the fields those that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias, assert_never

from cryptography import x509

from mtlskit.core.certificates import ClientIdentity
from mtlskit.core.doubt import Doubt
from mtlskit.core.expressions.addresses import AddressRange, AddressSet
from mtlskit.core.expressions.interpreted import evaluate
from mtlskit.core.expressions.readings import (
    RevokedCertificates,
    has_one_reading,
    is_name,
    name_in,
    name_text,
)
from mtlskit.core.expressions.tree import Combination, Comparison, Expression, Flag, Negation, Node
from mtlskit.core.expressions.vocabulary import HOST, METHOD, PATH, SOURCE, Connective, Field, Kind, Operator
from mtlskit.core.fields import ClientCertificateFields, field_reader
from mtlskit.core.request import RequestFacts

CompiledExpression: TypeAlias = Callable[[ClientIdentity | ClientCertificateFields | None, RequestFacts], bool]
_Ask: TypeAlias = Callable[[ClientIdentity | None, RequestFacts], bool | None]
_Read: TypeAlias = Callable[[ClientIdentity | None, RequestFacts], Any]

_REMEMBERED: Final = 1024  # certificates a comparison, verified ones only (I12)


def compile_expression(
    expression: Expression,
    *,
    unknown_matches: Doubt,
    revoked: RevokedCertificates = RevokedCertificates.NOT_VERIFIED,
) -> CompiledExpression:
    """The expression as a function of the client and the request.

    The client is a verified identity, or None where no certificate was presented: then its fields are the placeholder,
    for certain. `ClientCertificateFields` do too, slower, for one that was presented and refused; only there `revoked`
    makes a difference. `unknown_matches` says what becomes of an answer that hangs on what is not known.
    """
    ask = _compiled(expression.root)
    is_match = unknown_matches is Doubt.MATCH

    def matches(client: ClientIdentity | ClientCertificateFields | None, request: RequestFacts) -> bool:
        if isinstance(client, ClientCertificateFields):
            found = evaluate(expression, client, request, revoked=revoked)
        else:
            found = ask(client, request)
        return is_match if found is None else found

    return matches


def _compiled(node: Node) -> _Ask:
    match node:
        case Flag(field):
            return _reader(field, None)
        case Comparison(field, operator):
            return _asked(_reader(field, operator), _test(node))
        case Negation(operand):
            return _contrary(_compiled(operand))
        case Combination(connective, operands):
            return _joined(connective, tuple(map(_compiled, operands)))


def _asked(read: _Read, test: Callable[[Any], bool]) -> _Ask:
    def ask(client: ClientIdentity | None, request: RequestFacts) -> bool | None:
        value = read(client, request)
        return None if value is None else test(value)

    return ask


def _contrary(asked: _Ask) -> _Ask:
    def ask(client: ClientIdentity | None, request: RequestFacts) -> bool | None:
        found = asked(client, request)
        return None if found is None else not found

    return ask


def _joined(connective: Connective, asked: Sequence[_Ask]) -> _Ask:
    match connective:
        case Connective.AND:
            return _decided_by(False, asked)
        case Connective.OR:
            return _decided_by(True, asked)
        case Connective.XOR:
            return _parity(asked)
        case _:
            assert_never(connective)


def _decided_by(deciding: bool, asked: Sequence[_Ask]) -> _Ask:
    """`deciding` if one of them says so; else unknown if one of them does; else the contrary."""

    def ask(client: ClientIdentity | None, request: RequestFacts) -> bool | None:
        result: bool | None = not deciding
        for each in asked:
            found = each(client, request)
            if found is deciding:
                return deciding
            if found is None:
                result = None
        return result

    return ask


def _parity(asked: Sequence[_Ask]) -> _Ask:
    def ask(client: ClientIdentity | None, request: RequestFacts) -> bool | None:
        result = False
        for each in asked:
            found = each(client, request)
            if found is None:
                return None
            result ^= found
        return result

    return ask


def _test(node: Comparison) -> Callable[[Any], bool]:
    if node.field.kind is Kind.ADDRESS:
        return _test_of_address(node)
    wanted = str(node.values[0])
    match node.operator:
        case Operator.EQ:
            return wanted.__eq__
        case Operator.NE:
            return wanted.__ne__
        case Operator.IN:
            return frozenset(node.values).__contains__
        case Operator.CONTAINS:
            return lambda value: wanted in value
        case Operator.STARTS_WITH:
            return lambda value: value.startswith(wanted)
        case Operator.ENDS_WITH:
            return lambda value: value.endswith(wanted)
        case _:
            assert_never(node.operator)


def _test_of_address(node: Comparison) -> Callable[[Any], bool]:
    addresses = AddressSet(each for each in node.values if isinstance(each, AddressRange))
    if node.operator is Operator.NE:
        return lambda value: value not in addresses
    return addresses.__contains__


def _reader(field: Field, operator: Operator | None) -> _Read:
    if field.attribute is None:
        return _request_reader(field)
    read = _name_reader(field, operator) if operator and is_name(field) else field_reader(field.attribute)
    absent: str | bool = False if field.kind is Kind.BOOLEAN else ""
    return lambda client, request: absent if client is None else read(client)


def _request_reader(field: Field) -> _Read:
    readers: dict[str, _Read] = {
        HOST.name: lambda client, request: request.hostname,
        PATH.name: lambda client, request: request.path,
        METHOD.name: lambda client, request: request.method,
        SOURCE.name: lambda client, request: request.client_address,
    }
    return readers[field.name]


def _name_reader(field: Field, operator: Operator) -> Callable[[ClientIdentity], str | bool | None]:
    @lru_cache(_REMEMBERED)
    def certain(certificate: x509.Certificate) -> str | None:
        name = name_in(field, certificate)
        text = name_text(field, name)
        return text if has_one_reading(field, operator, name, text) else None

    return lambda identity: certain(identity.certificate)
