"""`mtlskit ca`: authorities made, taken over, listed, shown, exported, rotated, and their revocation lists."""

from __future__ import annotations

import hashlib
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mtlskit.authority import CertificateAuthority, crl_pem
from mtlskit.core.certificates import SigningChain, to_der, to_pem
from mtlskit.core.profiles import AuthorityConstraints
from mtlskit.errors import Unavailable
from mtlskit.ports import Store
from mtlskit.testing.certificates import Authority
from support.command_line import Command

MOMENT = "%Y-%m-%dT%H:%M:%SZ"


def events(store: Store) -> list[tuple[str, dict[str, str]]]:
    with store.snapshot() as snapshot:
        return [(row.event, dict(row.details)) for row in snapshot.scan_audit()]


def open_acme(store: Store, name: str = "Acme") -> CertificateAuthority:
    return CertificateAuthority.open(name, store=store)


def sha256(certificate: x509.Certificate) -> str:
    return hashlib.sha256(to_der(certificate)).hexdigest()


def private(path: str) -> bool:
    return stat.S_IMODE(Path(path).stat().st_mode) == 0o600


# --- create ---------------------------------------------------------------------------------------------------------


def test_a_root_is_made_in_a_store_that_is_made_too(command: Command) -> None:
    done = command("ca", "create", "Acme devices")
    assert (done.status, done.out.startswith("Acme devices: generation 1 is active, good until ")) == (0, True)
    assert private("mtlskit.db")
    assert private("mtlskit.db.key")
    made = command("ca", "create", "Other", "--key-type", "ec-p384", "--lifetime", "30d", "--json").json
    assert (made["name"], made["number"], made["state"], made["key_place"]) == ("Other", 1, "active", "store")
    assert (made["certificate"]["subject"], made["certificate"]["key"]) == ("CN=Other G1", "secp384r1")
    ends = datetime.strptime(made["certificate"]["not_after"], MOMENT).replace(tzinfo=UTC)
    assert abs(ends - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)


def test_an_intermediate_with_constraints_and_locations(acme: Command, store: Store) -> None:
    options = (
        "--path-length",
        "0",
        "--purpose",
        "client_auth",
        "--permitted",
        "dns:pay.example",
        "--excluded",
        "ip:10.0.0.0/8",
    )
    urls = ("--crl-url", "http://crl.example/{generation}.crl", "--ocsp-url", "http://ocsp.example/")
    assert acme("ca", "create", "Below", "--parent", "Acme", *options, *urls, "--requester", "me").status == 0
    shown = acme("ca", "show", "Below", "--json").json
    assert shown["parent"] == "Acme"
    assert shown["constraints"] == {
        "path_length": 0, "purposes": ["clientAuth"], "permitted": ["dns:pay.example"], "excluded": ["ip:10.0.0.0/8"],
    }  # fmt: skip
    assert shown["locations"] == {
        "crl": ["http://crl.example/{generation}.crl"], "ocsp": ["http://ocsp.example/"], "issuers": [],
    }  # fmt: skip
    assert shown["generations"][0]["above"] == ["CN=Acme G1"]
    assert events(store)[-1][1]["requester"] == "me"


@pytest.mark.parametrize(("option", "made"), [
    ("--for-clients-of", AuthorityConstraints.for_clients_of),
    ("--for-servers-of", AuthorityConstraints.for_servers_of),
])  # fmt: skip
def test_the_authority_of_one_hostname(option: str, made: Any, acme: Command, store: Store) -> None:
    assert acme("ca", "create", "Pay", option, "pay.example").status == 0
    certificate = open_acme(store, "Pay").certificate
    assert AuthorityConstraints.of(certificate).path_length == made("pay.example").path_length
    (names,) = [each.value for each in certificate.extensions if isinstance(each.value, x509.NameConstraints)]
    assert names == made("pay.example").name_constraints()


