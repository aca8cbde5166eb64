"""Asks a component a question of questions.json and checks the answer.

`majordomo lease NAME -- venv/bin/python ask.py NAME [NUMBER]`: the lease puts the component's address into the environment.
A component that answers over lines is called through the program named by MAJORDOMO, or `majordomo` on PATH."""
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import store

HERE = Path(__file__).resolve().parent


def call(url, body=None, method=None):
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), method=method)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.read().decode()


def browse(url, page):
    """Opens a page in Chromium and returns its title as soon as the browser knows it."""
    tab = json.loads(call(f"{url}/json/new?{(HERE / page).as_uri()}", method="PUT"))["id"]
    until = time.monotonic() + 30
    while time.monotonic() < until:
        title = next(entry["title"] for entry in json.loads(call(f"{url}/json/list")) if entry["id"] == tab)
        if title and not title.endswith(Path(page).name):
            break
        time.sleep(0.01)
    call(f"{url}/json/close/{tab}")
    return title


def ask(name, question):
    """The answer's text, and the answer as an object where it is JSON."""
    if "call" in question:
        command = [os.environ.get("MAJORDOMO", "majordomo"), "call", name, question["call"]["text"]]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return answer.get("text", json.dumps(answer)), answer
    url = os.environ[f"MAJORDOMO_{name.upper()}_URL"]
    if "http" in question:
        text = call(url + question["http"]["path"], question["http"]["json"])
        answer = json.loads(text)
        return answer.get("text", text), answer
    if "page" in question:
        return browse(url, question["page"]), {}
    return store.ask(url, *question["redis"]).decode(), {}


def is_met(expect, text, answer):
    if "words" in expect:
        return sum(word.lower() in text.lower() for word in expect["words"]) >= expect["at_least"]
    if "json" in expect:
        return all(answer.get(key) == value for key, value in expect["json"].items())
    if "json_min" in expect:
        return all(answer.get(key, 0) >= least for key, least in expect["json_min"].items())
    return len(text) >= expect["min_chars"]


def main():
    name, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    question = json.loads((HERE / "questions.json").read_text())[name][number]
    started = time.monotonic()
    text, answer = ask(name, question["ask"])
    took = (time.monotonic() - started) * 1000
    shown = " ".join(text.split())
    print(f"{took:6.0f} ms  {shown[:70]}{'...' if len(shown) > 70 else ''}")
    if not is_met(question["expect"], text, answer):
        sys.exit(f"{name} was asked {json.dumps(question['ask'])}; expected {json.dumps(question['expect'])}, answered {text[:500]!r}")


if __name__ == "__main__":
    main()
