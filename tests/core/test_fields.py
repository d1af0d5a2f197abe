"""The client-certificate fields have Cloudflare's names, types, forms and placeholders, whatever a peer presented."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st

from mtlskit.core.certificates import ClientIdentity, PresentedChain, read_certificate, to_der
from mtlskit.core.fields import (
    LONGEST_CERTIFICATE,
    LONGEST_CHAIN,
    WORKER_PROPERTIES,
    ClientCertificateFields,
    field_reader,
)
from mtlskit.core.reasons import Reason
from mtlskit.testing.certificates import Authority

ROOT = Authority.root(serial_number=0x0ABC)
MIDDLE = ROOT.intermediate(serial_number=0x80FF)
NOT_BEFORE = datetime(2022, 3, 1, 3, 5, 9, tzinfo=UTC)
NOT_AFTER = datetime(2032, 12, 21, 13, 35, 0, tzinfo=UTC)
LEAF = MIDDLE.leaf("device", serial_number=0x1, not_before=NOT_BEFORE, not_after=NOT_AFTER)

BOOLEANS = {name for name in WORKER_PROPERTIES if type(getattr(ClientCertificateFields.none(), name)) is bool}


def identity_of(chain, *issuers, presented=True):
    return ClientIdentity.of(
        read_certificate(to_der(chain.certificate)), hostname="pay.acme.example", anchor_id="acme", issuers=issuers,
        presented=chain.presented() if presented else None,
    )  # fmt: skip


def values(fields):
    return {name: getattr(fields, name) for name in WORKER_PROPERTIES}


IDENTITY = identity_of(LEAF, MIDDLE.certificate, ROOT.certificate)


def test_the_fields_are_the_21_of_cloudflare():
    assert len(WORKER_PROPERTIES) == len(set(WORKER_PROPERTIES.values())) == 21
    assert {"cert_presented", "cert_verified", "cert_revoked", "cert_rfc9440_too_large",
            "cert_chain_rfc9440_too_large"} == BOOLEANS  # fmt: skip


def test_no_certificate_gives_the_placeholder():
    fields = ClientCertificateFields.none()

    assert set(values(fields).values()) == {False, ""}
    assert (fields.not_before, fields.not_after, fields.unread) == (None, None, frozenset())
    properties = fields.worker_properties()
    assert properties.pop("certPresented") == properties.pop("certRevoked") == "0"
    assert properties.pop("certVerified") == "NONE"
    assert properties.pop("certRFC9440TooLarge") is properties.pop("certChainRFC9440TooLarge") is False
    assert set(properties.values()) == {""}
    assert len(properties) == 16


def test_a_verified_client_has_every_field_in_its_form():
    der = to_der(IDENTITY.certificate)

    assert values(ClientCertificateFields.of_identity(IDENTITY)) == {
        "cert_presented": True,
        "cert_verified": True,
        "cert_revoked": False,
        "cert_issuer_dn": "CN=Test intermediate",
        "cert_subject_dn": "CN=device",
        "cert_issuer_dn_rfc2253": "CN=Test intermediate",
        "cert_subject_dn_rfc2253": "CN=device",
        "cert_issuer_dn_legacy": "/CN=Test intermediate",
        "cert_subject_dn_legacy": "/CN=device",
        "cert_serial": "01",
        "cert_issuer_serial": "80FF",
        "cert_fingerprint_sha256": hashlib.sha256(der).hexdigest(),
        "cert_fingerprint_sha1": hashlib.sha1(der).hexdigest(),
        "cert_not_before": "Mar  1 03:05:09 2022 GMT",
        "cert_not_after": "Dec 21 13:35:00 2032 GMT",
        "cert_ski": key_id(LEAF.certificate),
        "cert_issuer_ski": key_id(MIDDLE.certificate),
        "cert_rfc9440": f":{base64.b64encode(der).decode()}:",
        "cert_rfc9440_too_large": False,
        "cert_chain_rfc9440": f":{base64.b64encode(to_der(MIDDLE.certificate)).decode()}:",
        "cert_chain_rfc9440_too_large": False,
    }


def key_id(certificate):
    found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return found.value.digest.hex().upper()


def test_the_typed_values_stand_beside_the_texts():
    fields = ClientCertificateFields.of_identity(IDENTITY)

    assert (fields.not_before, fields.not_after) == (NOT_BEFORE, NOT_AFTER)
    assert (fields.subject, fields.issuer) == (LEAF.certificate.subject, MIDDLE.certificate.subject)
    assert (fields.verification, fields.unread) == ("SUCCESS", frozenset())


def test_a_worker_sees_texts_for_the_first_three():
    properties = IDENTITY.cloudflare_fields()

    assert set(properties) == set(WORKER_PROPERTIES.values())
    assert (properties["certPresented"], properties["certVerified"], properties["certRevoked"]) == ("1", "SUCCESS", "0")
    assert properties["certRFC9440TooLarge"] is False
    assert properties["certSerial"] == "01"


def test_a_leaf_of_the_anchor_has_the_anchor_as_its_issuer():
    fields = ClientCertificateFields.of_identity(identity_of(ROOT.leaf(), ROOT.certificate))

    assert (fields.cert_issuer_serial, fields.cert_issuer_ski) == ("0ABC", key_id(ROOT.certificate))


def test_what_is_not_at_hand_is_empty_and_said_to_be_unread():
    fields = ClientCertificateFields.of_identity(identity_of(LEAF, presented=False))

    assert (fields.cert_issuer_serial, fields.cert_issuer_ski, fields.cert_chain_rfc9440) == ("", "", "")
    assert fields.unread == {
        "cert_issuer_serial", "cert_issuer_ski", "cert_chain_rfc9440", "cert_chain_rfc9440_too_large",
    }  # fmt: skip


def test_a_certificate_without_a_key_identifier_has_an_empty_one_for_certain():
    fields = ClientCertificateFields.of_identity(identity_of(ROOT.leaf(without=(x509.SubjectKeyIdentifier,))))

    assert fields.cert_ski == ""
    assert "cert_ski" not in fields.unread


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@pytest.mark.parametrize(("month", "text"), list(enumerate(MONTHS, 1)), ids=MONTHS)
def test_a_month_has_its_english_name(month, text):
    at = datetime(2022, month, 21, 13, 35, tzinfo=UTC)
    fields = ClientCertificateFields.of_identity(identity_of(ROOT.leaf(not_before=at)))
    assert fields.cert_not_before == f"{text} 21 13:35:00 2022 GMT"


def padded(size):
    """A leaf with an extension that holds so many octets."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(size))
    return ROOT.leaf(extensions=[(extension, False)])


