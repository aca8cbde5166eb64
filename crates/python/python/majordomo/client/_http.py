"""HTTP/1.1 as bytes: a request written, an answer read part by part. Knows no socket and no route.

Invariant: whatever bytes come, reading them ends with an answer or with :class:`Malformed`, and never holds more than
:data:`LARGEST_HEAD` beside the body's bytes that are handed out.
"""

from __future__ import annotations

LARGEST_HEAD = 64 << 10
"""Bytes of a head, of the line of a chunk and of trailers."""


class Malformed(ValueError):
    """Bytes that are no answer."""


def request(method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """The bytes of a request; ``path`` and the headers are ASCII without line ends."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    elif method == "POST":
        lines.append("content-length: 0")
    text = "\r\n".join(lines) + "\r\n\r\n"
    return text.encode("ascii") + body


_HEAD, _LENGTH, _SIZE, _CHUNK, _CHUNK_END, _TRAILERS, _UNTIL_CLOSE, _DONE = range(8)


class AnswerReader:
    """Reads one answer. ``status`` and ``headers`` (names in lower case) are there once ``has_head`` is true."""

    __slots__ = ("_buffer", "_left", "_step", "_trailers", "headers", "keeps_alive", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.keeps_alive = False
        self._buffer = bytearray()
        self._step = _HEAD
        self._left = 0
        self._trailers = 0

    @property
    def has_head(self) -> bool:
        """Whether status and headers are known."""
        return self._step != _HEAD

    @property
    def is_done(self) -> bool:
        """Whether the answer is complete."""
        return self._step == _DONE

    def end(self) -> None:
        """The connection has ended. Raises where the answer is not complete."""
        if self._step == _UNTIL_CLOSE:
            self._step = _DONE
        elif self._step == _HEAD and not self._buffer:
            raise Malformed("the connection ended before an answer")
        elif self._step != _DONE:
            raise Malformed("the answer is cut off")

    def feed(self, data: bytes) -> bytes:
        """Takes bytes as they come; returns the bytes of the body among them."""
        self._buffer += data
        out: list[bytes] = []
        while self._advance(out):
            pass
        return out[0] if len(out) == 1 else b"".join(out)

    def _advance(self, out: list[bytes]) -> bool:
        """One step; false when more bytes are needed."""
        step, buffer = self._step, self._buffer
        if step == _HEAD:
            end = buffer.find(b"\r\n\r\n")
            if end > LARGEST_HEAD or (end < 0 and len(buffer) > LARGEST_HEAD):
                raise Malformed(f"its head has more than {LARGEST_HEAD} bytes")
            if end < 0:
                return False
            head = bytes(buffer[:end])
            del buffer[: end + 4]
            self._read_head(head)
            return True
        if step in (_LENGTH, _CHUNK):
            if self._left and not buffer:
                return False
            part = bytes(buffer[: self._left])
            del buffer[: self._left]
            self._left -= len(part)
            if part:
                out.append(part)
            if self._left == 0:
                self._step = _DONE if step == _LENGTH else _CHUNK_END
            return True
        if step == _UNTIL_CLOSE:
            if buffer:
                out.append(bytes(buffer))
                buffer.clear()
            return False
        if step == _DONE:
            if buffer:
                raise Malformed("more bytes came than its answer has")
            return False
        line = self._line()
        if line is None:
            return False
        if step == _CHUNK_END:
            if line:
                raise Malformed("a chunk of its body is longer than announced")
            self._step = _SIZE
        elif step == _SIZE:
            size = line.split(b";", 1)[0].strip()
            if not size or len(size) > 12 or size.strip(b"0123456789abcdefABCDEF"):
                raise Malformed("the size of a chunk of its body is no number")
            self._left = int(size, 16)
            self._step = _CHUNK if self._left else _TRAILERS
        elif not line:
            self._step = _DONE
        else:
            self._trailers += len(line)
            if self._trailers > LARGEST_HEAD:
                raise Malformed("its trailers are too long")
        return True

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end > LARGEST_HEAD or (end < 0 and len(self._buffer) > LARGEST_HEAD):
            raise Malformed("a line of its body's frame is too long")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        code = rest[:3]
        if version not in ("HTTP/1.1", "HTTP/1.0") or len(code) != 3 or not (code.isascii() and code.isdigit()):
            raise Malformed(f"its first line is {first[:80]!r}, which is no HTTP")
        self.status = int(code)
        if not 200 <= self.status <= 599:
            raise Malformed(f"its status is {self.status}")
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise Malformed(f"a line of its head is {line[:80]!r}")
            name, value = name.lower(), value.strip()
            if self.headers.get(name, value) != value and name in ("content-length", "transfer-encoding"):
                raise Malformed(f"it states {name} twice")
            self.headers[name] = value
        self.keeps_alive = version == "HTTP/1.1" and "close" not in self.headers.get("connection", "").lower()
        length, encoding = self.headers.get("content-length"), self.headers.get("transfer-encoding")
        if self.status in (204, 304):
            self._step = _DONE
        elif encoding is not None:
            if encoding.lower() != "chunked" or length is not None:
                raise Malformed("the length of its body is not clear")
            self._step = _SIZE
        elif length is not None:
            if not (length.isascii() and length.isdigit() and len(length) <= 18):
                raise Malformed(f"its content-length is {length[:40]!r}")
            self._left = int(length)
            self._step = _LENGTH
        else:
            self._step, self.keeps_alive = _UNTIL_CLOSE, False
