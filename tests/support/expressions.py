"""Expressions, clients and requests for the tests of the rules language: a few fixed ones, and Hypothesis's choice."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import strategies as st

from mtlskit.core.certificates import ClientIdentity, PresentedChain, read_certificate, to_der
from mtlskit.core.doubt import Doubt
from mtlskit.core.expressions import Expression, compile_expression, evaluate, parse
from mtlskit.core.expressions.vocabulary import CERTIFICATE_PREFIX, FIELDS, Form, Kind
from mtlskit.core.fields import ClientCertificateFields
from mtlskit.core.request import RequestFacts
from mtlskit.testing.certificates import Authority, build, new_key

CF = CERTIFICATE_PREFIX
ROOT = Authority.root()
KEY = new_key()
NOTHING = RequestFacts()


def client(*rdns: list[x509.NameAttribute]) -> ClientIdentity:
    """A verified client whose subject has these relative names (lists of attributes)."""
    subject = x509.Name([x509.RelativeDistinguishedName(rdn) for rdn in rdns])
    made = build(subject=subject, issuer=ROOT.certificate.subject, public_key=KEY.public_key(), signing_key=ROOT.key)
    certificate = read_certificate(to_der(made))
    return ClientIdentity.of(
        certificate, hostname="pay.acme.example", anchor_id="acme", issuers=[ROOT.certificate],
        presented=PresentedChain.from_certificates(certificate),
    )  # fmt: skip


def named(value: str, kind: object = None) -> ClientIdentity:
    """A verified client with just a common name, of any string type."""
    oid = NameOID.COMMON_NAME
    return client([x509.NameAttribute(oid, value, kind, _validate=False) if kind else x509.NameAttribute(oid, value)])


def verdicts(expression: Expression | str, identity: ClientIdentity | None, request: RequestFacts = NOTHING) -> object:
    """What it says of a client: true, false, or None for unknown; the same compiled and interpreted, or this fails."""
    expression = parse(expression) if isinstance(expression, str) else expression
    fields = ClientCertificateFields.of_identity(identity) if identity else ClientCertificateFields.none()
    found = evaluate(expression, fields, request)
    for doubt in Doubt:
        compiled = compile_expression(expression, unknown_matches=doubt)
        expected = doubt is Doubt.MATCH if found is None else found
        assert compiled(identity, request) is expected, (str(expression), found, doubt)
        assert compiled(fields, request) is expected
    return found


_HOSTS = st.sampled_from(["a.example", "B.example", "b\u00fccher.example"])
_ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1", "::ffff:10.0.0.1"])
_RANGES = _ADDRESSES | st.sampled_from(["10.0.0.0/30", "10.0.0.2..10.0.0.9", "2001:db8::/64", "0.0.0.0/0"])
_HEXADECIMAL = st.sampled_from(["0a", "ABCDEF", "01:02", "00"])
_TEXTS = st.sampled_from(["", "/", "/a", "GET", "CN=device", "/CN=device", "CN=a\\,b"]) | st.text(max_size=5)
_PARTS = st.sampled_from(["CN", "/", "a", "=", "GE"])
_TEXT_FIELDS = st.sampled_from([field for field in FIELDS.values() if field.kind is Kind.TEXT])
_LITERALS = {
    Form.HOSTNAME: _HOSTS,
    Form.SERIAL: _HEXADECIMAL,
    Form.KEY_ID: _HEXADECIMAL,
    Form.SHA256: st.just("ab" * 32),
    Form.SHA1: st.just("AB" * 20),
    Form.PATH: st.sampled_from(["/", "/a", "/a/b"]),
}
_LITERAL_PARTS = {
    Form.HOSTNAME: st.sampled_from(["a", ".example"]),
    Form.SERIAL: _HEXADECIMAL.map(lambda value: value.replace(":", "")),
    Form.KEY_ID: st.just("0A"),
    Form.SHA256: st.just("ab"),
    Form.SHA1: st.just("Ab"),
}


def quoted(value: str) -> str:
    """The value as a literal in quotes; what is not ASCII by its octets."""
    return '"' + "".join(f"\\x{octet:02x}" if octet < 32 or octet > 126 or octet in b'"\\' else chr(octet)
                         for octet in value.encode()) + '"'  # fmt: skip


@st.composite
def _comparisons(draw: st.DrawFn) -> str:
    choice = draw(st.sampled_from(["flag", "address", "addresses", "text", "texts", "part"]))
    if choice == "flag":
        return draw(st.sampled_from([field.name for field in FIELDS.values() if field.kind is Kind.BOOLEAN]))
    operator = draw(st.sampled_from(["eq", "==", "ne", "!="]))
    if choice == "address":
        return f"ip.src {operator} {draw(_ADDRESSES)}"
    if choice == "addresses":
        return f"ip.src in {{ {' '.join(draw(st.lists(_RANGES, min_size=1, max_size=3)))} }}"
    field = draw(_TEXT_FIELDS)
    literal = _LITERALS.get(field.form, _TEXTS).map(quoted)
    if choice == "text":
        return f"{field.name}{operator if operator in ('==', '!=') else f' {operator} '}{draw(literal)}"
    if choice == "texts":
        return f"{field.name} in{{{' '.join(draw(st.lists(literal, min_size=1, max_size=3)))}}}"
    part = quoted(draw(_LITERAL_PARTS.get(field.form, _PARTS)))
    function = draw(st.sampled_from(["starts_with", "ends_with"]))
    return draw(st.sampled_from([f"{function}({field.name}, {part})", f"{field.name} contains {part}"]))


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    connectives = st.sampled_from([" and ", "&&", " or ", "||", " xor ", "^^"])
    joined = st.builds(lambda one, sign, other: one + sign + other, inner, connectives, inner)
    return st.one_of(joined, inner.map("({})".format), inner.map("not {}".format), inner.map("!({})".format))


EXPRESSIONS = st.recursive(_comparisons(), _compound, max_leaves=8)

CLIENTS = st.none() | st.sampled_from(
    [named(value) for value in ("device", "a,b", "CN=device", "sv\0c", "#a", "M\xfcller")]
)
REQUESTS = st.builds(
    RequestFacts.of,
    method=st.sampled_from([None, "GET", "POST"]),
    path=st.sampled_from([None, "/", "/a", "/a/b", "/a/../b"]),
    client_address=st.none() | _ADDRESSES,
    hostname=st.none() | _HOSTS,
)
