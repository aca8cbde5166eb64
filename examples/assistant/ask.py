"""Asks a component its questions of questions.json and checks the answers.

`majordomo lease NAME -- venv/bin/python ask.py NAME [NUMBER]`: the lease puts the component's address into the environment. Without
a number all its questions are asked, and the answer to the first is printed.
A component that answers over lines is called through the program named by MAJORDOMO, or `majordomo` on PATH.
`majordomo lease speak listen -- venv/bin/python ask.py --round-trip` has a sentence spoken and the recording heard.
`ask.py --cases FILE` checks what a real answer is: each case has `expect`, `answer` and `is_real`."""
import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import store

HERE = Path(__file__).resolve().parent
# A sentence for the round trip of speech, and the words that must come back.
SENTENCE = "Please turn off the lights in the kitchen."
HEARD = {"words": ["turn", "lights", "kitchen"], "at_least": 3}
RECORDING = "media/spoken.wav"


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
    """The answer: an object where it is JSON, else a text."""
    if "call" in question:
        command = [os.environ.get("MAJORDOMO", "majordomo"), "call", name, question["call"]["text"]]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    url = os.environ[f"MAJORDOMO_{name.upper()}_URL"]
    if "http" in question:
        return json.loads(call(url + question["http"]["path"], question["http"]["json"]))
    if "page" in question:
        return browse(url, question["page"])
    return store.ask(url, *question["redis"]).decode()


def gather(value):
    if value is None or isinstance(value, bool):
        return []
    if isinstance(value, (str, int, float)):
        return [str(value)]
    members = value.values() if isinstance(value, dict) else value
    return [text for member in members for text in gather(member)]


def text_of(answer):
    """The member `text` where there is one, else all texts and numbers of the answer, one a line."""
    if isinstance(answer, dict) and isinstance(answer.get("text"), str):
        return answer["text"]
    return "\n".join(gather(answer))


def contains(text, word):
    """Whether a text contains a word, as a word of its own; several words, or one with other characters, anywhere."""
    return word in re.split(r"[\W_]+", text) if word.isalnum() else word in text


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_equal(found, expected):
    if is_number(found) and is_number(expected):
        return abs(found - expected) < 1e-9
    return type(found) is type(expected) and found == expected


def is_met(expect, answer):
    text = text_of(answer)
    members = answer if isinstance(answer, dict) else {}
    if "words" in expect:
        found = sum(contains(text.lower(), word.lower()) for word in expect["words"])
        return found >= expect.get("at_least", len(expect["words"]))
    if "json" in expect:
        return all(is_equal(members.get(key), value) for key, value in expect["json"].items())
    if "json_min" in expect:
        return all(is_number(members.get(key)) and members[key] >= least for key, least in expect["json_min"].items())
    return len(text.strip()) >= expect["min_chars"]


def check(cases):
    wrong = [case for case in cases if is_met(case["expect"], case["answer"]) != case["is_real"]]
    if wrong:
        sys.exit("\n".join(f"is_real is wrong: {json.dumps(case)}" for case in wrong))
    print(f"{len(cases)} cases")


def post(question):
    return {"http": {"path": "/ask", "json": question}}


def round_trip():
    """Has `speak` say a sentence and `listen` write down what it said."""
    spoken = ask("speak", post({"text": SENTENCE}))
    (HERE / RECORDING).write_bytes(base64.b64decode(spoken["wav"]))
    heard = ask("listen", post({"path": RECORDING}))
    if not is_met(HEARD, heard):
        sys.exit(f"speak said {SENTENCE!r}, listen heard {text_of(heard)[:500]!r}")
    print(f"speak said and listen heard: {text_of(heard)}")


def main():
    if sys.argv[1] == "--round-trip":
        return round_trip()
    if sys.argv[1] == "--cases":
        return check(json.loads(Path(sys.argv[2]).read_text()))
    name = sys.argv[1]
    questions = json.loads((HERE / "questions.json").read_text())[name]
    if len(sys.argv) > 2:
        questions = [questions[int(sys.argv[2])]]
    wrong = []
    for number, question in enumerate(questions):
        started = time.monotonic()
        answer = ask(name, question["ask"])
        text = text_of(answer)
        took = (time.monotonic() - started) * 1000
        shown = " ".join(text.split())
        if number == 0:
            print(f"{took:6.0f} ms  {shown[:70]}{'...' if len(shown) > 70 else ''}")
        if not is_met(question["expect"], answer):
            asked, expected = json.dumps(question["ask"]), json.dumps(question["expect"])
            wrong.append(f"{name} was asked {asked}; expected {expected}, answered {text[:500]!r}")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
