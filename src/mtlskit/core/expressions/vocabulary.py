"""The words of the rules language: which fields and operators there are here, and which Cloudflare has beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

from mtlskit.core.fields import WORKER_PROPERTIES

CERTIFICATE_PREFIX: Final = "cf.tls_client_auth."


class Kind(Enum):
    """The type of a field's values."""

    BOOLEAN = auto()
    TEXT = auto()
    ADDRESS = auto()


class Form(Enum):
    """In which one spelling a field of text has its values."""

    PLAIN = auto()
    HOSTNAME = auto()
    PATH = auto()
    NAME = auto()  # RFC 2253
    LEGACY_NAME = auto()
    SERIAL = auto()
    KEY_ID = auto()
    SHA256 = auto()
    SHA1 = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """A field. `attribute` is its name in `ClientCertificateFields`, None for one of the request."""

    name: str
    kind: Kind
    form: Form = Form.PLAIN
    attribute: str | None = None


class Operator(StrEnum):
    """A comparison of a field with literals, by its English name."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"

    @property
    def is_partial(self) -> bool:
        """Whether a part of the value is enough."""
        return self in (Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH)


class Connective(StrEnum):
    """What joins expressions. The first binds closest."""

    AND = "and"
    XOR = "xor"
    OR = "or"


_FORMS = {
    "cert_issuer_dn": Form.NAME,
    "cert_subject_dn": Form.NAME,
    "cert_issuer_dn_rfc2253": Form.NAME,
    "cert_subject_dn_rfc2253": Form.NAME,
    "cert_issuer_dn_legacy": Form.LEGACY_NAME,
    "cert_subject_dn_legacy": Form.LEGACY_NAME,
    "cert_serial": Form.SERIAL,
    "cert_issuer_serial": Form.SERIAL,
    "cert_fingerprint_sha256": Form.SHA256,
    "cert_fingerprint_sha1": Form.SHA1,
    "cert_ski": Form.KEY_ID,
    "cert_issuer_ski": Form.KEY_ID,
}
_BOOLEANS = {
    "cert_presented", "cert_verified", "cert_revoked", "cert_rfc9440_too_large", "cert_chain_rfc9440_too_large",
}  # fmt: skip


def _certificate_field(attribute: str) -> Field:
    kind = Kind.BOOLEAN if attribute in _BOOLEANS else Kind.TEXT
    return Field(CERTIFICATE_PREFIX + attribute, kind, _FORMS.get(attribute, Form.PLAIN), attribute)


HOST: Final = Field("http.host", Kind.TEXT, Form.HOSTNAME)
PATH: Final = Field("http.request.uri.path", Kind.TEXT, Form.PATH)
METHOD: Final = Field("http.request.method", Kind.TEXT)
SOURCE: Final = Field("ip.src", Kind.ADDRESS)
FIELDS: Final[Mapping[str, Field]] = {
    field.name: field for field in (HOST, PATH, METHOD, SOURCE, *map(_certificate_field, WORKER_PROPERTIES))
}
FUNCTIONS: Final = {"starts_with": Operator.STARTS_WITH, "ends_with": Operator.ENDS_WITH}
OPERATORS: Final = {
    "eq": Operator.EQ,
    "==": Operator.EQ,
    "ne": Operator.NE,
    "!=": Operator.NE,
    "in": Operator.IN,
    "contains": Operator.CONTAINS,
}
CONNECTIVES: Final = {
    "and": Connective.AND,
    "&&": Connective.AND,
    "xor": Connective.XOR,
    "^^": Connective.XOR,
    "or": Connective.OR,
    "||": Connective.OR,
}

# What Cloudflare knows and this module does not, so that an error can say which of the two it is.
FOREIGN_OPERATORS: Final = frozenset(
    ("matches", "~", "wildcard", "strict", "lt", "<", "le", "<=", "gt", ">", "ge", ">=", "bitwise_and", "&")
)
FOREIGN_FUNCTIONS: Final = frozenset(
    (
        "all", "any", "bit_slice", "cidr", "cidr6", "concat", "decode_base64", "encode_base64", "has_key", "has_value",
        "is_timed_hmac_valid_v0", "join", "len", "lookup_json_integer", "lookup_json_string", "lower", "regex_replace",
        "remove_bytes", "remove_query_args", "sha256", "split", "substring", "to_string", "upper", "url_decode",
        "uuidv4", "wildcard_replace",
    )
)  # fmt: skip
_FOREIGN_FIELDS = frozenset(
    (
        "http.cookie", "http.referer", "http.request.full_uri", "http.request.uri", "http.request.version",
        "http.request.timestamp.sec", "http.request.timestamp.msec", "http.user_agent", "http.x_forwarded_for", "ssl",
    )
)  # fmt: skip
_FOREIGN_PREFIXES = (
    "cf.api_gateway.", "cf.bot_management.", "cf.client.", "cf.edge.", "cf.hostname.", "cf.random_",
    "cf.ray_id", "cf.response.", "cf.threat_score", "cf.timings.", "cf.tls_cipher", "cf.tls_ciphers",
    "cf.tls_client_", "cf.tls_version", "cf.verified_bot_category", "cf.waf.", "cf.worker.", "cf.zone.",
    "http.request.accepted_languages", "http.request.body.", "http.request.cookies", "http.request.headers",
    "http.request.jwt.", "http.request.uri.args", "http.request.uri.path.", "http.request.uri.query",
    "http.response.", "ip.geoip.", "ip.src.", "raw.", "tcp.", "udp.",
)  # fmt: skip


def is_foreign_word(word: str) -> bool:
    """Whether Cloudflare has a field or function of that name, and this module has not."""
    is_certificate = word.startswith(CERTIFICATE_PREFIX)
    is_known = word in _FOREIGN_FIELDS or word in FOREIGN_FUNCTIONS
    return is_known or (word.startswith(_FOREIGN_PREFIXES) and not is_certificate)