@pytest.mark.parametrize(("arguments", "said"), [
    ((), "Missing argument"),
    (("Acme",), "'Acme'"),
    (("x" * 59,), "common_name: expected 1 to 58 octets"),
    (("New", "--parent", "Nobody"), "unknown name 'Nobody'"),
    (("New", "--lifetime", "30"), "expected a time as '30d'"),
    (("New", "--lifetime", "0d"), "expected a time as '30d'"),
    (("New", "--key-type", "dsa"), "'dsa'"),
    (("New", "--permitted", "pay.example"), "expected a subtree as 'dns:acme.example'"),
    (("New", "--permitted", "dns:"), "expected a subtree"),
    (("New", "--permitted", "ip:10.0.0.1/8"), "name_constraints"),
    (("New", "--for-clients-of", "a.example", "--path-length", "1"), "got several"),
    (("New", "--for-clients-of", "a b"), "expected"),
    (("New", "--crl-url", "ftp://x"), "expected an http or https URL"),
    (("New", "--store", "redis://x"), "(or 'postgres://...')"),
])  # fmt: skip
def test_what_cannot_be_made_is_bad_input(arguments: tuple[str, ...], said: str, acme: Command, store: Store) -> None:
    before = [each.name for each in CertificateAuthority.list(store)]
    acme("ca", "create", *arguments).refused(said)
    assert [each.name for each in CertificateAuthority.list(store)] == before


# --- take-over ------------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere() -> SigningChain:
    """An authority of somebody else; its certificates and key are in the working directory."""
    root = Authority.root("Elsewhere root", not_after=datetime.now(UTC) + timedelta(days=400))
    middle = root.intermediate("Elsewhere", not_after=datetime.now(UTC) + timedelta(days=300))
    chain = SigningChain(middle.key, (middle.certificate, root.certificate))
    Path("middle.pem").write_bytes(to_pem([middle.certificate]))
    Path("root.der").write_bytes(to_der(root.certificate))
    Path("key.pem").write_bytes(chain.to_pem().partition(b"-----BEGIN CERTIFICATE")[0])
    Path("locked.pem").write_bytes(chain.to_pem(password=b"secret").partition(b"-----BEGIN CERTIFICATE")[0])
    Path("password").write_text("secret\n")
    return chain


def test_an_authority_is_taken_over(acme: Command, elsewhere: SigningChain, store: Store) -> None:
    files = ("--cert", "middle.pem", "--cert", "root.der")
    taken = acme(
        "ca", "take-over", "Theirs", *files, "--key", "locked.pem", "--password-file", "password", "--json"
    ).json
    assert (taken["certificate"]["subject"], taken["above"]) == ("CN=Elsewhere", ["CN=Elsewhere root"])
    assert open_acme(store, "Theirs").issue_client("device").certificate.issuer == elsewhere.certificate.subject


def _last_list(issuer: SigningChain, number: int) -> x509.CertificateRevocationList:
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder(issuer.certificate.subject, now, now + timedelta(days=7))
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(7, now).build())
    return builder.sign(issuer.private_key, hashes.SHA256())  # type: ignore[arg-type]


def test_lists_go_on_from_the_last_one(acme: Command, elsewhere: SigningChain, store: Store) -> None:
    files = ("--cert", "middle.pem", "--cert", "root.der", "--key", "key.pem")
    last = crl_pem(_last_list(elsewhere, 41))
    for content, said in ((last + last, "one revocation list in 'last.crl', got 2"), (b"list", "a revocation list")):
        Path("last.crl").write_bytes(content)
        acme("ca", "take-over", "Theirs", *files, "--last-crl", "last.crl").refused(said)
    Path("last.crl").write_bytes(last)
    assert acme("ca", "take-over", "Theirs", *files, "--last-crl", "last.crl").status == 0
    made = open_acme(store, "Theirs").crl()
    assert made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 42
    assert [each.serial_number for each in made] == [7]


