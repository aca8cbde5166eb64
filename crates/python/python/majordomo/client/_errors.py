"""What can go wrong, with the codes of the interface.

Owns the classes and which code has which class. The text of an error of the server is the server's own.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_REFUSALS = (
    "overloaded shutting_down too_large conflict conflict_within backing_off quarantined stuck load_failed "
    "unloaded pressure removed reentrant_acquire wrong_type in_use cannot_trim trim_failed cannot_park park_failed "
    "blocked own_leases abandoned too_many_leases"
).split()
_LEASES = "unknown_lease lease_ended lease_revoked exchange_under_way no_outcome".split()
_CALLS = (
    "not_callable call_failed call_ended call_deadline_exceeded call_queue_full call_too_large answer_too_large "
    "answer_dropped"
).split()
_REQUESTS = (
    "bad_request bad_json bad_value body_too_large uri_too_long head_too_large unsupported_encoding body_timeout "
    "unknown_route unknown_version method_not_allowed version_mismatch unauthorized host_forbidden origin_forbidden "
    "not_ready bad_configuration no_file too_many_streams too_many_connections request_timeout internal"
).split()

CODES: frozenset[str] = frozenset(
    ["unknown_component", "deadline_exceeded", *_REFUSALS, *_LEASES, *_CALLS, *_REQUESTS]
)
"""Every code of a server of this version. A newer server may send others: they are kept as they are."""


class Error(Exception):
    """Anything that this client raises about a server, its answers, or its own use.

    ``code`` is a stable word: for a :class:`Problem` the server's, for the other classes their own.
    """

    code: str = "error"


class ConnectError(Error, ConnectionError):
    """No server can be reached: ``not_running``, ``crowded`` (its queue is full: try again), or ``untrusted``.

    Nothing was sent.
    """

    def __init__(self, message: str, code: str = "not_running") -> None:
        super().__init__(message)
        self.code = code


class ConnectionBroken(Error, ConnectionError):
    """The connection broke while an answer was awaited. The server may have carried out the request."""

    code = "connection_broken"


class Timeout(Error, TimeoutError):
    """The server did not answer within the client's own ``timeout``. It may have carried out the request."""

    code = "timeout"


class BadAnswer(Error):
    """The answer is not one of a Majordomo server that this client knows."""

    code = "bad_answer"


class VersionMismatch(Error):
    """Server and client are of versions that do not understand each other; the message names both."""

    code = "version_mismatch"


class Closed(Error):
    """A client, a lease or a stream is used after it was closed or released."""

    code = "closed"


class Problem(Error):
    """An error or a refusal of the server (RFC 9457).

    ``code`` is one of :data:`CODES` (or newer), ``status`` the HTTP status, ``retry_after`` the seconds after
    which the same request may succeed (None: it would fail again), and ``members`` everything that the server sent:
    ``holders``, ``missing``, ``did_you_mean`` and others, those that this client does not know included.
    """

    def __init__(self, members: Mapping[str, Any]) -> None:
        super().__init__(members["detail"])
        self.members: dict[str, Any] = dict(members)
        self.code = members["code"]
        self.status: int = members["status"]
        self.title: str = members.get("title", "")
        self.detail: str = members["detail"]
        after = members.get("retry_after_s")
        self.retry_after: float | None = None if after is None else float(after)

    def __reduce__(self) -> tuple[type[Problem], tuple[dict[str, Any]]]:
        return type(self), (self.members,)


class Refused(Problem):
    """A demand or a change of a component was refused; nothing was leased."""


class UnknownComponent(Refused):
    """No component has this name (``unknown_component``)."""


class DeadlineExceeded(Refused, TimeoutError):
    """The deadline of the demand passed (``deadline_exceeded``); the load continues."""


class LeaseLost(Problem):
    """The lease has ended, is revoked, is unknown, or is not in a state for this."""


class CallFailed(Problem):
    """A component did not answer a call."""


def problem(members: Mapping[str, Any]) -> Problem:
    """The exception for a problem of the server, with the class of its code."""
    return _CLASSES.get(members["code"], Problem)(members)


_CLASSES: dict[str, type[Problem]] = {
    "unknown_component": UnknownComponent,
    "deadline_exceeded": DeadlineExceeded,
    **dict.fromkeys(_REFUSALS, Refused),
    **dict.fromkeys(_LEASES, LeaseLost),
    **dict.fromkeys(_CALLS, CallFailed),
}
