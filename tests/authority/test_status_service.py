"""The service as a function of the request: statuses, methods, sizes, and what caches are told."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.x509 import ocsp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.publishing import Answer, OCSPResponder, Publication, StatusService
from mtlskit.authority.publishing.service import LARGEST_BODY
from mtlskit.ports import Store
from mtlskit.stores import open_store

from .checking import standing
from .conftest import KEYS
from .test_lists import listed, number_of
from .test_ocsp_messages import CERT_ID, built, extensions
from .test_ocsp_responder import about
from .test_published_lists import Clock

REQUEST = {"content-type": "application/ocsp-request"}
MALFORMED = ocsp.OCSPResponseStatus.MALFORMED_REQUEST


class Site:
    """A service with a clock that does not run by itself."""

    def __init__(self, store: Store, *, lifetime: timedelta = timedelta(hours=1), **publication: Any) -> None:
        self.clock = Clock()
        self.acme = CertificateAuthority.create("Acme", store=store, clock=self.clock)
        responder = OCSPResponder(self.acme, lifetime=lifetime)
        self.service = StatusService(self.acme, Publication(**publication), responder=responder)
        self.device = self.acme.issue_client("device")

    def __call__(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        return self.service.answer(method, path, headers or {}, body)

    @property
    def request(self) -> bytes:
        return about(self.acme, self.device)

    @property
    def question(self) -> str:
        return f"/ocsp/{quote(base64.b64encode(self.request), safe='')}"


@pytest.fixture
def site(store: Store) -> Site:
    return Site(store)


def header(answer: Answer, name: str) -> str:
    (value,) = [value for each, value in answer.headers if each == name]
    return value


def has(answer: Answer, name: str) -> bool:
    return any(each == name for each, _ in answer.headers)


def age(answer: Answer) -> int:
    parts = header(answer, "cache-control").split(", ")
    assert parts[0] == "public"
    return int(parts[1].removeprefix("max-age="))


def test_a_list_is_served(site: Site) -> None:
    serial = site.acme.revoke(site.device).serial_number
    answer = site("GET", "/1.crl")
    assert (answer.status, header(answer, "content-type")) == (200, "application/pkix-crl")
    assert header(answer, "content-length") == str(len(answer.body))
    found = x509.load_der_x509_crl(answer.body)
    assert listed(found) == {serial}
    assert standing(site.acme, site.device.certificate, [found], now=site.clock.now) == "revoked"


def test_caches_keep_a_list_for_a_while_and_not_beyond_its_end(store: Store) -> None:
    site = Site(store, max_age=timedelta(hours=3), renewal=timedelta(days=7) - timedelta(hours=1))
    start, ages = site.clock.now, []
    for hours in (0, 100, 164, 166.5):
        site.clock.now = start + timedelta(hours=hours)
        answer = site("GET", "/1.crl")
        ages.append(age(answer))
        assert parsedate_to_datetime(header(answer, "expires")) == site.clock.now + timedelta(seconds=ages[-1])
        assert number_of(x509.load_der_x509_crl(answer.body)) == 1
    assert ages == [10_800, 10_800, 10_800, 5_400]


def test_who_has_the_list_gets_no_second_one(site: Site) -> None:
    first = site("GET", "/1.crl")
    etag, earlier = header(first, "etag"), "Tue, 01 Jan 2002 00:00:00 GMT"
    having: list[dict[str, str]] = [
        {"if-none-match": etag}, {"if-none-match": f'"x", W/{etag}'}, {"if-none-match": "*"},
        {"if-none-match": etag, "if-modified-since": earlier},
    ]  # fmt: skip
    lacking: list[dict[str, str]] = [{}, {"if-none-match": '"x"'}, {"if-none-match": ""}, {"if-none-match": '*, "x"'}]
    for method in ("GET", "HEAD"):
        for headers in having:
            answer = site(method, "/1.crl", headers)
            assert (answer.status, answer.body) == (304, b"")
            assert (header(answer, "etag"), age(answer)) == (etag, 600)
            assert not has(answer, "content-length")
        assert [site(method, "/1.crl", headers).status for headers in lacking] == [200] * len(lacking)
    site.acme.revoke(site.device)
    fresh = site("GET", "/1.crl", {"if-none-match": etag})
    assert fresh.status == 200
    assert header(fresh, "etag") != etag


@pytest.mark.parametrize("after", [timedelta(0), timedelta(minutes=20), timedelta(hours=20)])
def test_a_revocation_in_the_same_second_reaches_who_asks_by_date(site: Site, after: timedelta) -> None:
    first = {path: site("GET", path) for path in ("/1.crl", site.question)}
    site.clock.now += timedelta(milliseconds=300)
    serial = site.acme.revoke(site.device).serial_number
    site.clock.now += after
    second = format_datetime(site.clock.now.replace(microsecond=0), usegmt=True)
    for path, had in first.items():
        assert not has(had, "last-modified"), "or a cache on the way compares by it"
        answer = site("GET", path, {"if-modified-since": second})
        assert (answer.status, answer.body != had.body) == (200, True)
    assert serial in listed(x509.load_der_x509_crl(site("GET", "/1.crl", {"if-modified-since": second}).body))


@pytest.mark.parametrize("path", ["/1.crl", "/nowhere", "/ocsp/x", "question"])
def test_head_is_get_without_a_body(site: Site, path: str) -> None:
    path = site.question if path == "question" else path
    get, head = site("GET", path), site("HEAD", path)
    assert head == get._replace(body=b"")
    assert header(head, "content-length") == str(len(get.body)) != "0"


@pytest.mark.parametrize(
    "path", ["/", "", "/2.crl", "/1.delta.crl", "/1/0-of-2.crl", "/crl", "/ocspx", "/1.crl/", "/ocsp.crl"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_what_is_not_there_is_not_found(site: Site, path: str, method: str) -> None:
    answer = site(method, path, REQUEST, site.request)
    lists = path in ("/2.crl", "/1.delta.crl", "/1/0-of-2.crl")
    assert answer.status == (405 if lists and method == "POST" else 404)
    assert header(answer, "cache-control") == "no-store"


@pytest.mark.parametrize(
    ("path", "methods", "allowed"),
    [
        ("/1.crl", ["POST", "PUT", "DELETE", "OPTIONS", "get", ""], "GET, HEAD"),
        ("/ocsp/x", ["POST", "PUT", "PATCH"], "GET, HEAD"),
        ("/ocsp", ["GET", "HEAD", "PUT"], "POST"),
        ("/ocsp/", ["GET", "DELETE"], "POST"),
    ],
)
def test_other_methods_are_not_allowed(site: Site, path: str, methods: list[str], allowed: str) -> None:
    for method in methods:
        answer = site(method, path, REQUEST, site.request)
        assert (answer.status, header(answer, "allow")) == (405, allowed)


@pytest.mark.parametrize("path", ["/ocsp", "/ocsp/"])
def test_ocsp_by_post_is_kept_by_nobody(site: Site, path: str) -> None:
    answer = site("POST", path, {"content-type": "Application/OCSP-Request; a=b"}, site.request)
    assert (answer.status, header(answer, "content-type")) == (200, "application/ocsp-response")
    assert header(answer, "cache-control") == "no-store"
    assert not has(answer, "etag")
    assert standing(site.acme, site.device.certificate, ocsp=[answer.body], now=site.clock.now) == "good"


@pytest.mark.parametrize("form", [lambda text: quote(text, safe=""), lambda text: text, quote])
def test_ocsp_by_get_is_kept_until_next_update(site: Site, form: Any) -> None:
    question = f"/ocsp/{form(base64.b64encode(site.request).decode())}"
    answer = site("GET", question)
    assert (answer.status, header(answer, "content-type")) == (200, "application/ocsp-response")
    assert standing(site.acme, site.device.certificate, ocsp=[answer.body], now=site.clock.now) == "good"
    response = ocsp.load_der_ocsp_response(answer.body)
    assert age(answer) == 3_600
    assert parsedate_to_datetime(header(answer, "expires")) == response.next_update_utc
    site.clock.now += timedelta(minutes=20)
    again = site("GET", question)
    assert (again.body, age(again)) == (answer.body, 2_400)
    assert parsedate_to_datetime(header(again, "expires")) == response.next_update_utc
    assert site("GET", question, {"if-none-match": header(answer, "etag")}).status == 304
    site.acme.revoke(site.device)
    revoked = site("GET", question, {"if-none-match": header(answer, "etag")})
    assert standing(site.acme, site.device.certificate, ocsp=[revoked.body], now=site.clock.now) == "revoked"


def test_an_answer_for_one_is_kept_by_nobody(site: Site) -> None:
    def asked(request: bytes) -> Answer:
        return site("GET", f"/ocsp/{base64.b64encode(request).decode()}")

    with_nonce = about(site.acme, site.device, nonce=b"n" * 16)
    unknown = built(ids=[CERT_ID])
    for request in (with_nonce, unknown, b"", b"\x30\x00"):
        assert header(asked(request), "cache-control") == "no-store"


@pytest.mark.parametrize("text", ["!", "MA", "MA===", "%", "%zz", "M%00A=", "\u00e4", "x" * 1_000, "MAA=\n", "\ud800"])
def test_what_is_no_request_is_malformed(site: Site, text: str) -> None:
    answer = site("GET", f"/ocsp/{text}")
    assert (answer.status, header(answer, "content-type")) == (200, "application/ocsp-response")
    assert ocsp.load_der_ocsp_response(answer.body).response_status is MALFORMED
    answer = site("POST", "/ocsp", REQUEST, text.encode(errors="replace"))
    assert ocsp.load_der_ocsp_response(answer.body).response_status is MALFORMED


@pytest.mark.invariant("I12")
def test_what_is_too_long_is_not_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.service._responder, "answer", None)  # would raise
    assert site("GET", "/ocsp/" + "M" * 3_000).status == 414
    assert site("GET", "/" + "1" * 3_000).status == 414
    assert site("POST", "/ocsp", REQUEST, bytes(LARGEST_BODY + 1)).status == 413


def test_the_largest_request_fits(site: Site) -> None:
    ids = [CERT_ID] * 16
    filler = extensions((bytes.fromhex("06092b0601050507300104"), bytes(LARGEST_BODY - 1_700)))
    request = built(ids=ids, after=filler)
    assert LARGEST_BODY - 1_000 < len(request) <= LARGEST_BODY
    answer = site("POST", "/ocsp", REQUEST, request)
    assert ocsp.load_der_ocsp_response(answer.body).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/json", "application/ocsp-response", "application/ocsp-requests"]
)
def test_another_type_of_body_is_refused(site: Site, kind: str) -> None:
    answer = site("POST", "/ocsp", {"content-type": kind} if kind else {}, site.request)
    assert (answer.status, header(answer, "accept")) == (415, "application/ocsp-request")


def test_a_store_that_is_away_is_told(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.acme._opened.store.close()
    with caplog.at_level(logging.WARNING, logger="mtlskit.authority"):
        lists, response = site("GET", "/1.crl"), site("POST", "/ocsp", REQUEST, site.request)
    assert (lists.status, header(lists, "retry-after")) == (503, "30")
    assert ocsp.load_der_ocsp_response(response.body).response_status is ocsp.OCSPResponseStatus.TRY_LATER
    assert "/1.crl could not be made" in caplog.text


def test_nothing_of_what_went_wrong_is_told_outside(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> object:
        raise RuntimeError("the secret place")

    monkeypatch.setattr(site.service._lists, "current", broken)
    with caplog.at_level(logging.ERROR, logger="mtlskit.authority"):
        for method in ("GET", "HEAD"):
            answer = site(method, "/1.crl")
            assert answer.status == 503
            assert b"secret" not in answer.body
    assert "the secret place" in caplog.text


PATHS = st.text(max_size=60) | st.sampled_from(["/1.crl", "/ocsp", "/ocsp/"]).flatmap(
    lambda path: st.text(max_size=20).map(lambda text: path + text)
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT"]) | st.text(max_size=5), PATHS,
    st.dictionaries(st.sampled_from(["content-type", "if-none-match", "if-modified-since"]), st.text(max_size=40)),
    st.binary(max_size=60),
)  # fmt: skip
def test_whatever_comes_is_answered(method: str, path: str, headers: dict[str, str], body: bytes) -> None:
    answer = SITE(method, path, headers, body)
    assert answer.status in (200, 304, 404, 405, 413, 414, 415)
    assert all(value.isascii() and "\n" not in value for _, value in answer.headers)


SITE = Site(open_store("memory://", keys=KEYS))
SITE.clock.now = datetime(2030, 1, 2, tzinfo=UTC)
