"""Calling other services with client certificates: uploads, environments, bindings, `fetch`."""

from mtlskit.fetch.binding import AsyncBinding, Binding
from mtlskit.fetch.environment import AsyncEnvironment, ClientCertificate, Environment
from mtlskit.fetch.messages import Headers, Response
from mtlskit.fetch.uploads import CertificateUploads, UploadedCertificate

__all__ = [
    "AsyncBinding",
    "AsyncEnvironment",
    "Binding",
    "CertificateUploads",
    "ClientCertificate",
    "Environment",
    "Headers",
    "Response",
    "UploadedCertificate",
]