@pytest.mark.parametrize(("arguments", "said"), [
    (("--cert", "middle.pem"), "in a file (--key) or in a token, got neither"),
    (("--cert", "middle.pem", "--key", "no.pem"), "a file that can be read, got 'no.pem'"),
    (("--cert", "middle.pem", "--key", "locked.pem"), "a password for the encrypted private key"),
    (("--cert", "middle.pem", "--key", "middle.pem"), "expected a private key in PEM"),
    (("--cert", "root.der", "--key", "key.pem"), "got another key"),
    (("--cert", "root.der", "--cert", "middle.pem", "--key", "key.pem"), "got another key"),
    (("--cert", "key.pem", "--key", "key.pem"), "holds a private key"),
])  # fmt: skip
def test_what_cannot_be_taken_over(
    arguments: tuple[str, ...], said: str, acme: Command, elsewhere: SigningChain, store: Store
) -> None:
    acme("ca", "take-over", "Theirs", *arguments).refused(said)
    assert [each.name for each in CertificateAuthority.list(store)] == ["Acme"]


@pytest.mark.parametrize(("arguments", "said"), [
    (("take-over", "Theirs", "--cert", "middle.pem", "--cert", "root.der", "--key", "key.pem", "--last-crl", "none"), "'none'"),
    (("take-over", "Theirs", "--cert", "middle.pem", "--key", "key.pem", "--last-crl", "middle.pem"), "a revocation list"),
    (("take-over", "T" * 99, "--cert", "middle.pem", "--key", "key.pem"), "common_name"),
    (("take-over", "Theirs", "--cert", "leaf.pem", "--key", "leaf.key"), "basic_constraints: expected"),
    (("create", "x" * 59), "common_name: expected 1 to 58 octets"),
    (("create", "New", "--lifetime", "99999d"), "lifetime: expected"),
    (("create", "New", "--parent", "Nobody"), "expected a store that is there"),
    (("create", "New", "--for-clients-of", "a b"), "expected"),
])  # fmt: skip
def test_what_fails_leaves_no_store(
    arguments: tuple[str, ...], said: str, command: Command, elsewhere: SigningChain
) -> None:
    leaf = Authority.root("Leaf root").leaf("leaf")
    Path("leaf.pem").write_bytes(to_pem([leaf.certificate]))
    Path("leaf.key").write_bytes(leaf.to_pem().partition(b"-----BEGIN CERTIFICATE")[0])
    command("ca", *arguments).refused(said)
    assert list(Path().glob("mtlskit*")) == []


def test_no_upload_that_fails_leaves_a_store(command: Command, elsewhere: SigningChain) -> None:
    done = command("mtls-certificate", "upload", "--cert", "root.der", "--key", "key.pem")
    assert done.status == 2
    assert command("mtls-certificate", "delete", "--id", "x", "--yes").status == 2
    assert list(Path().glob("mtlskit*")) == []


# --- list, show -----------------------------------------------------------------------------------------------------


def test_authorities_are_listed_by_name(acme: Command, store: Store) -> None:
    CertificateAuthority.create("A below", store=store, parent=open_acme(store))
    done = acme("ca", "list")
    assert [line.partition(":")[0] for line in done.out.splitlines()] == ["A below", "Acme"]
    assert done.out.splitlines()[0].endswith(", below 'Acme'")
    found = acme("ca", "list", "--json").json
    assert [(each["name"], each["parent"], each["generation"]) for each in found] == [
        ("A below", "Acme", 1),
        ("Acme", None, 1),
    ]


def test_an_empty_list_is_json_too(acme: Command) -> None:
    store = "sqlite:///empty.db"
    assert acme("ca", "create", "X", "--store", store, "--lifetime", "x").status == 2
    assert acme("mtls-certificate", "--store", store, "list").status == 0  # which makes it
    assert acme("ca", "list", "--store", store, "--json").json == []


