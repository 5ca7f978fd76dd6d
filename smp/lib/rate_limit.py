"""Counting tries per key in a window, in the cache; in this process, and four times as strict, when the cache is away."""

import time
from threading import Lock

from django.core.cache import cache
from redis.exceptions import RedisError

STRICTER = 4
_KEPT = 10_000

_here: dict[str, list[float]] = {}
_lock = Lock()


def too_many(key: str, *, limit: int, seconds: int) -> bool:
    """Counts this try; True when it is beyond `limit` within `seconds` (windows start on the clock)."""
    slot = f"rate:{key}:{int(time.time()) // seconds}"
    try:
        cache.add(slot, 0, timeout=seconds)
        return int(cache.incr(slot)) > limit
    except (RedisError, OSError, ValueError):  # ValueError: the key ran out between the two
        return _too_many_here(key, max(1, limit // STRICTER), seconds)


def _too_many_here(key: str, limit: int, seconds: int) -> bool:
    now = time.monotonic()
    with _lock:
        if len(_here) > _KEPT:
            _here.clear()
        tries = [at for at in _here.get(key, []) if at > now - seconds]
        tries.append(now)
        _here[key] = tries[-limit - 1 :]
        return len(tries) > limit
