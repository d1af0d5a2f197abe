"""Where a call goes next, and with or without the certificate."""

import pytest

from mtlskit.errors import ConfigurationError, FetchError, OriginNotAllowed
from mtlskit.fetch.exchange import LONGEST_REDIRECTION, Exchange, Route
from mtlskit.fetch.messages import Headers, Redirect, Request, redirect_of, timeout_of
from mtlskit.fetch.responses import Answer, CertificateUse, Response, ResponseHead
from mtlskit.fetch.targets import BoundOrigins, Target

SECRETS = [("Authorization", "Bearer x"), ("COOKIE", "a=b"), ("Proxy-Authorization", "x"), ("X-Other", "kept")]


def start(url="https://a.example/x", *, origins=(), redirect=Redirect.FOLLOW, method="GET", body=None, headers=()):
    request = Request.of(method, list(headers), body, None)
    return Exchange.start(Target.parse(url), request, bound=BoundOrigins.parse(list(origins)), redirect=redirect)


def answer(status, location=None, asked=True):
    return Answer(status, Headers([("location", location)] if location is not None else []), asked)


def run(exchange, *answers):
    """The last thing that follows from the answers, one after the other."""
    step = exchange.first
    for each in answers:
        step = exchange.after(step, each)
    return step


@pytest.mark.invariant(14)
def test_without_origins_the_certificate_stays_with_the_first():
    exchange = start()

    assert exchange.first.route is Route.CERTIFICATE
    assert run(exchange, answer(302, "/y")).route is Route.CERTIFICATE
    assert run(exchange, answer(302, "https://a.example:443/y")).route is Route.CERTIFICATE
    for elsewhere in ("https://b.example/", "https://a.example:8443/", "https://b.a.example/", "//a.example:444/"):
        assert run(exchange, answer(302, elsewhere)).route is Route.PLAIN


@pytest.mark.invariant(14)
def test_configured_origins_are_the_only_ones():
    origins = ["https://a.example", "https://c.example"]

    assert run(start(origins=origins), answer(302, "https://c.example/")).route is Route.CERTIFICATE
    assert run(start(origins=origins), answer(302, "https://b.example/")).route is Route.PLAIN
    with pytest.raises(OriginNotAllowed, match=r"expected an origin of this binding .* got 'https://b\.example'"):
        start("https://b.example/", origins=origins)


@pytest.mark.invariant(14)
def test_a_certificate_once_dropped_does_not_come_back():
    back = run(start(), answer(302, "https://b.example/"), answer(302, "https://a.example/delete"))

    assert (str(back.target), back.route) == ("https://a.example/delete", Route.PLAIN)


@pytest.mark.invariant(14)
@pytest.mark.parametrize("location", ["http://a.example/", "ftp://a.example/"])
def test_a_redirect_away_from_https_is_refused(location):
    with pytest.raises(OriginNotAllowed):
        run(start(), answer(301, location))


def test_credentials_stay_with_their_origin():
    exchange = start(headers=SECRETS)

    assert list(run(exchange, answer(302, "/y")).request.headers) == SECRETS
    assert run(exchange, answer(302, "https://b.example/")).request.headers == (("X-Other", "kept"),)


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("GET", 301, "GET"), ("HEAD", 302, "HEAD"), ("HEAD", 303, "HEAD"), ("POST", 301, "GET"), ("POST", 302, "GET"),
        ("POST", 303, "GET"), ("PUT", 303, "GET"), ("PUT", 301, "PUT"), ("DELETE", 302, "DELETE"),
        ("POST", 307, "POST"), ("POST", 308, "POST"), ("PUT", 307, "PUT"),
    ],
)  # fmt: skip
def test_the_method_after_a_redirect(method, status, expected):
    body = None if method in ("GET", "HEAD") else b"data"
    headers = [("Content-Type", "text/x"), ("Content-Language", "en"), ("X-Other", "kept")]

    request = run(start(method=method, body=body, headers=headers), answer(status, "/y")).request

    assert request.method == expected
    if expected == method:
        assert (request.body, request.headers) == (body or b"", tuple(headers))
    else:
        assert (request.body, request.headers) == (b"", (("X-Other", "kept"),))