def test_an_authority_is_shown_with_what_was_never_finished(
    acme: Command, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = open_acme(store)

    def fail(self: object, content: bytes) -> bytes:
        raise Unavailable("expected the token, got none")

    with monkeypatch.context() as patch:
        patch.setattr("mtlskit.authority.assembly.Assembly.sign", fail)
        with pytest.raises(Unavailable):
            authority.issue_client("unlucky", requester="me")
    authority.rotation.prepare()
    shown = acme("ca", "show", "Acme", "--json").json
    assert [(each["number"], each["state"]) for each in shown["generations"]] == [(1, "active"), (2, "prepared")]
    assert shown["generations"][1]["cross_certified"] == ["cross", "back"]
    (pending,) = shown["pending"]
    assert (pending["subject"], pending["profile"], pending["requester"]) == ("CN=unlucky", "client", "me")
    told = acme("ca", "show", "Acme").out
    assert "prepared" in told
    assert f"pending: {pending['serial']} for CN=unlucky" in told


def test_an_authority_is_shown_with_who_it_is_and_whether_it_is_revoked(acme: Command, store: Store) -> None:
    root = open_acme(store)
    below = CertificateAuthority.create("Below", store=store, parent=root)
    told = acme("ca", "show", "Below").out.splitlines()
    for line in ("G1 subject: CN=Below G1", "G1 issuer: CN=Acme G1", f"G1 SHA-256: {sha256(below.certificate)}"):
        assert line in told
    assert acme("ca", "show", "Below", "--json").json["generations"][0]["revoked"] is False
    assert acme("ca", "show", "Acme", "--json").json["generations"][0]["revoked"] is None, "nobody revokes a root"
    done = root.revoke(below.certificate, reason="superseded")
    since = f"{done.revoked_at:{MOMENT}}"
    assert f"G1 is revoked since {since}: superseded" in acme("ca", "show", "Below").out.splitlines()
    assert acme("ca", "show", "Below", "--json").json["generations"][0]["revoked"] == {
        "revoked_at": since, "reason": "superseded"
    }  # fmt: skip


def test_of_one_whose_authority_above_is_elsewhere_nobody_knows(
    acme: Command, elsewhere: SigningChain, store: Store
) -> None:
    CertificateAuthority.take_over("Theirs", elsewhere, store=store)
    assert acme("ca", "show", "Theirs", "--json").json["generations"][0]["revoked"] is None
    assert "revoked" not in acme("ca", "show", "Theirs").out


@pytest.mark.parametrize("arguments", [("show", "Nobody"), ("crl", "Nobody"), ("export", "Nobody")])
def test_an_unknown_authority_is_bad_input(arguments: tuple[str, ...], acme: Command) -> None:
    acme("ca", *arguments).refused("'Nobody'")


@pytest.mark.parametrize(
    "arguments", [("list",), ("show", "Acme"), ("crl", "Acme"), ("export", "Acme"), ("rotate", "prepare", "Acme")]
)
def test_to_look_makes_no_store(arguments: tuple[str, ...], command: Command) -> None:
    command("ca", *arguments).refused("expected a store that is there")
    assert list(Path().iterdir()) == []


# --- rotate ---------------------------------------------------------------------------------------------------------


def test_the_stages_of_a_rotation(acme: Command, store: Store) -> None:
    acme("ca", "rotate", "activate", "Acme").refused("expected a prepared generation")
    prepared = acme("ca", "rotate", "prepare", "Acme", "--key-type", "ed25519", "--requester", "me", "--json").json
    assert (prepared["number"], prepared["state"], prepared["certificate"]["key"]) == (2, "prepared", "ed25519")
    assert acme("ca", "rotate", "prepare", "Acme", "--json").json == prepared, "again: the same"
    assert acme("ca", "rotate", "activate", "Acme").out.startswith("Acme: generation 2 is active")
    device = open_acme(store).issue_client("device")
    acme("ca", "rotate", "retire", "Acme", "2").refused("got the active one")
    acme("ca", "rotate", "retire", "Acme", "9").refused("got the number 9")
    assert acme("ca", "rotate", "retire", "Acme", "1", "--json").json["state"] == "retired"
    acme("ca", "rotate", "prepare", "Acme")
    acme("ca", "rotate", "activate", "Acme", "2").refused("expected generation 2 of 'Acme' to be prepared, got 3")
    for stage in (("prepare", "Acme"), ("activate", "Acme", "3")):
        assert acme("ca", "rotate", *stage).status == 0
    acme("ca", "rotate", "retire", "Acme", "2").refused(
        "expected no good or pending certificates of generation 2, got 1"
    )
    done = acme("ca", "rotate", "retire", "Acme", "2", "--abandon")
    assert (done.status, done.out) == (0, "Acme: generation 2 is retired\n")
    assert device.certificate.issuer != open_acme(store).certificate.subject
