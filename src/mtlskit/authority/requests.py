"""Certification requests (PKCS #10, RFC 2986): what is taken from one, and what one is refused for.

A request contributes its public key and the proof that somebody holds the private one; its names only where the
profile says so, through the same checks as a caller's. Its extensions are never passed through; one that asks to
be an authority, or has a critical extension that nobody here knows, is refused, for it wants something else than
it would get.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtensionOID, NameOID

from mtlskit.core.certificates import common_name
from mtlskit.core.names import SanType, SubjectAlternativeName
from mtlskit.core.profiles import Names, Profile, PublicKey
from mtlskit.core.profiles.encoding import common_name_in
from mtlskit.core.validation import der
from mtlskit.core.validation.algorithms import is_usual_key, key_weakness, scheme_of, verifies_by
from mtlskit.errors import IssuanceError

# A hundred hostnames of 253 octets and an RSA key of 8192 bits, in PEM.
_LONGEST_REQUEST: Final = 40 * 1024
_UNREADABLE: Final = (
    ValueError,  # DERError among them
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_KNOWN: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    }
)
_ATTRIBUTES: Final = 0xA0
# extensionRequest (RFC 2985, 5.4.2) and the one that old Windows programs write in its place.
_EXTENSION_REQUESTS: Final = (bytes.fromhex("06092a864886f70d01090e"), bytes.fromhex("060a2b06010401823702010e"))


@dataclass(frozen=True, slots=True)
class CertificationRequest:
    """A request as it came: `parsed`, and the octets of its parts, of which `information` is what is signed."""

    parsed: x509.CertificateSigningRequest
    information: bytes
    subject: bytes
    spki: bytes
    attributes: bytes
    algorithm: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class ProvenKey:
    """A public key that is strong enough and proven to be held, and its SubjectPublicKeyInfo in DER."""

    key: PublicKey
    spki: bytes


def read_request(data: bytes | str) -> CertificationRequest:
    """The request in PEM or DER; raises IssuanceError."""
    content = data.encode("utf-8", "replace") if isinstance(data, str) else data
    if not isinstance(content, bytes) or len(content) > _LONGEST_REQUEST:
        raise IssuanceError(f"request: expected PEM or DER of at most {_LONGEST_REQUEST} bytes, got something else")
    try:
        if b"-----BEGIN" in content:
            content = x509.load_pem_x509_csr(content).public_bytes(serialization.Encoding.DER)
        return _read(content)
    except _UNREADABLE:
        raise IssuanceError("request: expected a certification request in PEM or DER, got something else") from None


def proven_key(request: CertificationRequest) -> ProvenKey:
    """The request's public key; raises IssuanceError where it is weak or its proof is none (RFC 2986, 4.2)."""
    key = _strong_key(request)
    try:
        scheme = scheme_of(request.algorithm)
    except der.DERError:
        raise IssuanceError("signature: expected a readable algorithm, got another") from None
    if isinstance(scheme, tuple):
        raise IssuanceError(f"signature: {scheme[1]}")
    if not verifies_by(scheme, key, request.signature, request.information):
        raise IssuanceError("signature: expected one by the request's own key, got one that does not verify")
    return ProvenKey(key, request.spki if is_usual_key(request.spki) else spki_of(key))


def checked_names(request: CertificationRequest) -> x509.SubjectAlternativeName | None:
    """The one extension that counts, if it is there; raises IssuanceError for what no profile here gives."""
    # The octets of the two identifiers may stand elsewhere too; where they do not, there is nothing to look at.
    if sum(map(request.attributes.count, _EXTENSION_REQUESTS)) > 1 and len(_extension_requests(request)) > 1:
        raise IssuanceError("extensions: expected one attribute that asks for them, got several")
    names = None
    for extension in _extensions(request):
        match extension.value:
            case x509.SubjectAlternativeName():
                names = extension.value
            case x509.BasicConstraints(ca=True):
                raise IssuanceError("basic_constraints: expected a request for an end entity, got cA=TRUE")
            case x509.KeyUsage(key_cert_sign=True) | x509.KeyUsage(crl_sign=True):
                raise IssuanceError("key_usage: expected a request for an end entity, got keyCertSign or cRLSign")
        if extension.critical and extension.oid not in _KNOWN:
            raise IssuanceError(f"extensions: expected no unknown critical one, got {extension.oid.dotted_string}")
    return names


