"""The engines: each gives ACCEPTED, or why it refuses; None where it cannot be asked."""

from __future__ import annotations

import ssl
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from OpenSSL import crypto

from differential.hierarchies import NOW, Hierarchy
from mtlskit.core.certificates import to_pem
from mtlskit.core.validation import COMPATIBLE, WEBPKI, Profile, TrustStore
from mtlskit.testing.certificates import SERVER_AUTH, Authority
from mtlskit.testing.handshake import Wire
from support.validation import ACCEPTED, verdict

_SSL_CLIENT = 1  # X509_PURPOSE_SSL_CLIENT


def ours(case: Hierarchy, profile: Profile) -> str:
    """`verify_path`, without the names of broken rules."""
    return verdict(case.presented, TrustStore(case.anchors), profile=profile, now=NOW).partition(":")[0]


def openssl(case: Hierarchy) -> str | None:
    """OpenSSL's X509_verify_cert through pyOpenSSL, for TLS clients, any certificate of the store being an anchor."""
    try:
        leaf, *others = (crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in case.presented)
    except crypto.Error:
        return "unreadable"
    store = crypto.X509Store()
    for anchor in case.anchors:
        store.add_cert(crypto.X509.from_cryptography(anchor))
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    store.set_time(NOW)
    crypto._lib.X509_STORE_set_purpose(store._store, _SSL_CLIENT)  # pyOpenSSL has no method for it
    try:
        crypto.X509StoreContext(store, leaf, others).verify_certificate()
    except crypto.X509StoreContextError as error:
        return str(error.args[0])
    return ACCEPTED


def handshake(case: Hierarchy) -> str | None:
    """A TLS 1.3 handshake in memory with the standard library's server, which asks for a client certificate."""
    client = _client(case)
    if client is None:
        return None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(_server_file())
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if case.anchors:
        server.load_verify_locations(cadata=to_pem(case.anchors).decode())
    wire = Wire.between(client, server, "server.example").handshake()
    return (
        ACCEPTED if wire.server_error is None else str(getattr(wire.server_error, "verify_message", wire.server_error))
    )


def cryptographys(case: Hierarchy) -> str | None:
    """`cryptography`'s verifier for client certificates."""
    if not case.anchors:
        return None  # it takes no empty store
    try:
        leaf, *others = map(x509.load_der_x509_certificate, case.presented)
    except ValueError:
        return "unreadable"
    verifier = PolicyBuilder().store(Store(list(case.anchors))).time(NOW).build_client_verifier()
    try:
        verifier.verify(leaf, others)
    except VerificationError as error:
        return str(error)
    return ACCEPTED


# What each is asked, and the profile of ours that it is compared with.
ENGINES: dict[str, tuple[Any, Profile]] = {
    "openssl": (openssl, COMPATIBLE),
    "handshake": (handshake, COMPATIBLE),
    "cryptography": (cryptographys, WEBPKI),
}


# A client that can present the chain; None where OpenSSL will not even load it.
def _client(case: Hierarchy) -> ssl.SSLContext | None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    key = case.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "client.pem")
        file.write_bytes(key + b"".join(map(_pem, case.presented)))
        try:
            client.load_cert_chain(file)
        except ssl.SSLError:
            return None
    return client


def _pem(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).encode()


@cache
def _server_file() -> str:
    chain = Authority.root("Server root").leaf("server", sans=("dns:server.example",), usages=(SERVER_AUTH,))
    file = Path(tempfile.mkdtemp(), "server.pem")
    file.write_bytes(chain.to_pem())
    return str(file)
