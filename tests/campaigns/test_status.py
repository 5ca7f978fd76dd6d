"""APP-1, APP-6: what a campaign is for visitors, as a table of state, dates and seats."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from campaigns.models import Campaign, CampaignState
from campaigns.status import StatusKey, few_from, has_passed, status_of

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)  # 12:00 in Tokyo
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Seats:
    taken: int = 0
    waiting: int = 0


def campaign(state="open", **values):
    values.setdefault("starts_at", NOW + 7 * DAY)
    values.setdefault("ends_at", NOW + 7 * DAY + HOUR)
    return Campaign(name="製造業DXセミナー", state=state, **values)


@pytest.mark.parametrize(
    ("values", "seats", "expected"),
    [
        ({"state": "draft"}, Seats(), "draft"),
        ({"state": "draft", "ends_at": NOW - DAY, "starts_at": NOW - DAY}, Seats(), "draft"),
        ({"state": "archived"}, Seats(), "archived"),
        ({"state": "archived", "ends_at": NOW - DAY}, Seats(), "archived"),
        ({"state": "closed"}, Seats(), "closed"),
        ({"state": "closed", "ends_at": NOW - DAY}, Seats(), "over"),
        # dates
        ({}, Seats(), "open"),
        ({"starts_at": None, "ends_at": None}, Seats(), "open"),
        ({"applications_from": NOW + HOUR}, Seats(), "not_yet"),
        ({"applications_from": NOW}, Seats(), "open"),
        ({"applications_until": NOW - HOUR}, Seats(), "closed"),
        ({"applications_until": NOW}, Seats(), "open"),
        ({"applications_until": NOW - timedelta(minutes=1)}, Seats(), "closed"),
        ({"ends_at": NOW}, Seats(), "over"),
        ({"ends_at": NOW + HOUR, "starts_at": NOW - HOUR}, Seats(), "open"),
        ({"ends_at": None, "starts_at": NOW - HOUR}, Seats(), "open"),
        ({"ends_at": None, "starts_at": NOW - 13 * HOUR}, Seats(), "over"),  # yesterday in Tokyo
        ({"ends_at": NOW, "applications_until": NOW - DAY}, Seats(), "over"),
        ({"applications_from": NOW + HOUR, "capacity": 1}, Seats(taken=1), "not_yet"),
        # seats
        ({"capacity": None}, Seats(taken=100_000), "open"),
        ({"capacity": 100}, Seats(taken=89), "open"),
        ({"capacity": 100}, Seats(taken=90), "few"),
        ({"capacity": 100}, Seats(taken=99), "few"),
        ({"capacity": 100}, Seats(taken=100), "waiting"),
        ({"capacity": 100}, Seats(taken=100, waiting=7), "waiting"),
        ({"capacity": 50}, Seats(taken=60), "waiting"),  # the capacity was lowered
        ({"capacity": 100, "waiting_list": False}, Seats(taken=100), "full"),
        ({"capacity": 0}, Seats(), "waiting"),
        ({"capacity": 0, "waiting_list": False}, Seats(), "full"),
        ({"capacity": 5}, Seats(taken=3), "open"),
        ({"capacity": 5}, Seats(taken=4), "few"),
    ],
)
def test_status(values, seats, expected):
    status = status_of(campaign(**values), now=NOW, seats=seats)
    assert status.key == expected
    assert status.may_apply == (expected in {"open", "few", "waiting"})
    assert status.waiting == (expected == "waiting")


def test_the_words_of_a_status(db):
    full = campaign(capacity=1)
    assert status_of(full, now=NOW, seats=Seats(taken=1)).label == "満席(キャンセル待ち受付中)"
    assert status_of(campaign(capacity=1), now=NOW, seats=Seats()).label == "残りわずか"
    assert all(key.label for key in StatusKey) and set(CampaignState.values) <= set(StatusKey.values)


def test_few_seats_are_the_last_tenth():
    assert [few_from(capacity) for capacity in (1, 9, 10, 19, 20, 300)] == [1, 1, 1, 1, 2, 30]


def test_the_last_minute_counts_to_its_end():
    last = datetime(2026, 11, 21, 14, 59, tzinfo=UTC)  # 23:59まで
    assert not has_passed(last, last + timedelta(seconds=59))
    assert has_passed(last, last + timedelta(seconds=60))
    assert not has_passed(None, NOW)
