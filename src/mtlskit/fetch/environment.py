"""The environment: bindings by name, from a file or from code. Owns the pools of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

from mtlskit.backends import get_backend
from mtlskit.core.certificates import SigningChain
from mtlskit.core.given import shown
from mtlskit.errors import ConfigurationError, MTLSError, NotFound, UnknownBinding
from mtlskit.fetch.binding import AsyncBinding, Binding, Bound
from mtlskit.fetch.configuration import BindingEntry, Configuration, read_configuration
from mtlskit.fetch.lanes import AsyncLane, Connector, Lane, engine
from mtlskit.fetch.proxies import Proxy
from mtlskit.fetch.sources import CertificateSource, GivenChain, Looks, UploadedChain
from mtlskit.fetch.targets import BoundOrigins
from mtlskit.fetch.trust import Trust, trusted
from mtlskit.fetch.uploads import utc_now
from mtlskit.fetch.watch import CertificateEnding, ending_of
from mtlskit.ports import Backend, ServerTrust, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """What a name is bound to in code: a chain with its key, the id of an uploaded one, or a source, and its origins.

    `origins` are texts as `https://host[:port]`, the host of one with `*.` before it standing for exactly one label
    more. Without any, the certificate goes to the origin of each call's URL.
    """

    certificate: SigningChain | str | CertificateSource
    origins: Sequence[str] = ()


Source: TypeAlias = ClientCertificate | SigningChain | CertificateSource | str
_Binding = TypeVar("_Binding", Binding, AsyncBinding)
_Lane = TypeVar("_Lane", Lane, AsyncLane)


class _Environment(Generic[_Binding, _Lane]):
    """What the two kinds of environment share."""

    _binding_class: type[_Binding]
    _lane_class: type[_Lane]

    def __init__(
        self,
        bindings: Mapping[str, Source],
        *,
        store: Store | None = None,
        backend: str | Backend | None = None,
        trust: Trust = ServerTrust.CERTIFI,
        proxy: str | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Binds names to certificates. `store` has the uploaded ones; `trust` says which servers are trusted:
        "certifi", "system", root certificates, or the id of uploaded CA certificates, as they are now. `proxy` is one
        that calls go through, as `http[s]://[user:password@]host[:port]`; those of the process's environment count for
        nothing.

        Raises ConfigurationError for a name, an id, origins, trust, a proxy or a backend that cannot be used.
        """
        uploaded = _no_store if store is None else _uploaded_in(store)
        bound = [_bound(self, name, source, uploaded) for name, source in bindings.items()]
        through = None if proxy is None else Proxy.parse(proxy)
        self._open(bound, Connector(backend=get_backend(backend), trust=trusted(trust, store), proxy=through), clock)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        store: Store,
        environment: str | None = None,
        backend: str | Backend | None = None,
        trust: Trust | None = None,
        proxy: str | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """The bindings of a `wrangler.toml` (`.json`, `.jsonc`) or `mtlskit.toml`, or those of its named `environment`,
        which inherits none. Without `trust` it is what a `mtlskit.toml` says, or else "certifi".

        Raises ConfigurationError, naming file and place, for a file, an entry or a certificate id that is not good.
        """
        found = read_configuration(path, environment=environment)
        return cls._of(found, str(path), store=store, backend=backend, trust=trust, proxy=proxy, clock=clock)

    @classmethod
    def _of(
        cls,
        configuration: Configuration,
        path: str,
        *,
        store: Store,
        backend: str | Backend | None,
        trust: Trust | None,
        proxy: str | None,
        clock: Callable[[], datetime],
    ) -> Self:
        try:
            sources = {entry.binding: _from_entry(entry, store) for entry in configuration.bindings}
            roots = configuration.trusted(store) if trust is None else trust
            return cls(sources, store=store, backend=backend, trust=roots, proxy=proxy, clock=clock)
        except MTLSError as error:
            raise ConfigurationError(f"{path}: {error}") from error

    def _open(self, bound: Sequence[Bound], connector: Connector, clock: Callable[[], datetime]) -> None:
        with suppress(ConfigurationError):  # a call says so, where one is made
            engine()  # now: a process that is forked while a thread imports it could never do so itself
        self._clock = clock
        self._plain: _Lane = self._lane_class(connector, None)
        make_lane = partial(self._lane_class, connector)
        self._bindings: dict[str, _Binding] = {
            each.name: self._binding_class(each, make_lane, self._plain, clock)  # type: ignore[arg-type]
            for each in bound
        }

    def _lanes(self) -> Iterator[Any]:
        yield self._plain
        yield from (each._certified for each in self._bindings.values())

    def endings(self) -> tuple[CertificateEnding, ...]:
        """How long the certificate of each binding is still good, the soonest first. Raises what a source raises."""
        now = self._clock()
        found = [ending_of(name, binding.certificate, now) for name, binding in self._bindings.items()]
        return tuple(sorted(found, key=lambda each: (each.not_after, each.binding)))

    def subscribe(self, subscriber: Callable[[CertificateEnding], None]) -> Callable[[], None]:
        """Calls `subscriber`, with a call of `fetch`, when a certificate has 30, 14 or 7 days left, or none.

        It also stands in the log of `mtlskit.fetch`. Gives the function that ends it.
        """
        ends = [binding._watch.subscribe(subscriber) for binding in self._bindings.values()]

        def unsubscribe() -> None:
            for end in ends:
                end()

        return unsubscribe

    def __getitem__(self, name: str) -> _Binding:
        """The binding of that name; raises UnknownBinding."""
        try:
            return self._bindings[name]
        except KeyError:
            known = ", ".join(map(repr, self._bindings)) or "none"
            raise UnknownBinding(f"expected the name of a binding ({known}), got {name!r}") from None

    def __getattr__(self, name: str) -> _Binding:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._bindings)

    def __len__(self) -> int:
        return len(self._bindings)

    def __contains__(self, name: object) -> bool:
        return name in self._bindings

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._bindings]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._bindings)}>"


