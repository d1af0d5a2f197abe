"""Revocation lists: what covers a certificate, what revokes it, and what is as if it were not there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.certificates import PresentedChain
from mtlskit.core.revocation import RevocationList
from mtlskit.core.validation import COMPATIBLE, RFC5280, WEBPKI, Limits, TrustStore, verify_path
from mtlskit.errors import CertificateError, ConfigurationError
from mtlskit.testing.certificates import Authority
from support.der import content, der_of, elements, encode, seq
from support.validation import ACCEPTED, NOW, refusal, verdict

HOUR = timedelta(hours=1)
ROOT = Authority.root("Listing root")
MIDDLE = ROOT.intermediate("Listing intermediate")
LEAF = MIDDLE.leaf()
CHAIN = LEAF.presented()
SERIAL = LEAF.serial_number
OTHER_SERIAL = 424242
Flags = x509.ReasonFlags


def crl(
    by: Authority, *serials: int, number: int | None = 1, start: datetime = NOW - HOUR, end: datetime | None = NOW + HOUR,
    more: tuple[tuple[x509.ExtensionType, bool], ...] = (), entries: tuple[x509.RevokedCertificate, ...] = (),
    key: Any = None, issuer: x509.Name | None = None, algorithm: hashes.HashAlgorithm | None = None, aki: object = True,
) -> bytes:  # fmt: skip
    """A list that `by` signs."""
    key = key or by.key
    extensions = list(more)
    if number is not None:
        extensions.append((x509.CRLNumber(number), False))
    if aki:
        extensions.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False))
    builder = x509.CertificateRevocationListBuilder(
        issuer or by.certificate.subject, start, end or NOW + HOUR,
        [x509.Extension(value.oid, critical, value) for value, critical in extensions],
        [*map(entry, serials), *entries],
    )  # fmt: skip
    return builder.sign(key, algorithm or hashes.SHA256()).public_bytes(Encoding.DER)


def entry(serial: int, *extensions: tuple[x509.ExtensionType, bool]) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(serial, NOW - HOUR)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.build()


def idp(**options: Any) -> tuple[x509.ExtensionType, bool]:
    plain = {
        "full_name": None, "relative_name": None, "only_contains_user_certs": False, "only_contains_ca_certs": False,
        "only_some_reasons": None, "indirect_crl": False, "only_contains_attribute_certs": False,
    }  # fmt: skip
    return x509.IssuingDistributionPoint(**{**plain, **options}), True


def asked(
    *lists: bytes, mode: str = "leaf", chain: PresentedChain = CHAIN, anchor: Authority = ROOT, **more: Any
) -> str:
    return verdict(chain, TrustStore([anchor.certificate], lists=lists), revocation=mode, **more)


def resigned(data: bytes, authority: Authority, **changes: Any) -> bytes:
    """The list with its to-be-signed part changed and signed again."""
    tbs, algorithm, _ = elements(content(data))
    parts = changes["change"](elements(content(tbs)))
    new = seq(*parts)
    return seq(new, algorithm, encode(3, b"\0", authority.key.sign(new, ec.ECDSA(hashes.SHA256()))))


# --- modes ------------------------------------------------------------------------------------------------------


def test_off_asks_for_nothing_and_looks_at_nothing() -> None:
    assert asked(crl(MIDDLE, SERIAL), mode="off") == ACCEPTED


def test_leaf_asks_for_the_leaf_and_path_for_all_but_the_anchor() -> None:
    of_leaf, of_middle = crl(MIDDLE), crl(ROOT)
    assert asked(mode="leaf") == "revocation_unknown"
    assert asked(of_leaf, mode="leaf") == ACCEPTED
    assert asked(of_leaf, mode="path") == "revocation_unknown"
    assert asked(of_leaf, of_middle, mode="path") == ACCEPTED


def test_what_is_on_a_list_is_revoked() -> None:
    error = refusal(CHAIN, TrustStore([ROOT.certificate], lists=[crl(MIDDLE, entries=(
        entry(SERIAL, (x509.CRLReason(Flags.key_compromise), False)),
    ))]), revocation="leaf")  # fmt: skip
    assert error is not None
    assert (error.reason.value, error.facts["why"], error.certificate) == (
        "revoked", "key_compromise", LEAF.certificate,
    )  # fmt: skip
    assert asked(crl(MIDDLE, OTHER_SERIAL)) == ACCEPTED
    assert asked(crl(MIDDLE), crl(ROOT, MIDDLE.certificate.serial_number), mode="path") == "revoked"
    assert asked(crl(MIDDLE), crl(ROOT, MIDDLE.certificate.serial_number), mode="leaf") == ACCEPTED


def test_the_same_serial_on_another_authoritys_list_says_nothing() -> None:
    assert asked(crl(MIDDLE), crl(ROOT, SERIAL), mode="path") == ACCEPTED


def test_the_opt_out_for_unknown_is_explicit_and_does_not_help_the_revoked() -> None:
    assert asked(revocation_unknown="insecure_allow") == ACCEPTED
    assert asked(crl(MIDDLE, SERIAL), revocation_unknown="insecure_allow") == "revoked"


def test_revoked_outranks_expired() -> None:
    late = LEAF.certificate.not_valid_after_utc + timedelta(seconds=1)
    fresh = crl(MIDDLE, SERIAL, start=NOW, end=late + HOUR)
    assert asked(fresh, now=late) == "expired" or asked(fresh, now=late) == "revoked"


def test_the_proof_ends_with_the_list() -> None:
    trust = TrustStore([ROOT.certificate], lists=[crl(MIDDLE, end=NOW + HOUR)])
    path = verify_path(CHAIN, trust, purpose="client_auth", now=NOW, revocation="leaf")
    assert path.not_after == NOW + HOUR
    assert verify_path(CHAIN, trust, purpose="client_auth", now=NOW).not_after > NOW + HOUR


# --- what makes a list count ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end", "expected"), [
    (NOW, NOW, ACCEPTED),
    (NOW - HOUR, NOW - timedelta(seconds=1), "revocation_unknown"),
    (NOW + timedelta(seconds=1), NOW + HOUR, "revocation_unknown"),
])  # fmt: skip
def test_a_list_must_be_in_its_time(start: datetime, end: datetime, expected: str) -> None:
    assert asked(_with_times(crl(MIDDLE), start, end)) == expected


def without_next_update(data: bytes) -> bytes:
    return resigned(data, MIDDLE, change=lambda parts: [*parts[:4], *parts[5:]])


def test_a_list_without_next_update_is_stale() -> None:
    endless = without_next_update(crl(MIDDLE))
    assert RevocationList(endless).next_update is None
    assert asked(endless) == "revocation_unknown"


# --- stale and unknown are two things -------------------------------------------------------------------------------

STALE = {"start": NOW - 2 * HOUR, "end": NOW - HOUR}
ALLOWED = "insecure_allow"


@pytest.mark.parametrize("past", [crl(MIDDLE, **STALE), without_next_update(crl(MIDDLE))], ids=["past", "endless"])
def test_each_opt_out_helps_in_its_own_case_only(past: bytes) -> None:
    assert asked(past) == asked(past, revocation_unknown=ALLOWED) == "revocation_unknown"
    assert asked(past, revocation_stale=ALLOWED) == ACCEPTED
    assert asked() == asked(revocation_stale=ALLOWED) == "revocation_unknown"
    assert asked(revocation_unknown=ALLOWED) == ACCEPTED


def test_what_a_stale_list_revokes_is_revoked_where_stale_lists_count() -> None:
    past = crl(MIDDLE, SERIAL, **STALE)
    assert asked(past, revocation_stale=ALLOWED) == "revoked"
    assert asked(past) == asked(past, revocation_unknown=ALLOWED) == "revocation_unknown"


def test_a_refusal_says_whether_the_status_is_stale_or_unknown() -> None:
    for lists, standing, detail in (((), "unknown", "got none"), ((crl(MIDDLE, **STALE),), "stale", str(NOW - HOUR))):
        error = refusal(CHAIN, TrustStore([ROOT.certificate], lists=lists), revocation="leaf")
        assert error is not None
        assert error.facts["standing"] == standing
        assert detail in error.detail


def test_a_current_list_goes_before_a_stale_one() -> None:
    released = (crl(MIDDLE, SERIAL, number=1, **STALE), crl(MIDDLE, number=2))
    assert asked(*released, revocation_stale=ALLOWED) == ACCEPTED
    revoking = (crl(MIDDLE, number=1, **STALE), crl(MIDDLE, SERIAL, number=2))
    assert asked(*revoking, revocation_stale=ALLOWED) == "revoked"


@pytest.mark.parametrize(
    "wrong", [crl(MIDDLE, start=NOW + timedelta(seconds=1)), crl(MIDDLE, key=ROOT.key, **STALE), crl(ROOT, **STALE)]
)
def test_a_list_that_is_not_of_this_time_yet_or_a_strangers_is_not_stale(wrong: bytes) -> None:
    assert asked(wrong, revocation_stale=ALLOWED) == "revocation_unknown"
    assert asked(wrong, revocation_unknown=ALLOWED) == ACCEPTED


def test_a_signer_whose_status_is_stale_signs_where_stale_counts() -> None:
    apart = ec.generate_private_key(ec.SECP256R1())
    certified = ROOT.intermediate("Listing intermediate", key=apart).certificate
    beside = PresentedChain((*CHAIN.ders, der_of(certified)))
    lists = (crl(MIDDLE, key=apart), crl(ROOT, **STALE))
    assert asked(*lists, chain=beside, mode="path") == "revocation_unknown"
    assert asked(*lists, chain=beside, mode="path", revocation_stale=ALLOWED) == ACCEPTED
    revoked = (lists[0], crl(ROOT, certified.serial_number, **STALE))
    assert asked(*revoked, chain=beside, mode="path", revocation_stale=ALLOWED) == "revocation_unknown"


def test_the_proof_says_what_told_the_status() -> None:
    lists = [crl(MIDDLE, number=7), crl(ROOT, number=8, **STALE)]
    trust = TrustStore([ROOT.certificate], lists=lists)
    path = verify_path(
        CHAIN, trust, purpose="client_auth", now=NOW, revocation="path", revocation_stale="insecure_allow"
    )
    of_leaf, of_middle = path.statuses
    assert (of_leaf.standing.value, of_leaf.until, of_leaf.sources[0].number) == ("good", NOW + HOUR, 7)
    assert (of_middle.standing.value, of_middle.until, of_middle.sources[0].number) == ("stale", None, 8)
    assert (of_middle.sources[0].kind.value, of_middle.sources[0].next_update) == ("crl", NOW - HOUR)
    assert path.not_after == NOW + HOUR
    assert verify_path(CHAIN, trust, purpose="client_auth", now=NOW).statuses == ()


def _with_times(data: bytes, start: datetime, end: datetime) -> bytes:
    times = [encode(0x17, moment.strftime("%y%m%d%H%M%SZ").encode()) for moment in (start, end)]
    return resigned(data, MIDDLE, change=lambda parts: [*parts[:3], *times, *parts[5:]])


def test_a_list_must_be_signed_by_a_key_of_the_issuer() -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert asked(crl(MIDDLE, key=stranger)) == "revocation_unknown"
    assert asked(crl(MIDDLE, key=stranger, aki=False)) == "revocation_unknown"
    assert asked(crl(MIDDLE, key=ROOT.key)) == "revocation_unknown"
    assert asked(crl(ROOT, issuer=ROOT.certificate.subject)) == "revocation_unknown"


def test_a_damaged_signature_does_not_count() -> None:
    data = bytearray(crl(MIDDLE))
    data[-1] ^= 1
    assert asked(bytes(data)) == "revocation_unknown"


def test_an_issuer_whose_key_usage_lacks_crl_sign_signs_no_lists() -> None:
    usage = x509.KeyUsage(
        digital_signature=False, key_cert_sign=True, crl_sign=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    for options, expected in (
        ({"extensions": [(usage, True)]}, "revocation_unknown"), ({"without": [x509.KeyUsage]}, ACCEPTED),
    ):  # fmt: skip
        ca = ROOT.intermediate("Other usage", **options)
        assert asked(crl(ca), chain=ca.leaf().presented()) == expected


def test_a_key_that_is_certified_under_the_issuers_name_may_sign() -> None:
    apart = ec.generate_private_key(ec.SECP256R1())
    certified = ROOT.intermediate("Listing intermediate", key=apart).certificate
    listed = crl(MIDDLE, key=apart)
    assert asked(listed) == "revocation_unknown"
    beside = PresentedChain((*CHAIN.ders, der_of(certified)))
    assert asked(listed, chain=beside) == ACCEPTED
    assert asked(crl(MIDDLE, SERIAL, key=apart), chain=beside) == "revoked"


def test_a_name_alone_or_another_anchor_is_not_enough() -> None:
    apart = ec.generate_private_key(ec.SECP256R1())
    other = Authority.root("Other root")
    for signer in (other, Authority.root("Listing root")):
        certified = signer.intermediate("Listing intermediate", key=apart).certificate
        beside = PresentedChain((*CHAIN.ders, der_of(certified)))
        trust = TrustStore([ROOT.certificate, other.certificate], lists=[crl(MIDDLE, key=apart)])
        assert verdict(beside, trust, revocation="leaf") == "revocation_unknown"


def test_a_key_that_nobody_vouches_for_leaves_no_mark_on_a_list() -> None:
    """A client presents a self-made certificate with the authority's name: a list that it forged stays unconfirmed."""
    stranger = Authority.root("Listing intermediate")
    forged = RevocationList(crl(MIDDLE, key=stranger.key, number=1 << 60))
    beside = PresentedChain((*CHAIN.ders, der_of(stranger.certificate)))
    trust = TrustStore([ROOT.certificate], lists=[forged])
    assert verdict(beside, trust, revocation="leaf") == "revocation_unknown"
    spki = stranger.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert not forged.has_asked(spki)