def test_a_leaf_of_more_than_10_kib_encoded_is_left_out():
    small, large = (ClientCertificateFields.of_identity(identity_of(padded(size))) for size in (6000, 8000))

    assert len(small.cert_rfc9440) <= LONGEST_CERTIFICATE == 10240
    assert small.cert_rfc9440
    assert not small.cert_rfc9440_too_large
    assert (large.cert_rfc9440, large.cert_rfc9440_too_large) == ("", True)
    assert "cert_rfc9440" in large.unread
    assert large.worker_properties()["certRFC9440TooLarge"] is True


@pytest.mark.parametrize(("octets", "is_too_large"), [(12285, False), (12286, True)])
def test_a_chain_of_more_than_16_kib_encoded_is_left_out(octets, is_too_large):
    presented = PresentedChain.from_der(to_der(LEAF.certificate), bytes(octets))
    fields = ClientCertificateFields.of_refused(presented, None)

    assert LONGEST_CHAIN == 16384
    assert (fields.cert_chain_rfc9440_too_large, fields.cert_chain_rfc9440 == "") == (is_too_large, is_too_large)


def test_the_chain_is_as_it_was_sent():
    presented = PresentedChain.from_der(to_der(LEAF.certificate), b"b", b"a", b"b")
    assert ClientCertificateFields.of_refused(presented, None).cert_chain_rfc9440 == ":Yg==:, :YQ==:, :Yg==:"


ALONE = PresentedChain.from_certificates(LEAF.certificate)
FAILURES = [
    (LEAF.presented(), Reason.NOT_YET_VALID, "FAILED:certificate is not yet valid"),
    (LEAF.presented(), Reason.EXPIRED, "FAILED:certificate has expired"),
    (ALONE, Reason.UNKNOWN_ISSUER, "FAILED:unable to verify the first certificate"),
    (ALONE, Reason.WRONG_TENANT_ISSUER, "FAILED:unable to verify the first certificate"),
    (LEAF.presented(), Reason.UNKNOWN_ISSUER, "FAILED:unable to get local issuer certificate"),
    (PresentedChain.from_der(ALONE.leaf_der, b"no certificate"), Reason.UNKNOWN_ISSUER,
     "FAILED:unable to verify the first certificate"),
    (PresentedChain.from_certificates(ROOT.certificate), Reason.UNKNOWN_ISSUER, "FAILED:self signed certificate"),
    (PresentedChain.from_der(b"no certificate"), Reason.UNKNOWN_ISSUER, "FAILED"),
    (PresentedChain.from_der(b"no certificate"), Reason.MALFORMED, "FAILED"),
    (LEAF.presented(), None, "FAILED"),
]  # fmt: skip


