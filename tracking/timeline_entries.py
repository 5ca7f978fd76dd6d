"""What the timeline of a lead is made of (tracking/timeline.py)."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet

from tracking.models import Verdict

BIGGEST_ID = 2**63 - 1


class Place(NamedTuple):
    """Where an entry stands; the newest first. `order`: the place of its source; `row` and `part` within it."""

    at: datetime
    order: int
    row: int
    part: int = 0

    def __str__(self) -> str:
        """For an address: read back by `place_of`."""
        return f"{self.at.astimezone(UTC):%Y%m%dT%H%M%S%f}_{self.order}_{self.row}_{self.part}"


def place_of(text: str) -> Place | None:
    """None for what no page wrote."""
    try:
        at, order, row, part = text[:100].split("_")
        moment = datetime.strptime(at, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
        return Place(moment, int(order), min(int(row), BIGGEST_ID), int(part))
    except ValueError:
        return None


@dataclass(frozen=True)
class Entry:
    place: Place
    kind: str
    text: str
    url: str = ""  # of our page about it
    tag: str = ""  # what happened, in a word, and its colour
    tag_class: str = ""
    details: list[str] = field(default_factory=list)
    verdict: str = ""  # of hits and views
    evidence: list[str] = field(default_factory=list)  # codes of tracking/judge.py

    @property
    def at(self) -> datetime:
        return self.place.at

    @property
    def machine(self) -> bool:
        return self.verdict == Verdict.MACHINE


@dataclass(frozen=True)
class Asked:
    """What a source is asked for."""

    lead_id: int
    campaign_id: int | None
    limit: int
    before: Place | None
    machines: bool

    def page(self, rows: QuerySet[Any], order: int, time: str = "at") -> list[Any]:
        """The newest rows before the place, as many as a page can need."""
        if self.before is not None:
            earlier = Q(**{f"{time}__lt": self.before.at})
            if order < self.before.order:  # at the same moment it stands after the place
                earlier |= Q(**{time: self.before.at})
            elif order == self.before.order:
                earlier |= Q(**{time: self.before.at, "pk__lt": self.before.row})
            rows = rows.filter(earlier)
        return list(rows.order_by(f"-{time}", "-pk")[: self.limit + 1])