def test_a_signer_that_is_revoked_or_expired_signs_nothing() -> None:
    apart = ec.generate_private_key(ec.SECP256R1())
    certified = ROOT.intermediate("Listing intermediate", key=apart).certificate
    beside = PresentedChain((*CHAIN.ders, der_of(certified)))
    lists = (crl(MIDDLE, key=apart), crl(ROOT))
    assert asked(*lists, chain=beside, mode="path") == ACCEPTED
    lists = (crl(MIDDLE, key=apart), crl(ROOT, certified.serial_number))
    assert asked(*lists, chain=beside, mode="path") == "revocation_unknown"
    old = ROOT.intermediate("Listing intermediate", key=apart, not_after=NOW - timedelta(seconds=1)).certificate
    assert asked(lists[0], chain=PresentedChain((*CHAIN.ders, der_of(old)))) == "revocation_unknown"


@pytest.mark.parametrize("extension", [
    (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True),
    (x509.CRLNumber(7), True),
])  # fmt: skip
def test_an_unknown_critical_extension_and_a_critical_number_spoil_the_list(extension: Any) -> None:
    assert asked(crl(MIDDLE, number=None, more=(extension,))) == "revocation_unknown"
    assert asked(crl(MIDDLE, number=None, more=((extension[0], False),))) == ACCEPTED


