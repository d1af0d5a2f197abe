"""What the certificates over a new one allow it to be, so that nothing is issued that the gate would refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mtlskit.core.certificates import to_der
from mtlskit.core.profiles import CROSS, AuthorityConstraints, Names, Profile, Role
from mtlskit.core.profiles.building import purpose_oid
from mtlskit.core.validation import COMPATIBLE, Limits
from mtlskit.core.validation.budget import Budget
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.constraints import BrokenName, broken_name
from mtlskit.errors import IssuanceError

_OCSP_SIGNING: Final = ExtendedKeyUsageOID.OCSP_SIGNING


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

        An authority without purposes of its own is bound by those above it. OCSPSigning is nobody's to hand down: who
        issues for something also says who answers for that (CA/Browser Forum BR, 7.1.2.8 and 7.1.2.10.6).
        """
        wanted = {purpose_oid(usage) for usage in profile.extended_key_usages or constraints.extended_key_usages}
        if profile.role is Role.AUTHORITY:
            _check_no_responder(profile, wanted)
        for usages in self._usages:
            within = wanted - {_OCSP_SIGNING} <= usages if wanted else profile.role is Role.AUTHORITY
            if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usages and not within:
                allowed, found = (", ".join(sorted(each._name for each in some)) for some in (usages, wanted))
                raise IssuanceError(
                    f"extended_key_usage: expected purposes among the issuer's {allowed}, got {found or 'any'}"
                )
        if profile.role is Role.AUTHORITY:
            self._check_path_length()

    def check_names(self, unsigned: bytes, names: Names) -> None:
        """Raises IssuanceError for names that the issuer's name constraints do not permit.

        `unsigned` is the certificate in DER, and `names` are those in it: the error says which one it is.
        """
        chain = (ParsedCertificate(unsigned), *self._chain)
        broken = broken_name(chain, COMPATIBLE, Budget(Limits()))
        if broken is not None:
            raise IssuanceError(
                f"name_constraints: expected names that every CA above permits, got {_told(broken, names)}"
            )

    def _check_path_length(self) -> None:
        for below, certificate in enumerate(self._chain, start=1):
            if certificate.path_length is not None and certificate.path_length < below:
                raise IssuanceError(
                    f"path_length: expected at most {certificate.path_length} authorities below, got one more"
                )


def _told(broken: BrokenName, names: Names) -> str:
    form = broken.form.name.lower()
    of_that_form = [san.value for san in names.sans if san.type == form]
    if broken.position == 0 and broken.at < len(of_that_form):
        return f"{form} {of_that_form[broken.at]!r:.100}"
    if broken.position == 0 and names.common_name is not None:
        return f"common_name {names.common_name!r}"
    return f"a {form} name"


# Whoever is issued a certificate for OCSPSigning answers for its issuer (RFC 6960, 4.2.2.2): an authority with that
# purpose could take back the revocation of its siblings, and its own. Only the key of a next generation has that right.
def _check_no_responder(profile: Profile, wanted: set[x509.ObjectIdentifier]) -> None:
    if _OCSP_SIGNING in wanted and profile != CROSS:
        raise IssuanceError(
            "extended_key_usage: expected purposes without OCSPSigning for an authority, which would then answer for "
            "its issuer, got them with"
        )
