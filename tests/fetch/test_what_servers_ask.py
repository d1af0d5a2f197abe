"""Whether an origin asked for the certificate, and for whose; on answers and on refusals."""

import dataclasses

import pytest

from clients.proxies import proxying
from fetch.servers import context_of, serving
from mtlskit.backends import get_backend
from mtlskit.errors import ClientCertificateRefused, ConfigurationError, FetchError
from mtlskit.fetch import CertificateUse, Environment
from mtlskit.ports import Verification
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, CLIENTS, OTHERS = Authority.root("Server root"), Authority.root("Client root"), Authority.root("Another root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
ALICE = CLIENTS.leaf("alice")
MALLORY = Authority.root("Client root").leaf("mallory")
BINDINGS = {"ALICE": ALICE, "MALLORY": MALLORY}
TRUST = {"trust": [SERVERS.certificate]}
NAMES = ("CN=Client root", "CN=Another root")


def demanding(version, server_backend="pyopenssl", anchors=(CLIENTS, OTHERS)):
    return context_of(SERVER, *(each.certificate for each in anchors), version=version, backend=server_backend)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("verify", "use"),
    [
        (Verification.REQUIRED, CertificateUse.REQUESTED),
        (Verification.OPTIONAL, CertificateUse.REQUESTED),
        (Verification.NONE, CertificateUse.NOT_REQUESTED),
    ],
)
def test_a_response_says_whether_its_origin_asked(fetch_all, version, verify, use):
    with serving(context_of(SERVER, CLIENTS.certificate, version=version, verify=verify)) as server:
        responses = fetch_all(BINDINGS, *[("ALICE", server.url(), {})] * 3, **TRUST)

    assert [each.client_certificate for each in responses] == [use] * 3  # also over the open connection
    assert responses[0].json()["client"] == (None if use is CertificateUse.NOT_REQUESTED else "alice")


def test_what_a_backend_cannot_see_is_not_guessed(fetch_one, backend):
    class Blind:
        name = "blind"
        capabilities = dataclasses.replace(get_backend(backend).capabilities, sees_certificate_requests=False)
        client_context = staticmethod(get_backend(backend).client_context)

    with serving(context_of(SERVER, CLIENTS.certificate)) as server:
        response = fetch_one(BINDINGS, "ALICE", server.url(), {**TRUST, "backend": Blind()})

    assert response.client_certificate is CertificateUse.UNKNOWN


@pytest.mark.parametrize("mute", [False, True])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_refusal_says_whose_certificates_the_origin_takes(fetch_one, version, mute):
    with serving(demanding(version), mute=mute) as server, pytest.raises(ClientCertificateRefused) as caught:
        fetch_one(BINDINGS, "MALLORY", server.url(), TRUST)

    error = caught.value
    assert (error.authorities, error.subject) == (NAMES, "CN=mallory")
    assert error.not_after == MALLORY.certificate.not_valid_after_utc
    assert "; it takes those of 'CN=Client root', 'CN=Another root'" in str(error)


def test_a_refusal_of_an_origin_that_names_no_ca_says_nothing_of_them(fetch_one):
    context = demanding("1.3", server_backend="ssl")
    with serving(context) as server, pytest.raises(ClientCertificateRefused) as caught:
        fetch_one(BINDINGS, "MALLORY", server.url(), TRUST)

    assert caught.value.authorities == ()
    assert "it takes" not in str(caught.value)


def test_of_many_and_long_names_a_few_are_shown_and_cut(fetch_one):
    anchors = [Authority.root(f"{'x' * 60} {number}") for number in range(9)]
    context = demanding("1.3", anchors=anchors)
    with serving(context) as server, pytest.raises(ClientCertificateRefused) as caught:
        fetch_one(BINDINGS, "MALLORY", server.url(), TRUST)

    assert len(caught.value.authorities) == 9
    assert str(caught.value).endswith(" and 4 more")


# --- through a proxy -----------------------------------------------------------------------------------------------


@pytest.fixture(params=["in clear", "over TLS", "over TLS, asking for a certificate"])
def proxy(request):
    """A proxy, and the certificates that it saw."""
    verify = Verification.OPTIONAL if "asking" in request.param else Verification.NONE
    context = None if request.param == "in clear" else context_of(SERVER, CLIENTS.certificate, verify=verify)
    with proxying(context) as running:
        yield running


@pytest.mark.invariant(14)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_i14_a_proxy_sees_no_certificate_and_the_origin_does(fetch_all, proxy, version):
    with serving(context_of(SERVER, CLIENTS.certificate, version=version)) as server:
        responses = fetch_all(BINDINGS, *[("ALICE", server.url(), {})] * 2, **TRUST, proxy=proxy.url)

    assert [each.json() for each in responses] == [
        {"client": "alice", "connection": 1, "method": "GET", "path": "/"}
    ] * 2
    assert {each.client_certificate for each in responses} == {CertificateUse.REQUESTED}
    assert proxy.asked == [f"localhost:{server.port}"]
    assert proxy.seen == [None]


def test_what_a_proxy_asks_for_is_not_what_the_origin_asks_for(fetch_one, proxy):
    with serving(context_of(SERVER, verify=Verification.NONE)) as server:
        response = fetch_one(BINDINGS, "ALICE", server.url(), {**TRUST, "proxy": proxy.url})

    assert response.client_certificate is CertificateUse.NOT_REQUESTED


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_refusal_behind_a_proxy_is_one(fetch_one, proxy, version):
    with serving(demanding(version)) as server, pytest.raises(ClientCertificateRefused) as caught:
        fetch_one(BINDINGS, "MALLORY", server.url(), {**TRUST, "proxy": proxy.url})

    assert caught.value.authorities == NAMES


def test_a_proxy_that_opens_no_way_is_told(fetch_one):
    def refuse(tls, _seen):
        tls.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        return False

    routes = {"localhost:1": refuse}
    with serving(context_of(SERVER, verify=Verification.NONE), **routes) as server, pytest.raises(FetchError) as caught:
        url = server.url("").replace("https://", "https://user:secret@")
        fetch_one(BINDINGS, "ALICE", "https://localhost:1/", {**TRUST, "proxy": url})

    assert "expected the proxy to open a way to https://localhost:1, got '407 " in str(caught.value)
    assert "secret" not in str(caught.value)
    assert server.seen[0].headers["proxy-authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    "text",
    ["", "localhost:3128", "socks5://localhost:1", "http://", "http://a:b@", "http://x:0", "http://x:secret", "http://h/p", 7, "http://h?q"],
)  # fmt: skip
def test_a_proxy_that_is_none_is_refused_without_showing_it(fetch_one, text):
    with pytest.raises(ConfigurationError, match="expected a proxy") as caught:
        fetch_one(BINDINGS, "ALICE", "https://localhost:1/", {**TRUST, "proxy": text})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_connections_that_failed_behind_a_proxy_are_not_kept(backend, proxy, version):
    """The engine would keep each in its pool until that is full."""
    with (
        serving(demanding(version)) as server,
        Environment(BINDINGS, backend=backend, **TRUST, proxy=proxy.url) as env,
    ):
        for _ in range(3):
            with pytest.raises(ClientCertificateRefused):
                env.MALLORY.fetch(server.url())
        (place,) = env.MALLORY._certified._places.values()
        assert place.pool._pool.connections == []
