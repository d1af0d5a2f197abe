"""Certificate authorities: make one, issue, sign requests, revoke, publish revocation lists."""

from __future__ import annotations

from mtlskit.authority.authority import CertificateAuthority
from mtlskit.authority.generations import Generation, GenerationState, KeyPlace
from mtlskit.authority.issued import IssuedCertificate
from mtlskit.authority.ledger import Reservation, Revocation
from mtlskit.authority.records import RevokedSerials
from mtlskit.authority.revocation import RevocationReason, crl_der, crl_pem
from mtlskit.authority.rotation import Rotation
from mtlskit.authority.serials import read_serial
from mtlskit.authority.signers import KeySigner, KeyType, Signer
from mtlskit.authority.stages import Remaining

__all__ = [
    "CertificateAuthority",
    "Generation",
    "GenerationState",
    "IssuedCertificate",
    "KeyPlace",
    "KeySigner",
    "KeyType",
    "Remaining",
    "Reservation",
    "Revocation",
    "RevocationReason",
    "RevokedSerials",
    "Rotation",
    "Signer",
    "crl_der",
    "crl_pem",
    "read_serial",
]