def test_an_unknown_critical_extension_of_any_entry_spoils_the_list() -> None:
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0")
    assert asked(crl(MIDDLE, entries=(entry(OTHER_SERIAL, (odd, True)),))) == "revocation_unknown"
    assert asked(crl(MIDDLE, entries=(entry(OTHER_SERIAL, (odd, False)),))) == ACCEPTED


@pytest.mark.parametrize(("profile", "expected"), [
    (COMPATIBLE, ACCEPTED), (RFC5280, "revocation_unknown"), (WEBPKI, "revocation_unknown"),
])  # fmt: skip
def test_lists_without_number_and_of_version_1(profile: Any, expected: str) -> None:
    assert asked(crl(MIDDLE, number=None), profile=profile) == expected
    version_1 = resigned(crl(MIDDLE), MIDDLE, change=lambda parts: [part for part in parts[1:] if part[0] != 0xA0])
    assert RevocationList(version_1).version == 1
    assert asked(version_1, profile=profile) == expected


# --- scope ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "of_leaf", "of_middle"), [
    ({"only_contains_user_certs": True}, ACCEPTED, "revocation_unknown"),
    ({"only_contains_ca_certs": True}, "revocation_unknown", ACCEPTED),
    ({"only_contains_attribute_certs": True}, "revocation_unknown", "revocation_unknown"),
])  # fmt: skip
def test_a_list_for_one_kind_of_certificate(scope: dict[str, Any], of_leaf: str, of_middle: str) -> None:
    assert asked(crl(MIDDLE, more=(idp(**scope),))) == of_leaf
    assert asked(crl(MIDDLE), crl(ROOT, more=(idp(**scope),)), mode="path") == of_middle


