"""Servers for the tests: the real program, and one that answers from a script."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIGS = Path(__file__).parent / "configs"
ROOT = Path(__file__).parents[3]
VERSION = "0.1.0"


def program() -> str:
    """The program `majordomo` under test."""
    stated = os.environ.get("MAJORDOMO_PROGRAM")
    if not stated:
        raise SystemExit("error: MAJORDOMO_PROGRAM does not name the program; run: cargo xtask test python")
    return stated


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Waits for something that has to become true; a minute is given to a busy machine."""
    until = time.monotonic() + 60
    while not holds():
        if time.monotonic() > until:
            raise AssertionError(f"after a minute: not {what}")
        time.sleep(0.01)


class Served:
    """A running `majordomo serve` with a folder of its own."""

    def __init__(self, config: str, *arguments: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="majordomo-python-"))
        self.config = config
        self.arguments = arguments
        self.socket = str(self.folder / "s.sock")
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        shutil.copytree(CONFIGS, self.folder / "configs", dirs_exist_ok=True)
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            [program(), "serve", self.config, "--socket", self.socket, "--state-dir", str(self.folder / "state"), *self.arguments],
            cwd=self.folder / "configs",
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually(self._listens, "listening: " + self.said())
        except BaseException:
            self.close()
            raise

    def said(self) -> str:
        """What it printed."""
        return (self.folder / "log").read_text(errors="replace")

    def _listens(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError("it ended: " + self.said())
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.socket) == 0

    def stop(self) -> None:
        """Stops it, and waits for its end."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def close(self) -> None:
        """Stops it and removes its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def answer(body: bytes | str, status: int = 200, *headers: str, version: str | None = VERSION) -> bytes:
    """The bytes of an answer with a content-length."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} It", *headers, f"content-length: {len(content)}"]
    if version is not None:
        lines.append(f"majordomo-version: {version}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def stream(*frames: str, end: bool = False) -> bytes:
    """The bytes of a stream of events that stays open, or ends."""
    chunks = "".join(f"{len(frame.encode()):x}\r\n{frame}\r\n" for frame in frames) + ("0\r\n\r\n" if end else "")
    head = f"HTTP/1.1 200 OK\r\nmajordomo-version: {VERSION}\r\ncontent-type: text/event-stream\r\n"
    return (head + "transfer-encoding: chunked\r\n\r\n" + chunks).encode()


def event(seq: int, **members: object) -> str:
    """A frame with an event."""
    import json

    data = {"seq": seq, "at_ms": 1.5, "time": 1, "event": "state", "text": f"number {seq}", **members}
    return f"id: b-{seq}\nevent: state\ndata: {json.dumps(data)}\n\n"


class Scripted:
    """Answers its connections one after the other, each with the next script; then no longer listens.

    A script is a list of answers, one for each request; after the last the connection is closed. None never answers.
    """

    def __init__(self, *scripts: list[bytes | None]) -> None:
        self.folder = tempfile.mkdtemp(prefix="majordomo-python-")
        self.path = os.path.join(self.folder, "s")
        self.requests: list[bytes] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._serve, args=(list(scripts),), daemon=True)
        self.thread.start()

    def _serve(self, scripts: list[list[bytes | None]]) -> None:
        for script in scripts:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                try:
                    self._follow(connection, script)
                except OSError:
                    pass
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _follow(self, connection: socket.socket, script: list[bytes | None]) -> None:
        for content in script:
            request = b""
            while b"\r\n\r\n" not in request:
                part = connection.recv(1 << 16)
                if not part:
                    return
                request += part
            self.requests.append(request)
            if content is None:
                # Until the client ends the connection.
                while connection.recv(1 << 16):
                    pass
                self.ended.set()
                return
            connection.sendall(content)

    def close(self) -> None:
        """Ends it."""
        try:
            # Wakes the thread that waits for a connection.
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join(60)
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def scripted(*scripts: list[bytes | None]) -> Iterator[Scripted]:
    """A scripted server for a block."""
    server = Scripted(*scripts)
    try:
        yield server
    finally:
        server.close()