def test_a_redirect_is_the_response_where_it_is_not_followed():
    response = run(start(redirect=Redirect.MANUAL), answer(302, "https://b.example/"))

    assert isinstance(response, ResponseHead)
    assert (response.status, response.redirected, response.headers["Location"]) == (302, False, "https://b.example/")


def test_a_redirect_is_an_error_where_it_is_asked_to_be():
    with pytest.raises(FetchError, match="got a redirect"):
        run(start(redirect=Redirect.ERROR), answer(302, "/y"))


@pytest.mark.invariant(14)
def test_i14_a_redirect_that_leaves_the_bindings_origins_is_an_error_where_it_is_asked_to_be():
    origins = ["https://a.example", "https://b.example"]

    step = run(start(origins=origins, redirect=Redirect.BOUND), answer(302, "https://b.example/y"))
    assert (str(step.target), step.route) == ("https://b.example/y", Route.CERTIFICATE)
    with pytest.raises(
        OriginNotAllowed, match="expected a redirect to an origin of this binding, got one to 'https://c"
    ):
        run(start(origins=origins, redirect=Redirect.BOUND), answer(302, "https://c.example/"))
    with pytest.raises(OriginNotAllowed):
        run(start(redirect=Redirect.BOUND), answer(307, "https://a.example:444/"))


@pytest.mark.parametrize("status", [300, 304, 305, 306, 200, 404])
def test_other_answers_are_responses(status):
    assert run(start(), answer(status, "/y")).status == status


def test_a_redirect_without_a_location_is_a_response():
    assert run(start(), answer(302)).status == 302


def test_redirects_are_counted():
    circle = [answer(302, "/y")] * LONGEST_REDIRECTION

    assert run(start(), *circle).redirects == LONGEST_REDIRECTION
    with pytest.raises(FetchError, match="expected at most 20 redirects"):
        run(start(), *circle, answer(302, "/y"))


@pytest.mark.parametrize("location", ["https://[::1/", "https://user@b.example/", "https://b..example/"])
def test_a_location_that_is_no_url_is_an_error(location):
    with pytest.raises(FetchError, match="expected a URL to follow"):
        run(start(), answer(302, location))


def test_the_response_says_where_it_came_from():
    head = run(start(), answer(302, "https://b.example/y"), answer(200))

    assert (head.url, head.redirected, head.ok) == ("https://b.example/y", True, True)
    response = Response.of(head, b"{}")
    assert (response.url, response.json(), response.text()) == ("https://b.example/y", {}, "{}")


@pytest.mark.parametrize(
    ("asked", "use"),
    [(True, CertificateUse.REQUESTED), (False, CertificateUse.NOT_REQUESTED), (None, CertificateUse.UNKNOWN)],
)
def test_the_response_says_what_became_of_the_certificate(asked, use):
    assert run(start(), answer(200, asked=asked)).client_certificate is use

    elsewhere = run(start(), answer(302, "https://b.example/y"), answer(200, asked=asked))
    assert elsewhere.client_certificate is CertificateUse.WITHHELD


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_stream_is_not_sent_a_second_time_to_follow_a_redirect(status):
    method = "PUT" if status in (301, 302) else "POST"

    with pytest.raises(FetchError, match="expected a body that can be sent again"):
        run(start(method=method, body=iter([b"x"])), answer(status, "/y"))


def test_a_redirect_that_asks_for_no_body_is_followed_after_a_stream():
    step = run(start(method="POST", body=iter([b"x"])), answer(303, "/y"))

    assert (step.request.method, step.request.body) == ("GET", b"")


# --- what can be asked for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["CONNECT", "trace", "TRACK", "", "GET /", "A\r\nB", None])
def test_a_method_that_cannot_be_sent_is_refused(method):
    with pytest.raises(ConfigurationError, match="expected an HTTP method"):
        Request.of(method, None, None, None)


