"""The Redis stream in which hits of all hosts wait to be stored. Whoever stored them deletes them, so what is in it is what
is open.

Redis may lose everything at any moment (a restart, FLUSHALL). `Look.life` changes then, and whoever still has the hits in
a file (tracking/journal.py) sends them again.
"""

import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from threading import local
from time import monotonic
from typing import Any, cast

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

logger = logging.getLogger(__name__)

KEY = "smp:hits"
LIFE_KEY = "smp:hits:life"
TIMEOUT = 0.5  # seconds a reader waits at most for a Redis that has stopped answering
AWAY = 2.0  # seconds until it is asked again
TOGETHER = 500  # hits sent in one go
AWAY_ERRORS = (RedisError, OSError)

_clients: dict[str, redis.Redis] = {}
_own = local()
_away_until = 0.0


@dataclass(frozen=True)
class Look:
    """The stream at one moment. `life` names the memory Redis has had since it was last started or flushed."""

    life: str
    oldest: str | None  # ids of the first and the last hit that are not stored yet; None = all are stored
    newest: str | None
    length: int


def client() -> redis.Redis:
    """One for this process, with a connection per thread that needs one at the same time. Nothing is tried twice here."""
    url = settings.REDIS_URL
    if url not in _clients:
        _clients[url] = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
        )
    return _clients[url]


def add(line: bytes) -> bool:
    """Whether Redis has it now. Never raises; after a failure nobody asks Redis for two seconds."""
    global _away_until
    if _away_until:
        if monotonic() < _away_until:
            return False
        _away_until = monotonic() + TIMEOUT + AWAY  # one asks whether it is back; the others go on
    try:
        _add_one(line)
    except AWAY_ERRORS as error:
        if not _away_until:
            logger.warning("Redis takes no hits, they wait in the spool: %s", error)
        _away_until = monotonic() + AWAY
        return False
    if _away_until:
        logger.warning("Redis takes hits again")
        _away_until = 0.0
    return True


def _add_one(line: bytes) -> None:
    """XADD on a connection of this thread's own, written as the protocol says: a quarter of the CPU that the client's
    general way takes, for every hit."""
    place = settings.REDIS_URL, os.getpid()
    if getattr(_own, "place", None) != place:
        _own.connection, _own.place = client().connection_pool.make_connection(), place
    key = KEY.encode()
    command = b"*5\r\n$4\r\nXADD\r\n$%d\r\n%b\r\n$1\r\n*\r\n$1\r\nh\r\n$%d\r\n%b\r\n"
    try:
        _own.connection.send_packed_command([command % (len(key), key, len(line), line)], check_health=False)
        _own.connection.read_response()  # a refusal is raised
    except BaseException:
        _own.connection.disconnect()  # an answer that comes later is nobody's; the next hit connects anew
        raise


def forget_failure() -> None:
    """Redis is asked again at once."""
    global _away_until
    _away_until = 0.0


def add_many(lines: Sequence[bytes]) -> None:
    """Raises AWAY_ERRORS: then some of them may be in the stream, which does no harm."""
    for start in range(0, len(lines), TOGETHER):
        pipeline = client().pipeline(transaction=False)
        for line in lines[start : start + TOGETHER]:
            pipeline.xadd(KEY, {b"h": line})
        pipeline.execute()


def look() -> Look:
    """Raises AWAY_ERRORS. All answers are of one moment: MULTI."""
    pipeline = client().pipeline(transaction=True)
    pipeline.set(LIFE_KEY, secrets.token_hex(6), nx=True)
    pipeline.get(LIFE_KEY)
    pipeline.info("server")
    pipeline.xrange(KEY, count=1)
    pipeline.xlen(KEY)
    pipeline.xrevrange(KEY, count=1)
    _new, mark, server, first, length, last = pipeline.execute()
    return Look(
        life=f"{server['run_id'][:12]}{mark.decode()}",
        oldest=_text(first[0][0]) if first else None,
        newest=_text(last[0][0]) if last else None,
        length=length,
    )


def after(position: str, *, count: int) -> list[tuple[str, bytes]]:
    """The next hits behind this id ("0-0" = from the first), oldest first. Raises AWAY_ERRORS."""
    entries = cast(list[tuple[bytes, dict[bytes, bytes]]], client().xrange(KEY, f"({position}", count=count))
    return [(_text(entry), fields.get(b"h", b"")) for entry, fields in entries]


def stored(ids: Sequence[str]) -> None:
    """They are in the tables and committed. Raises AWAY_ERRORS: then they will be read again, and stored once."""
    if ids:
        client().xdel(KEY, *ids)


def id_key(entry: str) -> tuple[int, int]:
    """Ids in the order of the stream."""
    first, _dash, second = entry.partition("-")
    return int(first), int(second or 0)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
