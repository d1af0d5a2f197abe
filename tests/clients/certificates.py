"""Who is who in these tests."""

from __future__ import annotations

from fetch.servers import context_of
from mtlskit.ports import Verification
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SANS = (
    "dns:localhost", "ip:127.0.0.1", "dns:partner.example", "dns:*.partner.example", "dns:a.b.partner.example",
)  # fmt: skip
SERVERS, CLIENTS, STRANGERS = Authority.root("Server root"), Authority.root("Client root"), Authority.root("Strangers")
SERVER = SERVERS.leaf("server", sans=SANS, usages=(SERVER_AUTH,))
STRANGE_SERVER = STRANGERS.leaf("server", sans=SANS, usages=(SERVER_AUTH,))
ALICE, BOB = CLIENTS.leaf("alice"), CLIENTS.intermediate().leaf("bob")


def server_context(chain):
    """That of a server which demands a certificate."""
    return context_of(chain, CLIENTS.certificate)


def optional(chain):
    """That of a server which asks for a certificate and does without."""
    return context_of(chain, CLIENTS.certificate, verify=Verification.OPTIONAL)