@pytest.mark.parametrize(
    "header",
    [
        ("Host", "b.example"), ("content-length", "3"), ("Transfer-Encoding", "chunked"), ("Connection", "x"),
        ("A b", "x"), ("A", "x\r\nB: y"), ("A", "x\0"), ("A", "\u20ac"), ("", "x"), ("A", 7), (b"A", "x"),
    ],
)  # fmt: skip
def test_a_header_that_is_not_the_callers_is_refused(header):
    with pytest.raises(ConfigurationError, match="header"):
        Request.of("GET", [header], None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"body": b"", "json": {}}, "one of body, json and form"),
        ({"form": {}, "json": {}}, "one of body, json and form"),
        ({"form": {"a": 1}}, "values of text in form"),
        ({"form": ["ab"]}, "form as pairs"),
        ({"form": {}, "method": "GET"}, "method that has a body"),
        ({"form": 7}, "form as pairs"),
        ({"form": {"a": "\ud800"}}, "lone surrogates"),
        ({"body": "\ud800"}, "lone surrogates"),
        ({"headers": 5}, "headers as pairs"),
        ({"headers": ["ab"]}, "headers as pairs"),
        ({"headers": [("a",)]}, "headers as pairs"),
        ({"headers": [("a", "b", "c")]}, "headers as pairs"),
        ({"headers": [None]}, "headers as pairs"),
        ({"method": "\xdf"}, "HTTP method"),
        ({"body": {"a": b"b"}}, "iterable of bytes as body, got dict"),
        ({"body": 7}, "iterable of bytes as body, got int"),
        ({"json": float("nan")}, "JSON"),
        ({"json": object()}, "JSON"),
        ({"body": b"", "method": "GET"}, "method that has a body"),
        ({"json": 0, "method": "head"}, "method that has a body"),
    ],
)
def test_a_body_that_cannot_be_sent_is_refused(options, message):
    options = {"method": "POST", "headers": None, "body": None, "json": None, **options}
    with pytest.raises(ConfigurationError, match=message):
        Request.of(**options)


def test_a_body_brings_its_type_unless_the_caller_says_another():
    assert Request.of("post", None, "ä", None) == Request(
        method="POST", headers=(("Content-Type", "text/plain;charset=UTF-8"),), body="ä".encode()
    )
    assert Request.of("POST", {"content-type": "x/y"}, None, [1, "ä"]) == Request(
        method="POST", headers=(("content-type", "x/y"),), body='[1,"ä"]'.encode()
    )


def test_timeout_and_redirect_are_checked():
    assert timeout_of(None) is None
    assert redirect_of("manual") is Redirect.MANUAL
    for wrong in (0, -1, float("inf"), float("nan"), True, "5", 1e10, 2**63, 10**400):
        with pytest.raises(ConfigurationError, match="timeout"):
            timeout_of(wrong)
    with pytest.raises(ConfigurationError, match="redirect"):
        redirect_of("always")


def response_of(content, content_type=None):
    return Response(
        status=200, content=content, url="https://a.example/", redirected=False, client_certificate=CertificateUse.REQUESTED,
        headers=Headers([("Content-Type", content_type)] if content_type else []),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content_type", "content", "text"),
    [
        (None, "ä".encode(), "ä"),
        ("text/plain; charset=ISO-8859-1", b"\xe4", "ä"),
        ("text/plain; charset=no-such", "ä".encode(), "ä"),
        ("garbage;;;", b"\xff", "\ufffd"),
    ],
)
def test_text_is_decoded_as_its_type_says(content_type, content, text):
    assert response_of(content, content_type).text() == text


def test_json_that_is_none_is_an_error():
    with pytest.raises(FetchError, match=r"expected JSON from https://a\.example/, got 4 bytes of 'text/html'"):
        response_of(b"<ht>", "text/html").json()


def test_headers_are_found_in_any_case_and_do_not_show_their_values():
    headers = Headers([("Set-Cookie", "a=secret"), ("set-cookie", "b")])

    assert headers["SET-COOKIE"] == "a=secret, b"
    assert headers.get_all("Set-cookie") == ["a=secret", "b"]
    assert "secret" not in repr(headers)
