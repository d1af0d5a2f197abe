"""Calling other services with client certificates: uploads, environments, bindings, `fetch`."""

from mtlskit.fetch.binding import AsyncBinding, Binding
from mtlskit.fetch.environment import AsyncEnvironment, ClientCertificate, Environment
from mtlskit.fetch.messages import Headers, Response
from mtlskit.fetch.renewal import RenewedChain
from mtlskit.fetch.sources import CertificateSource, ChainFiles
from mtlskit.fetch.upload_authorities import AuthorityUploads
from mtlskit.fetch.uploads import CertificateUploads, UploadedCertificate
from mtlskit.fetch.watch import CertificateEnding, Urgency

__all__ = [
    "AsyncBinding",
    "AsyncEnvironment",
    "AuthorityUploads",
    "Binding",
    "CertificateEnding",
    "CertificateSource",
    "CertificateUploads",
    "ChainFiles",
    "ClientCertificate",
    "Environment",
    "Headers",
    "RenewedChain",
    "Response",
    "UploadedCertificate",
    "Urgency",
]
