"""A lease as its holder sees it.

Invariant: it ends once. With a connection of its own it ends with that, so a process that dies gives it back; a forked
child does not end its parent's.
"""

from __future__ import annotations

import os
import time

from . import _routes
from ._errors import Closed, Error, LeaseLost, problem
from ._http import Malformed
from ._session import Connection, Exchange, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Any

    from . import _wire
    from ._routes import Request
    from ._sync import Client


def granted(
    session: Session, answer: Any, connection: Connection, bind: str
) -> tuple[_wire.Lease | None, _wire.CommandOutcome | None, Connection | None]:
    """The lease, the command's outcome and the connection that the lease is bound to, of what a demand was answered.

    Raises the refusal of a command. The connection is given back where no lease needs it.
    """
    outcome: _wire.CommandOutcome | None = answer if "needed" in answer else None
    lease: _wire.Lease | None = answer if outcome is None else outcome.get("lease")
    if lease is not None and bind == "connection":
        return lease, outcome, connection
    session.pool.give_back(connection)
    if lease is None and outcome is not None and "refusal" in outcome:
        raise problem(outcome["refusal"])
    return lease, outcome, None


class Held:
    """What leases of both clients are."""

    def __init__(
        self,
        session: Session,
        lease: _wire.Lease | None,
        outcome: _wire.CommandOutcome | None,
        connection: Connection | None,
    ) -> None:
        self._session = session
        self._lease = lease
        self._connection = connection
        self._is_over = lease is None
        self._pid = os.getpid()
        self.outcome = outcome
        """What became of the command that the lease was given for; None for a lease of named components."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id or 'of nothing'} on {', '.join(self.components) or 'no component'}>"

    @property
    def id(self) -> str | None:
        """Its name; None where a command needed nothing."""
        return None if self._lease is None else self._lease["id"]

    @property
    def components(self) -> list[str]:
        """The names of the components, as last reported."""
        return [] if self._lease is None else [leased["component"] for leased in self._lease["components"]]

    @property
    def endpoints(self) -> dict[str, _wire.Endpoint]:
        """Where each component is reached that has an address: ``url``, ``host``, ``port``, ``socket``."""
        leased = [] if self._lease is None else self._lease["components"]
        return {one["component"]: one["endpoint"] for one in leased if "endpoint" in one}

    @property
    def is_over(self) -> bool:
        """Whether it was released here. The server may have ended it before: ask for its ``state``."""
        return self._is_over

    def _check(self) -> str:
        """Its name, if it may be used here."""
        if self._pid != os.getpid():
            raise Closed(f"this lease belongs to process {self._pid}, from which this one was forked; acquire another")
        self._session.pool.check_open()
        if self._is_over or self._lease is None:
            what = "needed no component" if self._lease is None else "was released"
            raise Closed(f"this lease {what}; acquire another")
        return self._lease["id"]

    def _begin_release(self) -> Request | None:
        """The request that ends it; none when there is nothing to end."""
        if self._is_over or self._lease is None:
            return None
        self._is_over = True
        if self._pid != os.getpid():
            return None
        return _routes.release(self._lease["id"])

    def _end(self, exchange: Exchange | None) -> None:
        """Its connection is free again, or of no more use."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if exchange is None or (exchange.reader.is_done and exchange.reader.keeps_alive):
            self._session.pool.give_back(connection)
        else:
            self._session.pool.drop(connection)

    def _call(self, request: str | Mapping[str, Any], name: str | None, deadline: float | None) -> Request:
        path = f"/v1/leases/{_routes.part(self._check())}/call"
        return _routes.call(path, request, deadline, component=name)


class Lease(Held):
    """Leased components of a :class:`Client`. Leaving its ``with`` block releases it."""

    def __init__(
        self,
        client: Client,
        lease: _wire.Lease | None,
        outcome: _wire.CommandOutcome | None,
        connection: Connection | None,
    ) -> None:
        super().__init__(client._session, lease, outcome, connection)
        self._client = client

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except Error:
            # The error of the block is the one to see.
            if error is None:
                raise

    def release(self) -> None:
        """Gives it back. Does nothing when it has ended already, by whatever cause."""
        request = self._begin_release()
        if request is None:
            return
        connection = self._connection
        if connection is None:
            try:
                self._client._ask(request)
            except LeaseLost:
                pass
            except BaseException:
                self._is_over = False
                raise
            return
        exchange = Exchange(self._session.bytes_of(request))
        timeout = self._session.timeout
        until = None if timeout is None else time.monotonic() + timeout
        try:
            if connection.is_quiet():
                self._client._converse(connection, exchange, until)
                self._session.value(request, exchange)
        except (Error, OSError, Malformed):
            # Ended by the server, or with its connection.
            pass
        finally:
            self._end(exchange)

    def state(self) -> _wire.Lease:
        """As the server has it: ``state`` is ``revoked`` when a component has ended or is being stopped.

        Raises :class:`LeaseLost` when the lease has ended.
        """
        answer: _wire.Lease = self._client._ask(_routes.one_lease(self._check()))
        self._lease = answer
        return answer

    def renew(self, ttl: float | None = None) -> _wire.Lease:
        """Lets a lease with a ``ttl`` last from now on (seconds; None: as first asked for).

        Raises :class:`LeaseLost` when it has ended or is revoked.
        """
        answer: _wire.Lease = self._client._ask(_routes.renew(self._check(), ttl))
        self._lease = answer
        return answer

    def exchange(
        self, *components: str | Iterable[str], deadline: float | None = None, priority: str | None = None
    ) -> _wire.Lease:
        """Has these components instead, all or none, under the same lease.

        When it is refused, ``members["lease_kept"]`` of the exception says whether the lease is as it was.
        """
        request = _routes.exchange(self._check(), _routes.names(components), deadline, priority)
        answer: _wire.Lease = self._client._ask(request)
        self._lease = answer
        return answer

    def call(
        self, request: str | Mapping[str, Any], *, component: str | None = None, deadline: float | None = None
    ) -> Any:
        """Passes a text or an object to a component of the lease (named where it has several); returns the answer."""
        answer: _wire.Answered = self._client._ask(self._call(request, component, deadline))
        return answer["answer"]

    def feedback(self, used: Iterable[str]) -> None:
        """Reports the components that the command really used, and ends the lease."""
        self._client._ask(_routes.feedback(used, None, self._check()))
        self._is_over = True
        self._end(None)
