"""What is issued, judged by others: OpenSSL, GnuTLS, Java and pkilint. Each is skipped where it is not installed."""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mtlskit.authority import CertificateAuthority, crl_pem
from mtlskit.core.certificates import SigningChain, to_pem
from mtlskit.core.profiles import AuthorityConstraints, spiffe
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority

PKILINT = Path(sys.executable).parent
JAVA = """
import java.io.*; import java.security.cert.*; import java.util.*;
public class Judge {
    static List<X509Certificate> read(String name) throws Exception {
        List<X509Certificate> found = new ArrayList<>();
        try (InputStream in = new FileInputStream(name)) {
            for (Certificate each : CertificateFactory.getInstance("X.509").generateCertificates(in))
                found.add((X509Certificate) each);
        }
        return found;
    }
    public static void main(String[] names) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        Set<TrustAnchor> anchors = new HashSet<>();
        for (X509Certificate each : read(names[0])) anchors.add(new TrustAnchor(each, null));
        Collection<CRL> lists = new ArrayList<>();
        try (InputStream in = new FileInputStream(names[1])) { lists.addAll(factory.generateCRLs(in)); }
        for (int at = 2; at < names.length; at++) {
            String told = "accepted";
            try {
                PKIXParameters parameters = new PKIXParameters(anchors);
                parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(lists)));
                CertPathValidator.getInstance("PKIX").validate(factory.generateCertPath(read(names[at])), parameters);
            } catch (CertPathValidatorException error) { told = String.valueOf(error.getReason()); }
            System.out.println(names[at] + " " + told);
        }
    }
}
"""


