"""Revocation lists and OCSP over HTTP, as one function of the request. `apps.py` puts WSGI and ASGI around it.

| path | methods | what |
|---|---|---|
| `/1.crl`, `/1/3-of-8.crl`, `/1.delta.crl` | GET, HEAD | the list of generation 1, of a partition, its delta list |
| `/ocsp` | POST | an OCSP request in DER (RFC 6960, A.1) |
| `/ocsp/...` | GET, HEAD | the same in Base64, percent-encoded |
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from mtlskit.authority.authority import CertificateAuthority
from mtlskit.authority.publishing.http import Answer, kept, not_kept, told
from mtlskit.authority.publishing.publication import OCSP_PATH, ListName, Publication
from mtlskit.authority.publishing.published import PublishedLists
from mtlskit.authority.publishing.responder import OCSPResponder
from mtlskit.errors import MTLSError, NotFound

_LOGGER: Final = logging.getLogger("mtlskit.authority")
LARGEST_BODY: Final = 8 * 1024  # octets of an OCSP request: 16 certificates, a nonce and a signature with its chain
_LONGEST_PATH: Final = 2 * 1024
_LIST_TYPE: Final = "application/pkix-crl"
_REQUEST_TYPE: Final = "application/ocsp-request"
_RESPONSE_TYPE: Final = "application/ocsp-response"
_READING: Final = ("GET", "HEAD")


class StatusService:
    """What one authority publishes of its certificates' status. May be shared between threads."""

    def __init__(
        self,
        authority: CertificateAuthority,
        publication: Publication | None = None,
        *,
        responder: OCSPResponder | None = None,
    ) -> None:
        """`publication` says how lists are published, by default as `Publication()`; `responder` answers OCSP."""
        self._opened = authority._opened
        self._publication = publication or Publication()
        self._lists = PublishedLists(self._opened, self._publication)
        self._responder = responder or OCSPResponder(authority)

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """The answer to a request. Never raises for what a client sent, nor for what the store or a signer does.

        `path` begins with a slash, without a query; percent-encoded or decoded. `headers` are by lower-case name. Of a
        body longer than `LARGEST_BODY`, one octet more is enough. It may wait for the store, and sign: call it off the
        event loop.
        """
        try:
            return self._answer(method, path, headers, body).for_method(method)
        except Exception:
            _LOGGER.exception("a request for a certificate's status could not be answered")
            return told(503, "cannot be told now", ("retry-after", "30")).for_method(method)

    def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if len(path) > _LONGEST_PATH:
            return told(414, f"expected a path of at most {_LONGEST_PATH} characters")
        if path.rstrip("/") == OCSP_PATH:
            return self._posted(headers, body) if method == "POST" else _not_allowed("POST")
        if path.startswith(f"{OCSP_PATH}/"):
            request = path.removeprefix(f"{OCSP_PATH}/")
            return self._asked(request, headers) if method in _READING else _not_allowed(*_READING)
        name = ListName.parse(path)
        if name is None:
            return told(404, "not found")
        return self._list(name, headers) if method in _READING else _not_allowed(*_READING)

    def _list(self, name: ListName, headers: Mapping[str, str]) -> Answer:
        try:
            found = self._lists.current(name)
        except NotFound:
            return told(404, "not found")
        except MTLSError as error:
            _LOGGER.warning("the revocation list %s could not be made: %s", name.path, error)
            return told(503, "cannot be told now", ("retry-after", "30"))
        record, most = found.record, self._publication.max_age.total_seconds()
        return kept(
            _LIST_TYPE, found.der, sha256=record.sha256, until=record.next_update, now=self._opened.clock(), most=most,
            request=headers,
        )  # fmt: skip

    def _posted(self, headers: Mapping[str, str], body: bytes) -> Answer:
        if len(body) > LARGEST_BODY:
            return told(413, f"expected an OCSP request of at most {LARGEST_BODY} octets")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != _REQUEST_TYPE:
            return told(415, f"expected {_REQUEST_TYPE}", ("accept", _REQUEST_TYPE))
        return not_kept(_RESPONSE_TYPE, self._responder.answer(body).response)

    # RFC 6960, A.1, and RFC 5019, 5 and 6: what is asked by GET may be kept until nextUpdate.
    def _asked(self, text: str, headers: Mapping[str, str]) -> Answer:
        answer = self._responder.answer(_decoded(text))
        if not answer.is_reusable or answer.next_update is None:
            return not_kept(_RESPONSE_TYPE, answer.response)
        until, now = answer.next_update, self._opened.clock()
        return kept(
            _RESPONSE_TYPE, answer.response, sha256=hashlib.sha256(answer.response).hexdigest(), request=headers,
            until=until, now=now, most=(until - now).total_seconds(),
        )  # fmt: skip


def _decoded(text: str) -> bytes:
    # What is no Base64 becomes a request without an octet, which is malformed.
    try:
        return base64.b64decode(unquote_to_bytes(text), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _not_allowed(*methods: str) -> Answer:
    allowed = ", ".join(methods)
    return told(405, f"expected {allowed}", ("allow", allowed))