def requested_names(
    request: CertificationRequest, names: x509.SubjectAlternativeName | None, profile: Profile
) -> Names:
    """The common name and the SAN entries that the request asks for; raises IssuanceError that names the field.

    `names` are what `checked_names` gave for it.
    """
    common = _requested_common_name(request)
    return Names.from_values(common, () if names is None else _requested_sans(names, profile))


def spki_of(key: PublicKey) -> bytes:
    """The key's SubjectPublicKeyInfo in DER."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def strong_key(spki: bytes) -> None:
    """Raises IssuanceError for a SubjectPublicKeyInfo in DER of a weak key or of a kind that is not certified here."""
    try:
        weakness = key_weakness(spki)
    except der.DERError:
        weakness = "expected an RSA, ECDSA, Ed25519 or Ed448 key, got unreadable octets"
    if weakness is not None:
        raise IssuanceError(f"public_key: {weakness}")


def _read(data: bytes) -> CertificationRequest:
    parsed = x509.load_der_x509_csr(data)
    start, stop = der.whole(der.SEQUENCE, data)
    first, last = der.expect(der.SEQUENCE, data, start, stop)
    _, after = der.expect(der.SEQUENCE, data, last, stop)
    bits, end = der.expect(der.BIT_STRING, data, after, stop)
    _, version = der.expect(der.INTEGER, data, first, last)
    subject, spki = der.sequences(data, version, last, 2)
    return CertificationRequest(
        parsed=parsed,
        information=data[start:last],
        subject=subject,
        spki=spki,
        attributes=data[version + len(subject) + len(spki) : last],
        algorithm=data[last:after],
        signature=data[der.unsigned_bits(data, bits, end) : end],
    )


def _strong_key(request: CertificationRequest) -> PublicKey:
    strong_key(request.spki)
    try:
        return cast("PublicKey", request.parsed.public_key())
    except _UNREADABLE:
        raise IssuanceError("public_key: expected an RSA, ECDSA, Ed25519 or Ed448 key, got another") from None


def _extension_requests(request: CertificationRequest) -> list[bytes]:
    """The octets of the attributes that ask for extensions."""
    data = request.attributes
    try:
        start, stop = der.expect(_ATTRIBUTES, data, 0, len(data)) if data else (0, 0)
        attributes = [data[first:last] for _, _, first, last in der.children(data, start, stop)]
    except der.DERError:
        raise IssuanceError("extensions: expected readable attributes, got others") from None
    return [each for each in attributes if each.startswith(_EXTENSION_REQUESTS)]


def _extensions(request: CertificationRequest) -> x509.Extensions:
    try:
        return request.parsed.extensions
    except _UNREADABLE:
        raise IssuanceError("extensions: expected readable ones, each once, got others") from None


def _requested_common_name(request: CertificationRequest) -> str | None:
    usual = common_name_in(request.subject)
    if usual is not None:
        return usual
    try:
        subject = request.parsed.subject
    except _UNREADABLE:
        raise IssuanceError("subject: expected a readable name, got another") from None
    name = common_name(subject)
    if name is None and (found := subject.get_attributes_for_oid(NameOID.COMMON_NAME)):
        raise IssuanceError(f"common_name: expected one readable text, got {len(found)} or an unreadable one")
    return name


def _requested_sans(names: x509.SubjectAlternativeName, profile: Profile) -> Iterable[tuple[SanType, str]]:
    if len(names) > profile.most_sans:
        raise IssuanceError(f"subject_alternative_name: expected at most {profile.most_sans}, got {len(names)}")
    for name in names:
        san = SubjectAlternativeName.from_general_name(name)
        if san is None:
            raise IssuanceError(
                f"subject_alternative_name: expected dns, uri, email or ip, got a {type(name).__name__}"
            )
        yield san.type, san.value
