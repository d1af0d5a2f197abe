"""Certificate authorities: make one, issue, sign requests, revoke, publish revocation lists."""

from __future__ import annotations

from mtlskit.authority.authority import CertificateAuthority
from mtlskit.authority.authorization import Denied, Granted, IssuanceRequest
from mtlskit.authority.batches import Filled, Unfilled
from mtlskit.authority.generations import Generation, GenerationState, KeyPlace
from mtlskit.authority.issued import IssuedCertificate
from mtlskit.authority.ledger import Reservation, Revocation
from mtlskit.authority.lists import Expired, crl_der, crl_pem
from mtlskit.authority.orders import CertificateOrder
from mtlskit.authority.records import RevokedSerials
from mtlskit.authority.revocation import RevocationReason
from mtlskit.authority.rotation import Rotation
from mtlskit.authority.scope import ListScope, Subjects
from mtlskit.authority.serials import read_serial
from mtlskit.authority.signers import KeySigner, KeyType, Signer
from mtlskit.authority.stages import Remaining

__all__ = [
    "CertificateAuthority",
    "CertificateOrder",
    "Denied",
    "Expired",
    "Filled",
    "Generation",
    "GenerationState",
    "Granted",
    "IssuanceRequest",
    "IssuedCertificate",
    "KeyPlace",
    "KeySigner",
    "KeyType",
    "ListScope",
    "Remaining",
    "Reservation",
    "Revocation",
    "RevocationReason",
    "RevokedSerials",
    "Rotation",
    "Signer",
    "Subjects",
    "Unfilled",
    "crl_der",
    "crl_pem",
    "read_serial",
]
