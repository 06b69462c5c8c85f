"""Clients' streams through the tunnel, and the origin they end at."""

import selectors
import socket
import threading

from .standins import CLIENTS_PORT, LOOPBACK
from .waiting import Failed, eventually

ORIGIN_PORT = 3306


class Origin:
    """Sends back whatever comes, on any number of streams, in a thread of its own."""

    def __init__(self):
        self.listener = socket.create_server((LOOPBACK, ORIGIN_PORT), backlog=4096)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    self.selector.register(self.listener.accept()[0], selectors.EVENT_READ)
                    continue
                try:
                    data = key.fileobj.recv(4096)
                    key.fileobj.sendall(data)
                except OSError:
                    data = b""
                if not data:
                    self.selector.unregister(key.fileobj)
                    key.fileobj.close()


class Stream:
    """One client's stream."""

    def __init__(self, seconds=20):
        self.socket = socket.create_connection((LOOPBACK, CLIENTS_PORT), timeout=seconds)

    def echo(self, text=b"are you there?"):
        """Whether the origin answers through this stream."""
        try:
            self.socket.sendall(text)
            answer = b""
            while len(answer) < len(text):
                part = self.socket.recv(len(text) - len(answer))
                if not part:
                    return False
                answer += part
        except OSError:
            return False
        return answer == text

    def close(self):
        self.socket.close()


def working_stream(seconds=30):
    """A stream that the origin answered on; tried anew until there is one."""
    def attempt():
        stream = Stream()
        if stream.echo():
            return stream
        stream.close()
        raise Failed("a stream was opened and not answered")
    return eventually("a stream through the tunnel", seconds, attempt)
