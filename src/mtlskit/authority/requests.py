"""Certification requests (PKCS #10, RFC 2986): what is taken from one, and what one is refused for.

A request contributes its public key and the proof that somebody holds the private one; its names only where the
profile says so, through the same checks as a caller's. Its extensions are never passed through; one that asks to
be an authority, or has a critical extension that nobody here knows, is refused, for it wants something else than
it would get.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtensionOID, NameOID

from mtlskit.core.certificates import common_name
from mtlskit.core.names import SanType, SubjectAlternativeName
from mtlskit.core.profiles import Names, Profile, PublicKey
from mtlskit.core.validation.algorithms import key_weakness
from mtlskit.core.validation.der import DERError
from mtlskit.errors import IssuanceError

_LONGEST_REQUEST: Final = 64 * 1024
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_KNOWN: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    }
)


def read_request(data: bytes | str) -> x509.CertificateSigningRequest:
    """The request in PEM or DER; raises IssuanceError."""
    content = data.encode("utf-8", "replace") if isinstance(data, str) else data
    if not isinstance(content, bytes) or len(content) > _LONGEST_REQUEST:
        raise IssuanceError(f"request: expected PEM or DER of at most {_LONGEST_REQUEST} bytes, got something else")
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_csr(content)
        return x509.load_der_x509_csr(content)
    except _UNREADABLE:
        raise IssuanceError("request: expected a certification request in PEM or DER, got something else") from None


def proven_key(request: x509.CertificateSigningRequest) -> PublicKey:
    """The request's public key, strong enough and proven to be held; raises IssuanceError."""
    key = _strong_key(request)
    try:
        algorithm = request.signature_hash_algorithm
        if algorithm is not None and not isinstance(algorithm, _HASHES):
            raise IssuanceError(f"signature: expected one with SHA-256 or better, got {algorithm.name}")
        proven = request.is_signature_valid
    except _UNREADABLE:
        proven = False
    if not proven:
        raise IssuanceError("signature: expected one by the request's own key, got one that does not verify")
    return key


def check_extensions(request: x509.CertificateSigningRequest) -> None:
    """Raises IssuanceError where the request asks for what no profile here gives."""
    for extension in _extensions(request):
        match extension.value:
            case x509.BasicConstraints(ca=True):
                raise IssuanceError("basic_constraints: expected a request for an end entity, got cA=TRUE")
            case x509.KeyUsage(key_cert_sign=True) | x509.KeyUsage(crl_sign=True):
                raise IssuanceError("key_usage: expected a request for an end entity, got keyCertSign or cRLSign")
        if extension.critical and extension.oid not in _KNOWN:
            raise IssuanceError(f"extensions: expected no unknown critical one, got {extension.oid.dotted_string}")


def requested_names(request: x509.CertificateSigningRequest, profile: Profile) -> Names:
    """The common name and the SAN entries that the request asks for; raises IssuanceError that names the field."""
    return Names.from_values(_requested_common_name(request), _requested_sans(request, profile))


def _strong_key(request: x509.CertificateSigningRequest) -> PublicKey:
    try:
        key = request.public_key()
        weakness = key_weakness(
            key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    except (*_UNREADABLE, DERError):
        raise IssuanceError("public_key: expected an RSA, ECDSA, Ed25519 or Ed448 key, got another") from None
    if weakness is not None:  # the kind of the key among them
        raise IssuanceError(f"public_key: {weakness}")
    return cast("PublicKey", key)


def _extensions(request: x509.CertificateSigningRequest) -> x509.Extensions:
    try:
        return request.extensions
    except _UNREADABLE:
        raise IssuanceError("extensions: expected readable ones, each once, got others") from None


def _requested_common_name(request: x509.CertificateSigningRequest) -> str | None:
    try:
        subject = request.subject
    except _UNREADABLE:
        raise IssuanceError("subject: expected a readable name, got another") from None
    name = common_name(subject)
    if name is None and (found := subject.get_attributes_for_oid(NameOID.COMMON_NAME)):
        raise IssuanceError(f"common_name: expected one readable text, got {len(found)} or an unreadable one")
    return name


def _requested_sans(request: x509.CertificateSigningRequest, profile: Profile) -> Iterable[tuple[SanType, str]]:
    try:
        names = _extensions(request).get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    if len(names) > profile.most_sans:
        raise IssuanceError(f"subject_alternative_name: expected at most {profile.most_sans}, got {len(names)}")
    for name in names:
        san = SubjectAlternativeName.from_general_name(name)
        if san is None:
            raise IssuanceError(
                f"subject_alternative_name: expected dns, uri, email or ip, got a {type(name).__name__}"
            )
        yield san.type, san.value
