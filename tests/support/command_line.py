"""The command line as tests run it, in their own process: what it printed, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout of a command that went well."""
        assert (self.status, self.err) == (0, ""), self
        return json.loads(self.out)

    def refused(self, *parts: str) -> None:
        """Checks that it was bad input: one line on stderr with these parts, nothing on stdout, status 2."""
        assert (self.status, self.out) == (2, ""), self
        assert self.err.startswith("mtlskit: "), self
        assert self.err.count("\n") == 1, self
        assert all(part in self.err for part in parts), self


Command: TypeAlias = Callable[..., Done]


def certification_request(common_name: str = "asked", *, dns: str | None = None) -> x509.CertificateSigningRequest:
    """A request for a new key."""
    builder = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
    if dns is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), False)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


def request_pem() -> bytes:
    """A request for a new key, in PEM."""
    return certification_request().public_bytes(serialization.Encoding.PEM)