def point(uri: str | None = None, **options: Any) -> x509.DistributionPoint:
    names = None if uri is None else [x509.UniformResourceIdentifier(uri)]
    return x509.DistributionPoint(names, *(options.get(each) for each in ("relative_name", "reasons", "crl_issuer")))


def pointed(*points: x509.DistributionPoint) -> PresentedChain:
    return MIDDLE.leaf(extensions=[(x509.CRLDistributionPoints(points), False)]).presented()


def uri_idp(uri: str, **options: Any) -> tuple[x509.ExtensionType, bool]:
    return idp(full_name=[x509.UniformResourceIdentifier(uri)], **options)


def test_distribution_points_are_compared_with_all_of_the_certificates() -> None:
    chain = pointed(point("http://a.example"), point("http://b.example"))
    assert asked(crl(MIDDLE, more=(uri_idp("http://b.example"),)), chain=chain) == ACCEPTED
    assert asked(crl(MIDDLE, more=(uri_idp("http://c.example"),)), chain=chain) == "revocation_unknown"
    assert asked(crl(MIDDLE), chain=chain) == ACCEPTED
    assert asked(crl(MIDDLE, more=(uri_idp("http://b.example"),))) == "revocation_unknown"


def test_a_point_relative_to_the_issuers_name() -> None:
    rdn = x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, "List 1")])
    whole = x509.DirectoryName(x509.Name([*MIDDLE.certificate.subject, *rdn]))
    chain = pointed(point(relative_name=rdn))
    assert asked(crl(MIDDLE, more=(idp(relative_name=rdn),)), chain=chain) == ACCEPTED
    assert asked(crl(MIDDLE, more=(idp(full_name=[whole]),)), chain=chain) == ACCEPTED
    assert asked(crl(MIDDLE, more=(uri_idp("http://a.example"),)), chain=chain) == "revocation_unknown"


