"""RATE-3: how far the addresses in warm-up are today, for the page 「配信速度」. Reads what throttle.py keeps in Redis."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import redis
from django.conf import settings
from redis.exceptions import RedisError

from mail.delivery.scripts import TIMEOUT
from mail.delivery.sources import WARMUP, Source, daily_limit, today_in_tokyo
from mail.delivery.throttle import PREFIX
from settings.models import SourceIp

logger = logging.getLogger(__name__)

KEYS_MAX = 20_000  # sites that are looked at for one address
SHOWN = 5


@dataclass(frozen=True)
class WarmupToday:
    """`limit` mails to each site today (None: warm since), on day `day` of `days`; `used`: (site, mails), most first;
    None when Redis could not be asked."""

    day: int
    days: int
    limit: int | None
    used: list[tuple[str, int]] | None


def warmups_today(
    sources: Iterable[SourceIp], *, now: datetime, names: Mapping[str, str] | None = None
) -> dict[int, WarmupToday]:
    """{id of a source IP: …} for those that have a first day of warm-up and are in use. `names` of speed rules by key:
    a site is shown by its rule's name, else by its mail exchangers."""
    today, _seconds = today_in_tokyo(now)
    found = {}
    for row in sources:
        if row.warmup_started_on is None or not row.enabled:
            continue
        limit = daily_limit(Source(row.address, row.hostname, row.warmup_started_on), today)
        used = _used(row.address, today.isoformat()) if limit else []
        if used:
            used = [(_shown(site, names or {}), number) for site, number in used]
        found[row.pk] = WarmupToday((today - row.warmup_started_on).days + 1, len(WARMUP), limit, used)
    return found


def _used(address: str, day: str) -> list[tuple[str, int]] | None:
    ending = f"|{address}:{day}"
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, decode_responses=True
        ) as client:
            keys = list(islice(client.scan_iter(match=f"{PREFIX}*{ending}", count=1000), KEYS_MAX))
            numbers = client.mget(keys) if keys else []
    except (RedisError, OSError):
        logger.warning("Redis is away; how much %s has sent today is not known", address, exc_info=True)
        return None
    pairs = [
        (key[len(PREFIX) : -len(ending)], int(number))
        for key, number in zip(keys, numbers, strict=True)
        if number
    ]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:SHOWN]


def _shown(site: str, names: Mapping[str, str]) -> str:
    return names.get(site) or site.removeprefix("mx:").removeprefix("relay:")
