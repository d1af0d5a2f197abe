"""What the fuzzing found, each in its smallest form."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mtlskit.core.validation import ExplicitPolicy, PolicyInputs, TrustStore, verify_path
from mtlskit.errors import ConfigurationError
from support.der import Fields, der_of, encode, extension, integer, seq
from support.validation import (
    ACCEPTED,
    INTERMEDIATE,
    INTERMEDIATE_FIELDS,
    LEAF,
    LEAF_FIELDS,
    NOW,
    ROOT,
    load,
    refusal,
    verdict,
)

TRUST = TrustStore([ROOT.certificate])
LEAF_DER, MIDDLE_DER = LEAF.presented().ders
ASKING = PolicyInputs(explicit=ExplicitPolicy.REQUIRED)


@pytest.mark.parametrize("explicit", [PolicyInputs(), ASKING])
def test_policies_without_an_identifier_are_malformed(explicit: PolicyInputs) -> None:
    middle = INTERMEDIATE_FIELDS.plus(extension("2.5.29.32", seq(seq()))).sign(ROOT.key)
    assert verdict((LEAF_DER, middle), TRUST, policies=explicit) == "malformed"


@pytest.mark.parametrize("order", [1, -1])
def test_a_branch_with_broken_mappings_does_not_hide_a_good_one(order: int) -> None:
    good = ROOT.intermediate("Crossed", key=INTERMEDIATE.key)
    broken = Fields.of(der_of(good.certificate)).plus(extension("2.5.29.33", b"\x30\x05")).sign(ROOT.key)
    branches = (broken, der_of(good.certificate))[::order]
    assert verdict((good.leaf().presented().ders[0], *branches), TRUST) == ACCEPTED


@pytest.mark.parametrize("position", [0, 1])
def test_a_certificate_whose_frame_is_wrong_says_where(position: int) -> None:
    presented = [LEAF_DER, MIDDLE_DER]
    fields, key = ((LEAF_FIELDS, INTERMEDIATE.key), (INTERMEDIATE_FIELDS, ROOT.key))[position]
    presented[position] = fields.but(serial=integer(-5)).sign(key)
    error = refusal(tuple(presented), TRUST)
    assert error is not None
    assert error.reason == "malformed"
    assert error.certificate is not None or error.facts.get("position") == position


def test_an_extension_that_only_we_read_says_where() -> None:
    broken = INTERMEDIATE_FIELDS.plus(extension("2.5.29.33", b"\x30\x05")).sign(ROOT.key)
    error = refusal((LEAF_DER, broken), TRUST)
    assert error is not None
    assert error.certificate is not None or error.facts.get("position") == 1


@pytest.mark.parametrize("hours", [5, -5])
def test_a_moment_beyond_the_calendar_is_the_callers_mistake(hours: int) -> None:
    end = datetime.min if hours > 0 else datetime.max
    moment = end.replace(tzinfo=timezone(timedelta(hours=hours)))
    with pytest.raises(ConfigurationError):
        verify_path(LEAF.presented(), TRUST, purpose="client_auth", now=moment)


def test_a_certificate_that_cannot_be_read_does_not_spoil_the_response_that_it_comes_with() -> None:
    nameless = load(LEAF_FIELDS.but(issuer=seq(encode(0x31))).sign(INTERMEDIATE.key))
    builder = ocsp.OCSPResponseBuilder().add_response(
        LEAF.certificate, INTERMEDIATE.certificate, hashes.SHA256(), ocsp.OCSPCertStatus.GOOD,
        NOW - timedelta(hours=1), NOW + timedelta(hours=1), None, None,
    ).responder_id(ocsp.OCSPResponderEncoding.HASH, INTERMEDIATE.certificate).certificates([nameless])  # fmt: skip
    response = builder.sign(INTERMEDIATE.key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert verdict((LEAF_DER, MIDDLE_DER), TRUST, revocation="leaf", ocsp=[response]) == ACCEPTED
