"""Where two checks refuse the same thing, each does so by itself: what it says, and of which certificate."""

from __future__ import annotations

import pytest

from mtlskit.core.validation import PolicyInputs, TrustStore
from mtlskit.core.validation.der import DERError
from mtlskit.core.validation.frame import read_frame
from support.der import Fields, content, der_of, elements, encode, extension, integer, oid, seq
from support.validation import INTERMEDIATE_FIELDS, LEAF, ROOT, judged, load, refusal

AKI = "2.5.29.35"
OTHER = seq(oid("1.2.840.10045.4.3.3"))
LEAF_DER = LEAF.presented().ders[0]


@pytest.mark.parametrize("where", ["leaf", "intermediate"])
def test_two_algorithms_are_told_where_no_key_identifier_names_the_issuer(where: str) -> None:
    assert judged(**{where: lambda f: f.without(AKI).but(outer_algorithm=OTHER)}) == "bad_signature"


def test_a_certificate_has_three_fields_and_nothing_behind() -> None:
    fields = elements(content(LEAF_DER))
    assert read_frame(seq(*fields)).serial == LEAF.serial_number
    for wrong in (seq(*fields, integer(1)), seq(*fields[:2]), LEAF_DER + b"\0", seq(fields[0], fields[2], fields[1])):
        with pytest.raises(DERError):
            read_frame(wrong)


def test_the_ca_without_a_policy_is_at_fault_and_not_the_leaf() -> None:
    requiring = extension("2.5.29.36", seq(encode(0x80, b"\0")), critical=True)
    top = ROOT.intermediate("Requiring")
    ca = top.intermediate("Without a policy")
    policy = extension("2.5.29.32", seq(seq(oid("1.2.3.4"))))
    top_der = Fields.of(der_of(top.certificate)).plus(requiring, policy).sign(ROOT.key)
    presented = (ca.leaf().presented().ders[0], der_of(ca.certificate), top_der)
    error = refusal(presented, TrustStore([ROOT.certificate]), policies=PolicyInputs())
    assert error is not None
    assert (error.reason.value, error.certificate) == ("certificate_policy", load(presented[1]))


def test_a_certificate_at_fault_is_the_one_that_is_shown() -> None:
    broken = INTERMEDIATE_FIELDS.plus(extension("1.2.3", b"\5\0", critical=True)).sign(ROOT.key)
    error = refusal((LEAF_DER, broken), TrustStore([ROOT.certificate]))
    assert error is not None
    assert error.certificate == load(broken)
    assert [each.dotted_string for each in error.facts["found"]] == ["1.2.3"]  # type: ignore[attr-defined]
