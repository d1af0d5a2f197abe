"""Conformance vectors in the form of x509-limbo (schema version 1): where they are, and what `verify_path` says."""

from __future__ import annotations

import base64
import gzip
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from mtlskit.core.certificates import PresentedChain
from mtlskit.core.validation import (
    COMPATIBLE,
    RFC5280,
    WEBPKI,
    AnyPolicy,
    ExplicitPolicy,
    Limits,
    PolicyInputs,
    PolicyMapping,
    Profile,
    RevocationList,
    TrustStore,
    verify_path,
)
from mtlskit.errors import CertificateError, PathError

SUCCESS, FAILURE = "SUCCESS", "FAILURE"

# A namespace says by which rules it is to be judged; the rest keep to what all validators agree on.
PROFILES: dict[str, Profile] = {
    "rfc5280": RFC5280,
    "webpki": replace(WEBPKI, name="webpki with suffixes", public_suffixes=frozenset({"com", "co.uk"})),
    "online": WEBPKI,
    "crl": RFC5280,
    "pathlen": RFC5280,
}
_PKITS_POLICY = "2.16.840.1.101.3.2.1.48."


def directory() -> Path | None:
    """MTLSKIT_VECTORS, or `shared/vectors` beside the repository; None if there is none."""
    named = os.environ.get("MTLSKIT_VECTORS")
    found = Path(named) if named else Path(__file__).parents[3] / "shared" / "vectors"
    return found if found.is_dir() else None


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of one file; none if it is not there."""
    where = directory()
    path = where and where / f"{name}.json.gz"
    if path is None or not path.exists():
        return []
    with gzip.open(path) as file:
        return list(json.load(file)["testcases"])


def outcome(case: dict[str, Any]) -> tuple[str, str]:
    """What `verify_path` says of a case: SUCCESS or FAILURE, and the reason."""
    try:
        verify_path(_presented(case), _trust(case), **_question(case))
    except PathError as error:
        return FAILURE, str(error)
    return SUCCESS, ""


def _presented(case: dict[str, Any]) -> PresentedChain:
    return PresentedChain.from_der(*map(_der, (case["peer_certificate"], *case["untrusted_intermediates"])))


def _trust(case: dict[str, Any]) -> TrustStore:
    anchors = [x509.load_der_x509_certificate(_der(pem)) for pem in case["trusted_certs"]]
    return TrustStore(anchors, lists=[each for each in map(_list, case["crls"]) if each is not None])


def _list(pem: str) -> RevocationList | None:
    try:
        return RevocationList(_der(pem))
    except CertificateError:  # a list that cannot be read is as if it were not there
        return None


def _question(case: dict[str, Any]) -> dict[str, Any]:
    is_server = case["validation_kind"] == "SERVER"
    peer = case["expected_peer_name"]
    depth = case["max_chain_depth"]
    return {
        "purpose": "server_auth" if is_server else "client_auth",
        "reference_name": peer["value"] if is_server and peer else None,
        "now": datetime.fromisoformat(case["validation_time"]) if case["validation_time"] else datetime.now(UTC),
        "profile": PROFILES.get(case["id"].split("::")[0], COMPATIBLE),
        "revocation": "path" if case["crls"] or case["id"].startswith("pkits::") else "off",
        "policies": _policies(case.get("x_policy_inputs") or {}),
        "limits": Limits() if depth is None else Limits(depth=depth),
    }


def _policies(inputs: dict[str, str]) -> PolicyInputs:
    chosen: dict[str, Any] = {}
    if names := inputs.get("SetInitialPolicySet"):
        numbers = [name.rpartition("-")[2] for name in names.split(",")]
        chosen["acceptable"] = frozenset(x509.ObjectIdentifier(_PKITS_POLICY + number) for number in numbers)
    if inputs.get("SetInitialExplicitPolicy") == "true":
        chosen["explicit"] = ExplicitPolicy.REQUIRED
    if inputs.get("SetInitialPolicyMappingInhibit") == "true":
        chosen["mapping"] = PolicyMapping.INHIBITED
    if inputs.get("SetInitialInhibitAnyPolicy") == "true":
        chosen["any_policy"] = AnyPolicy.INHIBITED
    return PolicyInputs(**chosen)


def _der(pem: str) -> bytes:
    return base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-----")))
