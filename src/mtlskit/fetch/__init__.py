"""Calling other services with client certificates: uploads, environments, bindings, `fetch`."""

from mtlskit.fetch.binding import AsyncBinding, Binding
from mtlskit.fetch.environment import AsyncEnvironment, ClientCertificate, Environment
from mtlskit.fetch.messages import Headers
from mtlskit.fetch.renewal import RenewedChain
from mtlskit.fetch.responses import AsyncStreamedResponse, CertificateUse, Response, StreamedResponse
from mtlskit.fetch.sources import CertificateSource, ChainFiles
from mtlskit.fetch.upload_authorities import AuthorityUploads
from mtlskit.fetch.uploads import CertificateUploads, UploadedCertificate
from mtlskit.fetch.watch import CertificateEnding, Urgency

__all__ = [
    "AsyncBinding",
    "AsyncEnvironment",
    "AsyncStreamedResponse",
    "AuthorityUploads",
    "Binding",
    "CertificateEnding",
    "CertificateSource",
    "CertificateUploads",
    "CertificateUse",
    "ChainFiles",
    "ClientCertificate",
    "Environment",
    "Headers",
    "RenewedChain",
    "Response",
    "StreamedResponse",
    "UploadedCertificate",
    "Urgency",
]
