"""How many links of a mail were clicked at about the same time (TRK-4, rule `burst`). Pure."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tracking.judge import BURST_SECONDS

NEAR = timedelta(seconds=BURST_SECONDS)


class Click(NamedTuple):
    delivery_id: int
    url_id: int | None
    at: datetime


def counts(clicks: Sequence[Click]) -> list[int]:
    """For each click how many different links of its mail were clicked within BURST_SECONDS before or after it, its own
    with it. Any order; takes n log n, however many clicks a hostile reader makes."""
    answer = [1] * len(clicks)
    by_mail: dict[int, list[int]] = defaultdict(list)
    for index, click in enumerate(clicks):
        by_mail[click.delivery_id].append(index)
    for indexes in by_mail.values():
        indexes.sort(key=lambda index: clicks[index].at)
        near: Counter[int | None] = Counter()
        first = last = 0
        for index in indexes:
            at = clicks[index].at
            while last < len(indexes) and clicks[indexes[last]].at <= at + NEAR:
                near[clicks[indexes[last]].url_id] += 1
                last += 1
            while clicks[indexes[first]].at < at - NEAR:
                url_id = clicks[indexes[first]].url_id
                near[url_id] -= 1
                if not near[url_id]:
                    del near[url_id]
                first += 1
            answer[index] = len(near)
    return answer
