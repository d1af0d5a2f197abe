"""Tokens of PKCS #11 modules: one session each in a process, shared by its signers, and one caller at a time.

Needs the extra `pkcs11`. What `python-pkcs11` raises becomes ours here and nowhere else; a PIN is in none of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias, TypeVar

from mtlskit.errors import ConfigurationError, MTLSError, Unavailable
from mtlskit.locks import ForkSafeLock

try:
    import pkcs11
    from pkcs11 import exceptions as raised
except ImportError as error:
    raise ConfigurationError("expected the extra 'pkcs11' (pip install 'mtlskit[pkcs11]'), got none") from error

Pin: TypeAlias = str | Callable[[], str]

_T = TypeVar("_T")

# The session or the key's handle is of no use any more: the token was away, or somebody logged us out.
_LOST: Final = (
    raised.DeviceError, raised.DeviceRemoved, raised.KeyHandleInvalid, raised.ObjectHandleInvalid, raised.SessionClosed,
    raised.SessionHandleInvalid, raised.SlotIDInvalid, raised.TokenNotPresent, raised.UserNotLoggedIn,
)  # fmt: skip
_PIN: Final = (
    raised.PinExpired, raised.PinIncorrect, raised.PinInvalid, raised.PinLenRange, raised.PinLocked,
    raised.UserPinNotInitialized,
)  # fmt: skip
_CANNOT: Final = (
    raised.FunctionNotSupported, raised.KeySizeRange, raised.MechanismInvalid, raised.MultipleTokensReturned,
    raised.TokenWriteProtected,
)  # fmt: skip


class Token:
    """The token with a label, of a module, with its PIN. Any thread may ask it, and both sides of a fork."""

    __slots__ = ("_module", "_pin", "label")

    def __init__(self, module: str | os.PathLike[str], label: str, pin: Pin) -> None:
        """Raises ConfigurationError where the module cannot be loaded. The token is not asked yet."""
        self.label = label
        self._module = _loaded(os.fspath(module))
        self._pin = pin if callable(pin) else lambda: pin

    def ask(self, work: Callable[[Any], _T]) -> _T:
        """What `work` gives for a logged-in session, done once more with a new one where the session was lost.

        Raises Unavailable for a token that is away or fails, and ConfigurationError for a PIN that it refuses.
        """
        with self._module.lock, _in_our_words(self.label):
            try:
                return work(self._module.session(self.label, self._read_pin))
            except _LOST:
                self._module.sessions.pop(self.label, None)
                return work(self._module.session(self.label, self._read_pin))

    def change(self, work: Callable[[Any], _T]) -> _T:
        """As `ask`, for a session that may write, and is closed then."""
        with self._module.lock, _in_our_words(self.label):
            self._module.session(self.label, self._read_pin)  # the login counts for all sessions of the process
            with self._module.token(self.label).open(rw=True) as session:
                return work(session)

    def _read_pin(self) -> str:
        # Whatever goes wrong, no exception that could have the PIN in its text is chained to ours.
        try:
            pin = self._pin()
            problem = "" if isinstance(pin, str) and pin and pin.isprintable() else type(pin).__name__
        except MTLSError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a provider of secrets raises
            problem = type(error).__name__
        if problem:
            raise ConfigurationError(f"expected the PIN of the token {self.label!r} as text, got {problem}")
        return pin


class _Module:
    """A loaded module. Its lock is held for every call into it.

    `python-pkcs11` initialises modules without a word of threads, by which they may do without locks of their own
    (PKCS #11 2.40, 5.4: C_Initialize with NULL_PTR). A login is the process's: who logs out one session logs out all,
    so a session that has logged in is never closed.
    """

    def __init__(self, library: Any) -> None:
        self.lock = ForkSafeLock()
        self.sessions: dict[str, Any] = {}
        self._library = library
        self._process = os.getpid()
        self._refused: dict[str, str] = {}

    def session(self, label: str, read_pin: Callable[[], str]) -> Any:
        """The logged-in session of the token."""
        self._follow_fork()
        if label not in self.sessions:
            self.sessions[label] = self._logged_in(label, read_pin())
        return self.sessions[label]

    def token(self, label: str) -> Any:
        """The token; there is exactly one of that label."""
        return self._library.get_token(token_label=label)

    def _logged_in(self, label: str, pin: str) -> Any:
        token = self.token(label)
        if self._refused.get(label) == pin:
            raise raised.PinIncorrect  # not asked again: after a few wrong ones a token locks itself
        try:
            return token.open(user_pin=pin)
        except raised.UserAlreadyLoggedIn:
            return token.open()
        except _PIN:
            self._refused[label] = pin
            raise

    def _follow_fork(self) -> None:
        if self._process == os.getpid():
            return
        self.sessions = {}
        with suppress(raised.PKCS11Error):  # a module that has noticed the fork itself is not initialised here
            self._library.finalize()
        self._library.initialize()
        self._process = os.getpid()


_modules: dict[str, _Module] = {}
_loading: Final = ForkSafeLock()


def _loaded(path: str) -> _Module:
    with _loading:
        if path not in _modules:
            try:
                _modules[path] = _Module(pkcs11.lib(path))
            except raised.PKCS11Error as error:
                raise ConfigurationError(f"expected a PKCS #11 module at {path!r}, got {error}") from None
        return _modules[path]


@contextmanager
def _in_our_words(label: str) -> Iterator[None]:
    try:
        yield
    except _PIN as error:
        raise ConfigurationError(
            f"expected the PIN of the token {label!r}, got one that it refuses ({type(error).__name__})"
        ) from None
    except _CANNOT as error:
        raise ConfigurationError(
            f"expected a token {label!r} that can do this, got {type(error).__name__} from it"
        ) from None
    except raised.NoSuchToken:
        raise Unavailable(f"expected the token {label!r} to be present, got none of that label") from None
    except raised.PKCS11Error as error:
        raise Unavailable(f"expected an answer of the token {label!r}, got {type(error).__name__}") from None
