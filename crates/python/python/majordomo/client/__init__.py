"""A client of a running ``majordomo serve``: leases, commands, status and events over its socket.

:class:`Client` waits in the calling thread, :class:`AsyncClient` in an event loop of :mod:`asyncio`. Both have the same
methods. Answers are dictionaries with declared members (:mod:`majordomo.client.types`); members that a newer server adds
are kept in them, unread. Errors have the codes of the interface (:data:`CODES`).

>>> from majordomo.client import Client
>>> with Client() as client:
...     with client.acquire("clock") as lease:
...         lease.call("what time is it")
'it is ...'

Importing this module imports neither :mod:`socket` nor :mod:`asyncio`; the first use does.
"""

from __future__ import annotations

from ._errors import (
    CODES,
    BadAnswer,
    CallFailed,
    Closed,
    ConnectError,
    ConnectionBroken,
    DeadlineExceeded,
    Error,
    LeaseLost,
    Problem,
    Refused,
    Timeout,
    UnknownComponent,
    VersionMismatch,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._aio import AsyncClient as AsyncClient
    from ._aio_streams import AsyncEventStream as AsyncEventStream
    from ._aio_lease import AsyncLease as AsyncLease
    from ._aio_streams import AsyncLogStream as AsyncLogStream
    from ._lease import Lease as Lease
    from ._streams import EventStream as EventStream
    from ._streams import LogStream as LogStream
    from ._sync import Client as Client

__all__ = [
    "CODES",
    "AsyncClient",
    "AsyncEventStream",
    "AsyncLease",
    "AsyncLogStream",
    "BadAnswer",
    "CallFailed",
    "Client",
    "Closed",
    "ConnectError",
    "ConnectionBroken",
    "DeadlineExceeded",
    "Error",
    "EventStream",
    "Lease",
    "LeaseLost",
    "LogStream",
    "Problem",
    "Refused",
    "Timeout",
    "UnknownComponent",
    "VersionMismatch",
]

_HOMES = {
    "AsyncClient": "_aio",
    "AsyncEventStream": "_aio_streams",
    "AsyncLease": "_aio_lease",
    "AsyncLogStream": "_aio_streams",
    "Client": "_sync",
    "EventStream": "_streams",
    "Lease": "_lease",
    "LogStream": "_streams",
}

for _error in [value for value in globals().values() if isinstance(value, type) and issubclass(value, Error)]:
    _error.__module__ = __name__


def __getattr__(name: str) -> object:
    from importlib import import_module

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
