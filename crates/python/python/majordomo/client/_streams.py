"""Streams of the client for threads. ``close`` may be called from any thread and ends the iteration there."""

from __future__ import annotations

import time
from collections import deque

from . import _routes
from ._errors import Error
from ._following import SILENCE, Following, Retry
from ._http import Malformed
from ._session import Connection, Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from . import _wire
    from ._sync import Client


class _Stream:
    def __init__(self, client: Client, following: Following) -> None:
        import threading

        self._client = client
        self._following = following
        self._items: deque[Any] = deque()
        self._closing = threading.Event()
        self._connection: Connection | None = None
        self._exchange: Exchange | None = None
        self._open()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the stream."""
        self._closing.set()
        connection, self._connection = self._connection, None
        if connection is not None:
            import socket

            try:
                # Closing alone would not wake a thread that waits for bytes.
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._client._session.pool.drop(connection)

    def _open(self) -> None:
        session = self._client._session
        until = None if session.timeout is None else time.monotonic() + session.timeout
        connection = self._client._connect(until)
        exchange = self._following.request()
        try:
            self._client._send(connection, exchange, until)
            while not exchange.reader.has_head:
                exchange.feed(self._client._receive(connection, until))
            if not self._following.is_stream(exchange):
                while not exchange.reader.is_done:
                    exchange.feed(self._client._receive(connection, until))
                self._following.refusal(exchange)
            self._items.extend(self._following.opened())
            self._items.extend(self._following.items(exchange.body()))
        except BaseException as error:
            session.pool.drop(connection)
            failure = session.failure(error, exchange)
            if failure is error:
                raise
            raise failure from None
        self._connection, self._exchange = connection, exchange
        if self._closing.is_set():
            self.close()

    def _receive(self) -> bool:
        """Waits for bytes; false when the server has ended the stream. Raises when the connection broke."""
        connection, exchange = self._connection, self._exchange
        if connection is None or exchange is None:
            return False
        session = self._client._session
        try:
            data = self._client._receive(connection, time.monotonic() + SILENCE)
            if not data:
                exchange.reader.end()
                return False
            self._items.extend(self._following.items(exchange.reader.feed(data)))
            return not exchange.reader.is_done
        except BaseException as error:
            if self._closing.is_set() and isinstance(error, (OSError, Malformed)):
                return False
            session.pool.drop(connection)
            self._connection = None
            if isinstance(error, Malformed) and "cut off" in str(error) and not session.pool.is_closed:
                raise session.broken("the server closed it") from None
            failure = session.failure(error)
            if failure is error:
                raise
            raise failure from None


class EventStream(_Stream):
    """Events as they happen: :class:`.types.Event`, or :class:`.types.Gap` (``event["event"] == "gap"``) where some are lost."""

    def __init__(self, client: Client, start: int | None, reconnect: float) -> None:
        self._reconnect = reconnect
        super().__init__(client, Following(client._session, "/v1/events", "Event", start))

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> _wire.Event | _wire.Gap:
        while not self._items:
            if self._closing.is_set():
                raise StopIteration
            try:
                is_open = self._receive()
                failure: Error = self._client._session.broken("the server ended the stream")
            except (ConnectionError, TimeoutError) as error:
                if not isinstance(error, Error):
                    raise
                is_open, failure = False, error
            if not is_open and not self._items and not self._closing.is_set():
                self._continue(failure)
        item: _wire.Event | _wire.Gap = self._items.popleft()
        return item

    def _continue(self, error: Error) -> None:
        """Opens the stream again after its last event."""
        if self._connection is not None:
            self._client._session.pool.drop(self._connection)
            self._connection = None
        retry = Retry(self._reconnect)
        while not self._closing.wait(retry.pause(error)):
            try:
                self._open()
                return
            except Error as another:
                error = another


class LogStream(_Stream):
    """Lines of a component's output as they come: :class:`.types.LogLine`, or :class:`.types.Gap` (it has ``missed``)."""

    def __init__(self, client: Client, name: str, start: int | None) -> None:
        path = f"/v1/components/{_routes.part(name)}/logs"
        super().__init__(client, Following(client._session, path, "LogLine", start, follow=True))

    def __iter__(self) -> LogStream:
        return self

    def __next__(self) -> _wire.LogLine | _wire.Gap:
        while not self._items:
            if self._closing.is_set() or not (self._receive() or self._items):
                self.close()
                raise StopIteration
        item: _wire.LogLine | _wire.Gap = self._items.popleft()
        return item
