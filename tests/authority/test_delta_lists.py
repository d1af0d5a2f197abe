"""Delta lists (RFC 5280, 5.2.4): with their base they give what a complete list gives, here and in OpenSSL."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtlskit.authority import CertificateAuthority, ListScope
from mtlskit.core.revocation import RevocationList
from mtlskit.errors import NotFound
from mtlskit.ports import Store
from mtlskit.stores import open_store

from .checking import needs_openssl, openssl, openssl_verify, standing
from .conftest import KEYS
from .test_lists import listed, number_of

HOLD = "certificate_hold"
URL = "http://crl.acme.example/1.delta.crl"


def reasons(made: x509.CertificateRevocationList) -> dict[int, str]:
    """The reasons of a list's entries by serial number."""
    found = {}
    for entry in made:
        extension = [each.value.reason.value for each in entry.extensions if isinstance(each.value, x509.CRLReason)]
        found[entry.serial_number] = extension[0] if extension else "unspecified"
    return found


def base_of(made: x509.CertificateRevocationList) -> int:
    extension = made.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert extension.critical
    return extension.value.crl_number


def test_a_delta_has_what_changed_since_its_base(acme: CertificateAuthority) -> None:
    old, new, held, released, gone = (acme.issue_client(f"device-{each}") for each in range(5))
    for device, reason in ((old, "superseded"), (held, HOLD), (released, HOLD)):
        acme.revoke(device, reason=reason)
    base = acme.crl()
    acme.revoke(new, reason="key_compromise")
    acme.revoke(held, reason="superseded")
    acme.release(released)
    acme.revoke(gone, reason=HOLD)
    acme.release(gone)
    delta = acme.delta_crl()
    assert reasons(delta) == {
        new.serial_number: "keyCompromise",
        held.serial_number: "superseded",
        released.serial_number: "removeFromCRL",
        gone.serial_number: "removeFromCRL",
    }
    assert (base_of(delta), number_of(delta)) == (number_of(base), number_of(base) + 1)
    assert [entry.serial_number for entry in delta] == sorted(reasons(delta))


def test_a_delta_is_measured_from_the_last_complete_list_or_from_any(acme: CertificateAuthority) -> None:
    devices = [acme.issue_client(f"device-{each}") for each in range(3)]
    for device in devices:
        acme.crl()
        acme.revoke(device)
    serials = [each.serial_number for each in devices]
    assert [number_of(acme.delta_crl()), base_of(acme.delta_crl())] == [4, 3]
    assert listed(acme.delta_crl()) == {serials[2]}
    assert [listed(acme.delta_crl(base=number)) for number in (1, 2, 3)] == [
        set(serials),
        set(serials[1:]),
        {serials[2]},
    ]
    acme.crl()
    assert listed(acme.delta_crl()) == set()


def test_a_delta_starts_from_a_complete_list_that_was_made(store: Store, acme: CertificateAuthority) -> None:
    scope = ListScope(url="http://crl.acme.example/0-of-2.crl", partition=0, partitions=2)
    with pytest.raises(NotFound, match="got none"):
        acme.delta_crl()
    acme.crl()  # 1
    acme.delta_crl()  # 2
    for wrong in (0, 2, 3, -1):
        with pytest.raises(NotFound, match="to start from"):
            acme.delta_crl(base=wrong)
    with pytest.raises(NotFound):
        acme.delta_crl(scope=scope)
    with pytest.raises(NotFound):
        acme.delta_crl(base=1, scope=scope)
    other = CertificateAuthority.create("Umbrella", store=store)
    with pytest.raises(NotFound):
        other.delta_crl(base=1)
    assert number_of(acme.crl()) == 3  # what is refused takes no number


