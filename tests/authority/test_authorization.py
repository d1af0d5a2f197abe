"""The authorisation hook: asked before anything is reserved, and whatever is not a clear yes is a no."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mtlskit.authority import (
    CertificateAuthority,
    CertificateOrder,
    Denied,
    Granted,
    IssuanceRequest,
    Unfilled,
)
from mtlskit.core.profiles import CLIENT, NO_CONSTRAINTS, AuthorityConstraints, Names
from mtlskit.errors import IssuanceError, Unavailable
from mtlskit.ports import AuditRow, Store
from mtlskit.stores.audit import verify_audit

Hook = Callable[[IssuanceRequest], Any]
KEY = ec.generate_private_key(ec.SECP256R1())
CSR = (
    x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device-17")]))
    .sign(KEY, hashes.SHA256())
    .public_bytes(Encoding.DER)
)


def asked(store: Store, hook: Hook) -> CertificateAuthority:
    return CertificateAuthority.open("Acme devices", store=store, authorize=hook)


def rows(store: Store, event: str) -> list[AuditRow]:
    with store.snapshot() as snapshot:
        return [row for row in snapshot.scan_audit() if row.event == event]


class Recording:
    """A hook that grants everything and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[IssuanceRequest] = []

    def __call__(self, request: IssuanceRequest) -> Granted:
        self.requests.append(request)
        return Granted()


def test_the_hook_is_told_everything_about_what_is_wanted(store: Store, acme: CertificateAuthority) -> None:
    hook = Recording()
    authority = asked(store, hook)
    authority.sign_request(CSR, uris=["urn:acme:17"], lifetime=timedelta(days=3), requester="alice")
    (request,) = hook.requests
    assert (request.authority, request.profile, request.requester) == ("Acme devices", CLIENT, "alice")
    assert request.names == Names.of(uris=["urn:acme:17"])
    assert request.public_key == KEY.public_key()
    assert request.lifetime == timedelta(days=3)
    assert request.csr is not None
    assert request.csr.public_bytes(Encoding.DER) == CSR
    assert request.renews is None


def test_the_hook_is_asked_for_all_that_is_issued(store: Store, acme: CertificateAuthority) -> None:
    hook = Recording()
    authority = asked(store, hook)
    device = authority.issue_client("device")
    authority.issue_server("a.example")
    authority.issue("device", profile=CLIENT)
    renewed = authority.renew(device)
    authority.rekey(renewed.certificates()[0])
    list(authority.issue_many([CertificateOrder("many")]))
    CertificateAuthority.create("Below", store=store, parent=authority)
    authority.rotation.prepare()
    found = [(each.profile.name, str(each.names), each.lifetime.days) for each in hook.requests]
    assert found[:7] == [
        ("client", "CN=device", 90),
        ("server", "CN=a.example, dns:a.example", 90),
        ("client", "CN=device", 90),
        ("client", "CN=device", 90),
        ("client", "CN=device", 90),
        ("client", "CN=many", 90),
        ("intermediate", "CN=Below G1", 1825),
    ]
    assert [name for name, _, _ in found[7:]] == ["cross", "cross"]
    assert [each.renews is not None for each in hook.requests] == [False] * 3 + [True] * 2 + [False] * 4
    assert hook.requests[3].renews == device.certificate


def test_the_hook_is_told_what_an_authority_may_issue(store: Store, acme: CertificateAuthority) -> None:
    hook = Recording()
    authority = asked(store, hook)
    narrow = AuthorityConstraints.for_clients_of("pay.acme.example")
    CertificateAuthority.create("Narrow", store=store, parent=authority, constraints=narrow)
    CertificateAuthority.create("Wide", store=store, parent=authority)
    authority.issue_client("device")
    assert [each.constraints for each in hook.requests] == [narrow, NO_CONSTRAINTS, NO_CONSTRAINTS]
    assert "pay.acme.example" in repr(hook.requests[0])


def _raise(error: BaseException) -> Any:
    raise error


NO: dict[str, tuple[Hook, str]] = {
    "denied": (lambda _: Denied("no such device"), "authorization: expected to be granted, got denied: no such device"),
    "None": (lambda _: None, "authorization: expected Granted or Denied, got NoneType"),
    "True": (lambda _: True, "authorization: expected Granted or Denied, got bool"),
    "the class": (lambda _: Granted, "authorization: expected Granted or Denied, got type"),
    "ours": (lambda _: _raise(IssuanceError("quota: expected at most 5, got 6")), "quota: expected at most 5, got 6"),
    "a bug": (lambda _: _raise(KeyError("secret")), "authorization: expected a decision, got KeyError"),
    "an answer too late": (lambda _: _raise(TimeoutError()), "authorization: expected a decision, got TimeoutError"),
    "a store that is away": (lambda _: _raise(Unavailable("away")), "authorization: expected a decision, got Unavail"),
    "a novel": (lambda _: Denied("x" * 10_000), "authorization: expected to be granted, got denied: " + "x" * 500),
}


