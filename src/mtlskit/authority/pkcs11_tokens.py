"""Tokens of PKCS #11 modules: one session each in a process, shared by its signers, and one caller at a time.

Needs the extra `pkcs11`. What `python-pkcs11` raises becomes ours here and nowhere else; a PIN is in none of it, and
in no local variable of a frame that it went through.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

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
_WRONG: Final = (raised.PinIncorrect, raised.PinInvalid, raised.PinLenRange)
_PIN: Final = (
    *_WRONG, raised.PinExpired, raised.PinLocked, raised.UserPinNotInitialized,
)  # fmt: skip
_CANNOT: Final = (
    raised.FunctionNotSupported, raised.KeySizeRange, raised.MechanismInvalid, raised.MultipleTokensReturned,
    raised.TokenWriteProtected,
)  # fmt: skip


class HiddenPin:
    """A PIN, or what gives it: asked once, for one login. Shows neither."""

    __slots__ = ("_pin",)

    def __init__(self, pin: object) -> None:
        self._pin = pin

    @classmethod
    def of(cls, pin: Pin | HiddenPin) -> HiddenPin:
        """Any of the forms in which one is given."""
        return pin if isinstance(pin, HiddenPin) else cls(pin)

    def read(self) -> HiddenPin:
        """The PIN itself. What asking for it raises goes through."""
        return HiddenPin(self._pin()) if callable(self._pin) else HiddenPin(self._pin)

    @property
    def problem(self) -> str:
        """Why it is no PIN: the type of what it is; empty for one."""
        is_pin = isinstance(self._pin, str) and self._pin != "" and self._pin.isprintable()
        return "" if is_pin else type(self._pin).__name__

    def open(self, token: Any) -> Any:
        """A session of the token, logged in with it."""
        return token.open(user_pin=self._pin)

    def digest(self) -> bytes:
        """What tells it from others in this process, and in no other."""
        return hmac.digest(_SALT, str(self._pin).encode("utf-8", "surrogatepass"), hashlib.sha256)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("expected a value without a PIN to pickle, got HiddenPin")


_SALT: Final = os.urandom(32)


class Token:
    """The token with a label, of a module, with its PIN. Any thread may ask it, and both sides of a fork."""

    __slots__ = ("_module", "_pin", "_session", "label")

    def __init__(self, module: str | os.PathLike[str], label: str, pin: Pin | HiddenPin) -> None:
        """Raises ConfigurationError where the module cannot be loaded. The token is not asked yet."""
        self._pin = HiddenPin.of(pin)
        del pin
        self.label = label
        self._module = _loaded(os.fspath(module))
        self._session: Any = None  # the last one for which the PIN was good

    def ask(self, work: Callable[[Any], _T]) -> _T:
        """What `work` gives for a logged-in session, done once more with a new one where the session was lost.

        Raises Unavailable for a token that is away or fails, and ConfigurationError for a PIN that it refuses.
        """
        with self._module.lock, _leaving_no_errors():
            return _in_our_words(self.label, lambda: self._asked(work))

    def change(self, work: Callable[[Any], _T]) -> _T:
        """As `ask`, for a session that may write, and is closed then."""
        with self._module.lock, _leaving_no_errors():
            return _in_our_words(self.label, lambda: self._changed(work))

    def _asked(self, work: Callable[[Any], _T]) -> _T:
        with suppress(*_LOST):
            return work(self._logged_in())
        self._module.sessions.pop(self.label, None)
        return work(self._logged_in())

    def _changed(self, work: Callable[[Any], _T]) -> _T:
        self._logged_in()  # the login counts for all sessions of the process
        with self._module.token(self.label).open(rw=True) as session:
            return work(session)

    # A session that others logged in is for those alone who could have done so too.
    def _logged_in(self) -> Any:
        session = self._module.session(self.label)
        if session is None:
            session = self._module.log_in(self.label, self._read_pin())
        elif session is not self._session:
            self._module.check_pin(self.label, self._read_pin())
        self._session = session
        return session

    def _read_pin(self) -> HiddenPin:
        # Whatever goes wrong, no exception that could have the PIN in its text is chained to ours.
        try:
            pin = self._pin.read()
            problem = pin.problem
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
        # The digests of the PINs that a token took, and refused, last.
        self._taken: dict[str, bytes] = {}
        self._refused: dict[str, bytes] = {}

    def session(self, label: str) -> Any:
        """The logged-in session of the token; None where there is none yet."""
        self._follow_fork()
        return self.sessions.get(label)

    def token(self, label: str) -> Any:
        """The token; there is exactly one of that label."""
        return self._library.get_token(token_label=label)

    def log_in(self, label: str, pin: HiddenPin) -> Any:
        """A session that was logged in now."""
        token, digest = self.token(label), pin.digest()
        if self._refused.get(label) == digest:
            raise raised.PinIncorrect  # not asked again: after a few wrong ones a token locks itself
        try:
            self.sessions[label] = pin.open(token)
        except raised.UserAlreadyLoggedIn:
            self.check_pin(label, pin)
            self.sessions[label] = token.open()
        except _WRONG:
            self._refused[label] = digest
            raise
        else:
            self._taken[label] = digest
        return self.sessions[label]

    def check_pin(self, label: str, pin: HiddenPin) -> None:
        """Raises ConfigurationError for another PIN than that of the login.

        A token that is logged in says nothing of PINs any more. Where other code than ours logged in, nothing is known
        of its PIN, and any is taken.
        """
        taken = self._taken.get(label)
        if taken is not None and not hmac.compare_digest(taken, pin.digest()):
            raise ConfigurationError(
                f"expected the PIN with which this process is logged in to the token {label!r}, got another"
            )

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


# A module that uses the OpenSSL of this process, as SoftHSM does, leaves its errors in the thread's queue, where `ssl`
# takes them for those of its next call: a good connection ends, a good certificate is refused. A new connection
# begins with an empty queue (SSL_get_error(3)).
@contextmanager
def _leaving_no_errors() -> Iterator[None]:
    try:
        yield
    finally:
        _EMPTYING.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)


_EMPTYING: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


# Raised outside of the handler: what came from the token is not even the context of what the caller gets.
def _in_our_words(label: str, work: Callable[[], _T]) -> _T:
    try:
        return work()
    except raised.PKCS11Error as error:
        ours = _told(label, error)
    raise ours from None


def _told(label: str, error: raised.PKCS11Error) -> MTLSError:
    kind = type(error).__name__
    if isinstance(error, _PIN):
        return ConfigurationError(f"expected the PIN of the token {label!r}, got one that it refuses ({kind})")
    if isinstance(error, _CANNOT):
        return ConfigurationError(f"expected a token {label!r} that can do this, got {kind} from it")
    if isinstance(error, raised.NoSuchToken):
        return Unavailable(f"expected the token {label!r} to be present, got none of that label")
    return Unavailable(f"expected an answer of the token {label!r}, got {kind}")
