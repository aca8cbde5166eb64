"""The client for threads: every call waits for its answer in the calling thread.

Ctrl-C ends a wait at once: the connection is closed, and the server gives up the demand.
"""

from __future__ import annotations

import os
import time

from . import _routes
from ._address import resolve
from ._errors import Problem
from ._session import PART, Connection, Exchange, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Any

    from . import _wire
    from ._lease import Lease
    from ._routes import Request
    from ._streams import EventStream, LogStream


class Client:
    """Talks to a running ``majordomo serve``.

    ``socket`` is the path of its Unix socket; left out, it is found as the program ``majordomo`` finds it
    (``$MAJORDOMO_SOCKET``, else the runtime directory of the user). ``tcp="127.0.0.1:7420"`` with ``token`` or
    ``token_file`` uses TCP instead. ``timeout`` is how long (seconds) an answer may take; for what waits for components it
    begins after ``deadline``, and without a deadline such a call waits as long as the server does. ``tag`` names the holder of
    leases for other clients that wait for them.

    One client serves any number of threads; each call has a connection of its own meanwhile. In a forked child it
    makes new connections, and the parent keeps its leases.

    >>> client = Client()
    >>> client.health()["status"]
    'ok'
    >>> client.close()
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

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections: leases that are bound to one end, and calls that wait raise :class:`Closed`."""
        self._session.pool.close()

    # Looking.

    def info(self) -> _wire.Info:
        """The server's version, process and folder of state."""
        answer: _wire.Info = self._ask(_routes.get("/v1", "Info"))
        return answer

    def health(self) -> _wire.Health:
        """Answered as long as the server lives."""
        answer: _wire.Health = self._ask(_routes.get("/healthz", "Health"))
        return answer

    def ready(self) -> _wire.Health:
        """Whether every CORE component is ready; else a :class:`Problem` ``not_ready`` that names what is ``missing``."""
        answer: _wire.Health = self._ask(_routes.get("/readyz", "Health"))
        return answer

    def status(self) -> _wire.Status:
        """The manager, its memory, components and holders.

        >>> with Client() as client:
        ...     [component["name"] for component in client.status()["components"]]
        ['notes', 'clock']
        """
        answer: _wire.Status = self._ask(_routes.get("/v1/status", "Status"))
        return answer

    def components(self) -> list[_wire.Component]:
        """All components."""
        answer: list[_wire.Component] = self._ask(_routes.get("/v1/components", "list[Component]"))
        return answer

    def component(self, name: str) -> _wire.Component:
        """One component. Raises :class:`UnknownComponent`, as everything that takes a name does.

        >>> with Client() as client:
        ...     client.component("noets")
        Traceback (most recent call last):
        majordomo.client.UnknownComponent: no component is called "noets"; did you mean "notes"?
        """
        answer: _wire.Component = self._ask(_routes.component(name))
        return answer

    def why(self, name: str) -> _wire.Why:
        """A component with its last events and their causes."""
        answer: _wire.Why = self._ask(_routes.component(name, "/why", "Why"))
        return answer

    def plan(self, text: str | None = None, *, components: Iterable[str] | None = None) -> _wire.Plan:
        """What a command (``text``), or a demand for ``components``, would meet with now. Loads and learns nothing.

        >>> with Client() as client:
        ...     [need["component"] for need in client.plan("wake me at seven")["needed"]]
        ['clock']
        """
        answer: _wire.Plan = self._ask(_routes.plan(text, components))
        return answer

    def intents(self, text: str) -> _wire.Intents:
        """What a text is taken for, with evidence. Loads and learns nothing."""
        answer: _wire.Intents = self._ask(_routes.Request("POST", "/v1/intents", "Intents", {"text": text}))
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
    ) -> Lease:
        """Leases components, all or none, and waits until they are ready.

        The lease ends with its ``with`` block, with :meth:`Lease.release`, or with this process. By default it
        is bound to a connection of its own, so nothing has to be renewed. ``bind="ttl"`` holds it for ``ttl`` seconds
        from each :meth:`Lease.renew` on, whatever becomes of the connection. ``deadline`` (seconds) bounds the wait.

        >>> with Client() as client, client.acquire("notes", "clock", tag="guide") as lease:
        ...     lease.components
        ...     lease.state()["state"]
        ['notes', 'clock']
        'active'
        """
        held = _routes.terms(bind, ttl, tag or self._session.tag)
        request = _routes.lease(_routes.names(components), held, deadline, priority)
        return self._leased(request, bind)

    def command(
        self, text: str, *, deadline: float | None = None, priority: str | None = None
    ) -> _wire.CommandOutcome:
        """Loads the components that a command needs; they count as used, and nothing stays leased.

        A command that is refused is no exception: the outcome has ``refusal``.
        """
        answer: _wire.CommandOutcome = self._ask(_routes.command(text, None, deadline, priority))
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
    ) -> Lease:
        """Leases the components that a command needs. ``outcome`` of the lease has the needs with their evidence.

        Giving the lease back confirms to the server that the components were right; :meth:`Lease.feedback` corrects it.
        A refusal is raised. A text that needs nothing gives a lease without components.

        >>> with Client() as client, client.acquire_for("remember the milk") as lease:
        ...     lease.components
        ['notes']
        """
        held = _routes.terms(bind, ttl, tag or self._session.tag)
        return self._leased(_routes.command(text, held, deadline, priority), bind)

    def leases(self) -> _wire.Leases:
        """All leases, oldest first."""
        pages: _wire.Leases = self._ask(_routes.get("/v1/leases", "Leases"))
        while (after := pages.pop("next", None)) is not None:
            page: _wire.Leases = self._ask(_routes.get(_routes.query("/v1/leases", after=after), "Leases"))
            page["leases"] = pages["leases"] + page["leases"]
            pages = page
        return pages

    def call(
        self,
        name: str,
        request: str | Mapping[str, Any],
        *,
        deadline: float | None = None,
        priority: str | None = None,
    ) -> Any:
        """Passes a text or an object to a component that takes calls, and returns its answer.

        The component is leased for the length of the call. Raises :class:`CallFailed`.

        >>> with Client() as client:
        ...     client.call("clock", "what time is it")
        'it is ...'
        """
        path = f"/v1/components/{_routes.part(name)}/call"
        answer: _wire.Answered = self._ask(_routes.call(path, request, deadline, priority=priority))
        return answer["answer"]

    def feedback(self, used: Iterable[str], *, text: str) -> bool:
        """Reports the components that a command with this text really used. False when the server's queue is full."""
        answer: _wire.Accepted = self._ask(_routes.feedback(used, text, None))
        return answer["accepted"]

    def hint(self, name: str, *, confidence: float | None = None, tier: str | None = None) -> bool:
        """Hints that a component is likely to be needed. False when the server's queue is full.

        >>> with Client() as client:
        ...     client.hint("clock", confidence=0.9, tier="immediate")
        True
        """
        answer: _wire.Accepted = self._ask(_routes.hint(name, confidence, tier))
        return answer["accepted"]

    # Operating. Each waits until it is done.

    def load(self, name: str) -> _wire.Component:
        """Loads a component."""
        answer: _wire.Component = self._ask(_routes.change(name, "load"))
        return answer

    def unload(self, name: str, *, force: bool = False) -> _wire.Component:
        """Unloads a component with everything that depends on it; with ``force`` also one that is leased."""
        answer: _wire.Component = self._ask(_routes.change(name, "unload", {"force": force}))
        return answer

    def park(self, name: str) -> _wire.Component:
        """Parks a component with its dependents."""
        answer: _wire.Component = self._ask(_routes.change(name, "park"))
        return answer

    def pin(self, name: str, pinned: bool = True) -> _wire.Component:
        """Pins a component, so that it is not evicted, or takes the pin away."""
        answer: _wire.Component = self._ask(_routes.change(name, "pin", {"pinned": pinned}))
        return answer

    def trim(self, name: str) -> _wire.Component:
        """Asks a component to give back what it can spare."""
        answer: _wire.Component = self._ask(_routes.change(name, "trim"))
        return answer

    def reload(self, *, dry_run: bool = False) -> _wire.Reloaded:
        """Lets the server read its configuration again."""
        request = _routes.Request("POST", "/v1/reload", "Reloaded", {"dry_run": dry_run}, waits=True)
        answer: _wire.Reloaded = self._ask(request)
        return answer

    def learned(self) -> _wire.Remembered:
        """What the server keeps over restarts."""
        answer: _wire.Remembered = self._ask(_routes.get("/v1/state", "Remembered"))
        return answer

    def forget(self, name: str | None = None, *, everything: bool = False) -> int:
        """Forgets what was measured of a component, or everything that was learned; returns how much."""
        body = {"component": name, "all": True if everything else None}
        answer: _wire.Forgotten = self._ask(_routes.Request("POST", "/v1/state/forget", "Forgotten", body))
        return answer["forgotten"]

    # Events and output.

    def events(self, *, start: int | None = None, reconnect: float = 30.0) -> EventStream:
        """Follows events from now on, or from number ``start`` on.

        A broken stream is continued after the last event; what is lost is reported as a ``gap``. An error is raised
        when the server cannot be reached for ``reconnect`` seconds (0: at the first break).

        >>> with Client() as client, client.events(start=0) as events:
        ...     next(events)["seq"]
        0
        """
        from ._streams import EventStream

        return EventStream(self, start, reconnect)

    def recent_events(self, *, start: int | None = None, last: int | None = None) -> _wire.EventPage:
        """The events that the server still has, from number ``start`` on, or the ``last`` ones of them."""
        path = _routes.query("/v1/events", follow=False, from_=start, last=last)
        answer: _wire.EventPage = self._ask(_routes.get(path, "EventPage"))
        return answer

    def logs(
        self, name: str, *, start: int | None = None, last: int | None = None, at_most: int | None = None
    ) -> _wire.LogPage:
        """Lines of a component's output, from line ``start`` on, or the ``last`` ones."""
        path = _routes.query(f"/v1/components/{_routes.part(name)}/logs", from_=start, last=last, max=at_most)
        answer: _wire.LogPage = self._ask(_routes.get(path, "LogPage"))
        return answer

    def follow_logs(self, name: str, *, start: int | None = None) -> LogStream:
        """Follows a component's output from line ``start`` on (the oldest that is kept), until the server ends."""
        from ._streams import LogStream

        return LogStream(self, name, start)

    # How bytes are moved.

    def _leased(self, request: Request, bind: str) -> Lease:
        from ._lease import Lease, granted

        answer, connection = self._exchange(request)
        try:
            return Lease(self, *granted(self._session, answer, connection, bind))
        except BaseException:
            self._session.pool.drop(connection)
            raise

    def _ask(self, request: Request) -> Any:
        answer, connection = self._exchange(request)
        self._session.pool.give_back(connection)
        return answer

    def _exchange(self, request: Request) -> tuple[Any, Connection]:
        """The answer, and the connection that it came on."""
        pool, session = self._session.pool, self._session
        patience = session.patience(request)
        until = None if patience is None else time.monotonic() + patience
        while True:
            connection = pool.idle() or self._connect(until)
            exchange = Exchange(session.bytes_of(request))
            try:
                self._converse(connection, exchange, until)
                answer = session.value(request, exchange)
            except BaseException as error:
                reader = exchange.reader
                if isinstance(error, Problem) and reader.keeps_alive:
                    # The server's own words: the connection is as it was.
                    pool.give_back(connection)
                    raise
                pool.drop(connection)
                # The server closed it between two requests.
                is_stale = connection.is_reused and not reader.has_head and request.method == "GET"
                failure = session.failure(error, exchange)
                if is_stale and isinstance(failure, ConnectionError):
                    continue
                if failure is error:
                    raise
                raise failure from None
            if not exchange.reader.keeps_alive:
                connection.sock.close()
            return answer, connection

    def _connect(self, until: float | None) -> Connection:
        from ._address import not_running

        session, pool = self._session, self._session.pool
        pool.check_open()
        if session.address.path is not None:
            return pool.unix()
        sock = pool.tcp_socket()
        try:
            sock.settimeout(_left(until))
            sock.connect((session.address.host, session.address.port))
            sock.setblocking(False)
            return pool.added(sock)
        except TimeoutError as error:
            sock.close()
            raise session.failure(error) from None
        except ConnectionError as error:
            sock.close()
            raise not_running(session.address, error) from None
        except BaseException:
            sock.close()
            raise

    def _converse(self, connection: Connection, exchange: Exchange, until: float | None) -> None:
        self._send(connection, exchange, until)
        while not exchange.reader.is_done:
            exchange.feed(self._receive(connection, until))

    def _send(self, connection: Connection, exchange: Exchange, until: float | None) -> None:
        connection.sock.settimeout(_left(until))
        try:
            connection.sock.sendall(exchange.outgoing)
        except ConnectionError:
            # A server that refuses a request may close before it has read all of it: its answer may be there.
            exchange.feed(self._receive(connection, until))

    def _receive(self, connection: Connection, until: float | None) -> bytes:
        connection.sock.settimeout(_left(until))
        return connection.sock.recv(PART)


def _left(until: float | None) -> float | None:
    """Seconds that are left, for a socket. Raises ``TimeoutError`` when none are."""
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
