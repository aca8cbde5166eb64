"""Answers that no server of ours gives: each ends with an error that says what is wrong, in both clients."""

from __future__ import annotations

import asyncio
import unittest
from unittest import mock

from majordomo import client as majordomo
from majordomo.client import AsyncClient, Client, _following, _session, _sse
from support import VERSION, answer, event, scripted, stream

HEAD = f"HTTP/1.1 200 OK\r\nmajordomo-version: {VERSION}\r\n".encode()
STATUS = '{"status": "ok"}'
PROBLEM = '{"type": "urn:majordomo:problem:overloaded", "title": "t", "status": 503, "detail": "full", "code": "overloaded", "retry_after_s": 2}'

# What is sent for `GET /healthz`, the error, and words of its message.
CASES: list[tuple[str, bytes, type[Exception], str]] = [
    ("nothing", b"", majordomo.ConnectionBroken, "closed it before it answered"),
    ("half a head", b"HTTP/1.1 200 OK\r\nmajor", majordomo.BadAnswer, "cut off"),
    ("half a body", answer(STATUS)[:-3], majordomo.BadAnswer, "cut off"),
    ("half a chunk", HEAD + b"transfer-encoding: chunked\r\n\r\n10\r\n{", majordomo.BadAnswer, "cut off"),
    ("garbage", b"\x00\xff\x80garbage\r\n\r\n", majordomo.BadAnswer, "is no HTTP"),
    ("another protocol", b"SSH-2.0-OpenSSH\r\n\r\n", majordomo.BadAnswer, "is no HTTP"),
    ("a head without an end", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, majordomo.BadAnswer, "65536"),
    ("status 999", b"HTTP/1.1 999 X\r\n\r\n", majordomo.BadAnswer, "999"),
    ("status 100", b"HTTP/1.1 100 Continue\r\n\r\n", majordomo.BadAnswer, "100"),
    ("a header without a colon", b"HTTP/1.1 200 OK\r\nx\r\n\r\n", majordomo.BadAnswer, "line of its head"),
    ("a length that is no number", HEAD + b"content-length: -1\r\n\r\n", majordomo.BadAnswer, "content-length"),
    ("two lengths", HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n{}", majordomo.BadAnswer, "twice"),
    ("two ways to say the length", HEAD + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", majordomo.BadAnswer, "not clear"),
    ("a huge chunk", HEAD + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n", majordomo.BadAnswer, "chunk"),
    ("a chunk without a size", HEAD + b"transfer-encoding: chunked\r\n\r\n\r\n", majordomo.BadAnswer, "chunk"),
    ("more than the answer", answer(STATUS) + b"more", majordomo.BadAnswer, "more bytes"),
    ("no version", answer(STATUS, version=None), majordomo.BadAnswer, "states no version"),
    ("another version", answer(STATUS, version="7.0.0"), majordomo.VersionMismatch, "7.0.0"),
    ("no JSON", answer("<html>"), majordomo.BadAnswer, "no JSON"),
    ("empty", answer(""), majordomo.BadAnswer, "no JSON"),
    ("NaN", answer('{"status": NaN}'), majordomo.BadAnswer, "NaN"),
    ("a number of many digits", answer('{"status": ' + "9" * 9000 + "}"), majordomo.BadAnswer, "no JSON"),
    ("nested deeply", answer("[" * 200_000), majordomo.BadAnswer, "nested"),
    ("not UTF-8", answer(b'{"status": "\xff"}'), majordomo.BadAnswer, "UTF-8"),
    ("a list", answer("[]"), majordomo.BadAnswer, "`the answer` should be an object"),
    ("another type", answer('{"status": 7}'), majordomo.BadAnswer, "`status` should be a text, and is 7"),
    ("nothing of it", answer("{}"), majordomo.BadAnswer, "`status` is missing"),
    ("a problem", answer(PROBLEM, 503), majordomo.Refused, "full"),
    ("a problem for want of room", answer(PROBLEM, 503, version=None), majordomo.Refused, "full"),
    ("a problem that is none", answer('{"error": "x"}', 500), majordomo.BadAnswer, "status 500: `type` is missing"),
    ("a redirect", answer("", 302, "location: http://example.com/"), majordomo.BadAnswer, "status 302"),
]


class Hostile(unittest.TestCase):
    def test_each_answer_ends_with_its_error_in_a_thread(self) -> None:
        for name, content, kind, words in CASES:
            with self.subTest(name), scripted([content]) as server, Client(server.path, timeout=20) as client:
                with self.assertRaises(kind) as raised:
                    client.health()
                self.assertIn(words, str(raised.exception))
                self.assertEqual(len(client._session.pool._taken), 0)

    def test_each_answer_ends_with_its_error_in_an_event_loop(self) -> None:
        async def ask(path: str) -> None:
            async with AsyncClient(path, timeout=20) as client:
                try:
                    await client.health()
                finally:
                    self.assertEqual(len(client._session.pool._taken), 0)

        for name, content, kind, words in CASES:
            with self.subTest(name), scripted([content]) as server:
                with self.assertRaises(kind) as raised:
                    asyncio.run(ask(server.path))
                self.assertIn(words, str(raised.exception))

    def test_answer_that_comes_byte_by_byte_is_read(self) -> None:
        content = HEAD + b"transfer-encoding: chunked\r\n\r\n5;x=y\r\n{\"sta\r\nb\r\ntus\": \"ok\"}\r\n0\r\nx: y\r\n\r\n"
        reader = majordomo._http.AnswerReader()
        body = b"".join(reader.feed(content[i : i + 1]) for i in range(len(content)))
        self.assertEqual((body, reader.is_done, reader.keeps_alive), (STATUS.encode(), True, True))

    def test_body_without_a_length_ends_with_the_connection(self) -> None:
        with scripted([HEAD + b"\r\n" + STATUS.encode()]) as server, Client(server.path) as client:
            self.assertEqual(client.health(), {"status": "ok"})

    def test_answer_beyond_the_bound_is_not_read(self) -> None:
        with mock.patch.object(_session, "LARGEST_ANSWER", 1000):
            with scripted([answer("x" * 1001)]) as server, Client(server.path) as client:
                with self.assertRaisesRegex(majordomo.BadAnswer, "more than 1000 bytes"):
                    client.health()

    def test_unknown_members_and_codes_are_kept(self) -> None:
        newer = PROBLEM.replace("overloaded", "moon_phase").replace('"code"', '"moon": "full", "code"')
        with scripted([answer('{"status": "ok", "moon": 1}'), answer(newer, 503)]) as server, Client(server.path) as client:
            self.assertEqual(client.health().get("moon"), 1)
            with self.assertRaises(majordomo.Problem) as raised:
                client.health()
        problem = raised.exception
        self.assertIs(type(problem), majordomo.Problem)
        self.assertEqual((problem.code, problem.members["moon"], problem.retry_after), ("moon_phase", "full", 2.0))

    def test_silent_server_is_a_timeout_and_the_connection_ends(self) -> None:
        with scripted([None]) as server, Client(server.path, timeout=0.05) as client:
            with self.assertRaisesRegex(majordomo.Timeout, "did not answer"):
                client.status()
            self.assertTrue(server.ended.wait(60))

        async def ask(path: str) -> None:
            async with AsyncClient(path, timeout=0.05) as client:
                await client.status()

        with scripted([None]) as server:
            with self.assertRaisesRegex(majordomo.Timeout, "did not answer"):
                asyncio.run(ask(server.path))
            self.assertTrue(server.ended.wait(60))

    def test_deadline_bounds_the_wait_of_the_client_too(self) -> None:
        with scripted([None]) as server, Client(server.path, timeout=0.05) as client:
            with self.assertRaises(TimeoutError):
                client.acquire("notes", deadline=0.05)

    def test_question_is_asked_again_where_an_idle_connection_was_closed(self) -> None:
        with scripted([answer(STATUS)], [answer(STATUS)]) as server, Client(server.path) as client:
            # As if the end of the first connection came only after the check.
            with mock.patch.object(_session.Connection, "is_quiet", lambda self: True):
                client.health()
                client.health()
        self.assertEqual(len(server.requests), 2)

    def test_demand_is_not_sent_twice(self) -> None:
        with scripted([answer(STATUS)], [answer(STATUS)]) as server, Client(server.path) as client:
            with mock.patch.object(_session.Connection, "is_quiet", lambda self: True):
                client.health()
                with self.assertRaises(majordomo.ConnectionBroken):
                    client.command("remember the milk")

    def test_lease_of_a_hostile_server(self) -> None:
        for body in ('{"id": 7}', '{"id": "x", "state": "active", "components": [{"component": 1}]}', "[]"):
            with scripted([answer(body, 201)]) as server, Client(server.path) as client:
                with self.assertRaises(majordomo.BadAnswer):
                    client.acquire("notes")

    def test_names_and_ids_stay_one_part_of_a_path(self) -> None:
        with scripted([answer("{}")]) as server, Client(server.path) as client:
            with self.assertRaises(majordomo.BadAnswer):
                client.why("a/../b\r\nx: y")
        self.assertTrue(server.requests[0].startswith(b"GET /v1/components/a%2F..%2Fb%0D%0Ax%3A%20y/why HTTP/1.1\r\n"))


class Streams(unittest.TestCase):
    def test_broken_stream_continues_after_its_last_event(self) -> None:
        gap = 'event: gap\ndata: {"missed": 3, "text": "3 events no longer kept"}\n\n'
        first, second = stream(": following\n\n", event(4)), stream(gap, event(9), end=True)
        with scripted([first], [second], [stream(event(10))]) as server, Client(server.path) as client:
            with client.events() as events:
                seen = [next(events) for _ in range(4)]
        self.assertEqual([item.get("seq", item["event"]) for item in seen], [4, "gap", 9, 10])
        self.assertNotIn(b"last-event-id", server.requests[0])
        self.assertIn(b"\r\nlast-event-id: b-4\r\n", server.requests[1])
        self.assertIn(b"\r\nlast-event-id: b-9\r\n", server.requests[2])

    def test_broken_stream_continues_in_an_event_loop(self) -> None:
        async def follow(path: str) -> list[object]:
            async with AsyncClient(path) as client, client.events(start=3) as events:
                return [(await anext(events)).get("seq") for _ in range(2)]

        with scripted([stream(event(3))], [stream(event(4))]) as server:
            self.assertEqual(asyncio.run(follow(server.path)), [3, 4])
        self.assertTrue(server.requests[0].startswith(b"GET /v1/events?from=3 "))
        self.assertIn(b"\r\nlast-event-id: b-3\r\n", server.requests[1])

    def test_loss_before_the_first_event_is_a_gap(self) -> None:
        with scripted([stream()], [stream(event(7))]) as server, Client(server.path) as client:
            with client.events() as events:
                seen = [next(events), next(events)]
        self.assertEqual([item["event"] for item in seen], ["gap", "state"])

    def test_server_that_stays_away_is_an_error(self) -> None:
        async def follow(path: str) -> None:
            async with AsyncClient(path) as client, client.events(reconnect=0.2) as events:
                async for _ in events:
                    pass

        with scripted([stream(event(1))]) as server, Client(server.path) as client:
            with client.events(reconnect=0.2) as events, self.assertRaises(ConnectionError):
                for _ in events:
                    pass
        with scripted([stream(event(1))]) as server, self.assertRaises(ConnectionError):
            asyncio.run(follow(server.path))

    def test_first_break_is_an_error_where_no_reconnect_is_asked_for(self) -> None:
        with scripted([stream(event(1))], [stream(event(2))]) as server, Client(server.path) as client:
            with client.events(reconnect=0) as events:
                next(events)
                with self.assertRaises(majordomo.ConnectionBroken):
                    next(events)

    def test_hostile_frames_are_errors_and_are_not_tried_again(self) -> None:
        cases = {
            "no JSON": "id: 1\nevent: state\ndata: {\n\n",
            "`seq` is missing": "event: state\ndata: {}\n\n",
            "should be an object": "event: gap\ndata: []\n\n",
            "`missed` should be a whole number or null": 'event: gap\ndata: {"missed": "x", "text": ""}\n\n',
            "id of an event": "id: \x01\nevent: state\ndata: {}\n\n",
        }
        for words, frame in cases.items():
            with self.subTest(words), scripted([stream(frame)]) as server, Client(server.path) as client:
                with self.assertRaises(majordomo.BadAnswer) as raised:
                    # Its frames may come with the head or after it.
                    with client.events() as events:
                        next(events)
                self.assertIn(words, str(raised.exception))

    def test_frame_without_an_end_is_not_kept(self) -> None:
        with mock.patch.object(_sse, "LARGEST_FRAME", 10_000):
            with scripted([stream("data: " + "x" * 20_000)]) as server, Client(server.path) as client:
                with self.assertRaisesRegex(majordomo.BadAnswer, "more than 10000 bytes"):
                    with client.events() as events:
                        next(events)

    def test_answer_that_is_no_stream(self) -> None:
        with scripted([answer("{}")], [answer(PROBLEM, 503)]) as server, Client(server.path) as client:
            with self.assertRaisesRegex(majordomo.BadAnswer, "no stream of events"):
                client.events()
            with self.assertRaises(majordomo.Refused):
                client.events()

    def test_silent_stream_is_taken_as_broken(self) -> None:
        with mock.patch("majordomo.client._streams.SILENCE", 0.05):
            # The first connection stays open without a byte; the script serves one connection at a time.
            with scripted([None]) as server, Client(server.path, timeout=0.1) as client:
                with self.assertRaises(majordomo.Timeout):
                    client.events()
        self.assertEqual(_following.SILENCE, 60.0)

    def test_lines_end_with_the_server(self) -> None:
        line = 'id: 0\nevent: line\ndata: {"number": 0, "time": 1, "stream": "stdout", "text": "x"}\n\n'
        with scripted([stream(line, end=True)]) as server, Client(server.path) as client:
            self.assertEqual([line.get("text") for line in client.follow_logs("notes")], ["x"])
        with scripted([stream(line)]) as server, Client(server.path) as client:
            with self.assertRaises(majordomo.ConnectionBroken):
                list(client.follow_logs("notes"))


if __name__ == "__main__":
    unittest.main()