def test_each_generation_has_its_own_deltas(acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    acme.crl()
    acme.rotation.prepare()
    acme.rotation.activate()
    with pytest.raises(NotFound):
        acme.delta_crl()
    acme.revoke(device)
    delta = acme.delta_crl(generation=1)
    assert listed(delta) == {device.serial_number}
    assert delta.is_signature_valid(acme.generations[0].certificate.public_key())


def test_a_complete_list_says_where_its_deltas_are_and_a_delta_does_not(acme: CertificateAuthority) -> None:
    base, delta = acme.crl(delta_url=URL), acme.delta_crl()
    freshest = base.extensions.get_extension_for_class(x509.FreshestCRL)
    assert not freshest.critical
    (point,) = freshest.value
    assert point.full_name == [x509.UniformResourceIdentifier(URL)]
    with pytest.raises(x509.ExtensionNotFound):
        delta.extensions.get_extension_for_class(x509.FreshestCRL)


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([HOLD, "superseded", "release", "complete", "delta"])), max_size=14
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_base_and_delta_together_are_the_complete_list(steps: list[tuple[int, str]]) -> None:
    """Whatever complete list from the base on a client has: the newest delta makes it the same as a new one."""
    store = open_store("memory://", keys=KEYS)
    acme = CertificateAuthority.create("Acme", store=store)
    devices = [acme.issue_client(f"device-{each}") for each in range(3)]
    lasting, bases = set(), [acme.crl()]
    for number, what in steps:
        if what == "complete":
            bases.append(acme.crl())
        elif what == "delta":
            acme.delta_crl()
        elif what != "release":
            acme.revoke(devices[number], reason=what)
            lasting |= {number} if what != HOLD else set()
        elif number not in lasting:
            acme.release(devices[number])
    for position, oldest in enumerate(bases):
        delta = acme.delta_crl(base=number_of(oldest))
        wanted = [standing(acme, each.certificate, [acme.crl()]) for each in devices]
        for base in bases[position:]:
            assert [standing(acme, each.certificate, [base, delta]) for each in devices] == wanted


def test_a_delta_alone_tells_nothing(acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    acme.crl()
    assert standing(acme, device.certificate, [acme.delta_crl()]) == "revocation_unknown"


def test_a_delta_ends_when_it_says(acme: CertificateAuthority) -> None:
    acme.crl()
    delta = acme.delta_crl(lifetime=timedelta(hours=3))
    assert delta.next_update_utc is not None
    assert delta.next_update_utc - delta.last_update_utc == timedelta(hours=3)


def test_our_own_reader_reads_a_delta(acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    acme.crl()
    acme.revoke(device)
    made = acme.delta_crl()
    from mtlskit.authority import crl_der

    found = RevocationList(crl_der(made))
    assert (found.is_delta, found.base_number, found.number, found.size) == (True, 1, 2, 1)
    assert not found.has_unknown_critical_extension()


@needs_openssl
def test_openssl_takes_base_and_delta(acme: CertificateAuthority, tmp_path: Path) -> None:
    kept, held, new, released = (acme.issue_client(f"device-{each}") for each in range(4))
    acme.revoke(held, reason=HOLD)
    acme.revoke(released, reason=HOLD)
    base = acme.crl(delta_url=URL)
    acme.revoke(new, reason="key_compromise")
    acme.release(released)
    delta = acme.delta_crl()

    def verdicts(*options: str) -> list[str]:
        lists = [base, delta] if options else [base]
        return [
            openssl_verify(tmp_path, acme, each.certificate, lists, *options) for each in (kept, held, new, released)
        ]

    assert verdicts() == ["good", "revoked", "good", "revoked"]
    assert verdicts("-extended_crl", "-use_deltas") == ["good", "revoked", "revoked", "good"]


@needs_openssl
@pytest.mark.parametrize("key_type", ["ec-p256", "ed25519", "rsa-2048"])
def test_openssl_verifies_the_signatures_of_lists(store: Store, tmp_path: Path, key_type: str) -> None:
    from mtlskit.authority import crl_pem

    acme = CertificateAuthority.create("Acme", store=store, key_type=key_type)
    for number in range(20):
        acme.revoke(acme.issue_client(f"device-{number}"), reason="superseded" if number % 2 else "unspecified")
    (tmp_path / "ca.pem").write_bytes(acme.anchors_pem())
    scope = ListScope(url="http://crl.acme.example/1.crl", subjects="end_entities")  # type: ignore[arg-type]
    for made in (acme.crl(delta_url=URL), acme.delta_crl(), acme.crl(scope=scope), acme.delta_crl(scope=scope)):
        (tmp_path / "list.pem").write_bytes(crl_pem(made))
        done = openssl("crl", "-in", "list.pem", "-CAfile", "ca.pem", "-noout", "-text", directory=tmp_path)
        assert "verify OK" in done.stderr
        assert done.stdout.count("Serial Number:") == len(list(made))
