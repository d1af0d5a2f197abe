"""The classes of difference between `verify_path` and other engines, each with its reason. A new class fails the tests.

A difference is explained by what is odd about the hierarchy and by what we say of it. Where we refuse what others
accept, a row of the verdicts decides; where we accept what they refuse, it decides too, or they cannot do it.
"""

from __future__ import annotations

from typing import NamedTuple

from mtlskit.core.reasons import Reason
from support.validation import ACCEPTED

OPENSSL = frozenset({"openssl", "handshake"})
STORE, HANDSHAKE = frozenset({"openssl"}), frozenset({"handshake"})
PYCA = frozenset({"cryptography"})


class Class(NamedTuple):
    """Engines that differ, our verdict, the deviations that cause it (by how their names begin), and why."""

    engines: frozenset[str]
    ours: str
    deviations: tuple[str, ...]
    why: str


CLASSES = (
    # OpenSSL, of certificates that we refuse
    Class(OPENSSL, "malformed", ("GeneralizedTime before 2050",), "it takes either form of a time; RFC 5280, 4.1.2.5 does not"),
    Class(OPENSSL, "malformed", ("negative serial", "longer serial"), "it takes any serial number; RFC 5280, 4.1.2.2 does not"),
    Class(OPENSSL, "malformed", ("the same extension twice",), "it looks for duplicates of the types that it knows only"),
    Class(OPENSSL, "malformed", ("NUL in SAN",), "it looks at names where it compares them only"),
    Class(OPENSSL, "malformed", ("version 1",), "row: extensions in a version 1 certificate; it reads them"),
    Class(OPENSSL, "malformed", ("empty subject",), "row: a subject or a SAN; it asks for no name"),
    Class(OPENSSL, "profile_violation", ("CA as leaf",), "row: a CA certificate in the leaf's place"),
    Class(OPENSSL, "profile_violation", ("leaf KU without digitalSignature",), "row: a client signs; it takes keyAgreement too"),
    Class(OPENSSL, "path_too_long", ("many intermediates",), "row: 8 intermediates by default; it takes 100"),
    Class(OPENSSL, "not_a_ca", ("no basicConstraints on the anchor", "version 1 anchor"), "row: v3 CAs; it trusts self-signed ones of version 1 or without"),
    Class(OPENSSL, "weak_key", ("secp256k1",), "row: curves; it has no list of them"),
    Class(STORE, "weak_key", ("RSA-1024",), "row: RSA from 2048 bits on; outside of TLS it has no security level"),
    Class(STORE, "weak_signature", ("SHA-1",), "row: SHA-1; outside of TLS it has no security level"),
    # OpenSSL, of certificates that we accept
    Class(OPENSSL, ACCEPTED, ("any CA EKU",), "row: anyExtendedKeyUsage holds for an intermediate; it does not for TLS"),
    Class(OPENSSL, ACCEPTED, ("any anchor EKU", "server anchor EKU"), "row: an anchor's EKU is not looked at"),
    Class(OPENSSL, ACCEPTED, ("wrong issuer and serial in an AKI",), "row: the AKI's issuer and serial match nothing"),
    Class(OPENSSL, ACCEPTED, ("rolled over",), "self-issued is not self-signed; without an AKI it takes one for the other"),
    Class(OPENSSL, ACCEPTED, ("crossed",), "every path is tried; it keeps to the first chain that it builds"),
    # cryptography, of certificates that we refuse
    Class(PYCA, "weak_key", ("RSA-1024 leaf", "secp256k1 leaf"), "row: keys; for clients it looks at the issuers' keys only"),
    Class(PYCA, "malformed", ("longer serial",), "row: 2^160; it counts octets of the leaf's and the intermediates'"),
    Class(PYCA, "malformed", ("NUL in SAN",), "it looks at names where it compares them only"),
    Class(PYCA, "profile_violation", ("leaf KU without digitalSignature",), "row: a client signs; it does not look"),
    Class(PYCA, "profile_violation", ("any anchor EKU", "client anchor EKU", "any CA EKU", "client CA EKU", "any beside leaf EKU", "no leaf EKU"), "rows of WEBPKI on EKU; for clients it has none"),
    Class(PYCA, "profile_violation", ("no SKI", "no AKI on the CA", "issuer and serial in the anchor's AKI", "wrong AKI"), "rows of WEBPKI on key identifiers; it compares none"),
    Class(PYCA, "profile_violation", ("long serial", "serial 0", "underscore SAN"), "rows of WEBPKI on serials and names; it only warns, or does not look"),
    Class(PYCA, "name_not_permitted", ("directory constraint", "other directory constraint"), "row: the subject is a directoryName; it does not compare those"),
    # cryptography, of certificates that we accept
    Class(PYCA, ACCEPTED, ("CA with an Edwards key", "leaf with an Edwards key"), "row: Ed25519 and Ed448 are accepted"),
    Class(PYCA, ACCEPTED, ("two algorithms in the anchor",), "an anchor is a name and a key; it looks at the anchor's algorithms"),
    Class(PYCA, ACCEPTED, ("no CA KU", "no anchor KU"), "row: a keyUsage that is present must have keyCertSign; it wants one present"),
    Class(PYCA, ACCEPTED, ("directory constraint", "other directory constraint"), "row: directoryName; it refuses critical ones"),
    Class(PYCA, ACCEPTED, ("rolled over",), "self-issued intermediates do not count for a path length; it counts them"),
)  # fmt: skip


# When several things are wrong, we tell the one of the greater rank: what explains may stand behind it.
def _is_told_by(each: Class, ours: str) -> bool:
    if ours == each.ours or ACCEPTED in (ours, each.ours):
        return ours == each.ours
    return Reason(ours).rank > Reason(each.ours).rank


def explaining(engine: str, ours: str, deviations: frozenset[str]) -> Class | None:
    """The class that a difference belongs to, if there is one."""
    for each in CLASSES:
        if engine in each.engines and _is_told_by(each, ours) and any(
            name.startswith(begin) for name in deviations for begin in each.deviations
        ):  # fmt: skip
            return each
    return None
