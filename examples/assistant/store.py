"""store: redis, spoken to in its own protocol. A command is a list of words, an answer is bytes or nothing."""
import socket
from urllib.parse import urlsplit


def ask(url, *words):
    words = [word if isinstance(word, bytes) else word.encode() for word in words]
    command = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(command)
        with connection.makefile("rb") as reply:
            kind, rest = reply.read(1), reply.readline().strip()
            if kind != b"$":
                return rest
            return reply.read(int(rest)) if int(rest) >= 0 else None
