"""Streams of the client for event loops."""

from __future__ import annotations

import asyncio
from collections import deque

from . import _routes
from ._errors import Error
from ._following import SILENCE, Following, Retry
from ._http import Malformed
from ._session import Connection, Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from . import _wire
    from ._aio import AsyncClient


class _Stream:
    def __init__(self, client: AsyncClient, following: Following) -> None:
        self._client = client
        self._following = following
        self._items: deque[Any] = deque()
        self._is_closed = False
        self._was_opened = False
        self._connection: Connection | None = None
        self._exchange: Exchange | None = None

    async def __aenter__(self) -> Self:
        if not self._was_opened:
            await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """Ends the stream."""
        self._is_closed = True
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._client._session.pool.drop(connection)

    async def _open(self) -> None:
        self._was_opened = True
        session, client = self._client._session, self._client
        exchange = self._following.request()
        connection: Connection | None = None
        try:
            async with asyncio.timeout(session.timeout):
                connection = await client._connect()
                await client._send(connection, exchange)
                while not exchange.reader.has_head:
                    exchange.feed(await client._receive(connection))
                if not self._following.is_stream(exchange):
                    while not exchange.reader.is_done:
                        exchange.feed(await client._receive(connection))
                    self._following.refusal(exchange)
            self._items.extend(self._following.opened())
            self._items.extend(self._following.items(exchange.body()))
        except BaseException as error:
            if connection is not None:
                session.pool.drop(connection)
            failure = session.failure(error, exchange)
            if failure is error:
                raise
            raise failure from None
        self._connection, self._exchange = connection, exchange

    async def _receive(self) -> bool:
        """Waits for bytes; false when the server has ended the stream. Raises when the connection broke."""
        connection, exchange = self._connection, self._exchange
        if connection is None or exchange is None:
            return False
        session = self._client._session
        try:
            async with asyncio.timeout(SILENCE):
                data = await self._client._receive(connection)
            if not data:
                exchange.reader.end()
                return False
            self._items.extend(self._following.items(exchange.reader.feed(data)))
            return not exchange.reader.is_done
        except asyncio.CancelledError:
            # Nothing was taken from the connection: the next call continues.
            raise
        except BaseException as error:
            self._drop()
            if isinstance(error, Malformed) and "cut off" in str(error) and not session.pool.is_closed:
                raise session.broken("the server closed it") from None
            failure = session.failure(error)
            if failure is error:
                raise
            raise failure from None


class AsyncEventStream(_Stream):
    """As :class:`EventStream`. It opens with its ``async with`` block, or with its first item."""

    def __init__(self, client: AsyncClient, start: int | None, reconnect: float) -> None:
        super().__init__(client, Following(client._session, "/v1/events", "Event", start))
        self._reconnect = reconnect

    async def __anext__(self) -> _wire.Event | _wire.Gap:
        if not self._was_opened:
            await self._open()
        while not self._items:
            if self._is_closed:
                raise StopAsyncIteration
            try:
                is_open = await self._receive()
                failure: Error = self._client._session.broken("the server ended the stream")
            except (ConnectionError, TimeoutError) as error:
                if not isinstance(error, Error):
                    raise
                is_open, failure = False, error
            if not is_open and not self._items and not self._is_closed:
                await self._continue(failure)
        item: _wire.Event | _wire.Gap = self._items.popleft()
        return item

    async def _continue(self, error: Error) -> None:
        """Opens the stream again after its last event."""
        self._drop()
        retry = Retry(self._reconnect)
        while not self._is_closed:
            await asyncio.sleep(retry.pause(error))
            try:
                await self._open()
                return
            except Error as another:
                error = another


class AsyncLogStream(_Stream):
    """As :class:`LogStream`."""

    def __init__(self, client: AsyncClient, name: str, start: int | None) -> None:
        path = f"/v1/components/{_routes.part(name)}/logs"
        super().__init__(client, Following(client._session, path, "LogLine", start, follow=True))

    async def __anext__(self) -> _wire.LogLine | _wire.Gap:
        if not self._was_opened:
            await self._open()
        while not self._items:
            if self._is_closed or not (await self._receive() or self._items):
                await self.aclose()
                raise StopAsyncIteration
        item: _wire.LogLine | _wire.Gap = self._items.popleft()
        return item
