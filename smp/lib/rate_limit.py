"""Flood protection for public forms and the API: at most so many in so many seconds, per key.

Counted in Redis in fixed windows. Without Redis this process counts for itself: slower floods pass, forms stay open.
"""

import hashlib
import time
from collections import OrderedDict
from threading import Lock

from django.core.cache import cache
from redis.exceptions import RedisError

_KEPT = 10_000
_counts: "OrderedDict[str, int]" = OrderedDict()
_lock = Lock()


def too_many(what: str, who: str, *, limit: int, seconds: int) -> int:
    """Counts one more; 0 when it is allowed, otherwise the seconds until the window ends.

    `what` is the door ("apply"), `who` whoever is counted (an IP, an address; hashed, so nothing is kept in clear).
    """
    now = time.time()
    window = int(now // seconds)
    key = f"rate:{what}:{hashlib.sha256(who.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}:{window}"
    return 0 if _count(key, seconds) <= limit else max(1, int((window + 1) * seconds - now) + 1)


def _count(key: str, seconds: int) -> int:
    try:
        cache.add(key, 0, timeout=seconds + 1)
        return int(cache.incr(key))
    except ValueError:  # it ended between the two calls
        return 1
    except (OSError, RedisError):
        with _lock:
            _counts[key] = _counts.pop(key, 0) + 1
            while len(_counts) > _KEPT:
                _counts.popitem(last=False)
            return _counts[key]
