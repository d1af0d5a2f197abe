"""A small hierarchy whose every certificate can be changed in one place, and the verdict on it in one word."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from mtlskit.core.certificates import PresentedChain
from mtlskit.core.validation import COMPATIBLE, Purpose, TrustStore, VerifiedPath, verify_path
from mtlskit.errors import PathError
from mtlskit.testing.certificates import CLIENT_AUTH, SERVER_AUTH, Authority
from support.der import Fields, der_of

NOW = datetime.now(UTC).replace(microsecond=0)
ACCEPTED = "accepted"

ROOT = Authority.root()
INTERMEDIATE = ROOT.intermediate()
LEAF = INTERMEDIATE.leaf(sans=("dns:device.example", "uri:spiffe://example/device"), usages=(CLIENT_AUTH, SERVER_AUTH))
ROOT_FIELDS = Fields.of(der_of(ROOT.certificate))
INTERMEDIATE_FIELDS = Fields.of(der_of(INTERMEDIATE.certificate))
LEAF_FIELDS = Fields.of(der_of(LEAF.certificate))

Change = Callable[[Fields], Fields]


def unchanged(fields: Fields) -> Fields:
    return fields


def load(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


def refusal(presented: PresentedChain | tuple[bytes, ...], trust: TrustStore, **options: Any) -> PathError | None:
    """What `verify_path` raises, or None."""
    chain = presented if isinstance(presented, PresentedChain) else PresentedChain.from_der(*presented)
    options = {"purpose": Purpose.CLIENT_AUTH, "now": NOW, **options}
    try:
        path = verify_path(chain, trust, **options)
    except PathError as error:
        return error
    assert isinstance(path, VerifiedPath)
    return None


def verdict(presented: PresentedChain | tuple[bytes, ...], trust: TrustStore, **options: Any) -> str:
    """`accepted`, or the reason; for a broken rule of a profile the rule's name after a colon."""
    error = refusal(presented, trust, **options)
    if error is None:
        return ACCEPTED
    rule = error.facts.get("rule")
    return f"{error.reason.value}:{rule}" if rule else error.reason.value


def judged(
    *,
    leaf: Change = unchanged,
    intermediate: Change = unchanged,
    root: Change = unchanged,
    profile: Any = COMPATIBLE,
    **options: Any,
) -> str:
    """The verdict on the small hierarchy after these changes, everything signed again."""  # fmt: skip
    anchor = load(root(ROOT_FIELDS).sign(ROOT.key))
    presented = (leaf(LEAF_FIELDS).sign(INTERMEDIATE.key), intermediate(INTERMEDIATE_FIELDS).sign(ROOT.key))
    return verdict(presented, TrustStore([anchor]), profile=profile, **options)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)