SOME = frozenset({Flags.key_compromise, Flags.ca_compromise})
REST = frozenset(Flags) - SOME - {Flags.unspecified, Flags.remove_from_crl}


def test_lists_for_some_reasons_count_together_and_must_cover_all() -> None:
    first, second = (crl(MIDDLE, more=(idp(only_some_reasons=reasons),)) for reasons in (SOME, REST))
    assert asked(first) == "revocation_unknown"
    assert asked(first, second) == ACCEPTED
    assert asked(first, crl(MIDDLE, SERIAL, more=(idp(only_some_reasons=REST),))) == "revoked"
    assert asked(crl(MIDDLE, SERIAL, more=(idp(only_some_reasons=SOME),))) == "revoked"


def test_a_point_for_some_reasons_covers_these_only() -> None:
    chain = pointed(point("http://a.example", reasons=SOME), point("http://b.example", reasons=REST))
    first, second = (crl(MIDDLE, more=(uri_idp(f"http://{each}.example"),)) for each in "ab")
    assert asked(first, chain=chain) == "revocation_unknown"
    assert asked(first, second, chain=chain) == ACCEPTED


def test_an_indirect_list() -> None:
    collector = ROOT.intermediate("Collector")
    name = x509.DirectoryName(collector.certificate.subject)
    leaf = MIDDLE.leaf(extensions=[(x509.CRLDistributionPoints([point(crl_issuer=[name])]), False)])
    chain = PresentedChain((*leaf.presented().ders, der_of(collector.certificate)))
    ours = x509.CertificateIssuer([x509.DirectoryName(MIDDLE.certificate.subject)])
    theirs = x509.CertificateIssuer([x509.DirectoryName(ROOT.certificate.subject)])
    indirect = idp(indirect_crl=True)

    def listing(*entries: x509.RevokedCertificate, scope: Any = indirect) -> bytes:
        return crl(collector, more=(scope,), entries=entries)

    assert asked(listing(), chain=chain) == ACCEPTED
    assert asked(listing(scope=idp(only_contains_user_certs=True)), chain=chain) == "revocation_unknown"
    assert asked(listing(entry(leaf.serial_number)), chain=chain) == ACCEPTED
    assert asked(listing(entry(leaf.serial_number, (ours, True))), chain=chain) == "revoked"
    # The issuer of an entry holds for those after it.
    carried = (entry(OTHER_SERIAL, (ours, True)), entry(leaf.serial_number))
    assert asked(listing(*carried), chain=chain) == "revoked"
    changed = (*carried[:1], entry(7, (theirs, True)), entry(leaf.serial_number))
    assert asked(listing(*changed), chain=chain) == ACCEPTED
    assert asked(crl(MIDDLE), chain=chain) == "revocation_unknown"


# --- numbers and deltas -----------------------------------------------------------------------------------------


def test_the_newest_list_by_number_decides() -> None:
    old, new = crl(MIDDLE, SERIAL, number=5), crl(MIDDLE, number=6)
    assert asked(old, new) == asked(new, old) == ACCEPTED
    assert asked(crl(MIDDLE, number=5), crl(MIDDLE, SERIAL, number=6)) == "revoked"


def test_a_newer_list_that_does_not_count_does_not_hide_an_older() -> None:
    forged = crl(MIDDLE, number=9, key=ROOT.key)
    stale = crl(MIDDLE, number=9, start=NOW - 2 * HOUR, end=NOW - HOUR)
    assert asked(crl(MIDDLE, SERIAL, number=5), forged, stale) == "revoked"


