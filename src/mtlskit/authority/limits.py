"""What the certificates over a new one allow it to be, so that nothing is issued that the gate would refuse."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mtlskit.core.certificates import to_der
from mtlskit.core.profiles import AuthorityConstraints, Profile, Role
from mtlskit.core.profiles.building import purpose_oid
from mtlskit.core.validation import COMPATIBLE, Limits
from mtlskit.core.validation.budget import Budget
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.constraints import constraint_fault
from mtlskit.errors import IssuanceError


class IssuerLimits:
    """Those of an issuer: its own certificate's first, then those above it.

    `constrain_names` tells whether names have to be checked: whether one of them has name constraints.
    """

    __slots__ = ("_chain", "_usages", "constrain_names")

    def __init__(self, certificates: Sequence[x509.Certificate]) -> None:
        self._chain = tuple(ParsedCertificate(to_der(each)) for each in certificates)
        self.constrain_names = any(each.has_constraints for each in self._chain)
        usages = (each.extensions.get(ExtensionOID.EXTENDED_KEY_USAGE) for each in self._chain)
        self._usages = [frozenset(each) for each in usages if each is not None]

    def check_profile(self, profile: Profile, constraints: AuthorityConstraints) -> None:
        """Raises IssuanceError for a purpose that is not the issuer's, and for an authority where none may follow.

        An authority without purposes of its own is bound by those above it.
        """
        wanted = {purpose_oid(usage) for usage in profile.extended_key_usages or constraints.extended_key_usages}
        for usages in self._usages:
            within = wanted <= usages if wanted else profile.role is Role.AUTHORITY
            if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usages and not within:
                allowed, found = (", ".join(sorted(each._name for each in some)) for some in (usages, wanted))
                raise IssuanceError(
                    f"extended_key_usage: expected purposes among the issuer's {allowed}, got {found or 'any'}"
                )
        if profile.role is Role.AUTHORITY:
            self._check_path_length()

    def check_names(self, unsigned: bytes) -> None:
        """Raises IssuanceError for names that the issuer's name constraints do not permit; `unsigned` is DER."""
        chain = (ParsedCertificate(unsigned), *self._chain)
        fault = constraint_fault(chain, COMPATIBLE, Budget(Limits()))
        if fault is not None:
            raise IssuanceError(f"name_constraints: {fault.detail}")

    def _check_path_length(self) -> None:
        for below, certificate in enumerate(self._chain, start=1):
            if certificate.path_length is not None and certificate.path_length < below:
                raise IssuanceError(
                    f"path_length: expected at most {certificate.path_length} authorities below, got one more"
                )
