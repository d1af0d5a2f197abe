"""What a caller may mean by a list, and what not."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlskit.core.validation import RevocationList
from mtlskit.errors import CertificateError, ConfigurationError, MTLSError
from mtlskit.revocation import FileSource, GivenList, WebSource, source_of
from revocation.crls import acme, make_list

DER = make_list(1)
PEM = x509.load_der_x509_crl(DER).public_bytes(Encoding.PEM)
CRLF = b"issued by us\r\n" + PEM.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    "given", [DER, PEM, PEM.decode(), CRLF, RevocationList(DER), x509.load_der_x509_crl(DER), GivenList(DER)], ids=type
)
def test_a_list_in_every_form_is_the_same_source(given: object) -> None:
    assert source_of(given) == GivenList(DER)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["https://crl.acme.example/a.crl?x=1", "http://127.0.0.1:8080/", "HTTP://a.example"])
def test_a_url_of_the_web_is_a_distribution_point(url: str) -> None:
    assert source_of(url) == WebSource(url)
    assert str(source_of(url)) == url


def test_files_are_given_as_urls_or_as_paths(tmp_path: Path) -> None:
    path = tmp_path / "a list.crl"
    assert source_of(path.as_uri()) == source_of(path) == FileSource(str(path))
    assert source_of(str(source_of(path))) == FileSource(str(path))
    assert source_of(f"file://localhost{path}".replace(" ", "%20")) == FileSource(str(path))


KEY = acme().leaf("device").to_pem()
BAD: dict[str, tuple[object, type[MTLSError], str]] = {
    "other bytes": (b"nothing", CertificateError, "one revocation list in PEM or DER, got 0 in 7 octets"),
    "DER of another kind": (b"\x30\x00", CertificateError, "list in DER, got 2 other octets"),
    "a list cut off": (DER[:-1], CertificateError, "list in DER"),
    "a list with more behind it": (DER + b"\0", CertificateError, "list in DER"),
    "two lists": (PEM + PEM, CertificateError, "one revocation list in PEM or DER, got 2"),
    "a private key": (KEY, CertificateError, "holds a private key"),
    "a list and a private key": (PEM + KEY, CertificateError, "holds a private key"),
    "PEM that is not base64": (PEM.replace(b"M", b"*", 1), CertificateError, "base64"),
    "PEM of another length": (PEM.replace(b"\nM", b"\n", 1), CertificateError, "PEM"),
    "the end before the beginning": (b"-----END X509 CRL-----" + PEM[:40], CertificateError, "PEM or DER"),
    "another scheme": ("ftp://a.example/x", ConfigurationError, "https:, http: or file: URL, got 'ftp://"),
    "no scheme": ("/etc/acme.crl", ConfigurationError, "https:, http: or file: URL"),
    "no host": ("https:///x", ConfigurationError, "https: or http: URL"),
    "a port that is none": ("https://a.example:x/", ConfigurationError, "https:, http: or file: URL"),
    "a fragment": ("https://a.example/#x", ConfigurationError, "https: or http: URL"),
    "a line end": ("https://a.example/\nx", ConfigurationError, "https:, http: or file: URL"),
    "another alphabet": ("https://ａ.example/", ConfigurationError, "https:, http: or file: URL"),
    "a file elsewhere": ("file://server/share", ConfigurationError, "https:, http: or file: URL"),
    "a file nowhere": ("file:a.crl", ConfigurationError, "absolute path"),
    "a NUL in a path": ("file:///a%00b", ConfigurationError, "absolute path"),
    "a number": (7, ConfigurationError, "got int"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error(case: str) -> None:
    given, kind, told = BAD[case]
    with pytest.raises(kind, match=told) as caught:
        source_of(given)  # type: ignore[arg-type]
    assert "PRIVATE KEY---" not in str(caught.value)


def test_a_url_with_credentials_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="without credentials") as caught:
        source_of("https://user:hunter2@a.example/x")
    assert "hunter2" not in str(caught.value)


def test_a_list_of_many_lines_is_decoded_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtlskit.revocation.reading._PIECE", 7)
    assert source_of(CRLF) == GivenList(DER)
