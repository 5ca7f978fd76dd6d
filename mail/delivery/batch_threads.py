"""Threads with a database connection of their own, that do what is posted to them in batches.

A batch is whatever came in while the one before was written: under load the statements grow, and nothing waits for
nothing. They are daemon threads of our own, because those of `concurrent.futures` take no work once the interpreter
shuts down, and a result in hand must still be written then.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import connection, connections

logger = logging.getLogger(__name__)
Item = TypeVar("Item")


class BatchThread(Generic[Item]):
    """`work` gets up to `most` items at a time, in their order. With `linger` (seconds) it waits so long for more to
    come: for work that nobody waits for."""

    def __init__(
        self, name: str, work: Callable[[list[Item]], None], *, most: int = 500, linger: float = 0.0
    ) -> None:
        self._work = work
        self._most = most
        self._linger = linger
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"smp-{name}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._items)

    def post(self, item: Item) -> None:
        self._items.append(item)
        if not self._busy:
            with self._changed:
                self._changed.notify()

    def close(self, timeout: float | None = None) -> None:
        """Does what is left, then ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                while not self._items and not self._closing:
                    self._changed.wait(1.0)
                self._busy = True
            if not self._items:
                break
            if self._linger and len(self._items) < self._most and not self._closing:
                time.sleep(self._linger)
            batch = [self._items.popleft() for _number in range(min(len(self._items), self._most))]
            try:
                self._work(batch)
            except Exception:
                logger.exception("%s: a batch of %s failed", self._thread.name, len(batch))
                connection.close()
        connections.close_all()
