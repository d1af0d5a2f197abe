"""What a refused client is told: a problem document (RFC 9457) with the reason code, never the detail."""

from __future__ import annotations

import json
from http import HTTPStatus

from mtlskit.core.verdict import Deny


def problem_body(verdict: Deny, request_id: str) -> bytes:
    """The document as JSON. `request_id` is that of the gate's event."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(verdict.status).phrase,
        "status": verdict.status,
        "reason": verdict.reason.value,
        "request_id": request_id,
    }
    return json.dumps(document, separators=(",", ":")).encode()
