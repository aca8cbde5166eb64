"""What both clients share: the connections that wait for use, requests as bytes, and answers as values or errors.

Knows no event loop and waits for nothing: the clients move the bytes. A connection belongs to one exchange, one lease or
one stream at a time; all others are idle, and any thread and any event loop may take one.
"""

from __future__ import annotations

import os

from . import _http
from ._address import Address, check_peer, not_running
from ._errors import BadAnswer, Closed, ConnectError, ConnectionBroken, Error, Timeout, VersionMismatch, problem
from ._http import AnswerReader, Malformed
from .._version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import weakref
    from typing import Any

    from ._routes import Request

LARGEST_ANSWER = 256 << 20
"""Bytes of an answer; the client of the Rust library has the same bound."""
PART = 1 << 16
_MAX_IDLE = 8
_PROBLEM = "application/problem+json"


class Connection:
    """A connected socket. Each use sets its timeout, since threads and event loops may take turns."""

    __slots__ = ("__weakref__", "is_reused", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.is_reused = False

    def is_quiet(self) -> bool:
        """Whether it is open and nothing unexpected came on it."""
        import socket

        try:
            self.sock.setblocking(False)
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False


class Exchange:
    """A request out and its answer in, as bytes."""

    __slots__ = ("_body", "_n_bytes", "outgoing", "reader")

    def __init__(self, outgoing: bytes) -> None:
        self.outgoing = outgoing
        self.reader = AnswerReader()
        self._body: list[bytes] = []
        self._n_bytes = 0

    def feed(self, data: bytes) -> None:
        """Takes what was received; nothing at the end of the connection. Raises :class:`Malformed`."""
        if not data:
            self.reader.end()
            return
        part = self.reader.feed(data)
        self._n_bytes += len(part)
        if self._n_bytes > LARGEST_ANSWER:
            raise Malformed(f"it has more than {LARGEST_ANSWER} bytes")
        if part:
            self._body.append(part)

    def body(self) -> bytes:
        """The bytes of the body so far, each time those that are new."""
        body, self._body = b"".join(self._body), []
        return body


_pools: weakref.WeakSet[Pool] | None = None


def _after_fork() -> None:
    for pool in list(_pools or ()):
        pool.abandon()


class Pool:
    """The connections of a client."""

    def __init__(self, address: Address) -> None:
        global _pools
        import threading
        import weakref

        self.address = address
        self.is_closed = False
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        # Weak: a lease or a stream that is dropped without being closed ends.
        self._taken: weakref.WeakSet[Connection] = weakref.WeakSet()
        if _pools is None:
            _pools = weakref.WeakSet()
            os.register_at_fork(after_in_child=_after_fork)
        _pools.add(self)

    def abandon(self) -> None:
        """In a forked child: the connections are the parent's. Closing these copies ends none of them."""
        import threading

        self._lock = threading.Lock()
        for connection in [*self._idle, *self._taken]:
            connection.sock.close()
        self._idle, self.pid = [], os.getpid()
        self._taken.clear()

    def idle(self) -> Connection | None:
        """An idle connection that is still open, if there is one."""
        while True:
            with self._lock:
                self.check_open()
                if not self._idle:
                    return None
                connection = self._idle.pop()
                self._taken.add(connection)
            if connection.is_quiet():
                connection.is_reused = True
                return connection
            self.drop(connection)

    def check_open(self) -> None:
        """Raises where the client is closed."""
        if self.is_closed:
            raise Closed("the client is closed; make a new one")

    def unix(self) -> Connection:
        """A new connection to the Unix socket: made or refused at once, without a wait."""
        import socket

        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            assert self.address.path is not None
            sock.connect(self.address.path)
            return self.added(sock)
        except BlockingIOError:
            sock.close()
            raise ConnectError(
                f"so many clients wait at {self.address} that the system lets no more queue up; try again in a moment",
                "crowded",
            ) from None
        except OSError as error:
            sock.close()
            raise error if isinstance(error, Error) else not_running(self.address, error) from None
        except BaseException:
            sock.close()
            raise

    def tcp_socket(self) -> socket.socket:
        """A socket that is to be connected to the TCP address."""
        import socket

        sock = socket.socket(socket.AF_INET6 if ":" in self.address.host else socket.AF_INET)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        return sock

    def added(self, sock: socket.socket) -> Connection:
        """A connected socket as one of this pool."""
        check_peer(self.address, sock)
        connection = Connection(sock)
        with self._lock:
            self.check_open()
            self._taken.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """It may be used for another exchange."""
        with self._lock:
            self._taken.discard(connection)
            if not self.is_closed and len(self._idle) < _MAX_IDLE and connection.sock.fileno() >= 0:
                self._idle.append(connection)
                return
        connection.sock.close()

    def drop(self, connection: Connection) -> None:
        """Closes it, which ends what the server does for it."""
        with self._lock:
            self._taken.discard(connection)
        connection.sock.close()

    def close(self) -> None:
        """Ends all connections; what waits on one ends with :class:`Closed`."""
        import socket

        with self._lock:
            self.is_closed = True
            idle, taken = self._idle, list(self._taken)
            self._idle = []
        for connection in idle:
            connection.sock.close()
        for connection in taken:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Session:
    """The part of a client that waits for nothing."""

    def __init__(self, address: Address, timeout: float | None, tag: str | None) -> None:
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout is {timeout!r}; it is a number of seconds above 0, or None for no limit")
        self.address = address
        self.timeout = timeout
        self.tag = tag
        self.pool = Pool(address)

    def bytes_of(self, request: Request, headers: list[tuple[str, str]] | None = None) -> bytes:
        """The request as it is sent."""
        all_headers = [("accept", "application/json"), ("majordomo-version", VERSION)]
        if self.address.token is not None:
            all_headers.append(("authorization", f"Bearer {self.address.token}"))
        return _http.request(request.method, request.path, all_headers + (headers or []), request.body)

    def patience(self, request: Request) -> float | None:
        """Seconds within which the answer has to be there; None for a request that waits as long as the server does."""
        if not request.waits or self.timeout is None:
            return self.timeout
        return None if request.deadline is None else request.deadline + self.timeout

    def check_head(self, reader: AnswerReader) -> None:
        """The other side is a Majordomo of a version that this one understands."""
        server = reader.headers.get("majordomo-version")
        if server is None:
            # For want of room the server answers before it knows more.
            if reader.status != 503:
                raise self.unreadable("it states no version: is it no Majordomo?")
        elif _significant(server) != _significant(VERSION):
            raise VersionMismatch(
                f"the server at {self.address} is version {server[:40]}, this package is {VERSION}; install the package "
                "that belongs to the server, or restart the server with the version of this package"
            )

    def value(self, request: Request, exchange: Exchange) -> Any:
        """What was answered; raises what the server reports."""
        reader, body = exchange.reader, exchange.body()
        self.check_head(reader)
        from ._check import check, decode

        try:
            if reader.status < 300:
                return None if request.answer is None else check(request.answer, decode(body))
            raise problem(check("ProblemMembers", decode(body)))
        except Malformed as error:
            raise self.unreadable(f"status {reader.status}: {error}") from None

    def unreadable(self, why: str) -> BadAnswer:
        """The error for an answer that this client does not know."""
        return BadAnswer(f"the server at {self.address} gave an answer that cannot be read: {why}")

    def failure(self, error: BaseException, exchange: Exchange | None = None) -> BaseException:
        """The error that a caller gets for one that ended an exchange."""
        if isinstance(error, Error) or not isinstance(error, (OSError, Malformed)):
            return error
        if self.pool.is_closed:
            return Closed("the client was closed while it waited for an answer")
        if isinstance(error, Malformed):
            if exchange is not None and not exchange.reader.has_head and str(error).startswith("the connection ended"):
                return self.broken("the server closed it before it answered")
            return self.unreadable(str(error))
        if isinstance(error, TimeoutError):
            return Timeout(f"the server at {self.address} did not answer within the client's timeout")
        return self.broken(error.strerror or str(error))

    def broken(self, why: str) -> ConnectionBroken:
        """The error for a connection that ended."""
        return ConnectionBroken(f"the connection to the server at {self.address} broke: {why}")


def _significant(version: str) -> list[str]:
    parts = version.split(".")
    return parts[: 2 if parts[0] == "0" else 1]
