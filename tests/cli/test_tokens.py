"""The options of a PKCS #11 token: an authority on the command line whose key is in SoftHSM."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtlskit.core.certificates import SigningChain
from support import tokens as support
from support.command_line import Command
from support.tokens import PIN, Tokens

support.module()  # skips this file, with the reason, where it is not installed


@pytest.fixture
def tokens() -> Tokens:
    return support.of_this_process()


@pytest.fixture
def token(tokens: Tokens, command: Command) -> tuple[str, ...]:
    """The options of a new token; its PIN is in the file `pin`."""
    Path("pin").write_text(f"{PIN}\n")
    return ("--pkcs11-module", tokens.module, "--pkcs11-token", tokens.new(), "--pkcs11-pin-file", "pin")


def test_an_authority_in_a_token_from_its_making_to_its_rotation(command: Command, token: tuple[str, ...]) -> None:
    key = ("--pkcs11-key", "first")
    made = command("ca", "create", "Acme", *token, *key, "--key-type", "ec-p384", "--json").json
    assert (made["key_place"], made["certificate"]["key"]) == ("signer", "secp384r1")
    assert command("issue", "client", "device", "--out", "device.pem", *token, *key).status == 0
    serial = f"{SigningChain.from_pem(Path('device.pem').read_bytes()).serial_number:x}"
    command("issue", "client", "device", "--out", "other.pem").refused("expected the signer with the key of 'Acme'")
    assert command("revoke", serial, *token, *key).status == 0
    assert command("ca", "crl", "Acme", *token, *key).out.startswith("-----BEGIN X509 CRL")
    prepared = command("ca", "rotate", "prepare", "Acme", *token, *key, "--next-key", "second", "--json").json
    assert (prepared["key_place"], prepared["state"]) == ("signer", "prepared")
    assert command("ca", "rotate", "activate", "Acme", *token, *key).status == 0
    command("issue", "client", "next", "--out", "next.pem", *token, *key).refused("expected the signer with the key")
    assert command("issue", "client", "next", "--out", "next.pem", *token, "--pkcs11-key", "second").status == 0
    command("ca", "export", "Acme", "--format", "pkcs12", "--out", "x", "--password-file", "pin").refused(
        "its signer keeps"
    )


def test_a_key_that_is_there_is_taken(command: Command, token: tuple[str, ...]) -> None:
    key = ("--pkcs11-key", "first")
    made = command("ca", "create", "Acme", *token, *key, "--json").json
    command("ca", "create", "Other", *token, *key).refused("expected a key of its own for an authority")
    Path("root.pem").write_text(command("ca", "export", "Acme").out)
    other = ("--store", "sqlite:///other.db")
    taken = command("ca", "take-over", "Acme", "--cert", "root.pem", *token, *key, *other, "--json").json
    assert taken["key_id"] == made["key_id"]


def test_everything_comes_from_the_environment_too(
    command: Command, token: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MODULE", token[1]), ("TOKEN", token[3]), ("PIN", PIN)):
        monkeypatch.setenv(f"MTLSKIT_PKCS11_{name}", value)
    assert command("ca", "create", "In the store", "--json").json["key_place"] == "store", "no key was named"
    monkeypatch.setenv("MTLSKIT_PKCS11_KEY", "first")
    assert command("ca", "create", "Acme", "--json").json["key_place"] == "signer"
    assert command("issue", "client", "device", "--ca", "Acme", "--out", "device.pem").status == 0


def test_what_is_missing_is_said_and_the_pin_never(command: Command, token: tuple[str, ...]) -> None:
    command("ca", "create", "Acme", *token).refused("expected --pkcs11-module, --pkcs11-token and the label of a key")
    command("ca", "create", "Acme", *token[:2], "--pkcs11-key", "k").refused("--pkcs11-token and the label")
    command("ca", "create", "Acme", *token[:4], "--pkcs11-key", "k").refused(
        "expected the token's PIN in MTLSKIT_PKCS11_PIN"
    )
    command("ca", "create", "Acme", "--pkcs11-pin-file", "pin").refused("--pkcs11-token and the label")
    command("ca", "create", "Acme", "--pkcs11-key", "k").refused("--pkcs11-token and the label")
    Path("pin").write_text("a-wrong-pin\n")
    done = command("ca", "create", "Acme", *token, "--pkcs11-key", "k")
    done.refused("expected the PIN of the token", "one that it refuses")
    assert "a-wrong-pin" not in done.err
    Path("pin").write_text("\n")
    command("ca", "create", "Acme", *token, "--pkcs11-key", "k").refused("expected a password of 1 to 1023 bytes")
    assert "Acme" not in command("ca", "list").out
