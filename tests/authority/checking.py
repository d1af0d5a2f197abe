"""What our own validator, and OpenSSL, say of certificates under lists and responses."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from mtlskit.authority import CertificateAuthority, crl_pem
from mtlskit.core.certificates import PresentedChain, to_pem
from mtlskit.core.validation import TrustStore, verify_path
from mtlskit.errors import PathError

OPENSSL = shutil.which("openssl") or ""
needs_openssl = pytest.mark.skipif(not OPENSSL, reason="openssl is not installed")


def standing(
    acme: CertificateAuthority,
    certificate: x509.Certificate,
    lists: Sequence[x509.CertificateRevocationList] = (),
    *,
    ocsp: Iterable[bytes] = (),
    now: datetime | None = None,
) -> str:
    """`good`, or why our validator refuses the certificate."""
    trust = TrustStore(acme.anchors, lists=lists)
    presented = PresentedChain.from_certificates(certificate)
    purpose = "client_auth" if _is_client(certificate) else "server_auth"
    try:
        verify_path(
            presented, trust, purpose=purpose, now=now or datetime.now(UTC), revocation="leaf", ocsp=tuple(ocsp)
        )
    except PathError as error:
        return str(error.reason.value)
    return "good"


def _is_client(certificate: x509.Certificate) -> bool:
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return x509.ExtendedKeyUsageOID.CLIENT_AUTH in usage


def openssl(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """One run of the command."""
    return subprocess.run([OPENSSL, *arguments], cwd=directory, capture_output=True, text=True, timeout=60, check=False)


def openssl_verify(
    directory: Path,
    acme: CertificateAuthority,
    certificate: x509.Certificate,
    lists: Sequence[x509.CertificateRevocationList],
    *options: str,
) -> str:
    """`good`, or why `openssl verify -crl_check` refuses the certificate."""
    (directory / "ca.pem").write_bytes(acme.anchors_pem() + b"".join(map(crl_pem, lists)))
    (directory / "leaf.pem").write_bytes(to_pem([certificate]))
    done = openssl("verify", "-crl_check", *options, "-CAfile", "ca.pem", "leaf.pem", directory=directory)
    if done.returncode == 0:
        return "good"
    return "revoked" if "certificate revoked" in done.stderr else done.stderr
