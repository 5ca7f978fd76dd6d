"""RATE-3: our own addresses that mail goes out from, by pool, and how much a new one may send (warm-up)."""

import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from mail.delivery.remembered import Remembered
from settings.models import SourceIp

logger = logging.getLogger(__name__)

DEFAULT_POOL = "default"
REMEMBERED_SECONDS = 10.0
TOKYO = ZoneInfo("Asia/Tokyo")  # days are counted there, whatever the machine's own clock shows

# Mails per site on day 1, 2, … of an address; never more than double the day before (Google). After the last: no limit.
WARMUP = (
    200, 400, 700, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000, 8_000,
    12_000, 16_000, 20_000, 25_000, 30_000, 40_000, 50_000, 60_000, 80_000, 100_000,
    120_000, 150_000, 200_000, 250_000, 300_000, 400_000, 500_000, 650_000, 800_000, 1_000_000,
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """`address` "": the operating system's choice."""

    address: str
    helo: str
    warmup_started_on: date | None = None


Pools = Mapping[str, tuple[Source, ...]]


def system_source() -> Source:
    return Source("", settings.MAIL_DOMAIN)


def sources_of(pool: str, pools: Pools) -> tuple[Source, ...]:
    """The pool's addresses, else those of "default", else the system's choice. Never empty."""
    return pools.get(pool) or pools.get(DEFAULT_POOL) or (system_source(),)


async def current_pools() -> Pools:
    """Inside an asyncio loop; read at most every few seconds."""
    return await _remembered.current()


def forget_sources() -> None:
    """After source IPs were changed."""
    _remembered.forget()


def daily_limit(source: Source, today: date) -> int | None:
    """Mails that may go from it to one site on that day; None: no limit."""
    if source.warmup_started_on is None:
        return None
    day = (today - source.warmup_started_on).days
    if day < 0:  # it begins later
        return 0
    return WARMUP[day] if day < len(WARMUP) else None


def today_in_tokyo(now: datetime) -> tuple[date, float]:
    """The day, and the seconds until the next one."""
    here = now.astimezone(TOKYO)
    midnight = datetime.combine(here.date() + timedelta(days=1), time(), TOKYO)
    return here.date(), (midnight - here).total_seconds()


def _load() -> Pools:
    pools: dict[str, tuple[Source, ...]] = {}
    for row in SourceIp.objects.filter(enabled=True).order_by("id"):
        if not _is_here(row.address):
            logger.error(
                "source IP %s is no address of this machine: nothing is sent from it here", row.address
            )
            continue
        source = Source(row.address, row.hostname or settings.MAIL_DOMAIN, row.warmup_started_on)
        pools[row.pool] = (*pools.get(row.pool, ()), source)
    return pools


def _is_here(address: str) -> bool:
    """Whether this machine can send from it; workers may run on several machines."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


_remembered: Remembered[Pools] = Remembered(_load, seconds=REMEMBERED_SECONDS, otherwise={})
