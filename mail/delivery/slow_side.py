"""The throttle of one process alone, while Redis is away: a fixed small share of every limit, so that several
processes together stay below it. In memory; what it learns is forgotten after some minutes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from mail.delivery.complaints import Complaint, Kind
from mail.delivery.sites import Site

SHARE = 4  # each process takes a quarter
SLOWED_SECONDS = 600.0
ENTRIES_MAX = 10_000

Key = tuple[str, str]  # site, source
T = TypeVar("T")


@dataclass(frozen=True)
class Limited:
    """A source, with its limit of the day (None: none) and what this process has sent from it today."""

    address: str
    limit: int | None
    sent: int


@dataclass
class _Slowed:
    factor: float
    until: float
    stop: float = 0.0


class SlowSide:
    """Times are time.monotonic(). `slow_rate`: mails a second of an unlimited rule that was complained about."""

    def __init__(self, slow_rate: float) -> None:
        self.slow_rate = slow_rate
        self._arrivals: dict[Key, float] = {}
        self._used: dict[Key, float] = {}
        self._slowed: dict[Key, _Slowed] = {}

    def admit(
        self, site: Site, sources: Sequence[Limited], count: int, now: float
    ) -> tuple[Limited | None, int, float]:
        """(source, granted, 0), or (None, 0, seconds to wait)."""
        wait = 86400.0
        for source in sorted(sources, key=lambda s: self._used.get((site.key, s.address), 0.0)):
            granted, seconds = self._room(site, source, count, now)
            if granted:
                self._remember(self._used, (site.key, source.address), now)
                return source, granted, 0.0
            wait = min(wait, seconds)
        return None, 0, wait

    def _room(self, site: Site, source: Limited, count: int, now: float) -> tuple[int, float]:
        key = (site.key, source.address)
        slowed = self._state(key, now)
        if slowed.stop > now:
            return 0, slowed.stop - now
        if source.limit is not None:
            count = min(count, source.limit // SHARE - source.sent)
            if count <= 0:
                return 0, 600.0
        minute = site.rule.mails_per_minute
        rate = minute / 60 if minute else self.slow_rate if slowed.factor < 1 else 0.0
        if not rate:
            return count, 0.0
        step = SHARE / (rate * slowed.factor)
        arrival = min(self._arrivals.get(key, 0.0), now + max(step, 1.0))
        if arrival > now:
            return 0, arrival - now
        # One second's worth at once, at least one mail.
        granted = max(1, min(count, int(1 / step)))
        self._remember(self._arrivals, key, now + granted * step)
        return granted, 0.0

    def may_connect(self, site: Site, source: str, open_now: int, now: float) -> bool:
        slowed = self._state((site.key, source), now)
        most = max(1, int(site.rule.connections / SHARE * slowed.factor))
        return slowed.stop <= now and open_now < most

    def complained(self, site: Site, source: str, complaint: Complaint, now: float) -> None:
        slowed = self._state((site.key, source), now)
        factor = slowed.factor if complaint.kind is Kind.STOP else max(1 / 64, slowed.factor / 2)
        stop = max(slowed.stop, now + complaint.seconds)
        state = _Slowed(factor, max(stop, now) + SLOWED_SECONDS, stop)
        self._remember(self._slowed, (site.key, source), state)

    def _state(self, key: Key, now: float) -> _Slowed:
        slowed = self._slowed.get(key)
        return slowed if slowed and slowed.until > now else _Slowed(1.0, 0.0)

    @staticmethod
    def _remember(table: dict[Key, T], key: Key, value: T) -> None:
        if len(table) > ENTRIES_MAX:
            table.clear()
        table[key] = value
