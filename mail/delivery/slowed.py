"""RATE-1: which sites are slowed at the moment, for the page 「配信速度」. Reads what throttle.py keeps in Redis."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import redis
from django.conf import settings
from redis.exceptions import RedisError

from mail.delivery.scripts import TIMEOUT
from mail.delivery.throttle import INDEX, PREFIX

RECOVERY = 7200.0  # as in lua/slowed.lua
SHOWN_MAX = 500


@dataclass(frozen=True)
class SlowedSite:
    """`factor`: what is left of the speed, 1 = all, 0 = nothing is sent until `stopped_until`. `until`: full speed again
    if nothing more happens. `reason` and `label` are words of strangers."""

    key: str
    label: str
    source: str  # "": the system's choice
    factor: float
    since: datetime
    until: datetime
    stopped_until: datetime | None
    reason: str


class RedisAway(Exception):
    """Nobody can know what is slowed: every process goes on alone, on the slow side (slow_side.py)."""


def slowed_sites() -> list[SlowedSite]:
    """Stopped ones first, then the slowest. Raises RedisAway."""
    try:
        with _client() as client:
            return _read(client)
    except (RedisError, OSError) as error:
        raise RedisAway(str(error)) from error


def release_site(key: str, source: str) -> bool:
    """Full speed again at once. False when it was not slowed. Raises RedisAway."""
    try:
        with _client() as client:
            removed = client.delete(f"{PREFIX}{key}|{source}:slowed")
            client.zrem(INDEX, json.dumps([key, source]))
            return bool(removed)
    except (RedisError, OSError) as error:
        raise RedisAway(str(error)) from error


def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, decode_responses=True
    )


def _read(client: redis.Redis) -> list[SlowedSite]:
    seconds, micros = client.time()
    now = seconds + micros / 1_000_000
    client.zremrangebyscore(INDEX, "-inf", now)
    members = cast("list[str]", client.zrange(INDEX, 0, SHOWN_MAX - 1))
    pairs = [cast("tuple[str, str]", tuple(json.loads(member))) for member in members]
    pipeline = client.pipeline(transaction=False)
    for key, source in pairs:
        pipeline.hgetall(f"{PREFIX}{key}|{source}:slowed")
    found = [
        _site(key, source, kept, now)
        for (key, source), kept in zip(pairs, pipeline.execute(), strict=True)
        if kept.get("at")
    ]
    return sorted(found, key=lambda site: (site.factor, site.key, site.source))


def _site(key: str, source: str, kept: dict[str, Any], now: float) -> SlowedSite:
    at, stop = float(kept["at"]), float(kept["stop"])
    lowest = min(float(kept["rate"]), float(kept["connections"]))
    factor = min(1.0, lowest + max(0.0, now - at) / RECOVERY)
    return SlowedSite(
        key=key,
        label=kept.get("label") or key,
        source=source,
        factor=0.0 if stop > now else factor,
        since=datetime.fromtimestamp(float(kept.get("since") or at), UTC),
        until=datetime.fromtimestamp(at + (1 - lowest) * RECOVERY, UTC),
        stopped_until=datetime.fromtimestamp(stop, UTC) if stop > now else None,
        reason=kept.get("why", ""),
    )
