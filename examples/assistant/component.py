"""The HTTP server that every component of this example shares: POST /ask with JSON, GET /health."""
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent


def serve(answer):
    """Serves `answer(question) -> dict` on 127.0.0.1; the port is the program's first argument.

    Models answer one question at a time; /health is answered meanwhile."""
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            self.reply(*((200, {"ok": True}) if self.path == "/health" else (404, {"error": "GET /health or POST /ask"})))

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != "/ask":
                return self.reply(404, {"error": "GET /health or POST /ask"})
            try:
                with one_at_a_time:
                    self.reply(200, answer(json.loads(body)))
            except (KeyError, OSError, TypeError, ValueError) as error:
                self.reply(400, {"error": f"{type(error).__name__}: {error}"})

        def reply(self, status, content):
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Requests are not logged."""

    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit(f"usage: {sys.argv[0]} PORT")
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    server.serve_forever()