@pytest.mark.invariant("I4")
@pytest.mark.parametrize("name", NO)
def test_what_is_no_clear_yes_is_a_no_and_is_written_down(store: Store, acme: CertificateAuthority, name: str) -> None:
    hook, told = NO[name]
    authority = asked(store, hook)
    with pytest.raises(IssuanceError) as refused:
        authority.sign_request(CSR, requester="mallory")
    assert str(refused.value).startswith(told)
    (row,) = rows(store, "certificate.denied")
    assert row.details == {
        "authority": "Acme devices",
        "issuer_key": acme.key_id.hex(),
        "profile": "client",
        "subject": "CN=device-17",
        "requester": "mallory",
        "reason": str(refused.value),
    }
    assert len(row.details["reason"]) < 600
    assert authority.pending() == ()
    assert rows(store, "certificate.reserved") == []
    verify_audit(store)


def test_nothing_is_reserved_when_the_hook_is_asked(store: Store, acme: CertificateAuthority) -> None:
    seen: list[int] = []

    def hook(_: IssuanceRequest) -> Granted:
        with store.transaction() as transaction:  # no transaction is open meanwhile, and the store may be used
            transaction.touch("x")
        seen.append(len(acme.pending()))
        return Granted()

    asked(store, hook).issue_client("device")
    assert seen == [0]


def test_the_hook_is_not_asked_for_what_is_refused_anyway(store: Store, acme: CertificateAuthority) -> None:
    hook = Recording()
    authority = asked(store, hook)
    for refused in (
        lambda: authority.issue_client(),
        lambda: authority.issue_client("a", lifetime=timedelta(days=9_000)),
        lambda: authority.issue_server("a_b.example"),
        lambda: authority.sign_request(CSR[:-1] + bytes([CSR[-1] ^ 1])),
    ):
        with pytest.raises(IssuanceError):
            refused()
    assert hook.requests == []
    assert rows(store, "certificate.denied") == []


def test_an_interrupt_goes_through_and_nothing_was_issued(store: Store, acme: CertificateAuthority) -> None:
    with pytest.raises(KeyboardInterrupt):
        asked(store, lambda _: _raise(KeyboardInterrupt())).issue_client("device")
    assert rows(store, "certificate.reserved") == []


def test_a_denied_order_of_many_is_an_outcome(store: Store, acme: CertificateAuthority) -> None:
    authority = asked(store, lambda request: Denied("no") if str(request.names) == "CN=b" else Granted())
    outcomes = list(authority.issue_many([CertificateOrder(name) for name in "abc"]))
    assert [isinstance(each, Unfilled) for each in outcomes] == [False, True, False]
    assert len(rows(store, "certificate.denied")) == 1


@pytest.mark.parametrize("how", ["create", "ensure", "open", "list", "take_over"])
def test_the_hook_is_taken_wherever_an_authority_comes_from(store: Store, how: str) -> None:
    def deny(_: IssuanceRequest) -> Denied:
        return Denied("never")

    match how:
        case "create":
            authority = CertificateAuthority.create("A", store=store, authorize=deny)
        case "ensure":
            CertificateAuthority.ensure("A", store=store)
            authority = CertificateAuthority.ensure("A", store=store, authorize=deny)
        case "open":
            CertificateAuthority.create("A", store=store)
            authority = CertificateAuthority.open("A", store=store, authorize=deny)
        case "list":
            CertificateAuthority.create("A", store=store)
            (authority,) = CertificateAuthority.list(store, authorize=deny)
        case _:
            from mtlskit.core.certificates import SigningChain
            from mtlskit.testing.certificates import Authority

            root = Authority.root()
            chain = SigningChain(root.key, [root.certificate])
            authority = CertificateAuthority.take_over("A", chain, store=store, authorize=deny)
    with pytest.raises(IssuanceError, match="authorization"):
        authority.issue_client("device", lifetime=timedelta(days=1))


def test_an_authority_below_one_with_a_hook_needs_its_yes(store: Store, acme: CertificateAuthority) -> None:
    with pytest.raises(IssuanceError, match="authorization"):
        CertificateAuthority.create("Below", store=store, parent=asked(store, lambda _: Denied("no")))
    assert [each.name for each in CertificateAuthority.list(store)] == ["Acme devices"]
