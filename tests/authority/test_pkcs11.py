"""The signer in a PKCS #11 token, against SoftHSM 2: every kind of key, threads, forks, and what goes wrong."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import ssl
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from mtlskit.authority import CertificateAuthority, KeyPlace
from mtlskit.core.certificates import to_der
from mtlskit.core.validation import RFC5280, TrustStore, verify_path
from mtlskit.errors import ConfigurationError, Conflict, MTLSError, NotFound, StoreError, Unavailable
from mtlskit.ports import Store
from support import tokens as support
from support.exposure import exposed
from support.scripts import run
from support.tokens import PIN, Tokens

support.module()  # skips this file, with the reason, where it is not installed

from mtlskit.authority import pkcs11_keys, pkcs11_tokens  # noqa: E402
from mtlskit.authority.pkcs11 import PKCS11Signer  # noqa: E402


@pytest.fixture
def tokens() -> Tokens:
    return support.of_this_process()


@pytest.fixture
def place(tokens: Tokens) -> dict[str, Any]:
    """Where a key can be made: in a token of its own."""
    return {"module": tokens.module, "token_label": tokens.new(), "key_label": "acme", "pin": PIN}


def check(public_key: Any, signature: bytes, data: bytes) -> None:
    match public_key:
        case ec.EllipticCurvePublicKey():
            strength = hashes.SHA256() if public_key.curve.key_size == 256 else hashes.SHA384()
            public_key.verify(signature, data, ec.ECDSA(strength))
        case rsa.RSAPublicKey():
            public_key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        case ed25519.Ed25519PublicKey():
            public_key.verify(signature, data)


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ed25519", "rsa-2048"])
def test_an_authority_whose_key_is_in_a_token(key_type: str, place: dict[str, Any], store: Store) -> None:
    try:
        signer = PKCS11Signer.generate(**place, key_type=key_type)
    except ConfigurationError as error:
        if key_type != "ed25519":
            raise
        pytest.skip(f"this SoftHSM makes no Ed25519 keys: {error}")
    acme = CertificateAuthority.create("Acme", store=store, signer=signer)
    assert acme.generations[0].key_place is KeyPlace.SIGNER
    device = acme.issue_client("device-17")
    path = verify_path(
        device.presented(),
        TrustStore([acme.certificate]),
        purpose="client_auth",
        now=datetime.now(UTC),
        profile=RFC5280,
    )
    assert path.certificates[-1] == acme.certificate
    acme.revoke(device)
    assert acme.crl().is_signature_valid(acme.certificate.public_key())
    again = CertificateAuthority.open("Acme", store=store, signer=PKCS11Signer(**place))
    assert again.issue_client("device-18").certificate.issuer == acme.certificate.subject
    with pytest.raises(ConfigurationError, match="expected the signer with the key of 'Acme'"):
        CertificateAuthority.open("Acme", store=store).issue_client("device-19")


def test_the_signature_is_that_of_the_protocol(place: dict[str, Any]) -> None:
    signer = PKCS11Signer.generate(**place)
    # r and s are integers in DER: about every second one begins with a bit that makes it one octet longer.
    for number in range(20):
        data = b"to be signed %d" % number
        check(signer.public_key(), signer.sign(data), data)


def test_the_private_key_does_not_leave_the_token(place: dict[str, Any]) -> None:
    from pkcs11 import Attribute, AttributeSensitive

    signer = PKCS11Signer.generate(**place)

    def look(session: Any) -> tuple[bool, bool]:
        private = pkcs11_keys.private_key(session, "acme")
        with pytest.raises(AttributeSensitive):
            private[Attribute.VALUE]
        return private[Attribute.SENSITIVE], private[Attribute.EXTRACTABLE]

    assert signer._token.ask(look) == (True, False)


def test_threads_take_turns(place: dict[str, Any]) -> None:
    signer, other = PKCS11Signer.generate(**place), PKCS11Signer(**place)

    def sign(number: int) -> None:
        data = number.to_bytes(4, "big")
        check(signer.public_key(), (signer, other)[number % 2].sign(data), data)

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(sign, range(400)))) == 400


def test_nothing_calls_a_module_from_two_threads_at_once(place: dict[str, Any], tokens: Tokens) -> None:
    one = pkcs11_tokens.Token(place["module"], place["token_label"], PIN)
    other = pkcs11_tokens.Token(place["module"], tokens.new(), PIN)
    inside: list[int] = []

    def work(_: Any) -> int:
        inside.append(1)
        time.sleep(0.01)  # long enough for another thread to come in
        found = len(inside)
        inside.pop()
        return found

    for each in (one, other):
        each.ask(work)  # logs in: what two threads could break is done before
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(lambda number: (one, other)[number % 2].ask(work), range(24))) == {1}


def test_both_sides_of_a_fork_sign(place: dict[str, Any]) -> None:
    signer = PKCS11Signer.generate(**place)
    signer.sign(b"before")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for _ in range(3):
                check(signer.public_key(), signer.sign(b"child"), b"child")
            os.write(writing, b"signed" if signer._token._module._process == os.getpid() else b"as the parent")
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writing)
    for _ in range(3):
        check(signer.public_key(), signer.sign(b"parent"), b"parent")
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        assert pipe.read() == b"signed"


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_key_that_is_not_there_and_one_that_is(place: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match="expected the private key 'acme' in the token"):
        PKCS11Signer(**place)
    PKCS11Signer.generate(**place)
    with pytest.raises(Conflict, match="yet, got one"):
        PKCS11Signer.generate(**place)
    signer = PKCS11Signer(**place)
    signer._token.change(lambda session: _make_another(session))
    with pytest.raises(ConfigurationError, match="expected one private key 'acme' .* got 2"):
        PKCS11Signer(**place)


def _make_another(session: Any) -> None:
    import pkcs11

    session.generate_keypair(pkcs11.KeyType.RSA, 2048, label="acme", store=True)


def test_a_token_that_is_not_there(place: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match="expected the token 'elsewhere' to be present, got none of that label"):
        PKCS11Signer(**{**place, "token_label": "elsewhere"})


def test_a_module_that_is_none(place: dict[str, Any], tmp_path: Any) -> None:
    for path in (tmp_path / "missing.so", __file__):
        with pytest.raises(ConfigurationError, match="expected a PKCS #11 module at"):
            PKCS11Signer(**{**place, "module": path})


def test_a_wrong_pin_is_tried_once(place: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {**place, "pin": "a-wrong-pin"}
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"one that it refuses \(PinIncorrect\)") as caught:
            PKCS11Signer(**wrong)
        assert "a-wrong-pin" not in whole_story(caught.value)
    asked: list[str] = []
    module = pkcs11_tokens.Token(module=place["module"], label=place["token_label"], pin=PIN)._module
    original = type(module).token
    monkeypatch.setattr(type(module), "token", lambda self, label: Listening(original(self, label), asked))
    with pytest.raises(ConfigurationError):
        PKCS11Signer(**wrong)
    assert asked == []
    PKCS11Signer.generate(**place)
    assert asked[0] == PIN


@pytest.mark.invariant("I11")
@pytest.mark.parametrize("wrong", ["a-wrong-pin", "an-unprintable-pin\n", b"octets-for-a-pin"])
def test_a_refused_pin_is_in_no_local_variable_of_what_failed(place: dict[str, Any], wrong: Any) -> None:
    for pin in (wrong, lambda: wrong):
        for attempt in (PKCS11Signer, PKCS11Signer.generate):
            with pytest.raises(ConfigurationError) as caught:
                attempt(**{**place, "pin": pin})
            assert exposed(caught.value, wrong) == []
            assert caught.value.__context__ is None
    module = pkcs11_tokens.Token(place["module"], place["token_label"], wrong)._module
    assert str(wrong) not in repr(vars(module))


@pytest.mark.invariant("I11")
def test_a_good_pin_is_in_no_local_variable_of_what_failed(place: dict[str, Any], tmp_path: Any) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: PKCS11Signer(**place),  # no such key
        lambda: PKCS11Signer(**{**place, "module": tmp_path / "missing.so"}),
        lambda: PKCS11Signer.generate(**{**place, "module": tmp_path / "missing.so"}),
        lambda: PKCS11Signer.generate(**place, key_type="rot13"),
        lambda: PKCS11Signer(**{**place, "token_label": "elsewhere"}),
    ]
    for attempt in attempts:
        with pytest.raises(MTLSError) as caught:
            attempt()
        assert exposed(caught.value, PIN) == []


def test_a_wrong_pin_is_refused_after_others_have_logged_in(place: dict[str, Any]) -> None:
    signer = PKCS11Signer.generate(**place)
    for attempt in (PKCS11Signer, PKCS11Signer.generate):
        with pytest.raises(ConfigurationError, match="expected the PIN with which this process is logged in") as caught:
            attempt(**{**place, "pin": "another-pin"})
        assert exposed(caught.value, "another-pin", PIN) == []
    assert PKCS11Signer(**place).public_key() == signer.public_key()
    check(signer.public_key(), signer.sign(b"data"), b"data")


def test_a_pin_is_asked_for_once_for_each_login(place: dict[str, Any]) -> None:
    asked: list[str] = []

    def pin() -> str:
        asked.append(PIN)
        return PIN

    signer = PKCS11Signer.generate(**place)
    other = PKCS11Signer(**{**place, "pin": pin})
    for _ in range(3):
        other.sign(b"data")
    assert len(asked) == 1
    signer._token._module.sessions[place["token_label"]].close()
    other.sign(b"data")
    assert len(asked) == 2


def test_what_others_than_us_logged_in_is_used(place: dict[str, Any]) -> None:
    PKCS11Signer.generate(**place)
    token = pkcs11_tokens.Token(place["module"], place["token_label"], PIN)
    token._module.sessions.pop(place["token_label"])  # it stays logged in, as if by other code of the process
    assert PKCS11Signer(**place).sign(b"data")
    token._module.sessions.pop(place["token_label"])
    with pytest.raises(ConfigurationError, match="expected the PIN with which this process is logged in"):
        PKCS11Signer(**{**place, "pin": "another-pin"})


def test_what_a_module_could_not_do_does_not_rub_off_upon_openssl(place: dict[str, Any], store: Store) -> None:
    root = CertificateAuthority.create("Root", store=store).certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for attempt in (PKCS11Signer, PKCS11Signer.generate):
        with pytest.raises(ConfigurationError):
            attempt(**{**place, "pin": f"a-wrong-pin-of-{attempt.__name__}"})
        context.load_verify_locations(cadata=to_der(root))


class Listening:
    """A token that tells which PINs it was asked with."""

    def __init__(self, token: Any, asked: list[str]) -> None:
        self.token, self.asked = token, asked

    def open(self, **options: Any) -> Any:
        if "user_pin" in options:
            self.asked.append(options["user_pin"])
        return self.token.open(**options)


@pytest.mark.parametrize("pin", [
    lambda: (_ for _ in ()).throw(RuntimeError("no secret-of-the-vault for you")), lambda: None,
    lambda: b"secret-of-the-vault",
    lambda: "", "", "secret-of-the-vault\ud800", lambda: "secret-of-the-vault\n",
])  # fmt: skip
def test_a_pin_that_is_none_is_refused_without_being_shown(pin: Any, place: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="expected the PIN of the token 'token [0-9]+' as text, got") as caught:
        PKCS11Signer(**{**place, "pin": pin})
    assert "secret-of-the-vault" not in whole_story(caught.value)


def test_an_error_of_ours_from_a_provider_of_pins_is_told_as_it_is(place: dict[str, Any]) -> None:
    def pin() -> str:
        raise Unavailable("expected the vault to answer, got nothing")

    with pytest.raises(Unavailable, match="expected the vault to answer"):
        PKCS11Signer(**{**place, "pin": pin})


def whole_story(error: BaseException) -> str:
    """Everything that an error could show: its text and those of all that it was chained to."""
    told, seen = [], error
    while seen is not None:
        told += [str(seen), repr(seen), repr(seen.args)]
        seen = seen.__context__  # type: ignore[assignment]
    return "\n".join(told)


def test_the_pin_shows_nowhere(place: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        signer = PKCS11Signer.generate(**place)
        signer.sign(b"data")
    assert repr(signer) == f"<PKCS11Signer 'acme' in the token {place['token_label']!r}>"
    assert PIN not in caplog.text + repr(signer) + repr(signer._token)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="without a PIN to pickle"):
            leak(signer)


def test_a_session_that_was_lost_is_opened_again(place: dict[str, Any]) -> None:
    signer = PKCS11Signer.generate(**place)
    signer.sign(b"before")
    signer._token._module.sessions[place["token_label"]].close()  # which logs out everybody in this process
    check(signer.public_key(), signer.sign(b"after"), b"after")


def test_another_key_under_the_label_is_noticed(place: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    signer = PKCS11Signer.generate(**place)
    another = PKCS11Signer.generate(**{**place, "key_label": "other"})
    monkeypatch.setattr(signer, "_key_label", "other")
    with pytest.raises(Unavailable, match="got another key's"):
        signer.sign(b"data")
    check(another.public_key(), another.sign(b"data"), b"data")


def test_a_curve_that_is_not_ours(place: dict[str, Any]) -> None:
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    def make(session: Any) -> None:
        parameters = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp521r1")}
        curve = session.create_domain_parameters(pkcs11.KeyType.EC, parameters, local=True)
        curve.generate_keypair(label="acme", store=True, id=b"1")

    pkcs11_tokens.Token(place["module"], place["token_label"], PIN).change(make)
    with pytest.raises(ConfigurationError, match="to be an EC P-256 or P-384, Ed25519 or RSA key, got another kind"):
        PKCS11Signer(**place)


@pytest.mark.parametrize("raw", [b"", b"123"])
def test_a_signature_that_is_none(raw: bytes) -> None:
    with pytest.raises(Unavailable, match=f"got {len(raw)} octets"):
        pkcs11_keys._in_der(raw)


def every_error(kind: type[BaseException]) -> list[type[BaseException]]:
    return [each for direct in kind.__subclasses__() for each in (direct, *every_error(direct))]


def test_every_error_of_the_library_becomes_ours(place: dict[str, Any]) -> None:
    from pkcs11.exceptions import PKCS11Error

    token = PKCS11Signer.generate(**place)._token

    def failing(kind: type[BaseException]) -> Callable[[Any], None]:
        def work(_: Any) -> None:
            raise kind

        return work

    for kind in (PKCS11Error, *every_error(PKCS11Error)):
        with pytest.raises(MTLSError) as caught:
            token.ask(failing(kind))
        assert isinstance(caught.value, ConfigurationError | StoreError)
        assert caught.value.__context__ is None
        assert token.label in str(caught.value)


def test_a_removed_token_is_one_clear_error_and_may_come_back(tokens: Tokens, store: Store) -> None:
    # In a process of its own: the tokens of the other tests are to stay.
    script = f"""
        import os, shutil
        from pathlib import Path
        from support.tokens import Tokens, PIN
        from mtlskit.authority import CertificateAuthority
        from mtlskit.authority.pkcs11 import PKCS11Signer
        from mtlskit.errors import Unavailable, NotFound
        from mtlskit.stores import open_store
        directory = Path({str(tokens.directory)!r}) / {f"removed-{id(store)}"!r}
        directory.mkdir()
        tokens = Tokens.below(directory, 1)
        place = dict(module=tokens.module, token_label=tokens.new(), key_label="acme", pin=PIN)
        acme = CertificateAuthority.create("Acme", store=open_store("memory://"), signer=PKCS11Signer.generate(**place))
        acme.issue_client("before")
        shutil.copytree(directory / "tokens", directory / "kept")
        tokens.remove_all()
        for _ in range(2):
            try:
                acme.issue_client("while it is away")
            except (Unavailable, NotFound) as error:
                print(type(error).__name__, error)
        print(len(acme.pending()))
        shutil.rmtree(directory / "tokens")
        shutil.copytree(directory / "kept", directory / "tokens")
        fresh = os.fork()
        if fresh == 0:
            try:
                acme.issue_client("when it is back")
                print("back", flush=True)
            finally:
                os._exit(0)
        os.waitpid(fresh, 0)
    """
    lines = run(f"import sys; sys.path[:0] = {sys.path!r}\n" + "\n".join(line[8:] for line in script.splitlines()))
    told = lines.splitlines()
    assert len(told) == 4, lines
    assert all("expected" in line and "token" in line and PIN not in line for line in told[:2])
    assert told[2:] == ["2", "back"]
