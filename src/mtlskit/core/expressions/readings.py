"""What a comparison may take as known. Owns when a value counts as unknown though there is a text of it (I9).

A fact that nobody told and a field that could not be read are unknown. So is a name's text where another name could
have the same one, or, for a part of it, where the part could be of something else than it seems.
"""

from __future__ import annotations

from enum import Enum, auto

from cryptography import x509

from mtlskit.core.distinguished_names import legacy_text, readable_name, rfc2253_text, unambiguous_name
from mtlskit.core.expressions.vocabulary import HOST, METHOD, PATH, SOURCE, Field, Form, Operator
from mtlskit.core.fields import ClientCertificateFields
from mtlskit.core.request import ClientAddress, RequestFacts

_NAMES = (Form.NAME, Form.LEGACY_NAME)


class RevokedCertificates(Enum):
    """What `cert_verified` says of a revoked certificate: here it is not verified, in Cloudflare it is."""

    NOT_VERIFIED = auto()
    VERIFIED = auto()


def request_fact(field: Field, request: RequestFacts) -> str | ClientAddress | None:
    """What `request` says under `field`, a field of requests; None where that is not known."""
    return {
        HOST.name: request.hostname, PATH.name: request.path, METHOD.name: request.method,
        SOURCE.name: request.client_address,
    }[field.name]  # fmt: skip


def is_name(field: Field) -> bool:
    """Whether `field` is a distinguished name."""
    return field.form in _NAMES


def name_in(field: Field, certificate: x509.Certificate) -> x509.Name:
    """The name that `field`, a distinguished name, is the text of."""
    return certificate.subject if _is_of_subject(field) else certificate.issuer


def name_among(field: Field, fields: ClientCertificateFields) -> x509.Name | None:
    """As `name_in`; None where no name could be read."""
    return fields.subject if _is_of_subject(field) else fields.issuer


def name_text(field: Field, name: x509.Name) -> str:
    """The text that `field` has of `name`."""
    return legacy_text(name) if field.form is Form.LEGACY_NAME else rfc2253_text(name)


def has_one_reading(field: Field, operator: Operator, name: x509.Name | None, text: str) -> bool:
    """Whether `text`, made of `name`, says under `operator` what it seems to say.

    A whole text in the RFC 2253 form escapes what could be mistaken; the legacy form does not, and of a part nobody
    knows what stood before it. A part can also lie within an escape, so a text with one is no text to search.
    """
    if name is None:
        return False
    if operator.is_partial:
        return unambiguous_name(name) and "\\" not in text and "#" not in text
    return unambiguous_name(name) if field.form is Form.LEGACY_NAME else readable_name(name)


def _is_of_subject(field: Field) -> bool:
    return "subject" in field.name
