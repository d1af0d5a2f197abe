"""One reading of a URL: what is checked is what is connected to."""

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.errors import ConfigurationError, MTLSError, OriginNotAllowed
from mtlskit.fetch.targets import BoundOrigins, Origin, OriginPattern, Target


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example", "https://a.example/"),
        ("HTTPS://A.Example.:443/x?y=1#z", "https://a.example/x?y=1"),
        ("https://bücher.example:8443/ü?ö", "https://xn--bcher-kva.example:8443/%C3%BC?%C3%B6"),
        ("https://127.0.0.1:1/", "https://127.0.0.1:1/"),
        ("https://[2001:DB8:0::1]/", "https://[2001:db8::1]/"),
        ("https://a.example/a%2fb\\c", "https://a.example/a%2fb%5Cc"),
        ("https://a.example?x=@b", "https://a.example/?x=@b"),
    ],
)
def test_a_url_is_read_into_its_one_spelling(url, shown):
    assert str(Target.parse(url)) == shown


@pytest.mark.parametrize("url", ["http://a.example", "ftp://a.example", "//a.example/", "/x", "", "file:///etc/x"])
def test_another_scheme_is_not_allowed(url):
    with pytest.raises(OriginNotAllowed, match="expected an 'https' URL"):
        Target.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://", "https:///x", "https:a.example", "https://user@a.example/", "https://a:b@a.example/",
        "https://a.example\\@b.example/", "https://a.example:0/", "https://a.example:99999/", "https://a.example:x/",
        "https://a.example\n/", " https://a.example/", "https://a.example/\t", "https://a example/", "https://a..b/",
        "https://0x7f.1/", "https://127.1/", "https://[::1/", "https://[fe80::1%25eth0]/", "https://a%2eexample/",
        "https://*.example/", "https://a.example\0/", "https://\uff41.example/", "https://a.example/\ud800", None, b"x",
    ],
)  # fmt: skip
def test_what_two_parsers_could_read_differently_is_refused(url):
    with pytest.raises(ConfigurationError, match="expected "):
        Target.parse(url)


@given(st.text(alphabet=st.sampled_from("ahtps:/@\\#?.[]%0123456789xé \t\n-_*"), max_size=40))
def test_the_http_client_sees_the_very_host_that_was_checked(text):
    try:
        target = Target.parse(f"https://{text}")
    except MTLSError:
        return
    url = httpx2.URL(str(target))
    assert url.scheme == "https"
    assert url.raw_host.decode() == target.origin.host
    assert (url.port or 443) == target.origin.port
    assert not url.userinfo


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/y", "https://a.example/y"),
        ("y?q", "https://a.example/x/y?q"),
        ("//b.example/y", "https://b.example/y"),
        ("https://b.example", "https://b.example/"),
        (" /with space ", "https://a.example/with%20space"),
        ("?q=1", "https://a.example/x/z?q=1"),
        ("#fragment", "https://a.example/x/z"),
    ],
)
def test_a_redirect_is_resolved_against_where_it_came_from(location, expected):
    assert str(Target.parse("https://a.example/x/z").join(location)) == expected


@pytest.mark.parametrize("location", ["http://a.example/x", "javascript:alert(1)", "http:"])
def test_a_redirect_away_from_https_is_not_allowed(location):
    with pytest.raises(OriginNotAllowed):
        Target.parse("https://a.example/").join(location)


def origin(text):
    return Target.parse(text).origin


@pytest.mark.parametrize(
    ("pattern", "url", "covered"),
    [
        ("https://a.example", "https://A.example.:443/x", True),
        ("https://a.example/", "https://a.example/x", True),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example:8443", "https://a.example:8443", True),
        ("https://a.example", "https://b.a.example", False),
        ("https://*.a.example", "https://b.a.example", True),
        ("https://*.a.example", "https://a.example", False),
        ("https://*.a.example", "https://c.b.a.example", False),
        ("https://*.a.example:8443", "https://b.a.example", False),
        ("https://127.0.0.1:8443", "https://127.0.0.1:8443", True),
        ("https://[::1]", "https://[0:0::1]", True),
        ("https://*.0.0.1.example", "https://127.0.0.1", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(pattern, url, covered):
    assert OriginPattern.parse(pattern).covers(origin(url)) is covered
    assert (origin(url) in BoundOrigins.parse([pattern])) is covered


@pytest.mark.parametrize(
    "text",
    [
        "a.example", "http://a.example", "https://a.example/x", "https://a.example?x", "https://*", "https://*.example",
        "https://a.*.example", "https://*.127.0.0.1", "https://user@a.example", "", None, "https://*.*.example",
    ],
)  # fmt: skip
def test_what_is_not_an_origin_is_refused(text):
    with pytest.raises(ConfigurationError, match="expected "):
        BoundOrigins.parse([text])


def test_origins_are_a_list():
    with pytest.raises(ConfigurationError, match="expected a list of origins"):
        BoundOrigins.parse("https://a.example")


def test_an_origin_is_shown_as_it_is_written():
    assert str(BoundOrigins.parse(["https://*.a.example:8443", "https://[::1]"])) == (
        "'https://*.a.example:8443', 'https://[::1]'"
    )
    assert str(Origin("a.example", 8443)) == "https://a.example:8443"
