"""The package without a server: what it declares, and what it costs to import."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
import typing
import unittest
from pathlib import Path

import majordomo as package
from majordomo import client as majordomo
from majordomo.client import AsyncClient, Client, _aio_lease, _lease, _routes, _wire, types
from support import ROOT

SOURCE = Path(package.__file__).parents[1]
API = json.loads((ROOT / "crates/server/openapi.json").read_text())
SCHEMAS = API["components"]["schemas"]

# Requests, and words that stand for themselves.
NO_ANSWERS = set(
    "State Bind Unload Pin LeaseTerms LeaseRequest Exchange Call LeaseCall Renew Command IntentsRequest PlanRequest Hint "
    "Feedback Forget Reload".split()
)
# Members that depend on the kind of event, and that problems of some codes have.
MORE = {"Event": {"component", "components"}}


def shape(method: typing.Any) -> list[object]:
    """Names, kinds and defaults of a method's parameters; those of a property are none."""
    if not callable(method):
        return []
    return [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]


class Parts(unittest.TestCase):
    def test_version_is_that_of_the_workspace(self) -> None:
        workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())
        self.assertEqual(package.__version__, workspace["workspace"]["package"]["version"])

    def test_codes_are_those_of_the_interface(self) -> None:
        self.assertEqual(majordomo.CODES, set(SCHEMAS["Problem"]["properties"]["code"]["enum"]))

    def test_every_answer_is_declared_as_described(self) -> None:
        for name, schema in SCHEMAS.items():
            if name in NO_ANSWERS:
                continue
            declared = getattr(_wire, "ProblemMembers" if name == "Problem" else name)
            hints = typing.get_type_hints(declared)
            with self.subTest(name):
                self.assertEqual(set(hints) - MORE.get(name, set()), set(schema["properties"]))
                self.assertEqual(declared.__required_keys__, set(schema.get("required", [])))
                for member, described in schema["properties"].items():
                    expected = {"string": str, "integer": int, "number": float, "boolean": bool}.get(
                        described["type"] if isinstance(described.get("type"), str) else ""
                    )
                    if expected is not None:
                        self.assertIs(hints[member], expected, member)

    def test_every_type_of_answers_is_public(self) -> None:
        declared = {name for name in vars(_wire) if typing.is_typeddict(getattr(_wire, name)) and name[0] != "_"}
        self.assertEqual(set(types.__all__), declared)

    def test_every_route_has_a_method(self) -> None:
        source = "".join((SOURCE / f"majordomo/client/{name}.py").read_text() for name in ("_sync", "_lease", "_routes"))
        routes = set(re.findall(r'f?"(/(?:v1|healthz|readyz)[^"?]*)"', source))
        verbs = re.findall(r'_routes\.(?:component|change)\(name, "/?(\w+)"', source)
        routes |= {f"/v1/components/{{name}}/{verb}" for verb in verbs}
        routes = {re.sub(r"\{[^}]*\}", "{}", route).replace("{}{}", "{}") for route in routes}
        for path in API["paths"]:
            with self.subTest(path):
                # A description of the interface is for generators of clients.
                self.assertTrue(path == "/v1/openapi.json" or re.sub(r"\{[^}]*\}", "{}", path) in routes)

    def test_both_clients_have_the_same_methods(self) -> None:
        for sync, other in ((Client, AsyncClient), (_lease.Lease, _aio_lease.AsyncLease)):
            names = {name for name in vars(sync) if name[0] != "_"} - {"close"}
            self.assertEqual(names, {name for name in vars(other) if name[0] != "_"} - {"aclose"})
            for name in names:
                self.assertEqual(shape(getattr(sync, name)), shape(getattr(other, name)), name)

    def test_everything_public_is_documented(self) -> None:
        for name in majordomo.__all__:
            value = getattr(majordomo, name)
            self.assertTrue(value.__doc__, name)
            if isinstance(value, type) and value.__module__.startswith("majordomo"):
                for member, inner in vars(value).items():
                    self.assertTrue(member[0] == "_" or not callable(inner) or inner.__doc__, f"{name}.{member}")
        with self.assertRaises(AttributeError):
            majordomo.Nothing
        self.assertIn("Client", dir(majordomo))

    def test_import_is_cheap(self) -> None:
        show = "import sys; before = set(sys.modules); import majordomo.client; print(*sorted(set(sys.modules) - before))"
        command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r}); {show}"]
        loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual(loaded, ["__future__", "majordomo", "majordomo._version", "majordomo.client", "majordomo.client._errors"])

    def test_client_for_threads_imports_no_asyncio(self) -> None:
        show = "import sys; from majordomo.client import Client; Client('/x'); print('asyncio' in sys.modules)"
        command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r}); {show}"]
        self.assertEqual(subprocess.run(command, capture_output=True, text=True, check=True).stdout, "False\n")


class Arguments(unittest.TestCase):
    def test_socket_is_found_as_the_program_finds_it(self) -> None:
        from unittest import mock

        user = os.geteuid()
        cases = [
            ({"MAJORDOMO_SOCKET": "/a/s", "XDG_RUNTIME_DIR": "/b"}, "/a/s"),
            ({"XDG_RUNTIME_DIR": "/b"}, "/b/majordomo/majordomo.sock"),
        ]
        if not os.path.isdir(f"/run/user/{user}"):
            cases += [
                ({"XDG_RUNTIME_DIR": "b", "TMPDIR": "/c"}, f"/c/majordomo-{user}/majordomo.sock"),
                ({}, f"/tmp/majordomo-{user}/majordomo.sock"),
            ]
        for environment, path in cases:
            with mock.patch.dict(os.environ, environment, clear=True):
                self.assertEqual(repr(Client()), f"<Client of {path}>")

    def test_wrong_arguments_name_the_way_out(self) -> None:
        token = "x" * 16
        cases: list[tuple[dict[str, typing.Any], str]] = [
            ({"token": token}, "the Unix socket takes none"),
            ({"tcp": "127.0.0.1:7420"}, "tcp needs token or token_file"),
            ({"socket": "/x", "tcp": "127.0.0.1:7420", "token": token}, "either socket or tcp"),
            ({"tcp": "127.0.0.1", "token": token}, "not of the form"),
            ({"tcp": "127.0.0.1:0", "token": token}, "not of the form"),
            ({"tcp": "192.0.2.1:7420", "token": token}, "not a loopback address"),
            ({"tcp": "example.com:7420", "token": token}, "not a loopback address"),
            ({"tcp": "[::1]:7420", "token": "short"}, "openssl rand"),
            ({"tcp": "[::1]:7420", "token": "a b" * 9}, "visible ASCII"),
            ({"timeout": 0}, "above 0"),
        ]
        for arguments, words in cases:
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                Client(**arguments)

    def test_spans_are_seconds(self) -> None:
        self.assertEqual([_routes.milliseconds(s, "s") for s in (None, 1.5, 0.0001)], [None, 1500, 1])
        for wrong in (0, -1, float("nan"), float("inf")):
            with self.assertRaisesRegex(ValueError, "ttl is"):
                _routes.milliseconds(wrong, "ttl")

    def test_names_are_one_part_of_a_path(self) -> None:
        cases = {"music": "music", "a/b?c": "a%2Fb%3Fc", "é": "%C3%A9", "..": "%20..", "": "%20", "\ud800": "%ED%A0%80"}
        self.assertEqual({name: _routes.part(name) for name in cases}, cases)
        with self.assertRaises(TypeError):
            _routes.part(typing.cast(str, 7))


if __name__ == "__main__":
    unittest.main()
