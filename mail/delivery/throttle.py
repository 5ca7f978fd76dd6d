"""Who may send when: rate, connections, warm-up and slowed sites, per site × source IP (RATE-1, RATE-3).

All processes share their state in Redis, one round trip (one Lua script) a call, with Redis's clock. Redis holds nothing
that cannot be lost: while it is away each process goes on alone on the slow side (slow_side.py), and comes back by itself;
after a flush a burst and a day's warm-up of the other processes are forgotten. Nothing here raises into the engine.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.utils import timezone

from mail.delivery.complaints import Complaint, Kind, complaint_of
from mail.delivery.scripts import Scripts
from mail.delivery.sites import Site
from mail.delivery.slow_side import Limited, SlowSide
from mail.delivery.sources import current_pools, daily_limit, sources_of, system_source, today_in_tokyo
from mail.smtp.replies import Reply

logger = logging.getLogger(__name__)

PREFIX = "smp:speed:"
INDEX = f"{PREFIX}slowed"  # of slowed sites, by the time when they are back at full speed
LEASE = 60  # seconds a connection of a process that died elsewhere counts on
BURST_SECONDS = 2.0  # so many seconds' worth of mail may go at once
SLOW_RATE = 10.0  # mails a second: what an unlimited rule is reckoned from once its site is slowed
NO_WAY = 900  # seconds until a source that cannot reach a site is tried there again
WHY_MAX = 500

Key = tuple[str, str]  # site, source


@dataclass(frozen=True)
class Admission:
    """`granted` mails may go from `source` ("": the system's choice) under the name `helo`. None granted: try again in
    `wait` seconds."""

    source: str
    helo: str
    granted: int
    wait: float


@dataclass(frozen=True)
class Permit:
    """One open connection: a lease that this process renews by itself until `disconnect`."""

    site: str
    source: str
    token: str


class Throttle:
    """One per asyncio loop. `clock` says which day it is."""

    def __init__(self, url: str | None = None, *, clock: Callable[[], datetime] = timezone.now) -> None:
        self._redis = Scripts(url or settings.REDIS_URL)
        self._clock = clock
        self._alone = SlowSide(SLOW_RATE)
        self._process = f"{_machine()}:{os.getpid()}"
        self._held: dict[str, Permit] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._slowed: set[Key] = set()
        self._sent: dict[Key, int] = {}  # today, from sources that are warmed up
        self._sent_on: date | None = None

    async def admit(self, site: Site, pool: str, count: int) -> Admission:
        """Up to `count` mails to a site from an address of the pool; an answer always comes from one source."""
        sources = (system_source(),) if site.relay else sources_of(pool, await current_pools())
        today, midnight = today_in_tokyo(self._clock())
        if today != self._sent_on:
            self._sent, self._sent_on = {}, today
        limited = [
            Limited(source.address, daily_limit(source, today), self._sent.get((site.key, source.address), 0))
            for source in sources
        ]
        answer = await self._admit_by_redis(site, limited, count, today, midnight)
        if answer is None:
            chosen, granted, wait = self._alone.admit(site, limited, count, monotonic())
        else:
            chosen, granted, wait = answer
        if chosen is None:
            return Admission("", "", 0, wait)
        if chosen.limit is not None:
            self._sent[site.key, chosen.address] = chosen.sent + granted
        helo = next(source.helo for source in sources if source.address == chosen.address)
        return Admission(chosen.address, helo, granted, 0.0)

    async def _admit_by_redis(
        self, site: Site, sources: Sequence[Limited], count: int, today: date, midnight: float
    ) -> tuple[Limited | None, int, float] | None:
        minute = site.rule.mails_per_minute
        interval = 60 / minute if minute else 0.0
        burst = max(1, round(BURST_SECONDS / (interval or 1 / SLOW_RATE)))
        keys = [f"{PREFIX}{site.key}:used"]
        arguments: list[Any] = [count, interval, 1 / SLOW_RATE, burst, midnight]
        for source in sources:
            pair = _pair(site.key, source.address)
            keys += [f"{pair}:arrival", f"{pair}:slowed", f"{pair}:{today.isoformat()}"]
            arguments += [source.address, -1 if source.limit is None else source.limit, source.sent]
        answer = await self._redis.run("admit", keys, arguments)
        if answer is None:
            return None
        number, granted, wait, speed = int(answer[0]), int(answer[1]), float(answer[2]), float(answer[3])
        if not number:
            return None, 0, wait
        chosen = sources[number - 1]
        if speed < 1:
            self._slowed.add((site.key, chosen.address))
        return chosen, granted, 0.0

    async def connect(self, site: Site, source: str) -> Permit | None:
        """A connection more, or None: the site has as many as it may, or its source is stopped."""
        permit = Permit(site.key, source, f"{self._process}:{uuid4().hex}")
        open_here = sum(held.site == site.key and held.source == source for held in self._held.values())
        if open_here >= site.rule.connections:
            return None
        answer = await self._lease(permit, site.rule.connections)
        if answer is None:
            # Counted again: others may have connected while Redis did not answer.
            open_here = sum(held.site == site.key and held.source == source for held in self._held.values())
            if not self._alone.may_connect(site, source, open_here, monotonic()):
                return None
        elif not answer:
            return None
        self._held[permit.token] = permit
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.ensure_future(self._keep_alive())
        return permit

    async def _lease(self, permit: Permit, connections: int) -> bool | None:
        """None: Redis is away. Leases of this machine's processes that were killed make room at once."""
        pair = _pair(permit.site, permit.source)
        dead: list[str] = []
        for _try in range(2):
            answer = await self._redis.run(
                "connect", [f"{pair}:open", f"{pair}:slowed"], [connections, LEASE, permit.token, *dead]
            )
            if answer is None:
                return None
            if int(answer[0]):
                return True
            dead = [token for token in answer[1:] if _is_dead(token)]
            if not dead:
                break
        return False

    async def renew(self, permits: Iterable[Permit]) -> None:
        """Keeps leases alive; done by itself for every permit that is held."""
        permits = list(permits)
        if permits:
            keys = [f"{_pair(permit.site, permit.source)}:open" for permit in permits]
            await self._redis.run("renew", keys, [LEASE, *(permit.token for permit in permits)])

    async def disconnect(self, permit: Permit) -> None:
        if self._held.pop(permit.token, None) is not None:
            await self._redis.remove(f"{_pair(permit.site, permit.source)}:open", permit.token)

    async def complained(self, site: Site, source: str, reply: Reply) -> None:
        """An answer of 4xx or 5xx: slows the site, or stops the source there, if it is a complaint about us."""
        complaint = complaint_of(reply)
        if complaint is None or (site.relay and complaint.kind is Kind.STOP):
            return  # a relay passes on what others said about its own address
        await self._slow_down(site, source, complaint)

    async def no_way(self, site: Site, source: str, why: str) -> None:
        """The site cannot be reached from this address of ours (no address of its family): others are used."""
        if source:
            await self._slow_down(site, source, Complaint(Kind.STOP, NO_WAY, why))

    async def _slow_down(self, site: Site, source: str, complaint: Complaint) -> None:
        logger.warning("%s complains about %s: %s", site.label, source or "this system", complaint.why)
        self._slowed.add((site.key, source))
        self._alone.complained(site, source, complaint, monotonic())
        await self._redis.run(
            "complain",
            [f"{_pair(site.key, source)}:slowed", INDEX],
            [
                complaint.kind.value,
                complaint.seconds,
                json.dumps([site.key, source]),
                site.label,
                complaint.why[:WHY_MAX],
            ],
        )

    async def went_well(self, site: Site, source: str, count: int) -> None:
        """Mails were taken: a slowed site recovers faster. Costs nothing for the others."""
        key = (site.key, source)
        if count < 1 or key not in self._slowed:
            return
        answer = await self._redis.run(
            "well", [f"{_pair(*key)}:slowed", INDEX], [json.dumps([site.key, source])]
        )
        if answer is not None and not int(answer):
            self._slowed.discard(key)

    async def close(self) -> None:
        """Gives all leases back."""
        if self._keeper is not None:
            self._keeper.cancel()
        for permit in list(self._held.values()):
            await self.disconnect(permit)
        await self._redis.close()

    async def _keep_alive(self) -> None:
        while self._held:
            await asyncio.sleep(LEASE / 3)
            await self.renew(self._held.values())


@lru_cache(maxsize=1)
def _machine() -> str:
    """Where process numbers mean the same: this boot of this machine, and its container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _is_dead(token: str) -> bool:
    """The lease of a process of this machine that is no more."""
    machine, _colon, rest = token.rpartition(":")[0].rpartition(":")
    if machine != _machine() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _pair(site: str, source: str) -> str:
    return f"{PREFIX}{site}|{source}"
