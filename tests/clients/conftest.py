"""A client of each library over a binding on either backend, and servers that demand certificates."""

from __future__ import annotations

from contextlib import ExitStack, closing

import pytest

from clients.certificates import SERVER, SERVERS, optional, server_context
from clients.libraries import CLIENTS
from fetch.servers import serving
from mtlskit.fetch import ClientCertificate, Environment


@pytest.fixture(params=["ssl", "pyopenssl"])
def backend(request):
    return request.param


@pytest.fixture
def bind(backend):
    """`bind(chain_or_source, *origins)`: a binding that trusts the test's servers."""

    def run(certificate, *origins, **options):
        options = {"backend": backend, "trust": [SERVERS.certificate], **options}
        bindings = {"MINE": ClientCertificate(certificate=certificate, origins=origins)}
        return Environment(bindings, **options).MINE

    return run


@pytest.fixture(params=sorted(CLIENTS))
def library(request):
    return request.param


@pytest.fixture
def mounted(library):
    """`mounted(binding, ...)`: a client with the binding mounted, closed at the end."""
    with ExitStack() as stack:
        yield lambda binding, **options: stack.enter_context(closing(CLIENTS[library](binding, **options)))


@pytest.fixture
def server():
    """An origin that demands a certificate."""
    with serving(server_context(SERVER)) as running:
        yield running


@pytest.fixture
def other():
    """Another origin, which asks for a certificate and takes it if one comes."""
    with serving(optional(SERVER)) as running:
        yield running