@pytest.mark.parametrize(("presented", "reason", "verification"), FAILURES)
def test_a_refusal_has_cloudflares_words(presented, reason, verification):
    fields = ClientCertificateFields.of_refused(presented, reason)

    assert (fields.cert_presented, fields.cert_verified, fields.cert_revoked) == (True, False, False)
    assert fields.verification == fields.worker_properties()["certVerified"] == verification


@pytest.mark.parametrize("reason", [each for each in Reason if each is not Reason.REVOKED])
def test_no_other_refusal_counts_as_verified(reason):
    fields = ClientCertificateFields.of_refused(LEAF.presented(), reason)
    assert not fields.cert_verified
    assert fields.verification.startswith("FAILED")


def test_a_revoked_certificate_is_verified_and_revoked_as_cloudflare_has_it():
    fields = ClientCertificateFields.of_refused(LEAF.presented(), Reason.REVOKED, issuers=[MIDDLE.certificate])

    assert (fields.cert_presented, fields.cert_verified, fields.cert_revoked) == (True, True, True)
    assert (fields.verification, fields.worker_properties()["certRevoked"]) == ("SUCCESS", "1")
    assert fields.cert_issuer_serial == "80FF"


def test_the_issuer_of_a_refused_certificate_is_not_taken_from_what_the_peer_sent():
    fields = ClientCertificateFields.of_refused(LEAF.presented(), Reason.EXPIRED)
    assert (fields.cert_issuer_serial, fields.cert_issuer_ski) == ("", "")
    assert {"cert_issuer_serial", "cert_issuer_ski"} == fields.unread


@given(st.binary(max_size=64), st.sampled_from([*Reason, None]))
@example(b"", None)
@example(to_der(LEAF.certificate)[:-1], Reason.UNKNOWN_ISSUER)
@example(to_der(LEAF.certificate) + b"\0", Reason.UNKNOWN_ISSUER)
def test_what_does_not_parse_raises_nothing_and_leaves_its_fields_empty(der, reason):
    fields = ClientCertificateFields.of_refused(PresentedChain.from_der(der, der), reason)

    assert fields.cert_presented
    assert fields.cert_rfc9440 == f":{base64.b64encode(der).decode()}:"
    assert fields.cert_fingerprint_sha256 == hashlib.sha256(der).hexdigest()
    assert (fields.cert_serial, fields.cert_subject_dn, fields.not_before) == ("", "", None)
    assert {"cert_serial", "cert_subject_dn", "cert_ski"} <= fields.unread


@given(st.integers(0, len(to_der(LEAF.certificate)) - 1), st.integers(0, 255))
def test_a_certificate_with_any_octet_changed_raises_nothing(position, octet):
    der = bytearray(to_der(LEAF.certificate))
    der[position] = octet
    presented = PresentedChain.from_der(bytes(der), to_der(MIDDLE.certificate))
    assert ClientCertificateFields.of_refused(presented, Reason.UNKNOWN_ISSUER).cert_presented


@pytest.mark.parametrize("identity", [
    IDENTITY, identity_of(LEAF, presented=False), identity_of(padded(8000), ROOT.certificate),
], ids=["usual", "alone", "large"])  # fmt: skip
@pytest.mark.parametrize("name", WORKER_PROPERTIES)
def test_a_field_read_by_itself_is_the_same(name, identity):
    fields = ClientCertificateFields.of_identity(identity)
    expected = None if name in fields.unread else getattr(fields, name)
    assert field_reader(name)(identity) == expected


def test_fields_are_a_value():
    one, other = (ClientCertificateFields.of_identity(IDENTITY) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.cert_serial = "02"


def test_a_serial_number_has_two_digits_for_each_octet():
    soon = datetime.now(UTC) + timedelta(days=1)
    for number, text in ((0xF, "0F"), (0x10, "10"), (0xABCDE, "0ABCDE"), (2**159 - 1, "7F" + "FF" * 19)):
        identity = identity_of(ROOT.leaf(serial_number=number, not_after=soon))
        assert ClientCertificateFields.of_identity(identity).cert_serial == text
