"""What an authority tells the world of its certificates' status: revocation lists and an OCSP responder, over HTTP.

`StatusService` is a function of the request; `WSGIApp` and `ASGIApp` put it into any server.
"""

from __future__ import annotations

from mtlskit.authority.publishing.apps import ASGIApp, WSGIApp
from mtlskit.authority.publishing.http import Answer
from mtlskit.authority.publishing.publication import ListName, Publication, Updates
from mtlskit.authority.publishing.responder import OCSPAnswer, OCSPResponder
from mtlskit.authority.publishing.service import StatusService

__all__ = [
    "ASGIApp",
    "Answer",
    "ListName",
    "OCSPAnswer",
    "OCSPResponder",
    "Publication",
    "StatusService",
    "Updates",
    "WSGIApp",
]
