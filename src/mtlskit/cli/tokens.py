"""Keys in PKCS #11 tokens on the command line: where the token is, and the signer that it gives."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

import click

from mtlskit.authority import Signer
from mtlskit.cli.options import is_given, read_password
from mtlskit.errors import ConfigurationError, NotFound

PIN_VARIABLE: Final = "MTLSKIT_PKCS11_PIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChoice:
    """What the options say of a token. `pin_file` or the environment has the PIN, which no argument ever has.

    The environment may name a token for all commands: it counts only where a key is named. `is_asked_for` says that the
    command's own options name one.
    """

    module: str | None
    token: str | None
    key: str | None
    pin_file: str | None
    is_asked_for: bool

    def signer(self, key: str | None = None) -> Signer | None:
        """The signer with the key of that label (by default the option's); None where no token was named."""
        place = self._place(key)
        if place is None:
            return None
        from mtlskit.authority.pkcs11 import PKCS11Signer  # needs an extra

        return PKCS11Signer(**place)

    def signer_or_new(self, key_type: str, key: str | None = None) -> Signer | None:
        """As `signer`, with a key that is made in the token where there is none of that label."""
        try:
            return self.signer(key)
        except NotFound:
            from mtlskit.authority.pkcs11 import PKCS11Signer  # needs an extra

            return PKCS11Signer.generate(**(self._place(key) or {}), key_type=key_type)

    def _place(self, key: str | None) -> dict[str, Any] | None:
        label = key or self.key
        if label is None and not self.is_asked_for:
            return None
        if self.module is None or self.token is None or label is None:
            raise ConfigurationError(
                "expected --pkcs11-module, --pkcs11-token and the label of a key together, got some of them"
            )
        return {"module": self.module, "token_label": self.token, "key_label": label, "pin": self._pin}

    def _pin(self) -> str:
        if self.pin_file is not None:
            return read_password(self.pin_file).decode("utf-8", "replace")
        pin = os.environ.get(PIN_VARIABLE)
        if not pin:
            raise ConfigurationError(f"expected the token's PIN in {PIN_VARIABLE} or --pkcs11-pin-file, got neither")
        return pin


def token_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of a token to a command, which gets them as one `token`."""

    @wraps(command)
    def run(**options: Any) -> Any:
        by_hand = any(is_given(f"pkcs11_{name}") for name in _OPTIONS)
        choice = TokenChoice(**{name: options.pop(f"pkcs11_{name}") for name in _OPTIONS}, is_asked_for=by_hand)
        return command(**options, token=choice)

    for name, text in _OPTIONS.items():
        variable = f"MTLSKIT_PKCS11_{name.upper()}"
        run = click.option(f"--pkcs11-{name.replace('_', '-')}", f"pkcs11_{name}", envvar=variable, help=text)(run)
    return run


_OPTIONS: Final = {
    "pin_file": f"A file with the token's PIN; without, {PIN_VARIABLE} in the environment has it.",
    "key": "The label of the authority's key in the token.",
    "token": "The label of the token.",
    "module": "The path of a PKCS #11 library, where a token has the authority's key.",
}
