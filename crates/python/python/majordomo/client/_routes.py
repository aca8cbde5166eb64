"""The routes of the interface as requests: method, path, body, and the type of the answer.

Owns the names of members and the units: callers give seconds, the interface takes milliseconds. Members that mean
"the server's default" are left out. Ranges are the server's to judge: it names the value and the range.
"""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


class Request:
    """One request. ``answer`` names its type, None for an empty one; ``waits`` is true for one without a bound but
    ``deadline`` (seconds)."""

    __slots__ = ("answer", "body", "deadline", "method", "path", "waits")

    def __init__(
        self,
        method: str,
        path: str,
        answer: str | None,
        body: Mapping[str, Any] | None = None,
        *,
        waits: bool = False,
        deadline: float | None = None,
    ) -> None:
        import json

        self.method = method
        self.path = path
        self.answer = answer
        self.body = b""
        if body is not None:
            given = {name: value for name, value in body.items() if value is not None}
            self.body = json.dumps(given, allow_nan=False, separators=(",", ":")).encode()
        self.waits = waits
        self.deadline = deadline


def get(path: str, answer: str) -> Request:
    """A question that changes nothing."""
    return Request("GET", path, answer)


def part(name: str) -> str:
    """A name as one part of a path."""
    if not isinstance(name, str):
        raise TypeError(f"a name is a text, not {name!r}")
    safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
    out = "".join(chr(b) if chr(b) in safe else f"%{b:02X}" for b in name.encode("utf-8", "surrogatepass"))
    # An empty part, `.` or `..` would be another path.
    return out if out.strip(".") else f"%20{out}"


def milliseconds(seconds: float | None, name: str) -> int | None:
    """A span as the interface has it."""
    if seconds is None:
        return None
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"{name} is {seconds!r}; it is a number of seconds above 0")
    return max(1, round(seconds * 1000))


def names(components: tuple[str | Iterable[str], ...]) -> list[str]:
    """Components as the caller named them: one by one, or as one list."""
    listed: list[str] = []
    for item in components:
        listed += [item] if isinstance(item, str) else list(item)
    return listed


def component(name: str, verb: str = "", answer: str = "Component") -> Request:
    """A question about a component."""
    return get(f"/v1/components/{part(name)}{verb}", answer)


def change(name: str, verb: str, body: Mapping[str, Any] | None = None) -> Request:
    """A change of a component, which waits until it is done."""
    return Request("POST", f"/v1/components/{part(name)}/{verb}", "Component", body, waits=True)


def query(path: str, **members: int | str | bool | None) -> str:
    """A path with those members that are not None; texts are escaped."""
    given = [
        f"{name.rstrip('_')}={str(value).lower() if isinstance(value, bool) else part(str(value))}"
        for name, value in members.items()
        if value is not None
    ]
    return f"{path}?{'&'.join(given)}" if given else path


def terms(bind: str, ttl: float | None, tag: str | None) -> dict[str, Any]:
    """How a lease is held."""
    return {key: value for key, value in
            (("ttl_ms", milliseconds(ttl, "ttl")), ("bind", bind), ("tag", tag)) if value is not None}


def lease(
    components: list[str], held: dict[str, Any], deadline: float | None, priority: str | None
) -> Request:
    """``POST /v1/leases``."""
    body = {"components": components, **held, "deadline_ms": milliseconds(deadline, "deadline"), "priority": priority}
    return Request("POST", "/v1/leases", "Lease", body, waits=True, deadline=deadline)


def exchange(lease_id: str, components: list[str], deadline: float | None, priority: str | None) -> Request:
    """``POST /v1/leases/{id}/exchange``."""
    body = {"components": components, "deadline_ms": milliseconds(deadline, "deadline"), "priority": priority}
    return Request("POST", f"/v1/leases/{part(lease_id)}/exchange", "Lease", body, waits=True, deadline=deadline)


def renew(lease_id: str, ttl: float | None) -> Request:
    """``POST /v1/leases/{id}/renew``."""
    return Request("POST", f"/v1/leases/{part(lease_id)}/renew", "Lease", {"ttl_ms": milliseconds(ttl, "ttl")})


def one_lease(lease_id: str) -> Request:
    """``GET /v1/leases/{id}``."""
    return get(f"/v1/leases/{part(lease_id)}", "Lease")


def release(lease_id: str) -> Request:
    """``DELETE /v1/leases/{id}``."""
    return Request("DELETE", f"/v1/leases/{part(lease_id)}", None)


def command(text: str, held: dict[str, Any] | None, deadline: float | None, priority: str | None) -> Request:
    """``POST /v1/commands``."""
    body = {"text": text, "lease": held, "deadline_ms": milliseconds(deadline, "deadline"), "priority": priority}
    return Request("POST", "/v1/commands", "CommandOutcome", body, waits=True, deadline=deadline)


def call(
    path: str, request: str | Mapping[str, Any], deadline: float | None, **members: str | None
) -> Request:
    """A call of a component, by name or of a lease."""
    key = "text" if isinstance(request, str) else "object"
    body = {key: request, "deadline_ms": milliseconds(deadline, "deadline"), **members}
    return Request("POST", path, "Answered", body, waits=True, deadline=deadline)


def plan(text: str | None, components: Iterable[str] | None) -> Request:
    """``POST /v1/plan``."""
    listed = None if components is None else names((components,))
    return Request("POST", "/v1/plan", "Plan", {"text": text, "components": listed})


def hint(name: str, confidence: float | None, tier: str | None) -> Request:
    """``POST /v1/hints``."""
    return Request("POST", "/v1/hints", "Accepted", {"component": name, "confidence": confidence, "tier": tier})


def feedback(used: Iterable[str], text: str | None, lease_id: str | None) -> Request:
    """``POST /v1/feedback``."""
    return Request("POST", "/v1/feedback", "Accepted", {"text": text, "lease": lease_id, "used": names((used,))})
