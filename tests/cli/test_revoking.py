"""`mtlskit release`: a hold ends; and `ca record`: what was issued elsewhere can be revoked here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from mtlskit.authority import CertificateAuthority, IssuedCertificate
from mtlskit.core.certificates import SigningChain, read_certificates, to_der, to_pem
from mtlskit.ports import Store
from mtlskit.testing.certificates import Authority
from support.command_line import Command


def revoked(acme: Command, name: str = "Acme") -> list[int]:
    return [each.serial_number for each in x509.load_pem_x509_crl(acme("ca", "crl", name).out.encode())]


def events(store: Store, event: str) -> list[str]:
    """The serial numbers in the rows of an event."""
    with store.snapshot() as snapshot:
        return [row.details["serial"] for row in snapshot.scan_audit() if row.event == event]


# --- release --------------------------------------------------------------------------------------------------------


@pytest.fixture
def device(store: Store) -> IssuedCertificate:
    """A certificate of Acme, in `d.pem`."""
    issued = CertificateAuthority.open("Acme", store=store).issue_client("device")
    Path("d.pem").write_bytes(issued.chain_pem())
    return issued


@pytest.mark.parametrize("by", ["serial", "file"])
def test_a_hold_is_released(by: str, device: IssuedCertificate, acme: Command, store: Store) -> None:
    serial = f"{device.serial_number:x}"
    which = (serial,) if by == "serial" else ("--cert", "d.pem")
    held = acme("revoke", *which, "--reason", "certificate_hold", "--requester", "alice", "--json").json
    assert revoked(acme) == [device.serial_number]
    told = acme("release", *which, "--requester", "bob", "--json").json
    assert told == {"serial": serial, "released": True, "on_hold_since": held["revoked_at"]}
    assert revoked(acme) == []
    again = acme("release", *which, "--json").json
    assert again == {"serial": serial, "released": False, "on_hold_since": None}
    assert events(store, "certificate.released") == [serial]
    with store.snapshot() as snapshot:
        rows = [row for row in snapshot.scan_audit() if row.event in ("certificate.revoked", "certificate.released")]
    assert [row.details["requester"] for row in rows] == ["alice", "bob"]


def test_people_are_told_what_was_released(device: IssuedCertificate, acme: Command) -> None:
    serial = f"{device.serial_number:x}"
    acme("revoke", serial, "--reason", "certificate_hold")
    assert acme("release", f"decimal:{device.serial_number}").out.startswith(f"{serial} is released: it was on hold ")
    done = acme("release", "--cert", "d.pem", "--ca", "Acme")
    assert (done.status, done.out) == (0, f"{serial} is not on hold: nothing to release\n")


def test_a_released_certificate_is_told_in_a_delta_list(device: IssuedCertificate, acme: Command) -> None:
    acme("revoke", "--cert", "d.pem", "--reason", "certificate_hold")
    revoked(acme)
    acme("release", "--cert", "d.pem")
    delta = x509.load_pem_x509_crl(acme("ca", "crl", "Acme", "--delta").out.encode())
    (entry,) = delta
    assert entry.serial_number == device.serial_number
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.remove_from_crl


@pytest.mark.parametrize(("arguments", "said"), [
    ((), "expected a serial number or --cert, got both or neither"),
    (("12", "--cert", "d.pem"), "got both or neither"),
    (("12",), "expected a certificate issued by 'Acme', got the serial number 12"),
    (("xyz",), "serial: expected"),
    (("--cert", "none"), "'none'"),
    (("--cert", "d.pem"), "expected a certificate on hold"),
])  # fmt: skip
def test_what_cannot_be_released(
    arguments: tuple[str, ...], said: str, device: IssuedCertificate, acme: Command, store: Store
) -> None:
    acme("revoke", "--cert", "d.pem", "--reason", "key_compromise")
    acme("release", *arguments).refused(said)
    assert revoked(acme) == [device.serial_number]
    assert events(store, "certificate.released") == []


# --- record ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(acme: Command) -> Authority:
    """An authority that Acme's store took over as `Old`, with what it issued before: `one.pem` and `others.pem`."""
    root = Authority.root("Elsewhere", not_after=datetime.now(UTC) + timedelta(days=400))
    chain = SigningChain(root.key, (root.certificate,))
    Path("old.pem").write_bytes(to_pem([root.certificate]))
    Path("old.key").write_bytes(chain.to_pem().partition(b"-----BEGIN CERTIFICATE")[0])
    assert acme("ca", "take-over", "Old", "--cert", "old.pem", "--key", "old.key").status == 0
    leaves = [root.leaf(end).certificate for end in ("one", "two", "three")]
    Path("one.der").write_bytes(to_der(leaves[0]))
    Path("others.pem").write_bytes(to_pem(leaves[1:]))
    Path("stranger.pem").write_bytes(to_pem([Authority.root("Stranger").leaf().certificate]))
    return root


def test_what_was_issued_elsewhere_is_recorded_and_then_revoked(
    elsewhere: Authority, acme: Command, store: Store
) -> None:
    serials = [each.serial_number for each in read_certificates(Path("others.pem").read_bytes())]
    acme("revoke", f"{serials[0]:x}", "--ca", "Old").refused("expected a certificate issued by 'Old'")
    told = acme("ca", "record", "Old", "one.der", "others.pem", "--requester", "me", "--json").json
    assert (told["name"], len(told["recorded"])) == ("Old", 3)
    assert [int(each["serial"], 16) for each in told["recorded"][1:]] == serials
    assert acme("revoke", f"{serials[0]:x}", "--ca", "Old").status == 0
    assert revoked(acme, "Old") == [serials[0]]
    done = acme("ca", "record", "Old", "one.der", "others.pem")
    assert (done.status, done.out) == (0, "Old: 3 on record\n")
    assert len(events(store, "certificate.recorded")) == 3, "what is on record already stays as it is"


def test_what_was_recorded_is_renewed_under_a_profile(elsewhere: Authority, acme: Command) -> None:
    acme("ca", "record", "Old", "one.der")
    acme("renew", "--cert", "one.der", "--ca", "Old").refused("profile: expected the profile")
    (new,) = read_certificates(acme("renew", "--cert", "one.der", "--ca", "Old", "--profile", "client").out)
    assert new.issuer == elsewhere.certificate.subject


@pytest.mark.parametrize(("arguments", "said"), [
    (("Old",), "Missing argument 'FILES...'"),
    (("Old", "none"), "'none'"),
    (("Old", "one.der", "stranger.pem"), "that this authority issued, got another in 'stranger.pem'"),
    (("Old", "one.der", "old.key"), "got a file that holds a private key"),
    (("Acme", "one.der"), "signature: expected certificates that this authority issued"),
    (("Nobody", "one.der"), "'Nobody'"),
    (("Old", "one.der", "--store", "sqlite:///none.db"), "expected a store that is there"),
])  # fmt: skip
def test_what_cannot_be_recorded_leaves_all_unrecorded(
    arguments: tuple[str, ...], said: str, elsewhere: Authority, acme: Command, store: Store
) -> None:
    acme("ca", "record", *arguments).refused(said)
    assert events(store, "certificate.recorded") == []
