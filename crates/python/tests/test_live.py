"""Both clients against the real server."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import unittest
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from majordomo import client as majordomo
from majordomo.client import AsyncClient, Client, _routes
from support import Served, eventually

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(majordomo.__file__)))


SLOW = {"slow-thread", "slow-task", "slow-timeout", "slow-main", "slow-loop"}


class Live(unittest.TestCase):
    served: Served

    @classmethod
    def setUpClass(cls) -> None:
        cls.served = Served("live.toml")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.served.close()

    def setUp(self) -> None:
        self.client = Client(self.served.socket, tag=self.id()[-60:])
        self.addCleanup(self.client.close)

    def loads(self, name: str) -> bool:
        return self.client.component(name)["state"] == "loading"

    def has_abandoned(self, n: int) -> bool:
        return self.n_abandoned() == n

    def n_abandoned(self) -> int:
        """How many demands were given up by their client."""
        return sum(event["event"] == "abandoned" for event in self.client.recent_events()["events"])

    def test_every_question_is_answered(self) -> None:
        client = self.client
        self.assertEqual(client.health(), {"status": "ok"})
        self.assertEqual(client.ready(), {"status": "ok"})
        self.assertEqual(client.info()["api"], "v1")
        self.assertEqual(client.status()["server"]["pid"], self.served.process.pid)
        self.assertEqual({one["name"] for one in client.components()}, {"notes", "clock", "broken", "late", *SLOW})
        self.assertEqual(client.component("notes")["name"], "notes")
        self.assertEqual(client.plan("wake me at seven")["needed"][0]["component"], "clock")
        self.assertIn("loads", client.plan(components=["notes"]))
        self.assertEqual(client.intents("wake me at seven")["decision"], "confident")
        self.assertTrue(client.hint("clock", confidence=0.2, tier="background"))
        self.assertIn("figures", client.learned())
        self.assertEqual(client.reload(dry_run=True)["changed"], [])
        self.assertIsInstance(client.forget("late"), int)

    def test_every_question_is_answered_in_an_event_loop(self) -> None:
        async def ask() -> None:
            async with AsyncClient(self.served.socket) as client:
                self.assertEqual(await client.health(), {"status": "ok"})
                self.assertEqual(await client.ready(), {"status": "ok"})
                self.assertEqual((await client.info())["api"], "v1")
                self.assertTrue((await client.status())["components"])
                self.assertEqual(len(await client.components()), 4 + len(SLOW))
                self.assertEqual((await client.component("notes"))["name"], "notes")
                self.assertTrue((await client.plan("wake me at seven"))["needed"])
                self.assertTrue((await client.intents("wake me at seven"))["needed"])
                self.assertTrue(await client.hint("clock"))
                self.assertTrue((await client.command("wake me at seven"))["components"])
                self.assertTrue(await client.feedback(["clock"], text="ring at noon"))
                self.assertRegex(await client.call("clock", "what time is it"), "^it is ")
                self.assertTrue((await client.why("clock"))["events"])
                self.assertTrue((await client.recent_events(last=1))["events"])
                self.assertEqual((await client.load("notes"))["state"], "ready")
                self.assertTrue((await client.pin("notes"))["pinned"])
                self.assertFalse((await client.pin("notes", False))["pinned"])
                self.assertEqual((await client.logs("notes", last=1))["lines"][0]["stream"], "manager")
                async with client.follow_logs("notes") as lines:
                    self.assertEqual((await anext(lines)).get("text"), "ready")
                async with client.events(start=0) as events:
                    self.assertEqual((await anext(events)).get("seq"), 0)
                self.assertIn("figures", await client.learned())
                self.assertIsInstance(await client.forget("late"), int)
                self.assertEqual((await client.reload(dry_run=True))["added"], [])
                for refused in (client.park("late"), client.trim("notes")):
                    with self.assertRaises(majordomo.Problem):
                        await refused

        asyncio.run(ask())

    def test_lease_ends_with_its_block(self) -> None:
        with self.client.acquire("notes", "clock") as lease:
            self.assertEqual(lease.components, ["notes", "clock"])
            self.assertEqual(lease.state()["bind"], "connection")
            self.assertRegex(lease.call({"ask": "time"}, component="clock"), "^it is ")
            self.assertIn(lease.id, {one["id"] for one in self.client.leases()["leases"]})
            lease.exchange(["clock"])
            self.assertEqual(lease.components, ["clock"])
        self.assertTrue(lease.is_over)
        with self.assertRaises(majordomo.LeaseLost):
            self.client._ask(_routes.one_lease(lease.id or ""))
        for use in (lease.state, lease.renew, lambda: lease.call("x"), lambda: lease.feedback([])):
            with self.assertRaisesRegex(majordomo.Closed, "was released"):
                use()
        lease.release()

    def test_lease_ends_with_its_block_in_an_event_loop(self) -> None:
        async def use() -> None:
            async with AsyncClient(self.served.socket) as client:
                async with client.acquire("notes") as lease:
                    self.assertEqual((await lease.state())["state"], "active")
                    await lease.exchange("clock")
                    self.assertRegex(await lease.call("time"), "^it is ")
                with self.assertRaises(majordomo.Closed):
                    await lease.state()
                async with client.acquire_for("wake me at six") as lease:
                    await lease.feedback(["clock"])
                lease = await client.acquire("notes", bind="ttl", ttl=30)
                self.assertLess((await lease.renew(20)).get("expires_in_ms", 0), 20_001)
                await lease.release()
                await lease.release()

        asyncio.run(use())

    def test_error_in_a_block_is_the_one_that_is_seen(self) -> None:
        with self.assertRaises(KeyError):
            with self.client.acquire("notes") as lease:
                raise KeyError("mine")
        self.assertTrue(lease.is_over)

    def test_lease_with_a_time_is_renewed_and_outlives_its_connection(self) -> None:
        with Client(self.served.socket) as other:
            lease = other.acquire("notes", ttl=60, bind="ttl", tag="outlives")
            self.assertLess(lease.renew(30).get("expires_in_ms", 0), 30_001)
        listed = [one for one in self.client.leases()["leases"] if one["tag"] == "outlives"]
        self.assertEqual([one["id"] for one in listed], [lease.id])
        self.client._ask(_routes.release(listed[0]["id"]))
        with self.assertRaises(majordomo.Closed):
            lease.renew()

    def test_lease_of_a_closed_client_ends(self) -> None:
        other = Client(self.served.socket)
        lease = other.acquire("notes", tag="closes")
        other.close()
        with self.assertRaisesRegex(majordomo.Closed, "client is closed"):
            lease.state()
        with self.assertRaisesRegex(majordomo.Closed, "client is closed"):
            other.status()
        lease.release()
        eventually(lambda: "closes" not in [one["tag"] for one in self.client.leases()["leases"]], "given back")

    def test_command_gives_a_lease_with_its_outcome(self) -> None:
        with self.client.acquire_for("remember the milk") as lease:
            assert lease.outcome is not None
            self.assertEqual(lease.outcome["needed"][0]["component"], "notes")
        with self.client.acquire_for("wake me at seven") as lease:
            lease.feedback(["clock"])
        self.assertTrue(lease.is_over)
        outcome = self.client.command("remember the milk")
        self.assertEqual([one["component"] for one in outcome["components"]], ["notes"])
        self.assertTrue(self.client.feedback(["notes"], text="write this down"))

    def test_command_that_needs_nothing_gives_a_lease_of_nothing(self) -> None:
        with self.client.acquire_for("hmm") as lease:
            self.assertEqual((lease.id, lease.components, lease.endpoints), (None, [], {}))
            with self.assertRaisesRegex(majordomo.Closed, "needed no component"):
                lease.state()

    def test_refused_command_is_an_outcome_and_an_error_of_a_lease(self) -> None:
        outcome = self.client.command("print it", deadline=0.5)
        self.assertEqual(outcome["refusal"]["code"] in majordomo.CODES, True)
        with self.assertRaises(majordomo.Refused):
            self.client.acquire_for("print it", deadline=0.5)

    def test_errors_have_the_codes_of_the_interface(self) -> None:
        client = self.client
        with self.assertRaisesRegex(majordomo.UnknownComponent, 'did you mean "notes"') as unknown:
            client.acquire("noets")
        self.assertEqual((unknown.exception.code, unknown.exception.status), ("unknown_component", 404))
        self.assertEqual(unknown.exception.members["did_you_mean"], "notes")
        copy = pickle.loads(pickle.dumps(unknown.exception))
        self.assertEqual((type(copy), str(copy)), (majordomo.UnknownComponent, str(unknown.exception)))
        named = client.acquire("notes")
        self.addCleanup(named.release)
        cases: dict[str, Callable[[], object]] = {
            "bad_value": lambda: client.acquire("notes", ttl=10_000),
            "not_callable": lambda: client.call("notes", "x"),
            "no_outcome": lambda: named.feedback(["notes"]),
            "cannot_trim": lambda: client.trim("notes"),
            "bad_json": lambda: client.acquire("notes", priority="FIRST"),
        }
        for code, use in cases.items():
            with self.assertRaises(majordomo.Problem) as raised:
                use()
            self.assertEqual(raised.exception.code, code)
        with self.assertRaises(majordomo.Refused) as failed:
            client.load("broken")
        self.assertIn(failed.exception.code, {"load_failed", "backing_off"})

    def test_deadline_of_a_demand_is_the_servers(self) -> None:
        with self.assertRaises(majordomo.DeadlineExceeded) as raised:
            self.client.acquire("late", deadline=0.05)
        self.assertIsInstance(raised.exception, TimeoutError)
        self.assertEqual(raised.exception.members["loading"], "late")

    def test_components_are_operated(self) -> None:
        client = self.client
        self.assertEqual(client.load("notes")["state"], "ready")
        self.assertTrue(client.pin("notes")["pinned"])
        self.assertFalse(client.pin("notes", False)["pinned"])
        self.assertEqual(client.unload("notes", force=True)["state"], "unloaded")
        self.assertEqual(client.why("notes")["component"]["name"], "notes")
        with client.acquire("notes"):
            pass
        page = client.logs("notes", last=2)
        self.assertEqual([line["stream"] for line in page["lines"]], ["stdout", "manager"])
        with client.follow_logs("notes", start=page["lines"][0]["number"]) as lines:
            self.assertEqual(next(lines).get("text"), "ready")

    def test_revoked_lease_is_seen_and_given_back(self) -> None:
        with self.client.acquire("notes") as lease:
            self.client.unload("notes", force=True)
            self.assertEqual(lease.state()["state"], "revoked")
            with self.assertRaises(majordomo.LeaseLost) as raised:
                lease.renew()
            self.assertEqual(raised.exception.code, "lease_revoked")

    def test_events_come_as_they_happen(self) -> None:
        self.client.unload("clock", force=True)
        with self.client.events() as events:
            with self.client.acquire("clock", tag="seen"):
                pass
            for event in events:
                if event["event"] == "granted" and event.get("components") == ["clock"]:
                    break
        self.assertRaises(StopIteration, next, events)
        page = self.client.recent_events(start=0)
        self.assertEqual(page["events"][-1]["seq"] + 1, page["next"])

    def test_closed_stream_ends_the_iteration_of_another_thread(self) -> None:
        events = self.client.events()
        ended = threading.Thread(target=lambda: list(events))
        ended.start()
        events.close()
        ended.join(60)
        self.assertFalse(ended.is_alive())

    def test_closed_client_ends_the_wait_of_another_thread(self) -> None:
        other, errors = Client(self.served.socket, tag="waits"), []

        n_before = self.n_abandoned()

        def wait() -> None:
            try:
                other.acquire("slow-thread")
            except majordomo.Error as error:
                errors.append(error.code)

        waiting = threading.Thread(target=wait)
        waiting.start()
        eventually(lambda: self.loads("slow-thread"), "loading")
        other.close()
        waiting.join(60)
        self.assertEqual(errors, ["closed"])
        eventually(partial(self.has_abandoned, n_before + 1), "given up")

    def test_cancelled_task_gives_up_its_demand(self) -> None:
        async def cancel() -> None:
            async with AsyncClient(self.served.socket) as client:
                waiting = asyncio.ensure_future(client.acquire("slow-task").__aenter__())
                while (await client.component("slow-task"))["state"] != "loading":
                    await asyncio.sleep(0.01)
                waiting.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await waiting
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await client.acquire("slow-timeout")
                self.assertEqual(len(client._session.pool._taken), 0)

        n_before = self.n_abandoned()
        asyncio.run(asyncio.wait_for(cancel(), 60))
        eventually(partial(self.has_abandoned, n_before + 2), "given up")

    def test_interrupt_ends_a_wait_and_its_demand(self) -> None:
        for name, how in (("slow-main", "Client(path).acquire('slow-main')"), ("slow-loop", "asyncio.run(main())")):
            n_before = self.n_abandoned()
            script = (
                "import asyncio, signal, sys\n"
                # A program that is started in the background ignores it, and so do its children.
                "signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom majordomo.client import AsyncClient, Client\npath = sys.argv[1]\n"
                "async def main():\n  async with AsyncClient(path) as client:\n    await client.acquire('slow-loop')\n"
                f"try:\n  {how}\nexcept KeyboardInterrupt:\n  print('interrupted')\n"
            )
            with subprocess.Popen(
                [sys.executable, "-c", script, self.served.socket],
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": SOURCE},
                text=True,
            ) as child:
                eventually(partial(self.loads, name), "loading")
                child.send_signal(signal.SIGINT)
                self.assertEqual(child.communicate(timeout=60)[0], "interrupted\n")
            eventually(partial(self.has_abandoned, n_before + 1), "given up")

    def test_killed_process_gives_its_lease_back(self) -> None:
        script = (
            "import sys\nfrom majordomo.client import Client\n"
            "lease = Client(sys.argv[1], tag='killed').acquire('notes')\nprint('held', flush=True)\nsys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, self.served.socket],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": SOURCE},
        ) as child:
            assert child.stdout is not None
            self.assertEqual(child.stdout.readline(), b"held\n")
            self.assertIn("killed", [one["tag"] for one in self.client.leases()["leases"]])
            child.kill()
        eventually(lambda: "killed" not in [one["tag"] for one in self.client.leases()["leases"]], "given back")

    def test_dropped_lease_ends(self) -> None:
        lease = self.client.acquire("notes", tag="dropped")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del lease
            gc.collect()
        eventually(lambda: "dropped" not in [one["tag"] for one in self.client.leases()["leases"]], "given back")

    def test_cancelled_wait_for_an_event_loses_none(self) -> None:
        async def follow() -> list[object]:
            numbers: list[object] = []
            async with AsyncClient(self.served.socket) as client, client.events(start=0) as events:
                while len(numbers) < 3:
                    try:
                        numbers.append((await asyncio.wait_for(anext(events), 0.001)).get("seq"))
                    except TimeoutError:
                        pass
            return numbers

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            self.client.load("notes")
            self.assertEqual(asyncio.run(follow()), [0, 1, 2])
            gc.collect()

    def test_forked_child_keeps_its_parents_lease(self) -> None:
        with self.client.acquire("notes") as lease:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    with lease:
                        try:
                            lease.state()
                        except majordomo.Closed as error:
                            code = 0 if "forked" in str(error) and self.client.health() else 2
                finally:
                    os._exit(code)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
            self.assertEqual(lease.state()["state"], "active")

    def test_threads_share_a_client(self) -> None:
        def use(n: int) -> str:
            with self.client.acquire("clock", tag=f"thread {n}") as lease:
                return str(lease.call("time"))

        with ThreadPoolExecutor(8) as threads:
            self.assertEqual(len(list(threads.map(use, range(80)))), 80)
        self.assertEqual(len(self.client._session.pool._taken), 0)

    def test_event_loops_and_threads_share_a_client(self) -> None:
        client = AsyncClient(self.served.socket)

        async def use(n: int) -> list[str]:
            async def one(task: int) -> str:
                async with client.acquire("clock", tag=f"loop {n} task {task}") as lease:
                    return str(await lease.call("time"))

            return await asyncio.gather(*(one(task) for task in range(10)))

        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda n: asyncio.run(use(n)), range(8)))
        self.assertEqual(sum(map(len, answers)), 80)
        self.assertEqual(len(client._session.pool._taken), 0)
        asyncio.run(client.aclose())


class Away(unittest.TestCase):
    def test_server_that_is_not_there(self) -> None:
        for path, words in (("/nowhere/s", "No such file"), (__file__, "it is a file"), ("/", "it is a directory")):
            with self.assertRaisesRegex(majordomo.ConnectError, words) as raised:
                Client(path).status()
            self.assertEqual(raised.exception.code, "not_running")
            self.assertIn("majordomo serve CONFIG", str(raised.exception))
            with self.assertRaises(ConnectionError):
                asyncio.run(AsyncClient(path).status())
        with self.assertRaisesRegex(majordomo.ConnectError, "too long"):
            Client("/x" * 100).status()

    def test_server_that_ends_and_comes_back(self) -> None:
        served = Served("guide.toml")
        self.addCleanup(served.close)
        with Client(served.socket) as client, client.events(start=0) as events:
            lease = client.acquire("notes")
            self.assertEqual(next(events).get("seq"), 0)
            served.stop()
            with self.assertRaises(majordomo.ConnectError):
                client.status()
            lease.release()
            served.start()
            self.assertEqual(client.status()["leases"], 0)
            # What the first server still had to say, then the gap.
            self.assertTrue(any(event["event"] == "gap" for event in events))
            stale = client.acquire("notes")
            served.stop()
            served.start()
            with self.assertRaises(majordomo.LeaseLost) as raised:
                stale.state()
            self.assertEqual(raised.exception.code, "unknown_lease")
            stale.release()

    def test_token_over_tcp(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        token = "0123456789abcdef0123"
        folder = os.path.realpath(os.environ.get("TMPDIR", "/tmp"))
        file = os.path.join(folder, f"majordomo-token-{os.getpid()}")
        with open(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as opened:
            opened.write(token + "\n")
        self.addCleanup(os.unlink, file)
        served = Served("guide.toml", "--tcp", f"127.0.0.1:{port}", "--token-file", file)
        self.addCleanup(served.close)
        with Client(tcp=f"localhost:{port}", token_file=file) as client, client.acquire("notes") as lease:
            self.assertEqual(lease.state()["state"], "active")
            self.assertNotIn(token, repr(client) + repr(vars(client)))

        async def ask() -> str:
            async with AsyncClient(tcp=f"127.0.0.1:{port}", token=token) as client:
                async with client.events(start=0) as events:
                    return (await anext(events))["event"]

        self.assertEqual(asyncio.run(ask()), "state")
        with self.assertRaises(majordomo.Problem) as raised:
            Client(tcp=f"127.0.0.1:{port}", token="f" * 20).status()
        self.assertEqual(raised.exception.code, "unauthorized")
        os.chmod(file, 0o644)
        with self.assertRaisesRegex(ValueError, "chmod 600"):
            Client(tcp=f"127.0.0.1:{port}", token_file=file)


if __name__ == "__main__":
    unittest.main()
