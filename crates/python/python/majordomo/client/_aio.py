"""The client for event loops of asyncio: every call is awaited.

Cancelling a call closes its connection, and the server gives up the demand.
"""

from __future__ import annotations

import asyncio

from . import _routes
from ._address import not_running, resolve
from ._aio_lease import Acquiring, AsyncLease
from ._aio_streams import AsyncEventStream, AsyncLogStream
from ._errors import Problem
from ._lease import granted
from ._session import PART, Connection, Exchange, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Any

    from . import _wire
    from ._routes import Request


class AsyncClient:
    """Talks to a running ``majordomo serve``; the arguments are those of :class:`Client`.

    One client serves any number of tasks, event loops and threads: idle connections belong to no loop.

    >>> import asyncio
    >>> async def main():
    ...     async with AsyncClient() as client, client.acquire("notes") as lease:
    ...         return lease.components
    >>> asyncio.run(main())
    ['notes']
    """

    def __init__(
        self,
        socket: str | os.PathLike[str] | None = None,
        *,
        tcp: str | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        timeout: float | None = 30.0,
        tag: str | None = None,
    ) -> None:
        self._session = Session(resolve(socket, tcp, token, token_file), timeout, tag)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._session.address}>"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """As :meth:`Client.close`."""
        self._session.pool.close()

    # Looking.

    async def info(self) -> _wire.Info:
        """As :meth:`Client.info`."""
        answer: _wire.Info = await self._ask(_routes.get("/v1", "Info"))
        return answer

    async def health(self) -> _wire.Health:
        """As :meth:`Client.health`."""
        answer: _wire.Health = await self._ask(_routes.get("/healthz", "Health"))
        return answer

    async def ready(self) -> _wire.Health:
        """As :meth:`Client.ready`."""
        answer: _wire.Health = await self._ask(_routes.get("/readyz", "Health"))
        return answer

    async def status(self) -> _wire.Status:
        """As :meth:`Client.status`."""
        answer: _wire.Status = await self._ask(_routes.get("/v1/status", "Status"))
        return answer

    async def components(self) -> list[_wire.Component]:
        """As :meth:`Client.components`."""
        answer: list[_wire.Component] = await self._ask(_routes.get("/v1/components", "list[Component]"))
        return answer

    async def component(self, name: str) -> _wire.Component:
        """As :meth:`Client.component`."""
        answer: _wire.Component = await self._ask(_routes.component(name))
        return answer

    async def why(self, name: str) -> _wire.Why:
        """As :meth:`Client.why`."""
        answer: _wire.Why = await self._ask(_routes.component(name, "/why", "Why"))
        return answer

    async def plan(self, text: str | None = None, *, components: Iterable[str] | None = None) -> _wire.Plan:
        """As :meth:`Client.plan`."""
        answer: _wire.Plan = await self._ask(_routes.plan(text, components))
        return answer

    async def intents(self, text: str) -> _wire.Intents:
        """As :meth:`Client.intents`."""
        answer: _wire.Intents = await self._ask(_routes.Request("POST", "/v1/intents", "Intents", {"text": text}))
        return answer

    # Leases and commands.

    def acquire(
        self,
        *components: str | Iterable[str],
        tag: str | None = None,
        deadline: float | None = None,
        priority: str | None = None,
        ttl: float | None = None,
        bind: str = "connection",
    ) -> Acquiring:
        """As :meth:`Client.acquire`."""
        held = _routes.terms(bind, ttl, tag or self._session.tag)
        request = _routes.lease(_routes.names(components), held, deadline, priority)
        return Acquiring(self, request, bind)

    async def command(
        self, text: str, *, deadline: float | None = None, priority: str | None = None
    ) -> _wire.CommandOutcome:
        """As :meth:`Client.command`."""
        answer: _wire.CommandOutcome = await self._ask(_routes.command(text, None, deadline, priority))
        return answer

    def acquire_for(
        self,
        text: str,
        *,
        tag: str | None = None,
        deadline: float | None = None,
        priority: str | None = None,
        ttl: float | None = None,
        bind: str = "connection",
    ) -> Acquiring:
        """As :meth:`Client.acquire_for`."""
        held = _routes.terms(bind, ttl, tag or self._session.tag)
        return Acquiring(self, _routes.command(text, held, deadline, priority), bind)

    async def leases(self) -> _wire.Leases:
        """As :meth:`Client.leases`."""
        pages: _wire.Leases = await self._ask(_routes.get("/v1/leases", "Leases"))
        while (after := pages.pop("next", None)) is not None:
            page: _wire.Leases = await self._ask(_routes.get(_routes.query("/v1/leases", after=after), "Leases"))
            page["leases"] = pages["leases"] + page["leases"]
            pages = page
        return pages

    async def call(
        self,
        name: str,
        request: str | Mapping[str, Any],
        *,
        deadline: float | None = None,
        priority: str | None = None,
    ) -> Any:
        """As :meth:`Client.call`."""
        path = f"/v1/components/{_routes.part(name)}/call"
        answer: _wire.Answered = await self._ask(_routes.call(path, request, deadline, priority=priority))
        return answer["answer"]

    async def feedback(self, used: Iterable[str], *, text: str) -> bool:
        """As :meth:`Client.feedback`."""
        answer: _wire.Accepted = await self._ask(_routes.feedback(used, text, None))
        return answer["accepted"]

    async def hint(self, name: str, *, confidence: float | None = None, tier: str | None = None) -> bool:
        """As :meth:`Client.hint`."""
        answer: _wire.Accepted = await self._ask(_routes.hint(name, confidence, tier))
        return answer["accepted"]

    # Operating. Each waits until it is done.

    async def load(self, name: str) -> _wire.Component:
        """As :meth:`Client.load`."""
        answer: _wire.Component = await self._ask(_routes.change(name, "load"))
        return answer

    async def unload(self, name: str, *, force: bool = False) -> _wire.Component:
        """As :meth:`Client.unload`."""
        answer: _wire.Component = await self._ask(_routes.change(name, "unload", {"force": force}))
        return answer

    async def park(self, name: str) -> _wire.Component:
        """As :meth:`Client.park`."""
        answer: _wire.Component = await self._ask(_routes.change(name, "park"))
        return answer

    async def pin(self, name: str, pinned: bool = True) -> _wire.Component:
        """As :meth:`Client.pin`."""
        answer: _wire.Component = await self._ask(_routes.change(name, "pin", {"pinned": pinned}))
        return answer

    async def trim(self, name: str) -> _wire.Component:
        """As :meth:`Client.trim`."""
        answer: _wire.Component = await self._ask(_routes.change(name, "trim"))
        return answer

    async def reload(self, *, dry_run: bool = False) -> _wire.Reloaded:
        """As :meth:`Client.reload`."""
        request = _routes.Request("POST", "/v1/reload", "Reloaded", {"dry_run": dry_run}, waits=True)
        answer: _wire.Reloaded = await self._ask(request)
        return answer

    async def learned(self) -> _wire.Remembered:
        """As :meth:`Client.learned`."""
        answer: _wire.Remembered = await self._ask(_routes.get("/v1/state", "Remembered"))
        return answer

    async def forget(self, name: str | None = None, *, everything: bool = False) -> int:
        """As :meth:`Client.forget`."""
        body = {"component": name, "all": True if everything else None}
        answer: _wire.Forgotten = await self._ask(_routes.Request("POST", "/v1/state/forget", "Forgotten", body))
        return answer["forgotten"]

    # Events and output.

    def events(self, *, start: int | None = None, reconnect: float = 30.0) -> AsyncEventStream:
        """As :meth:`Client.events`."""
        return AsyncEventStream(self, start, reconnect)

    async def recent_events(self, *, start: int | None = None, last: int | None = None) -> _wire.EventPage:
        """As :meth:`Client.recent_events`."""
        path = _routes.query("/v1/events", follow=False, from_=start, last=last)
        answer: _wire.EventPage = await self._ask(_routes.get(path, "EventPage"))
        return answer

    async def logs(
        self, name: str, *, start: int | None = None, last: int | None = None, at_most: int | None = None
    ) -> _wire.LogPage:
        """As :meth:`Client.logs`."""
        path = _routes.query(f"/v1/components/{_routes.part(name)}/logs", from_=start, last=last, max=at_most)
        answer: _wire.LogPage = await self._ask(_routes.get(path, "LogPage"))
        return answer

    def follow_logs(self, name: str, *, start: int | None = None) -> AsyncLogStream:
        """As :meth:`Client.follow_logs`."""
        return AsyncLogStream(self, name, start)

    # How bytes are moved.

    async def _leased(self, request: Request, bind: str) -> AsyncLease:
        answer, connection = await self._exchange(request)
        try:
            return AsyncLease(self, *granted(self._session, answer, connection, bind))
        except BaseException:
            self._session.pool.drop(connection)
            raise

    async def _ask(self, request: Request) -> Any:
        answer, connection = await self._exchange(request)
        self._session.pool.give_back(connection)
        return answer

    async def _exchange(self, request: Request) -> tuple[Any, Connection]:
        """The answer, and the connection that it came on."""
        pool, session = self._session.pool, self._session
        while True:
            connection: Connection | None = None
            exchange = Exchange(session.bytes_of(request))
            try:
                async with asyncio.timeout(session.patience(request)):
                    connection = pool.idle() or await self._connect()
                    await self._converse(connection, exchange)
                answer = session.value(request, exchange)
            except BaseException as error:
                reader = exchange.reader
                failure = session.failure(error, exchange)
                if connection is not None:
                    if isinstance(error, Problem) and reader.keeps_alive:
                        # The server's own words: the connection is as it was.
                        pool.give_back(connection)
                        raise
                    pool.drop(connection)
                    # The server closed it between two requests.
                    is_stale = connection.is_reused and not reader.has_head and request.method == "GET"
                    if is_stale and isinstance(failure, ConnectionError):
                        continue
                if failure is error:
                    raise
                raise failure from None
            if not exchange.reader.keeps_alive:
                connection.sock.close()
            return answer, connection

    async def _connect(self) -> Connection:
        session, pool = self._session, self._session.pool
        pool.check_open()
        if session.address.path is not None:
            return pool.unix()
        sock = pool.tcp_socket()
        try:
            target = (session.address.host, session.address.port)
            await asyncio.get_running_loop().sock_connect(sock, target)
            return pool.added(sock)
        except ConnectionError as error:
            sock.close()
            raise not_running(session.address, error) from None
        except BaseException:
            sock.close()
            raise

    async def _converse(self, connection: Connection, exchange: Exchange) -> None:
        await self._send(connection, exchange)
        while not exchange.reader.is_done:
            exchange.feed(await self._receive(connection))

    async def _send(self, connection: Connection, exchange: Exchange) -> None:
        connection.sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_sendall(connection.sock, exchange.outgoing)
        except ConnectionError:
            # A server that refuses a request may close before it has read all of it: its answer may be there.
            exchange.feed(await self._receive(connection))

    async def _receive(self, connection: Connection) -> bytes:
        sock = connection.sock
        while True:
            try:
                return sock.recv(PART)
            except BlockingIOError:
                await _readable(sock.fileno())


async def _readable(descriptor: int) -> None:
    """Waits until there are bytes. Unlike with ``sock_recv``, a cancelled wait loses none."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
