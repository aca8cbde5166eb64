"""Where a server listens, and the checks of who listens there.

The socket is found as the program ``majordomo`` finds it. Invariant: nothing is sent to a Unix socket of another user
than this one or root, and a token only to a loopback address.
"""

from __future__ import annotations

import os
import stat
import sys

from ._errors import ConnectError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

_SHORTEST_TOKEN, _LONGEST_TOKEN, _LONGEST_FILE = 16, 1024, 64 << 10


class Address:
    """A Unix socket, or a TCP address with its token. The token is never printed."""

    __slots__ = ("host", "path", "port", "token")

    def __init__(self, path: str | None, host: str, port: int, token: str | None) -> None:
        self.path = path
        self.host = host
        self.port = port
        self.token = token

    def __str__(self) -> str:
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"


def resolve(
    path: str | os.PathLike[str] | None,
    tcp: str | None,
    token: str | None,
    token_file: str | os.PathLike[str] | None,
) -> Address:
    """The address that the arguments of a client name. Raises ``ValueError`` with the way out."""
    if tcp is None:
        if token is not None or token_file is not None:
            raise ValueError("a token is for tcp=HOST:PORT; the Unix socket takes none")
        return Address(os.fspath(path) if path is not None else default_socket(), "", 0, None)
    if path is not None:
        raise ValueError("either socket or tcp, not both")
    if (token is None) == (token_file is None):
        raise ValueError("tcp needs token or token_file: the server answers no request over TCP without its token")
    host, port = _host_and_port(tcp)
    return Address(None, host, port, _checked_token(token) if token is not None else _read_token(token_file))


def default_socket() -> str:
    """The socket at which a server listens by default, or ``$MAJORDOMO_SOCKET``."""
    stated = os.environ.get("MAJORDOMO_SOCKET")
    if stated:
        return stated
    user = os.geteuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if not os.path.isabs(runtime):
        runtime = f"/run/user/{user}"
        try:
            found = os.stat(runtime)
            is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077
        except OSError:
            is_own = False
        if not is_own:
            temporary = os.environ.get("TMPDIR", "")
            folder = temporary if os.path.isabs(temporary) else "/tmp"
            return os.path.join(folder, f"majordomo-{user}", "majordomo.sock")
    return os.path.join(runtime, "majordomo", "majordomo.sock")


def _host_and_port(tcp: str) -> tuple[str, int]:
    import ipaddress

    host, colon, port = tcp.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ValueError(f"tcp={tcp!r} is not of the form 127.0.0.1:7420")
    host = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(
            f"tcp={tcp!r} is not a loopback address: the token would cross the network in the clear; forward a local "
            "port to the server (ssh -L, or a proxy with TLS)"
        )
    return host, int(port)


def _checked_token(text: str) -> str:
    text = text.strip()
    if not _SHORTEST_TOKEN <= len(text) <= _LONGEST_TOKEN or not all("!" <= char <= "~" for char in text):
        raise ValueError(
            f"a token has {_SHORTEST_TOKEN} to {_LONGEST_TOKEN} visible ASCII characters and no spaces; make one with "
            "`openssl rand -hex 32`"
        )
    return text


def _read_token(file: str | os.PathLike[str] | None) -> str:
    assert file is not None
    with open(file, "rb") as opened:
        found = os.fstat(opened.fileno())
        if found.st_mode & 0o077 or found.st_uid not in (0, os.geteuid()):
            raise ValueError(
                f"the token file {os.fspath(file)!r} may be read or changed by other users; run: chmod 600 FILE"
            )
        content = opened.read(_LONGEST_FILE + 1)
    try:
        return _checked_token(content.decode("ascii"))
    except UnicodeDecodeError:
        # Its bytes are the secret, so they are not shown.
        raise ValueError(f"the token file {os.fspath(file)!r} is not ASCII text") from None


def not_running(address: Address, error: OSError) -> ConnectError:
    """The error for a connection that the system refused."""
    why = error.strerror or str(error)
    if address.path is not None:
        try:
            mode = os.stat(address.path).st_mode
            if stat.S_ISDIR(mode):
                why = "it is a directory, not a socket"
            elif not stat.S_ISSOCK(mode):
                why = "it is a file, not a socket"
        except (OSError, ValueError):
            pass
    return ConnectError(f"no server listens at {address} ({why}); start one with `majordomo serve CONFIG`")


def check_peer(address: Address, sock: socket.socket) -> None:
    """The user who listens at a Unix socket, as the system reports it, is this one or root."""
    if address.path is None:
        return
    import socket
    import struct

    try:
        if sys.platform == "linux":
            peer: int = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        else:
            # SOL_LOCAL and LOCAL_PEERCRED of macOS: a version, then the user.
            peer = struct.unpack_from("=II", sock.getsockopt(0, 1, 76))[1]
    except (OSError, struct.error) as error:
        raise ConnectError(f"the socket {address} is not trusted: who listens is unknown: {error}", "untrusted") from None
    user = os.geteuid()
    if peer not in (0, user):
        raise ConnectError(
            f"the socket {address} is not trusted: user {peer} listens there, and user {user} runs this; run this as "
            f"user {peer}, or choose another socket",
            "untrusted",
        )
