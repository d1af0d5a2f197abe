"""The client that policies are tried on: as its certificate says, judged first where there is something to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mtlskit.cli.files import read_certificate_files, read_presented
from mtlskit.cli.words import described, escaped
from mtlskit.core.certificates import ClientIdentity, PresentedChain
from mtlskit.core.validation import Purpose, TrustStore, verify_path
from mtlskit.core.verdict import GATE_LIMITS
from mtlskit.errors import CertificateError, ConfigurationError


@dataclass(frozen=True, slots=True)
class Client:
    """What a client presented, None if nothing, and the anchors to judge it by, if there are some."""

    presented: PresentedChain | None
    trust: TrustStore

    @classmethod
    def of_files(cls, cert: str | None, anchors: Sequence[str]) -> Client:
        """From the files that the options name; raises CertificateError and ConfigurationError."""
        if anchors and cert is None:
            raise ConfigurationError("expected --cert beside --ca, got no certificate to judge")
        presented = None if cert is None else read_presented(cert)
        return cls(presented, TrustStore(read_certificate_files(anchors, "a trust anchor")))

    @property
    def is_judged(self) -> bool:
        """Whether the certificate is judged at all."""
        return bool(self.trust.anchors)

    def identity(self, hostname: str, moment: datetime) -> ClientIdentity | None:
        """Who the client is at that hostname and moment; raises PathError where its certificate is refused.

        Raises CertificateError where it cannot be read.
        """
        if self.presented is None:
            return None
        if self.is_judged:
            return self._verified(self.presented, hostname, moment)
        return self._unverified(self.presented, hostname)

    def _verified(self, presented: PresentedChain, hostname: str, moment: datetime) -> ClientIdentity:
        path = verify_path(presented, self.trust, purpose=Purpose.CLIENT_AUTH, now=moment, limits=GATE_LIMITS)
        return ClientIdentity.of(
            path.leaf,
            hostname=hostname,
            anchor_id=path.anchor.id,
            issuers=path.certificates[1:],
            presented=presented,
        )

    def _unverified(self, presented: PresentedChain, hostname: str) -> ClientIdentity:
        leaf = presented.certificates()[0]
        try:
            return ClientIdentity.of(leaf, hostname=hostname, anchor_id=None, presented=presented)
        except Exception:  # noqa: BLE001 - whatever the foreign parser raises: nobody can read it
            raise CertificateError("expected a certificate whose names can be read, got another") from None

    def words(self, identity: ClientIdentity | None) -> dict[str, Any]:
        """Who the client is, for people and for JSON."""
        return {
            "certificate": None if identity is None else described(identity.certificate),
            "certificate_judged": self.is_judged,
            "anchor": escaped(identity.anchor_id) if identity is not None and identity.anchor_id is not None else None,
        }
