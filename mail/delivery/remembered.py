"""Small tables the engine reads for every mail (speed rules, source IPs): remembered for some seconds."""

import asyncio
import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from django.db import InterfaceError, OperationalError, connections

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Remembered(Generic[T]):
    """`get()` in a thread of the database; `await current()` in an asyncio loop, which never waits for a database
    that is away: then the last value holds, at first `otherwise`."""

    def __init__(self, load: Callable[[], T], *, seconds: float, otherwise: T) -> None:
        self._load, self._seconds = load, seconds
        self._value, self._until = otherwise, 0.0
        self._lock = threading.Lock()
        self._read_again = False  # a loop is at it; meanwhile the others go by the last value

    def get(self) -> T:
        if self._until <= monotonic():
            with self._lock:
                if self._until <= monotonic():
                    self._value, self._until = self._load(), monotonic() + self._seconds
        return self._value

    def get_or_last(self) -> T:
        """`get`, but a database that is away changes nothing: what was read before holds."""
        try:
            return self.get()
        except (OperationalError, InterfaceError):
            self._until = monotonic() + 1.0
            return self._value

    async def current(self) -> T:
        if self._until > monotonic() or self._read_again:
            return self._value
        self._read_again = self._until > 0
        try:
            return await asyncio.to_thread(self._get_in_thread)
        except RuntimeError:  # the interpreter shuts down: no thread is to be had any more
            return self._value
        finally:
            self._read_again = False

    def forget(self) -> None:
        """After a change of one's own process."""
        self._until = 0.0

    def _get_in_thread(self) -> T:
        try:
            return self.get()
        except (OperationalError, InterfaceError):
            logger.warning("the database is away; what was read before still holds", exc_info=True)
            self._until = monotonic() + 1.0
            return self._value
        finally:
            connections.close_all()  # of this thread: the pool's threads would hold theirs open for ever