def delta(*serials: int, base: int, number: int, **options: Any) -> bytes:
    return crl(MIDDLE, *serials, number=number, more=((x509.DeltaCRLIndicator(base), True),), **options)


def test_a_delta_adds_to_the_base_that_it_fits() -> None:
    base = crl(MIDDLE, number=5)
    assert asked(base, delta(SERIAL, base=5, number=6)) == "revoked"
    assert asked(base, delta(SERIAL, base=3, number=6)) == "revoked"
    assert asked(base, delta(OTHER_SERIAL, base=5, number=6)) == ACCEPTED


@pytest.mark.parametrize(("base", "number"), [(6, 7), (4, 5), (4, 4)])
def test_a_delta_that_does_not_fit_is_ignored(base: int, number: int) -> None:
    assert asked(crl(MIDDLE, number=5), delta(SERIAL, base=base, number=number)) == ACCEPTED


def test_a_delta_alone_says_nothing() -> None:
    assert asked(delta(base=5, number=6)) == "revocation_unknown"


def test_a_delta_of_another_scope_or_key_is_ignored() -> None:
    other = crl(MIDDLE, SERIAL, number=6, more=(
        (x509.DeltaCRLIndicator(5), True), idp(only_contains_user_certs=True),
    ))  # fmt: skip
    assert asked(crl(MIDDLE, number=5), other) == ACCEPTED
    assert asked(crl(MIDDLE, number=5), delta(SERIAL, base=5, number=6, key=ROOT.key)) == ACCEPTED


def test_remove_from_crl_releases() -> None:
    held = entry(SERIAL, (x509.CRLReason(Flags.certificate_hold), False))
    released = entry(SERIAL, (x509.CRLReason(Flags.remove_from_crl), False))
    base = crl(MIDDLE, number=5, entries=(held,))
    assert asked(base) == "revoked"
    assert asked(base, delta(base=5, number=6, entries=(released,))) == ACCEPTED


# --- documents and budgets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x30\x00", der_of(ROOT.certificate), "text", None])
def test_what_is_no_list_is_an_error_that_says_so(junk: Any) -> None:
    with pytest.raises(CertificateError, match="expected a revocation list"):
        RevocationList(junk)
    with pytest.raises(CertificateError):
        TrustStore([ROOT.certificate], lists=[junk])


@given(st.data())
def test_a_changed_list_is_an_error_or_a_list(data: Any) -> None:
    octets = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        changed = RevocationList(bytes(octets))
    except CertificateError:
        return
    assert asked(changed) == "revocation_unknown" or bytes(octets) == GOOD  # type: ignore[arg-type]


GOOD = crl(MIDDLE, 1, 2, 3, entries=(entry(4, (x509.CRLReason(Flags.superseded), False)),))


def test_lists_are_given_in_der_as_values_or_as_cryptographys() -> None:
    data = crl(MIDDLE, SERIAL)
    for given_list in (data, RevocationList(data), x509.load_der_x509_crl(data)):
        assert asked(given_list) == "revoked"  # type: ignore[arg-type]
    assert repr(RevocationList(data)) == "<RevocationList number=1 entries=1>"


def test_a_lists_signature_is_verified_once_per_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from mtlskit.core.validation import lists

    calls: list[int] = []
    real = lists.verifies_digested
    monkeypatch.setattr(lists, "verifies_digested", lambda *arguments: calls.append(1) or real(*arguments))
    trust = TrustStore([ROOT.certificate], lists=[crl(MIDDLE)])
    for _ in range(3):
        assert verdict(CHAIN, trust, revocation="leaf") == ACCEPTED
    assert len(calls) == 1


def test_signatures_of_lists_are_in_the_budget() -> None:
    lists = [crl(MIDDLE, number=number, key=ROOT.key, aki=False) for number in range(20)]
    trust = TrustStore([ROOT.certificate], lists=lists)
    assert verdict(CHAIN, trust, revocation="leaf", limits=Limits(signatures=10)) == "limit_exceeded"


def test_an_unknown_mode_is_the_callers_mistake() -> None:
    for wrong in ({"revocation": "always"}, {"revocation": "leaf", "revocation_unknown": "allow"}):
        with pytest.raises(ConfigurationError):
            verify_path(CHAIN, TrustStore([]), purpose="client_auth", now=NOW, **wrong)  # type: ignore[arg-type]
