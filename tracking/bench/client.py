"""Mail programs of `bench track`: `python -m tracking.bench.client PORT CONNECTIONS HITS`, addresses on standard input.

Connections that are kept alive, in a process of its own; each asks for the next address when it has its answer. Says how
many answers it got by status, and how long they took. Nothing of Django is loaded.
"""

import json
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle

_HEAD = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) "
    "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1\r\nAccept: text/html,"
    "application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
    "Accept-Language: ja\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n\r\n"
)


PATIENCE = 20.0  # seconds


class Connection:
    """One request at a time; a closed connection is opened again."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.port, self.requests, self.buffer, self.body = port, requests, b"", -1
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> None:
        self.buffer, self.asked = b"", time.perf_counter()
        self.socket.sendall(next(self.requests))

    def answered(self) -> int | None:
        """The status once the whole answer is there; 0 when the connection was closed."""
        data = self.socket.recv(65536)
        if not data:
            return 0
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        return int(head[9:12]) if len(body) >= length else None


def main(port: int, connections: int, hits: int) -> None:
    paths = sys.stdin.read().split()
    requests = cycle([_HEAD.format(path=path).encode() for path in paths])
    selector = selectors.DefaultSelector()
    statuses: Counter[int] = Counter()
    taken: list[float] = []
    for _number in range(min(connections, hits)):
        one = Connection(port, requests)
        selector.register(one.socket, selectors.EVENT_READ, one)
        one.ask()
    started = time.perf_counter()
    open_connections = min(connections, hits)
    while open_connections:
        ready = selector.select(PATIENCE)
        if not ready:
            sys.exit(f"no answer for {PATIENCE:.0f} seconds, {len(taken)} of {hits} came")
        for key, _events in ready:
            one = key.data
            status = one.answered()
            if status is None:
                continue
            now = time.perf_counter()
            statuses[status] += 1
            taken.append(now - one.asked)
            if len(taken) + open_connections > hits:
                selector.unregister(one.socket)
                one.socket.close()
                open_connections -= 1
                continue
            if status == 0:
                selector.unregister(one.socket)
                one.open()
                selector.register(one.socket, selectors.EVENT_READ, one)
            one.ask()
    elapsed = time.perf_counter() - started
    taken.sort()
    print(
        json.dumps(
            {
                "statuses": statuses,
                "seconds": elapsed,
                "p50_ms": taken[len(taken) // 2] * 1000,
                "p99_ms": taken[len(taken) * 99 // 100] * 1000,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