class Made:
    """A small world on disk: what stands in each file, its chain first to last."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        store = open_store("memory://")
        constraints = AuthorityConstraints.for_clients_of("pay.acme.example")
        root = CertificateAuthority.create("Acme devices", store=store, constraints=constraints)
        below = CertificateAuthority.create("Acme east", store=store, parent=root)
        servers = CertificateAuthority.create("Servers", store=store)
        self.chains: dict[str, tuple[x509.Certificate, ...]] = {
            "device": below.issue_client("device-17", dns=["a.pay.acme.example"], uris=["urn:acme:17"]).certificates,
            "revoked": below.issue_client("device-18", emails=["a@acme.example"], ips=["192.0.2.1"]).certificates,
            "nameless": root.issue_client(uris=["urn:acme:19"]).certificates,
            "server": servers.issue_server("pay.acme.example", "*.pay.acme.example", ips=["192.0.2.1"]).certificates,
            "workload": servers.issue(profile=spiffe("acme.example"), uris=["spiffe://acme.example/a"]).certificates,
            "p384": servers.issue_client("p384", key_type="ec-p384").certificates,
            "rsa": servers.issue_client("rsa", key_type="rsa-2048").certificates,
        }
        below.revoke(self.chains["revoked"][0], reason="key_compromise")
        before = root.certificate
        root.rotation.prepare()
        root.rotation.activate()
        # Java takes a common name for a DNS name where there is no other, even one of one label: it would not be permitted.
        self.chains["rotated"] = root.issue_client("device-20", dns=["b.pay.acme.example"]).certificates
        self.roots = (before, servers.certificate)
        self.lists = [crl_pem(each) for each in (root.crl(generation=1), root.crl(), below.crl(), servers.crl())]
        self.certificates = {each for chain in self.chains.values() for each in chain} | {*self.roots, *root.anchors}
        store.close()
        (directory / "roots.pem").write_bytes(to_pem(self.roots))
        (directory / "lists.pem").write_bytes(b"".join(self.lists))
        for name, chain in self.chains.items():
            (directory / f"{name}.pem").write_bytes(to_pem(chain))
            (directory / f"{name}.rest.pem").write_bytes(to_pem(chain[1:]) or to_pem(self.roots[1:]))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.directory, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def needs(program: str) -> Any:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


NAMES = ("device", "revoked", "nameless", "server", "workload", "p384", "rsa", "rotated")


@needs("openssl")
def test_openssl_takes_no_address_from_the_authority_of_a_hostnames_servers(tmp_path: Path) -> None:
    constraints = AuthorityConstraints.for_servers_of("pay.acme.example")
    servers = CertificateAuthority.create("Servers", store=open_store("memory://"), constraints=constraints)
    (tmp_path / "root.pem").write_bytes(to_pem(servers.anchors))
    good = servers.issue_server("pay.acme.example").certificate
    key = SigningChain.from_pkcs12(servers.export_pkcs12(password=b"x"), password=b"x").private_key
    for name, address in (("v4", "192.0.2.1"), ("v6", "2001:db8::1")):
        names = [x509.DNSName("pay.acme.example"), x509.IPAddress(ipaddress.ip_address(address))]
        builder = x509.CertificateBuilder(
            good.issuer, good.subject, good.public_key(), 7, good.not_valid_before_utc.replace(tzinfo=None),
            good.not_valid_after_utc.replace(tzinfo=None),
            [each for each in good.extensions if each.oid != x509.SubjectAlternativeName.oid],
        ).add_extension(x509.SubjectAlternativeName(names), critical=False)  # fmt: skip
        (tmp_path / f"{name}.pem").write_bytes(to_pem([builder.sign(key, hashes.SHA256())]))  # type: ignore[arg-type]
        done = _openssl_verify(tmp_path, f"{name}.pem", "-verify_ip", address)
        assert done.returncode != 0
        assert "excluded subtree violation" in done.stdout + done.stderr
    (tmp_path / "good.pem").write_bytes(to_pem([good]))
    assert _openssl_verify(tmp_path, "good.pem", "-verify_hostname", "pay.acme.example").returncode == 0
    assert _openssl_verify(tmp_path, "good.pem", "-verify_ip", "192.0.2.1").returncode != 0


def _openssl_verify(directory: Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-no-CAstore"]
    return subprocess.run(
        [*command, "-CAfile", "root.pem", *options, name], cwd=directory, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


@needs("openssl")
@pytest.mark.parametrize("name", NAMES)
def test_openssl_strictly_with_lists(made: Made, name: str) -> None:
    purpose = "sslserver" if name == "server" else "sslclient"
    done = made.run(
        "openssl", "verify", "-x509_strict", "-crl_check_all", "-purpose", purpose, "-no-CApath", "-no-CAstore",
        "-CAfile", "roots.pem", "-CRLfile", "lists.pem", "-untrusted", f"{name}.rest.pem", f"{name}.pem",
    )  # fmt: skip
    assert (done.returncode == 0) is (name != "revoked"), done.stderr
    assert "certificate revoked" in done.stderr or name != "revoked"


@needs("openssl")
def test_openssl_reads_every_list(made: Made) -> None:
    for data in made.lists:
        (made.directory / "list.pem").write_bytes(data)
        issuer = x509.load_pem_x509_crl(data).issuer
        signer = next(each for each in made.certificates if each.subject == issuer)
        (made.directory / "signer.pem").write_bytes(to_pem([signer]))
        done = made.run("openssl", "crl", "-in", "list.pem", "-noout", "-verify", "-CAfile", "signer.pem", "-no-CApath")
        assert "verify OK" in done.stderr, done.stderr


@needs("certtool")
@pytest.mark.parametrize("name", NAMES)
def test_gnutls(made: Made, name: str) -> None:
    done = made.run(
        "certtool", "--verify", "--infile", f"{name}.pem", "--load-ca-certificate", "roots.pem", "--load-crl", "lists.pem"
    )  # fmt: skip
    assert (done.returncode == 0) is (name != "revoked"), done.stdout + done.stderr


@needs("javac")
def test_java(made: Made) -> None:
    (made.directory / "Judge.java").write_text(JAVA)
    done = made.run("java", "Judge.java", "roots.pem", "lists.pem", *(f"{name}.pem" for name in NAMES))
    told = dict(line.split(" ") for line in done.stdout.splitlines())
    assert told == {f"{name}.pem": "REVOKED" if name == "revoked" else "accepted" for name in NAMES}, done.stderr


# What pkilint takes for an error and is none: it knows no URI but those with a registered host, and by the plain rules
# of RFC 5280 no wildcard, which RFC 9525 (6.3) and the CA/Browser Forum allow in server certificates.
STATED = re.compile(
    r"pkix.invalid_uri_syntax \(ERROR\): Invalid URI syntax: \"(urn:acme:\d+|spiffe://acme.example/a)\""
    r"|pkix.invalid_domain_name_syntax \(ERROR\): Invalid domain name syntax: \"\*\.pay\.acme\.example\""
)


def findings(made: Made, linter: str, data: bytes, *options: str) -> list[str]:
    (made.directory / "linted.pem").write_bytes(data)
    done = made.run(str(PKILINT / linter), "lint", "-s", "NOTICE", *options, "linted.pem")
    assert "Failed" not in done.stdout + done.stderr
    told = [line.strip() for line in done.stdout.splitlines() if "(" in line]
    return [line for line in told if not STATED.fullmatch(line)]


@pytest.mark.skipif(not (PKILINT / "lint_pkix_cert").exists(), reason="pkilint is not installed")
def test_pkilint_finds_nothing_but_what_is_stated(made: Made) -> None:
    found = {
        each.subject.rfc4514_string(): findings(made, "lint_pkix_cert", to_pem([each])) for each in made.certificates
    }
    assert {subject: told for subject, told in found.items() if told} == {}
    assert [findings(made, "lint_crl", data, "-t", "CRL", "-p", "PKIX") for data in made.lists] == [[]] * len(
        made.lists
    )
    odd = Authority.root(without=[x509.SubjectKeyIdentifier]).certificate
    assert findings(made, "lint_pkix_cert", to_pem([odd])), "what is wrong is found"