class Environment(_Environment[Binding, Lane]):
    """Bindings for threads: `with Environment.from_file("wrangler.toml", store=store) as env: env.MY_CERT.fetch(...)`.

    May be shared between threads, and goes on to work after a fork.
    """

    _binding_class = Binding
    _lane_class = Lane

    def close(self) -> None:
        """Closes all connections of this process, those that a call is on when that is over.

        The environment may be used again after.
        """
        for lane in self._lanes():
            lane.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncEnvironment(_Environment[AsyncBinding, AsyncLane]):
    """Bindings for tasks: `async with AsyncEnvironment.from_file(...) as env: await env.MY_CERT.fetch(...)`.

    May be shared between tasks and event loops; each loop has connections of its own and closes them with `aclose`.
    """

    _binding_class = AsyncBinding
    _lane_class = AsyncLane

    async def aclose(self) -> None:
        """Closes all connections of the running event loop, those that a call is on when that is over.

        The environment may be used again after.
        """
        for lane in self._lanes():
            await lane.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _bound(environment: object, name: str, source: Source, uploaded: Callable[[str, str], CertificateSource]) -> Bound:
    taken = isinstance(name, str) and (name.startswith("_") or hasattr(type(environment), name))
    if not isinstance(name, str) or not name or taken:
        raise ConfigurationError(f"expected a name that a binding can have, got {name!r}")
    given = source if isinstance(source, ClientCertificate) else ClientCertificate(certificate=source)
    match given.certificate:
        case SigningChain():
            found: CertificateSource = GivenChain(given.certificate)
        case str():
            found = uploaded(name, given.certificate)
        case CertificateSource():
            found = given.certificate
        case _:
            kind = type(given.certificate).__name__
            del source, given  # PEM with a key, perhaps, which a traceback would show
            raise ConfigurationError(
                f"expected a chain with its key, the id of an upload or a source for the binding {name!r}, got {kind}"
            )
    return Bound(name=name, source=found, origins=BoundOrigins.parse(given.origins))


def _from_entry(entry: BindingEntry, store: Store) -> ClientCertificate:
    origins = tuple(map(str, entry.origins.patterns))
    if isinstance(entry.certificate, str):
        return ClientCertificate(certificate=entry.certificate, origins=origins)
    try:
        return ClientCertificate(certificate=entry.certificate.source(store), origins=origins)
    except MTLSError as error:
        raise ConfigurationError(f"{error} for the binding {entry.binding!r}") from error


def _no_store(name: str, certificate_id: str) -> CertificateSource:
    raise ConfigurationError(f"expected a store for the certificate {shown(certificate_id)} of {name!r}, got none")


def _uploaded_in(store: Store) -> Callable[[str, str], CertificateSource]:
    poll = Looks(store.poll, "the store of uploaded certificates")

    def uploaded(name: str, certificate_id: str) -> CertificateSource:
        try:
            return UploadedChain(store, certificate_id, poll=poll)
        except NotFound:
            raise ConfigurationError(
                f"expected the id of an uploaded certificate for the binding {name!r}, got {shown(certificate_id)}"
            ) from None

    return uploaded
