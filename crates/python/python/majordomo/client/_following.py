"""What the streams of both clients share: where a stream continues, and what its frames mean."""

from __future__ import annotations

import time

from . import _routes
from ._errors import BadAnswer, Closed, ConnectError, Problem, VersionMismatch
from ._http import Malformed
from ._session import Exchange, Session
from ._sse import FrameReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SILENCE = 60.0
"""Seconds: the server sends a comment every 15, so a stream that is silent for longer is broken."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


class Following:
    """One stream of events or lines: the state that outlives its connections."""

    def __init__(self, session: Session, path: str, item: str, start: int | None, **members: bool) -> None:
        if start is not None and start < 0:
            raise ValueError(f"start is {start}; it is a number from 0 on")
        self.session = session
        self._path = path
        self._item = item
        self._start = start
        self._members = members
        self._last_id: str | None = None
        self._frames = FrameReader()
        self._was_open = False

    def request(self) -> Exchange:
        """The request that opens the stream, after the last event where there was one."""
        headers = [] if self._last_id is None else [("last-event-id", self._last_id)]
        start = self._start if self._last_id is None else None
        request = _routes.get(_routes.query(self._path, from_=start, **self._members), "object")
        return Exchange(self.session.bytes_of(request, headers))

    def refusal(self, exchange: Exchange) -> None:
        """Raises what the server reports instead of a stream, once that is complete."""
        self.session.value(_routes.get(self._path, "object"), exchange)
        raise self.session.unreadable("it is no stream of events")

    def is_stream(self, exchange: Exchange) -> bool:
        """Whether the head of the answer is that of a stream."""
        self.session.check_head(exchange.reader)
        kind = exchange.reader.headers.get("content-type", "")
        return exchange.reader.status == 200 and kind.split(";")[0].strip() == "text/event-stream"

    def opened(self) -> list[Any]:
        """The stream is open; the gap where it is not known what was lost before."""
        is_lost = self._was_open and self._last_id is None and self._start is None
        self._was_open = True
        self._frames = FrameReader()
        text = "the stream broke before its first event; later ones may be lost"
        return [{"event": "gap", "missed": None, "text": text}] if is_lost else []

    def items(self, data: bytes) -> list[Any]:
        """The events of the stream's bytes."""
        from ._check import check, decode

        items = []
        try:
            for number, event, text in self._frames.feed(data):
                value = decode(text.encode())
                if event == "gap":
                    items.append(check("Gap", {**value, "event": "gap"} if isinstance(value, dict) else value))
                else:
                    items.append(check(self._item, value))
                if number is not None:
                    self._last_id = number
        except Malformed as error:
            raise self.session.unreadable(str(error)) from None
        return items


class Retry:
    """How long to go on when the server cannot be reached."""

    def __init__(self, patience: float) -> None:
        self._until = time.monotonic() + patience
        self._pause = _FIRST_PAUSE
        self._is_patient = patience > 0

    def pause(self, error: BaseException) -> float:
        """Seconds before the next try. Raises the error where another try is of no use."""
        is_lasting = isinstance(error, (BadAnswer, Closed, VersionMismatch)) or (
            isinstance(error, ConnectError) and error.code == "untrusted"
        )
        pause = self._pause
        if isinstance(error, Problem):
            is_lasting = error.retry_after is None
            pause = max(pause, error.retry_after or 0.0)
        if is_lasting or not self._is_patient or time.monotonic() + pause > self._until:
            raise error
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return pause
