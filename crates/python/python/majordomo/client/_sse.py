"""Server-sent events as bytes. Knows no socket and no event of the interface."""

from __future__ import annotations

from ._http import Malformed

LARGEST_FRAME = 16 << 20
"""Bytes of one frame. The server's largest are lines of logs."""


class FrameReader:
    """Splits a stream into frames."""

    __slots__ = ("_buffer", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[tuple[str | None, str, str]]:
        """Takes bytes as they come; returns the complete frames: id, event and data. Comments are left out."""
        buffer = self._buffer
        buffer += data
        frames: list[tuple[str | None, str, str]] = []
        while True:
            end = buffer.find(b"\n\n", self._searched)
            if end < 0:
                self._searched = max(len(buffer) - 1, 0)
                break
            frame = bytes(buffer[:end])
            del buffer[: end + 2]
            self._searched = 0
            read = _frame(frame)
            if read is not None:
                frames.append(read)
        if len(buffer) > LARGEST_FRAME:
            raise Malformed(f"an event has more than {LARGEST_FRAME} bytes")
        return frames


def _frame(frame: bytes) -> tuple[str | None, str, str] | None:
    try:
        text = frame.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("an event is not UTF-8") from None
    number: str | None = None
    event, data = "message", []
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ").removesuffix("\r")
        if name == "id":
            # It is sent back in a header.
            if not (value.isascii() and value.isprintable() and len(value) <= 256):
                raise Malformed("the id of an event is no plain text")
            number = value
        elif name == "event":
            event = value
        elif name == "data":
            data.append(value)
    return (number, event, "\n".join(data)) if data else None
