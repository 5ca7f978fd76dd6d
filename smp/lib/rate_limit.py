"""Flood protection for public forms and the API: at most so many tries per key in a window.

Counted in Redis; in this process alone, and four times as strict, when Redis is away.
"""

import hashlib
import time
from threading import Lock

from django.core.cache import cache
from redis.exceptions import RedisError

STRICTER = 4
_KEPT = 10_000

_here: dict[str, int] = {}
_lock = Lock()


def too_many(what: str, who: str, *, limit: int, seconds: int) -> int:
    """Counts this try. 0 when it is within `limit`, otherwise the seconds until the window ends (windows start on the
    clock). `what` is the door ("apply"), `who` whoever is counted (an IP, an address): kept as a hash only.
    """
    now = time.time()
    window = int(now) // seconds
    key = f"rate:{what}:{hashlib.sha256(who.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}:{window}"
    try:
        cache.add(key, 0, timeout=seconds)
        count = int(cache.incr(key))
    except (RedisError, OSError, ValueError):  # ValueError: the key ran out between the two
        count, limit = _count_here(key), max(1, limit // STRICTER)
    return 0 if count <= limit else max(1, (window + 1) * seconds - int(now))


def _count_here(key: str) -> int:
    with _lock:
        if len(_here) > _KEPT:
            _here.clear()
        _here[key] = _here.get(key, 0) + 1
        return _here[key]
