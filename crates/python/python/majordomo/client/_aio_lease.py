"""Leases of the client for event loops."""

from __future__ import annotations

import asyncio

from . import _routes
from ._errors import Error, LeaseLost
from ._http import Malformed
from ._lease import Held
from ._session import Connection, Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from types import TracebackType
    from typing import Any

    from . import _wire
    from ._aio import AsyncClient
    from ._routes import Request


class Acquiring:
    """A lease that is being acquired: ``await`` it, or enter it with ``async with``."""

    def __init__(self, client: AsyncClient, request: Request, bind: str) -> None:
        self._client = client
        self._request = request
        self._bind = bind
        self._lease: AsyncLease | None = None

    def __await__(self) -> Generator[Any, None, AsyncLease]:
        return self._client._leased(self._request, self._bind).__await__()

    async def __aenter__(self) -> AsyncLease:
        self._lease = await self
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.__aexit__(kind, error, trace)


class AsyncLease(Held):
    """Leased components of an :class:`AsyncClient`. Leaving its ``async with`` block releases it."""

    def __init__(
        self,
        client: AsyncClient,
        lease: _wire.Lease | None,
        outcome: _wire.CommandOutcome | None,
        connection: Connection | None,
    ) -> None:
        super().__init__(client._session, lease, outcome, connection)
        self._client = client

    async def __aenter__(self) -> AsyncLease:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.release()
        except Error:
            # The error of the block is the one to see.
            if error is None:
                raise

    async def release(self) -> None:
        """Gives it back. Does nothing when it has ended already, by whatever cause."""
        request = self._begin_release()
        if request is None:
            return
        connection = self._connection
        if connection is None:
            try:
                await self._client._ask(request)
            except LeaseLost:
                pass
            except BaseException:
                self._is_over = False
                raise
            return
        exchange = Exchange(self._session.bytes_of(request))
        try:
            if connection.is_quiet():
                async with asyncio.timeout(self._session.timeout):
                    await self._client._converse(connection, exchange)
                self._session.value(request, exchange)
        except (Error, OSError, Malformed):
            # Ended by the server, or with its connection.
            pass
        finally:
            self._end(exchange)

    async def state(self) -> _wire.Lease:
        """As :meth:`Lease.state`."""
        answer: _wire.Lease = await self._client._ask(_routes.one_lease(self._check()))
        self._lease = answer
        return answer

    async def renew(self, ttl: float | None = None) -> _wire.Lease:
        """As :meth:`Lease.renew`."""
        answer: _wire.Lease = await self._client._ask(_routes.renew(self._check(), ttl))
        self._lease = answer
        return answer

    async def exchange(
        self, *components: str | Iterable[str], deadline: float | None = None, priority: str | None = None
    ) -> _wire.Lease:
        """As :meth:`Lease.exchange`."""
        request = _routes.exchange(self._check(), _routes.names(components), deadline, priority)
        answer: _wire.Lease = await self._client._ask(request)
        self._lease = answer
        return answer

    async def call(
        self, request: str | Mapping[str, Any], *, component: str | None = None, deadline: float | None = None
    ) -> Any:
        """As :meth:`Lease.call`."""
        answer: _wire.Answered = await self._client._ask(self._call(request, component, deadline))
        return answer["answer"]

    async def feedback(self, used: Iterable[str]) -> None:
        """As :meth:`Lease.feedback`."""
        await self._client._ask(_routes.feedback(used, None, self._check()))
        self._is_over = True
        self._end(None)
