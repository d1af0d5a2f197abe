"""Every row of the verdicts with client certificates that it accepts and that it refuses, for each profile.

The table names the rows as the verdicts do. The single things that a row lists are tested one by one beside this file;
here each row is shown to hold, in both directions, in all three profiles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlskit.core.certificates import public_key_id
from mtlskit.core.validation import (
    COMPATIBLE,
    RFC5280,
    WEBPKI,
    ExplicitPolicy,
    Limits,
    OCSPEvidence,
    Pinning,
    PolicyInputs,
    Profile,
    TrustAnchor,
    TrustStore,
    VerifiedPath,
    verify_path,
)
from mtlskit.testing.certificates import CLIENT_AUTH, SERVER_AUTH, Authority
from support.der import (
    ECDSA_SHA256,
    Fields,
    boolean,
    cn,
    content,
    der_of,
    elements,
    encode,
    extension,
    integer,
    name,
    oid,
    seq,
)
from support.validation import (
    ACCEPTED,
    INTERMEDIATE,
    INTERMEDIATE_FIELDS,
    LEAF,
    LEAF_FIELDS,
    NOW,
    ROOT,
    ROOT_FIELDS,
    judged,
    load,
    verdict,
)

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

PROFILES = (COMPATIBLE, RFC5280, WEBPKI)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
SKI, KEY_USAGE, SAN, BASIC, CONSTRAINTS, POLICIES, AKI, USAGES = (
    f"2.5.29.{number}" for number in (14, 15, 17, 19, 30, 32, 35, 37)
)  # fmt: skip
CLIENT, SERVER, ANY = oid("1.3.6.1.5.5.7.3.2"), oid("1.3.6.1.5.5.7.3.1"), oid("2.5.29.37.0")
CHAIN = LEAF.presented().ders
TRUST = TrustStore([ROOT.certificate])
Flags = x509.ReasonFlags

Judge = Callable[[Profile], str]


class Case(NamedTuple):
    """One hierarchy, and what COMPATIBLE, RFC5280 and WEBPKI say of it."""

    what: str
    expected: tuple[str, str, str]
    judge: Judge


def accepted(what: str, judge: Judge) -> Case:
    return Case(what, (ACCEPTED,) * 3, judge)


def refused(what: str, reason: str, judge: Judge) -> Case:
    return Case(what, (reason,) * 3, judge)


def differs(what: str, stances: str, rule: str, judge: Judge) -> Case:
    """`stances` has a letter per profile: a for accept, r for a refusal by `rule`."""
    first, second, third = (ACCEPTED if letter == "a" else f"profile_violation:{rule}" for letter in stances)
    return Case(what, (first, second, third), judge)


# --- how a hierarchy is made ----------------------------------------------------------------------------------------


def changed(**changes: Any) -> Judge:
    """Root, intermediate and leaf with changes to their fields, signed again; other options go to the validator."""
    return lambda profile: judged(**{"profile": profile, **changes})


def presenting(*ders: bytes, trust: TrustStore = TRUST, **options: Any) -> Judge:
    """These certificates, the leaf first."""
    return lambda profile: verdict(ders, trust, profile=profile, **options)


def below(authority: Authority, anchor: Authority | None = None, **options: Any) -> Judge:
    """A plain leaf of an authority that ends at an anchor, by default itself."""
    trust = TrustStore([(anchor or authority).certificate])
    ders = authority.leaf(usages=(CLIENT_AUTH,)).presented().ders
    return lambda profile: verdict(ders, trust, profile=profile, **options)


def valid(start: datetime, end: datetime) -> Callable[[Fields], Fields]:
    times = (encode(0x17, moment.strftime("%y%m%d%H%M%SZ").encode()) for moment in (start, end))
    validity = seq(*times)
    return lambda fields: fields.but(validity=validity)


def with_extension(dotted: str, value: bytes, *, critical: bool = False) -> Callable[[Fields], Fields]:
    return lambda fields: fields.instead(dotted, value, critical=critical)


def without(dotted: str) -> Callable[[Fields], Fields]:
    return lambda fields: fields.without(dotted)


def ski_of(authority: Authority) -> bytes:
    return authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def tower(height: int, **options: Any) -> tuple[Authority, Authority]:
    """A root and the lowest of so many intermediates under it."""
    root = top = Authority.root("Tower", **options)
    for floor in range(height):
        top = top.intermediate(f"Floor {floor}")
    return root, top


def constrained(value: x509.NameConstraints, *sans: str) -> Judge:
    ca = ROOT.intermediate("Constrained", extensions=[(value, True)])
    return presenting(*ca.leaf(sans=sans).presented().ders)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


DEVICE = seq(encode(0x82, b"device.example"))
PERMITTED = seq(encode(0xA0, seq(encode(0x82, b"example"))))
TWIN = Authority.root("Test root")
STRANGER = Authority.root("Stranger")
CROSSED_KEY = new_key()
OLD_CROSS = ROOT.intermediate("Crossed", key=CROSSED_KEY, not_before=NOW - 9 * HOUR, not_after=NOW - HOUR)
GOOD_CROSS = ROOT.intermediate("Crossed", key=CROSSED_KEY)
CROSSED_LEAF = GOOD_CROSS.leaf().presented().ders[0]
PINNED = STRANGER.leaf(usages=(CLIENT_AUTH,))
ROLLED_KEY = new_key()
ROLLING = Authority.root("Rolling", path_length=0)
ROLLED = ROLLING.intermediate("Rolling", key=ROLLED_KEY, path_length=0)
P192 = Authority.root("Weak", key=ec.generate_private_key(ec.SECP192R1()))
SHA1 = (seq(oid("1.2.840.10045.4.1")), hashes.SHA1())
SHA1_LEAF = LEAF_FIELDS.but(algorithm=SHA1[0]).sign(INTERMEDIATE.key, algorithm=SHA1[1])
SHA1_ROOT = load(ROOT_FIELDS.but(algorithm=SHA1[0]).sign(ROOT.key, algorithm=SHA1[1]))


# --- revocation documents -------------------------------------------------------------------------------------------


def crl(
    *serials: int, by: Authority = INTERMEDIATE, key: Any = None, number: int | None = 1, start: datetime = NOW - HOUR,
    end: datetime = NOW + HOUR, more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    entry: tuple[x509.ExtensionType, bool] | None = None,
) -> bytes:  # fmt: skip
    """A list of an authority, by default the one that issued the leaf."""
    builder = x509.CertificateRevocationListBuilder(by.certificate.subject, start, end)
    for value, critical in (*more, *([(x509.CRLNumber(number), False)] if number is not None else [])):
        builder = builder.add_extension(value, critical)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder(serial, NOW - HOUR)
        builder = builder.add_revoked_certificate((revoked.add_extension(*entry) if entry else revoked).build())
    return builder.sign(key or by.key, hashes.SHA256()).public_bytes(Encoding.DER)


def scope(**options: Any) -> tuple[x509.ExtensionType, bool]:
    plain = dict.fromkeys(("full_name", "relative_name", "only_some_reasons"))
    flags = dict.fromkeys(
        ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs"), False
    )
    return x509.IssuingDistributionPoint(**{**plain, **flags, **options}), True


def response(status: Any = ocsp.OCSPCertStatus.GOOD, *, by: Any = INTERMEDIATE, **options: Any) -> bytes:
    """An OCSP response about the leaf; `by` is an Authority, or a SigningChain as a delegate."""
    is_delegate = not isinstance(by, Authority)
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        options.get("certificate", LEAF.certificate), INTERMEDIATE.certificate, hashes.SHA256(), status,
        options.get("start", NOW - HOUR), options.get("end", NOW + HOUR), NOW - HOUR if revoked else None,
        Flags.key_compromise if revoked else None,
    ).responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)  # fmt: skip
    if is_delegate:
        builder = builder.certificates([by.certificate])
    if "nonce" in options:
        builder = builder.add_extension(x509.OCSPNonce(options["nonce"]), False)
    return builder.sign(by.private_key if is_delegate else by.key, hashes.SHA256()).public_bytes(Encoding.DER)


def listed(*lists: bytes, mode: str = "leaf", chain: tuple[bytes, ...] = CHAIN, **options: Any) -> Judge:
    trust = TrustStore([ROOT.certificate], lists=lists)
    return lambda profile: verdict(chain, trust, profile=profile, revocation=mode, **options)


def answered(*responses: Any, **options: Any) -> Judge:
    return presenting(*CHAIN, revocation="leaf", ocsp=responses, **options)


class Store:
    """The store of an issuing authority that has revoked one certificate."""

    def __init__(self, issuer: x509.Certificate, serial: int) -> None:
        self._revoked = (public_key_id(issuer), serial)

    def reason_of(self, issuer_key: bytes, serial: int) -> str | None:
        return "superseded" if (issuer_key, serial) == self._revoked else None


SERIAL = LEAF.serial_number
ROOT_LIST = crl(by=ROOT)
LIST_KEY = new_key()
LIST_SIGNER = ROOT.intermediate("Test intermediate", key=LIST_KEY)
BESIDE = (*CHAIN, der_of(LIST_SIGNER.certificate))
NO_CRL_SIGN = ROOT.intermediate("No lists", extensions=[(
    x509.KeyUsage(
        digital_signature=False, key_cert_sign=True, crl_sign=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    ), True,
)])  # fmt: skip
UNKNOWN_CRITICAL = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True)
POINT = x509.UniformResourceIdentifier("http://lists.example/1")
POINTED = INTERMEDIATE.leaf(
    usages=(CLIENT_AUTH,),
    extensions=[(x509.CRLDistributionPoints([x509.DistributionPoint([POINT], None, None, None)]), False)],
)
HOLD = (x509.CRLReason(Flags.certificate_hold), False)
RELEASE = (x509.CRLReason(Flags.remove_from_crl), False)
RESPONDER = INTERMEDIATE.leaf("Responder", usages=(ExtendedKeyUsageOID.OCSP_SIGNING,))


def signed_anew(data: bytes, change: Callable[[list[bytes]], list[bytes]], algorithm: bytes, hashing: Any) -> bytes:
    """A list with the fields of its to-be-signed part changed: what cryptography makes none of."""
    fields = change(elements(content(elements(content(data))[0])))
    tbs = seq(*fields)
    signature = INTERMEDIATE.key.sign(tbs, ec.ECDSA(hashing))  # type: ignore[union-attr,call-arg,arg-type]
    return seq(tbs, algorithm, encode(3, b"\0", signature))


VERSION_1_LIST = signed_anew(
    crl(), lambda fields: [each for each in fields[1:] if each[0] != 0xA0], ECDSA_SHA256, hashes.SHA256()
)
SHA1_LIST = signed_anew(crl(), lambda fields: [fields[0], SHA1[0], *fields[2:]], *SHA1)
GOLD = oid("1.3.6.1.4.1.99999.1")
GOLDEN = with_extension(POLICIES, seq(seq(GOLD)))
WANTS_GOLD = PolicyInputs(
    acceptable=frozenset({x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")}), explicit=ExplicitPolicy.REQUIRED
)
SUFFIXED = {profile: replace(profile, public_suffixes=frozenset({"co.example"})) for profile in PROFILES}


def suffixed(san: bytes) -> Judge:
    return lambda profile: judged(leaf=with_extension(SAN, seq(encode(0x82, san))), profile=SUFFIXED[profile])


def rsa_spki(bits: int) -> bytes:
    key = seq(integer(2 ** (bits - 1) + 1), integer(65537))
    return seq(seq(oid("1.2.840.113549.1.1.1"), b"\5\0"), encode(3, b"\0", key))


def spki(bits: int) -> Callable[[Fields], Fields]:
    return lambda fields: fields.but(spki=rsa_spki(bits))


def server(reference: str, *sans: bytes, usages: bytes = seq(CLIENT, SERVER)) -> Judge:
    return changed(
        leaf=lambda f: f.instead(SAN, seq(*sans)).instead(USAGES, usages) if sans else f.without(SAN),
        purpose="server_auth", reference_name=reference,
    )  # fmt: skip


# --- the table ------------------------------------------------------------------------------------------------------

REFUSED_BY_EVERY_PROFILE: dict[str, list[Case]] = {
    "a signature that does not verify": [
        accepted("RSA, Edwards and ECDSA signatures in one path", below(
            Authority.root("Ed448", key=ed448.Ed448PrivateKey.generate()).intermediate("Ed25519", key=ed25519.Ed25519PrivateKey.generate()),
        )),
        refused("two algorithms in the intermediate", "bad_signature",
                changed(intermediate=lambda f: f.but(outer_algorithm=seq(oid("1.2.840.10045.4.3.3"))))),
        refused("a parameter after the algorithm of the intermediate", "bad_signature",
                changed(intermediate=lambda f: f.but(algorithm=seq(oid("1.2.840.10045.4.3.2"), b"\5\0")))),
        refused("signed by a look-alike of the issuer that the AKI names", "bad_signature",
                presenting(LEAF_FIELDS.sign(TWIN.key), CHAIN[1])),
    ],
    "no path to an anchor of this trust store": [
        accepted("an anchor among others", presenting(*CHAIN, trust=TrustStore([TWIN.certificate, ROOT.certificate]))),
        refused("an anchor of the same name with another key", "unknown_issuer",
                presenting(*CHAIN, trust=TrustStore([TWIN.certificate]))),
        refused("its own root beside it", "unknown_issuer",
                presenting(*STRANGER.leaf().presented().ders, der_of(STRANGER.certificate))),
        refused("a leaf that is an entry of the store", "unknown_issuer",
                presenting(*PINNED.presented().ders, trust=TrustStore([PINNED.certificate]))),
        accepted("a pinned leaf", presenting(
            *PINNED.presented().ders, trust=TrustStore([TrustAnchor(PINNED.certificate, pinned=Pinning.PINNED)]))),
    ],
    "outside notBefore..notAfter": [
        accepted("the last second of the anchor", changed(root=valid(NOW - HOUR, NOW))),
        accepted("the first second of the anchor", changed(root=valid(NOW, NOW + HOUR))),
        refused("a second after the anchor", "expired", changed(root=valid(NOW - HOUR, NOW - SECOND))),
        refused("a second before the anchor", "not_yet_valid", changed(root=valid(NOW + SECOND, NOW + HOUR))),
        refused("an end before the beginning", "expired", changed(leaf=valid(NOW - SECOND, NOW - HOUR))),
        refused("a pinned leaf after its time", "expired", presenting(
            *PINNED.presented().ders, now=NOW + timedelta(days=99),
            trust=TrustStore([TrustAnchor(PINNED.certificate, pinned=Pinning.PINNED)]))),
    ],
    "an issuer that is not a v3 CA": [
        accepted("a CA without keyUsage", changed(intermediate=without(KEY_USAGE))),
        refused("a client certificate as issuer", "not_a_ca", presenting(
            Fields.of(CHAIN[0]).but(issuer=LEAF_FIELDS.subject, subject=cn("below")).instead(
                AKI, seq(encode(0x80, LEAF.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest))
            ).sign(LEAF.private_key), *CHAIN)),
        refused("keyUsage with cRLSign alone", "not_a_ca", changed(intermediate=with_extension(KEY_USAGE, encode(3, b"\1\x02"), critical=True))),
        refused("an anchor with cA FALSE", "not_a_ca", changed(root=with_extension(BASIC, seq(), critical=True))),
    ],
    "pathLenConstraint exceeded": [
        accepted("as many as allowed", below(*reversed(tower(2, path_length=2)))),
        refused("one more", "path_too_long", below(*reversed(tower(2, path_length=1)))),
        accepted("a self-issued one does not count", presenting(
            *ROLLED.leaf().presented().ders, trust=TrustStore([ROLLING.certificate]))),
        refused("the configured depth", "path_too_long", below(*reversed(tower(2)), limits=Limits(depth=1))),
        accepted("at the configured depth", below(*reversed(tower(2)), limits=Limits(depth=2))),
    ],
    "leaf EKU present without the wanted purpose": [
        accepted("an intermediate for any purpose", changed(intermediate=with_extension(USAGES, seq(ANY)))),
        refused("servers only", "wrong_purpose", changed(leaf=with_extension(USAGES, seq(SERVER)))),
        refused("any purpose alone", "wrong_purpose", changed(leaf=with_extension(USAGES, seq(ANY)))),
        refused("no purpose", "wrong_purpose", changed(leaf=with_extension(USAGES, seq()))),
        refused("an intermediate for servers", "wrong_purpose", changed(intermediate=with_extension(USAGES, seq(SERVER)))),
        differs("an anchor for servers", "aar", "anchor_usages", changed(root=with_extension(USAGES, seq(SERVER)))),
    ],
    "name constraints broken": [
        accepted("a SPIFFE ID in its trust domain", constrained(
            x509.NameConstraints([x509.UniformResourceIdentifier("acme.example")], None), "uri:spiffe://acme.example/a")),
        refused("a SPIFFE ID of another", "name_not_permitted", constrained(
            x509.NameConstraints([x509.UniformResourceIdentifier("acme.example")], None), "uri:spiffe://acme.test/a")),
        refused("a URN, which has no host", "name_not_permitted", constrained(
            x509.NameConstraints([x509.UniformResourceIdentifier("acme.example")], None), "uri:urn:acme:device")),
        refused("the subject as a directoryName", "name_not_permitted", constrained(
            x509.NameConstraints(None, [x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")]))]), "dns:a.example")),
        refused("one name of two outside", "name_not_permitted", constrained(
            x509.NameConstraints([x509.DNSName("example")], None), "dns:a.example", "dns:a.test")),
    ],
    "an unknown critical extension": [
        accepted("an unknown one that is not critical", changed(root=with_extension("1.2.3", b"\5\0"))),
        refused("critical in the anchor", "unsupported_critical_extension",
                changed(root=with_extension("1.2.3", b"\5\0", critical=True))),
        refused("a known type twice", "malformed", changed(leaf=lambda f: f.plus(extension(SAN, DEVICE)))),
        refused("extensions in a version 2 certificate", "malformed",
                changed(leaf=lambda f: f.but(version=encode(0xA0, integer(1))))),
    ],
    "RSA under 2048 or over 8192 bits": [
        accepted("RSA of 2048 bits", changed(leaf=spki(2048))),
        refused("RSA of 2040 bits", "weak_key", changed(leaf=spki(2040))),
        refused("RSA of 8200 bits", "weak_key", changed(leaf=spki(8200))),
        refused("a P-192 anchor", "weak_key", below(P192)),
        refused("a SHA-1 signature", "weak_signature", presenting(SHA1_LEAF, CHAIN[1])),
        accepted("SHA-1 on the anchor itself", presenting(*CHAIN, trust=TrustStore([SHA1_ROOT]))),
    ],
    "bytes that the strict DER parser refuses": [
        accepted("a GeneralizedTime from 2050 on", changed(
            leaf=lambda f: f.but(validity=seq(encode(0x17, b"200101000000Z"), encode(0x18, b"20500101000000Z"))))),
        refused("a GeneralizedTime before", "malformed", changed(
            leaf=lambda f: f.but(validity=seq(encode(0x17, b"200101000000Z"), encode(0x18, b"20491231235959Z"))))),
        refused("an octet behind the end", "malformed", presenting(CHAIN[0] + b"\0", CHAIN[1])),
        refused("a NUL in a dNSName", "malformed", changed(leaf=with_extension(SAN, seq(encode(0x82, b"a.example\0.test"))))),
        refused("neither subject nor SAN", "malformed", changed(leaf=lambda f: f.but(subject=seq()).without(SAN))),
    ],
    "revoked": [
        accepted("another serial on the list", listed(crl(SERIAL + 1))),
        refused("by a list", "revoked", listed(crl(SERIAL))),
        refused("by a delta", "revoked", listed(crl(), crl(SERIAL, number=2, more=((x509.DeltaCRLIndicator(1), True),)))),
        refused("by a response", "revoked", answered(response(ocsp.OCSPCertStatus.REVOKED))),
        refused("by the store of the authority, in the mode off", "revoked", presenting(*CHAIN, trust=TrustStore(
            [ROOT.certificate], revocations=Store(INTERMEDIATE.certificate, SERIAL)))),
        accepted("the same serial in the store under another key", presenting(*CHAIN, trust=TrustStore(
            [ROOT.certificate], revocations=Store(ROOT.certificate, SERIAL)))),
    ],
    "revocation asked for and not to be had": [
        refused("no list", "revocation_unknown", listed()),
        refused("a stale list", "revocation_unknown", listed(crl(start=NOW - 2 * HOUR, end=NOW - HOUR))),
        refused("a list for CAs", "revocation_unknown", listed(crl(more=(scope(only_contains_ca_certs=True),)))),
        accepted("the explicit opt-out", listed(revocation_unknown="insecure_allow")),
        refused("the opt-out does not help the revoked", "revoked", listed(crl(SERIAL), revocation_unknown="insecure_allow")),
    ],
    "more work than the budget": [
        accepted("two signatures of two", presenting(*CHAIN, limits=Limits(signatures=2))),
        refused("two signatures of one", "limit_exceeded", presenting(*CHAIN, limits=Limits(signatures=1))),
        accepted("forty presented", presenting(CHAIN[0], CHAIN[1], *[b"junk"] * 38)),
        refused("forty-one presented", "limit_exceeded", presenting(CHAIN[0], CHAIN[1], *[b"junk"] * 39)),
        refused("one octet too many", "limit_exceeded", presenting(*CHAIN, limits=Limits(octets=sum(map(len, CHAIN)) - 1))),
    ],
    "certificate policies asked for": [
        accepted("asserted by both", changed(leaf=GOLDEN, intermediate=GOLDEN, policies=WANTS_GOLD)),
        refused("by the leaf alone", "certificate_policy", changed(leaf=GOLDEN, policies=WANTS_GOLD)),
        accepted("not asked for", changed(leaf=GOLDEN)),
    ],
    "names, branches and anchors": [  # the text under the table
        accepted("an issuer written in another case", changed(
            intermediate=lambda f: f.but(issuer=cn("TEST  root")))),
        refused("another issuer", "unknown_issuer", changed(intermediate=lambda f: f.but(issuer=cn("Test root 2")))),
        accepted("a good branch behind an expired one", presenting(
            CROSSED_LEAF, der_of(OLD_CROSS.certificate), der_of(GOOD_CROSS.certificate))),
        refused("the expired branch alone", "expired", presenting(CROSSED_LEAF, der_of(OLD_CROSS.certificate))),
        accepted("an intermediate as anchor", presenting(CHAIN[0], trust=TrustStore([INTERMEDIATE.certificate]))),
        accepted("an AKI with a wrong issuer and serial beside the right key", changed(leaf=with_extension(
            AKI, seq(encode(0x80, ski_of(INTERMEDIATE)), encode(0xA1, encode(0xA4, cn("Nobody"))), encode(0x82, b"\1"))))),
        accepted("a NUL in the CN", changed(leaf=lambda f: f.but(subject=cn("a\0b")))),
        accepted("two CNs", changed(leaf=lambda f: f.but(subject=name(("2.5.4.3", 12, b"a"), ("2.5.4.3", 12, b"b"))))),
    ],
}  # fmt: skip

WHERE_THE_PROFILES_DIFFER: dict[str, list[Case]] = {
    "leaf without a SAN": [
        differs("CN only", "aar", "missing_san", changed(leaf=without(SAN))),
        refused("a CN that the constraints forbid", "name_not_permitted", lambda profile: judged(
            leaf=lambda f: f.but(subject=cn("evil.test")).without(SAN),
            intermediate=with_extension(CONSTRAINTS, PERMITTED, critical=True),
            profile=replace(profile, missing_san=COMPATIBLE.missing_san))),
        accepted("a SAN", changed()),
    ],
    "v1 leaf": [
        Case("as openssl makes it", (ACCEPTED, "profile_violation:version_1_leaf", "profile_violation:missing_san"),
             changed(leaf=lambda f: f.but(version=b"", extensions=None))),
        accepted("version 3", changed()),
    ],
    "no SKI on a CA, no AKI on an intermediate or leaf": [
        differs("no SKI on the anchor", "arr", "missing_subject_key_identifier", changed(root=without(SKI))),
        differs("no AKI on the leaf", "arr", "missing_authority_key_identifier", changed(leaf=without(AKI))),
        accepted("no AKI on the anchor", changed(root=without(AKI))),
        accepted("no SKI on the leaf", changed(leaf=without(SKI))),
    ],
    "AKI key identifier present and not equal": [
        Case("of somebody else", (
            "unknown_issuer", "profile_violation:key_identifier_mismatch", "profile_violation:key_identifier_mismatch"),
            changed(leaf=with_extension(AKI, seq(encode(0x80, b"somebody else"))))),
        accepted("of the issuer", changed()),
    ],
    "AKI of a self-signed anchor": [
        differs("issuer and serial beside", "aar", "anchor_key_identifier", changed(root=with_extension(AKI, seq(
            encode(0x80, ski_of(ROOT)), encode(0xA1, encode(0xA4, cn("Test root"))), encode(0x82, b"\1"))))),
        differs("another key identifier", "aar", "anchor_key_identifier",
                changed(root=with_extension(AKI, seq(encode(0x80, b"another"))))),
        accepted("its own key identifier", changed(root=with_extension(AKI, seq(encode(0x80, ski_of(ROOT)))))),
    ],
    "leaf without an EKU": [
        differs("none", "aar", "missing_usages", changed(leaf=without(USAGES))),
        accepted("one", changed(leaf=with_extension(USAGES, seq(CLIENT)))),
    ],
    "anyExtendedKeyUsage beside; EKU critical; EKU on an anchor": [
        differs("any beside", "aar", "any_usage_beside", changed(leaf=with_extension(USAGES, seq(CLIENT, ANY)))),
        differs("critical", "aar", "critical_usages", changed(leaf=with_extension(USAGES, seq(CLIENT), critical=True))),
        differs("on the anchor", "aar", "anchor_usages", changed(root=with_extension(USAGES, seq(ANY)))),
        accepted("critical on an intermediate", changed(intermediate=with_extension(USAGES, seq(CLIENT), critical=True))),
    ],
    "leaf keyUsage without digitalSignature": [
        differs("keyAgreement alone", "rar", "leaf_without_digital_signature",
                changed(leaf=with_extension(KEY_USAGE, encode(3, b"\3\x08"), critical=True))),
        accepted("no keyUsage", changed(leaf=without(KEY_USAGE))),
    ],
    "a CA certificate in the leaf's place": [
        differs("an intermediate that may sign handshakes", "rar", "ca_as_leaf", changed(leaf=lambda f: f.instead(
            BASIC, seq(boolean(True)), critical=True).instead(KEY_USAGE, encode(3, b"\2\x84"), critical=True))),
        accepted("cA FALSE", changed(leaf=with_extension(BASIC, seq(), critical=True))),
    ],
    "leaf with keyCertSign and cA=FALSE": [
        differs("both", "arr", "cert_sign_on_leaf",
                changed(leaf=with_extension(KEY_USAGE, encode(3, b"\2\x84"), critical=True))),
        accepted("cRLSign instead", changed(leaf=with_extension(KEY_USAGE, encode(3, b"\1\x82"), critical=True))),
    ],
    "basicConstraints of a CA not critical": [
        differs("of the intermediate", "arr", "non_critical_basic_constraints",
                changed(intermediate=with_extension(BASIC, seq(boolean(True))))),
        accepted("of the leaf", changed(leaf=with_extension(BASIC, seq()))),
    ],
    "a root without keyUsage": [
        accepted("none", changed(root=without(KEY_USAGE))),
        refused("one without keyCertSign", "not_a_ca", changed(root=with_extension(KEY_USAGE, encode(3, b"\1\x02"), critical=True))),
    ],
    "nameConstraints not marked critical": [
        differs("permitted", "ara", "non_critical_name_constraints",
                changed(intermediate=with_extension(CONSTRAINTS, PERMITTED))),
        Case("enforced all the same", ("name_not_permitted", "profile_violation:non_critical_name_constraints", "name_not_permitted"),
             changed(intermediate=with_extension(CONSTRAINTS, seq(encode(0xA1, seq(encode(0x82, b"example"))))))),
        accepted("critical", changed(intermediate=with_extension(CONSTRAINTS, PERMITTED, critical=True))),
    ],
    "nameConstraints in a leaf; policy limits not critical; AIA, AKI or SKI critical": [
        differs("constraints in a leaf", "arr", "name_constraints_in_leaf",
                changed(leaf=with_extension(CONSTRAINTS, PERMITTED, critical=True))),
        differs("policyConstraints not critical", "arr", "non_critical_policy_limits",
                changed(intermediate=with_extension("2.5.29.36", seq(encode(0x80, b"\7"))))),
        differs("SKI critical", "arr", "critical_information",
                changed(intermediate=with_extension(SKI, encode(4, ski_of(INTERMEDIATE)), critical=True))),
        accepted("policyConstraints critical", changed(
            intermediate=with_extension("2.5.29.36", seq(encode(0x80, b"\7")), critical=True))),
    ],
    "SAN not critical with an empty subject": [
        differs("not critical", "arr", "non_critical_san_without_subject",
                changed(leaf=lambda f: f.but(subject=seq()).instead(SAN, DEVICE))),
        accepted("critical", changed(leaf=lambda f: f.but(subject=seq()).instead(SAN, DEVICE, critical=True))),
    ],
    "SAN critical with a subject": [
        differs("critical", "aar", "critical_san_with_subject", changed(leaf=with_extension(SAN, DEVICE, critical=True))),
        accepted("not critical", changed(leaf=with_extension(SAN, DEVICE))),
    ],
    "CN that no SAN repeats": [
        accepted("as a client", changed(leaf=lambda f: f.but(subject=cn("other.example")))),
        refused("never a reference name", "name_mismatch", changed(
            leaf=lambda f: f.but(subject=cn("other.example")), purpose="server_auth", reference_name="other.example")),
    ],
    "serial 0; a serial of more than 20 octets": [
        differs("0 on an intermediate", "arr", "odd_serial", changed(intermediate=lambda f: f.but(serial=integer(0)))),
        accepted("0 on the anchor", changed(root=lambda f: f.but(serial=integer(0)))),
        differs("21 octets on the anchor", "arr", "odd_serial", changed(root=lambda f: f.but(serial=integer(2**160 - 1)))),
        accepted("20 octets", changed(leaf=lambda f: f.but(serial=integer(2**159 - 1)))),
        refused("2^160", "malformed", changed(leaf=lambda f: f.but(serial=integer(2**160)))),
    ],
    "RSA modulus not a multiple of 8 bits": [
        differs("2049 bits", "aar", "odd_modulus_length", changed(leaf=spki(2049))),
        accepted("2056 bits", changed(leaf=spki(2056))),
    ],
    "underscore in a dNSName": [
        differs("in the middle", "arr", "underscore_in_dns_name",
                changed(leaf=with_extension(SAN, seq(encode(0x82, b"my_device.example"))))),
        accepted("in a URI", changed(leaf=with_extension(SAN, seq(encode(0x86, b"urn:my_device"))))),
    ],
    "wildcard dNSName on a public suffix": [
        differs("on the suffix", "aar", "public_suffix_wildcard", suffixed(b"*.co.example")),
        accepted("below it", suffixed(b"*.shop.co.example")),
    ],
}  # fmt: skip

REVOCATION: dict[str, list[Case]] = {
    "leaf, or path": [
        accepted("the leaf's list for leaf", listed(crl())),
        refused("the leaf's list for path", "revocation_unknown", listed(crl(), mode="path")),
        accepted("both lists for path", listed(crl(), ROOT_LIST, mode="path")),
        refused("a revoked intermediate for path", "revoked",
                listed(crl(), crl(INTERMEDIATE.certificate.serial_number, by=ROOT), mode="path")),
        accepted("a revoked intermediate for leaf",
                 listed(crl(), crl(INTERMEDIATE.certificate.serial_number, by=ROOT))),
    ],
    "signature": [
        refused("by another key under the name", "revocation_unknown", listed(crl(key=LIST_KEY))),
        accepted("by a key certified under the name", listed(crl(key=LIST_KEY), chain=BESIDE)),
        refused("revoked by a key certified under the name", "revoked", listed(crl(SERIAL, key=LIST_KEY), chain=BESIDE)),
        refused("SHA-1", "revocation_unknown", listed(SHA1_LIST)),
        refused("an issuer without cRLSign", "revocation_unknown",
                listed(crl(by=NO_CRL_SIGN), chain=NO_CRL_SIGN.leaf().presented().ders)),
    ],
    "thisUpdate <= now <= nextUpdate": [
        accepted("the last second", listed(crl(end=NOW))),
        refused("a second later", "revocation_unknown", listed(crl(end=NOW - SECOND))),
        refused("a second too early", "revocation_unknown", listed(crl(start=NOW + SECOND))),
    ],
    "no unknown critical extension": [
        refused("in the list", "revocation_unknown", listed(crl(more=(UNKNOWN_CRITICAL,)))),
        refused("in another's entry", "revocation_unknown", listed(crl(SERIAL + 1, entry=UNKNOWN_CRITICAL))),
        accepted("one that is not critical", listed(crl(more=((UNKNOWN_CRITICAL[0], False),)))),
    ],
    "scope": [
        accepted("the point of the certificate", listed(
            crl(more=(scope(full_name=[POINT]),)), chain=POINTED.presented().ders)),
        refused("a point that the certificate does not name", "revocation_unknown",
                listed(crl(more=(scope(full_name=[POINT]),)))),
        refused("some reasons alone", "revocation_unknown",
                listed(crl(more=(scope(only_some_reasons=frozenset({Flags.key_compromise})),)))),
        refused("attribute certificates", "revocation_unknown", listed(crl(more=(scope(only_contains_attribute_certs=True),)))),
    ],
    "indirect lists and deltas": [
        refused("the newest by number", "revoked", listed(crl(number=4), crl(SERIAL, number=5))),
        accepted("the older is out", listed(crl(SERIAL, number=4), crl(number=5))),
        accepted("a delta for a later base stands aside", listed(
            crl(number=4), crl(SERIAL, number=9, more=((x509.DeltaCRLIndicator(5), True),)))),
        refused("a delta alone", "revocation_unknown", listed(crl(number=9, more=((x509.DeltaCRLIndicator(5), True),)))),
        accepted("released by a delta", listed(
            crl(SERIAL, number=4, entry=HOLD), crl(SERIAL, number=5, more=((x509.DeltaCRLIndicator(4), True),), entry=RELEASE))),
    ],
    "CRL without a CRLNumber, and a v1 CRL; a critical CRLNumber": [
        Case("no number", (ACCEPTED, "revocation_unknown", "revocation_unknown"), listed(crl(number=None))),
        Case("version 1", (ACCEPTED, "revocation_unknown", "revocation_unknown"), listed(VERSION_1_LIST)),
        refused("a critical number", "revocation_unknown", listed(crl(number=None, more=((x509.CRLNumber(1), True),)))),
        accepted("a number", listed(crl())),
    ],
    "OCSP": [
        accepted("good", answered(response())),
        refused("unknown", "revocation_unknown", answered(response(ocsp.OCSPCertStatus.UNKNOWN))),
        refused("another certificate's", "revocation_unknown", answered(response(certificate=POINTED.certificate))),
        accepted("a delegate", answered(response(by=RESPONDER))),
        refused("a client as delegate", "revocation_unknown", answered(response(by=POINTED))),
        refused("the root, which did not issue it", "revocation_unknown", answered(response(by=ROOT))),
        refused("too old", "revocation_unknown", answered(response(end=NOW - SECOND))),
        accepted("the nonce that was sent", answered(OCSPEvidence(response(nonce=b"1234"), b"1234"))),
        refused("another nonce", "revocation_unknown", answered(OCSPEvidence(response(nonce=b"1234"), b"4321"))),
        accepted("a list where the response says nothing", lambda profile: verdict(
            CHAIN, TrustStore([ROOT.certificate], lists=[crl()]), profile=profile, revocation="leaf",
            ocsp=[response(ocsp.OCSPCertStatus.UNKNOWN)])),
    ],
}  # fmt: skip

PURPOSES_NAMES_AND_POLICIES: dict[str, list[Case]] = {
    "client_auth": [
        accepted("a client", changed(leaf=with_extension(USAGES, seq(CLIENT)))),
        refused("a server", "wrong_purpose", changed(leaf=with_extension(USAGES, seq(SERVER)))),
    ],
    "server_auth": [
        accepted("its DNS name", server("a.example", encode(0x82, b"A.example"))),
        accepted("a wildcard for one label", server("a.b.example", encode(0x82, b"*.b.example"))),
        refused("a wildcard for two", "name_mismatch", server("a.b.c.example", encode(0x82, b"*.c.example"))),
        refused("a wildcard with nothing after its label", "name_mismatch", server("a.example", encode(0x82, b"*.example"))),
        refused("an address written as a name", "name_mismatch", server("10.0.0.1", encode(0x82, b"10.0.0.1"))),
        accepted("an address", server("10.0.0.1", encode(0x87, b"\x0a\0\0\1"))),
        refused("a client only", "wrong_purpose", server("a.example", encode(0x82, b"a.example"), usages=seq(CLIENT))),
    ],
    "email": [
        accepted("emailProtection", changed(leaf=with_extension(USAGES, seq(oid("1.3.6.1.5.5.7.3.4"))), purpose="email")),
        refused("a client", "wrong_purpose", changed(leaf=with_extension(USAGES, seq(CLIENT)), purpose="email")),
    ],
    "certificate policies": [
        accepted("an acceptable one", changed(leaf=GOLDEN, intermediate=GOLDEN, policies=WANTS_GOLD)),
        refused("another", "certificate_policy", changed(
            leaf=with_extension(POLICIES, seq(seq(oid("1.2.3")))), intermediate=GOLDEN, policies=WANTS_GOLD)),
        refused("asked for by a CA", "certificate_policy", changed(
            intermediate=with_extension("2.5.29.36", seq(encode(0x80, b"\0")), critical=True))),
    ],
    "the validation time is an argument": [
        accepted("within the time", presenting(*CHAIN, now=LEAF.certificate.not_valid_after_utc)),
        refused("after it", "expired", presenting(*CHAIN, now=LEAF.certificate.not_valid_after_utc + SECOND)),
        refused("before it", "not_yet_valid", presenting(*CHAIN, now=LEAF.certificate.not_valid_before_utc - SECOND)),
    ],
}  # fmt: skip

TABLE: dict[str, dict[str, list[Case]]] = {
    "every profile refuses": REFUSED_BY_EVERY_PROFILE,
    "where the profiles differ": WHERE_THE_PROFILES_DIFFER,
    "revocation": REVOCATION,
    "purposes, names and policies": PURPOSES_NAMES_AND_POLICIES,
}
CASES = [
    pytest.param(case, profile, id=f"{row}: {case.what} ({profile.name})")
    for section in TABLE.values() for row, cases in section.items() for case in cases for profile in PROFILES
]  # fmt: skip


@pytest.mark.parametrize(("case", "profile"), CASES)
def test_a_row(case: Case, profile: Profile) -> None:
    assert case.judge(profile) == case.expected[PROFILES.index(profile)]


# The rows of the verdicts' tables and lists, by the words with which each begins.
ROWS = {
    "every profile refuses": (
        "a signature that does not verify", "no path to an anchor of this trust store", "outside notBefore..notAfter",
        "an issuer that is not a v3 CA", "pathLenConstraint exceeded", "leaf EKU present without the wanted purpose",
        "name constraints broken", "an unknown critical extension", "RSA under 2048 or over 8192 bits",
        "bytes that the strict DER parser refuses", "revoked", "revocation asked for and not to be had",
        "more work than the budget", "certificate policies asked for", "names, branches and anchors",
    ),
    "where the profiles differ": (
        "leaf without a SAN", "v1 leaf", "no SKI on a CA, no AKI on an intermediate or leaf",
        "AKI key identifier present and not equal", "AKI of a self-signed anchor", "leaf without an EKU",
        "anyExtendedKeyUsage beside; EKU critical; EKU on an anchor", "leaf keyUsage without digitalSignature",
        "a CA certificate in the leaf's place", "leaf with keyCertSign and cA=FALSE",
        "basicConstraints of a CA not critical", "a root without keyUsage", "nameConstraints not marked critical",
        "nameConstraints in a leaf; policy limits not critical; AIA, AKI or SKI critical",
        "SAN not critical with an empty subject", "SAN critical with a subject", "CN that no SAN repeats",
        "serial 0; a serial of more than 20 octets", "RSA modulus not a multiple of 8 bits", "underscore in a dNSName",
        "wildcard dNSName on a public suffix",
    ),
    "revocation": (
        "leaf, or path", "signature", "thisUpdate <= now <= nextUpdate", "no unknown critical extension", "scope",
        "indirect lists and deltas", "CRL without a CRLNumber, and a v1 CRL; a critical CRLNumber", "OCSP",
    ),
    "purposes, names and policies": (
        "client_auth", "server_auth", "email", "certificate policies", "the validation time is an argument",
    ),
}  # fmt: skip


def test_every_row_is_covered_and_nothing_else() -> None:
    assert {section: tuple(rows) for section, rows in TABLE.items()} == ROWS


@pytest.mark.parametrize("section", TABLE)
def test_every_row_has_something_accepted_and_something_refused(section: str) -> None:
    for row, cases in TABLE[section].items():
        verdicts = {found for case in cases for found in case.expected}
        assert ACCEPTED in verdicts, row
        assert verdicts - {ACCEPTED}, row


def test_every_row_on_which_the_profiles_differ_shows_the_stance_of_each() -> None:
    same = {"a root without keyUsage", "CN that no SAN repeats"}
    for row, cases in WHERE_THE_PROFILES_DIFFER.items():
        assert (row in same) == all(len(set(case.expected)) == 1 for case in cases), row


def test_success_is_a_proof_and_reports_the_identities_by_type() -> None:
    leaf = INTERMEDIATE.leaf(
        "device-17",
        sans=("dns:a.example", "uri:urn:a", "email:a@b.example", "ip:10.0.0.1"),
        usages=(SERVER_AUTH, CLIENT_AUTH),
    )
    path = verify_path(leaf.presented(), TRUST, purpose="client_auth", now=NOW)
    assert isinstance(path, VerifiedPath)
    assert [str(san) for san in path.sans] == ["dns:a.example", "uri:urn:a", "email:a@b.example", "ip:10.0.0.1"]
    assert path.leaf.subject == leaf.certificate.subject
    assert INTERMEDIATE_FIELDS.subject == cn("Test intermediate")
