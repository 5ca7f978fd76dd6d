"""How many processes of one worker hand mail over at the same time: all but one, so that the tick, a mailing's start and
an import always find a free one. Advisory locks of PostgreSQL, gone with their connection.

They only spread the work; correctness never depends on them (claims do that), nor on Redis.
"""

import os
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

_SPACE = 0x534D5045  # "SMPE", in the upper bits: other advisory locks of this database stay out of the way
_engines = 1


def allow_engines(processes: int) -> int:
    """Said by the worker before it forks; returns how many of its processes may hand mail over."""
    global _engines
    _engines = max(1, processes - 1)
    return _engines


def _key(number: int) -> int:
    # The children of one worker share their parent; of its hash 24 bits do: a collision costs only speed.
    worker = zlib.crc32(f"{socket.gethostname()}:{os.getppid()}".encode()) & 0xFFFFFF
    return (_SPACE << 32) + (worker << 8) + number


@contextmanager
def engine_slot() -> Iterator[bool]:
    """Holds one of the worker's slots; yields False when all are taken."""
    taken = next((number for number in range(_engines) if _ask("pg_try_advisory_lock", _key(number))), None)
    try:
        yield taken is not None
    finally:
        if taken is not None:
            _ask("pg_advisory_unlock", _key(taken))


def _ask(function: str, key: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [key])
        return bool(cursor.fetchone()[0])
