"""The engine's connections. Each takes one request at a time, also in HTTP/2.

Of several threads the engine would mix up the frames, and so the answers; of several tasks, the one that is cancelled,
or gives up, would take the others' answers with it, and one's timeout would count for all.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio  # under the async engine
import httpcore2

from mtlskit.fetch.engine.known import STAGES, STAGES_BEHIND_PROXY, Known
from mtlskit.fetch.engine.networks import AsyncNetwork, Network
from mtlskit.fetch.failures import Stage


class Connection(Known, httpcore2.ConnectionInterface):
    """For threads."""

    def __init__(self, inner: httpcore2.ConnectionInterface, stages: dict[str, Stage]) -> None:
        super().__init__(inner, stages)
        self._turn = threading.Lock()

    def handle_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Sends the request; raises what the engine raises."""
        if not self._turn.acquire(blocking=False):
            raise httpcore2.ConnectionNotAvailable
        try:
            response = self._sent(request)
        except BaseException as error:
            is_refused = self.note_refusal(request, error)
            self.end_turn(is_whole=False)
            if is_refused:
                raise httpcore2.ConnectionNotAvailable from error
            raise
        response.stream = _Turn(response.stream, self)
        return response

    def _sent(self, request: httpcore2.Request) -> httpcore2.Response:
        self.begin(request, self.note)
        if self.stage is Stage.REUSED:
            return self.inner.handle_request(request)  # type: ignore[no-any-return]
        with self.hearing.listening():
            response: httpcore2.Response = self.inner.handle_request(request)
        self.answered()
        return response

    def end_turn(self, *, is_whole: bool) -> None:
        """The answer was read to its end, or not."""
        try:
            if self.is_spent(is_whole):
                self.inner.close()
        finally:
            self._turn.release()

    def is_available(self) -> bool:
        """Whether it could take a request now."""
        return not self._turn.locked() and super().is_available()

    def can_multiplex(self) -> bool:
        """It takes one request at a time."""
        return False

    def close(self) -> None:
        """Closes it."""
        self.inner.close()


class _Turn:
    """A body whose end ends the turn."""

    def __init__(self, stream: Any, connection: Connection) -> None:
        self._stream = stream
        self._connection: Connection | None = connection
        self._is_whole = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream
        self._is_whole = True

    def close(self) -> None:
        connection, self._connection = self._connection, None
        try:
            self._stream.close()
        finally:
            if connection is not None:
                connection.end_turn(is_whole=self._is_whole)


class AsyncConnection(Known, httpcore2.AsyncConnectionInterface):
    """For tasks."""

    def __init__(self, inner: httpcore2.AsyncConnectionInterface, stages: dict[str, Stage]) -> None:
        super().__init__(inner, stages)
        self._is_taken = False

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """As `Connection.handle_request`."""
        if self._is_taken:
            raise httpcore2.ConnectionNotAvailable
        self._is_taken = True
        try:
            response = await self._sent(request)
        except BaseException as error:
            is_refused = self.note_refusal(request, error)
            await self.end_turn(is_whole=False)
            if is_refused:
                raise httpcore2.ConnectionNotAvailable from error
            raise
        response.stream = _AsyncTurn(response.stream, self)
        return response

    async def _sent(self, request: httpcore2.Request) -> httpcore2.Response:
        self.begin(request, self.note_async)
        if self.stage is Stage.REUSED:
            return await self.inner.handle_async_request(request)  # type: ignore[no-any-return]
        with self.hearing.listening():
            response: httpcore2.Response = await self.inner.handle_async_request(request)
        self.answered()
        return response

    async def end_turn(self, *, is_whole: bool) -> None:
        """As `Connection.end_turn`."""
        try:
            if self.is_spent(is_whole):
                with anyio.CancelScope(shield=True):
                    await self.inner.aclose()
        finally:
            self._is_taken = False

    def is_available(self) -> bool:
        """Whether it could take a request now."""
        return not self._is_taken and super().is_available()

    def can_multiplex(self) -> bool:
        """It takes one request at a time."""
        return False

    async def aclose(self) -> None:
        """Closes it."""
        await self.inner.aclose()


class _AsyncTurn:
    """As `_Turn`."""

    def __init__(self, stream: Any, connection: AsyncConnection) -> None:
        self._stream = stream
        self._connection: AsyncConnection | None = connection
        self._is_whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part
        self._is_whole = True

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        try:
            await self._stream.aclose()
        finally:
            if connection is not None:
                await connection.end_turn(is_whole=self._is_whole)


class ConnectionPool(httpcore2.ConnectionPool):
    """The engine's, of connections of ours."""

    def __init__(self, *, proxy: httpcore2.Proxy | None, **options: Any) -> None:
        super().__init__(proxy=proxy, network_backend=Network(), **options)
        self._stages = STAGES if proxy is None else STAGES_BEHIND_PROXY

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.ConnectionInterface:
        """A connection to be made."""
        return Connection(super().create_connection(origin), self._stages)


class AsyncConnectionPool(httpcore2.AsyncConnectionPool):
    """As `ConnectionPool`, for tasks."""

    def __init__(self, *, proxy: httpcore2.Proxy | None, **options: Any) -> None:
        super().__init__(proxy=proxy, network_backend=AsyncNetwork(), **options)
        self._stages = STAGES if proxy is None else STAGES_BEHIND_PROXY

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        """A connection to be made."""
        return AsyncConnection(super().create_connection(origin), self._stages)
