"""The part that components share: a port that answers POST /ask with JSON and GET /health, or lines of JSON."""
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
BAD_QUESTION = (KeyError, OSError, TypeError, ValueError)


def serve(answer):
    """Serves `answer(question) -> dict`: on the port that is the first argument, without one over standard input."""
    if len(sys.argv) == 1:
        serve_lines(answer)
    elif len(sys.argv) == 2 and sys.argv[1].isdecimal():
        serve_port(answer, int(sys.argv[1]))
    else:
        sys.exit(f"usage: {sys.argv[0]} [PORT]")


def serve_lines(answer):
    """The manager's lines: a request each, answered in their order. Models print to standard error instead."""
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print('{"ready":true}', file=lines)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            question = request["object"] if "object" in request else {"text": request["text"]}
            reply = {"id": request["id"], "answer": answer(question)}
        except BAD_QUESTION as error:
            reply = {"id": request["id"], "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=lines)


def serve_port(answer, port):
    """Models answer one question at a time; /health is answered meanwhile."""
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            unknown = (404, {"error": "GET /health or POST /ask"})
            self.reply(*((200, {"ok": True}) if self.path == "/health" else unknown))

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != "/ask":
                return self.reply(404, {"error": "GET /health or POST /ask"})
            try:
                with one_at_a_time:
                    content = answer(json.loads(body))
            except BAD_QUESTION as error:
                return self.reply(400, {"error": f"{type(error).__name__}: {error}"})
            self.reply(200, content)

        def reply(self, status, content):
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Requests are not logged."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.serve_forever()
