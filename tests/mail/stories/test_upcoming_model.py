"""EXC-6, TGT-10: what a reader's page says of the next start is what that start then decides."""

import uuid
from datetime import datetime, time, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mail import job_start
from mail.magazines.item_uses import filter_key
from mail.models import Delivery, Reader
from mail.stories import starts
from mail.stories.loops import TOKYO
from mail.stories.turns import plan_turns
from mail.stories.upcoming import OVER_THRESHOLD, upcoming
from tests.factories import make_lead
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story

NOW = datetime(2026, 11, 30, 23, 20, tzinfo=TOKYO)  # the day and the month end soon
NIGHT = datetime(2026, 12, 1, 0, 30, tzinfo=TOKYO)  # 30 November in UTC

readers = st.lists(
    st.fixed_dictionaries(
        {
            "email": st.sampled_from(["a@x.example.jp", "Ａ@X.example.jp", "b@x.example.jp", ""]),
            "lead": st.sampled_from([{}, {}, {}, {"email_valid": False}, {"unsubscribed_at": NOW}]),
            "state": st.sampled_from(
                ["deliverable", "deliverable", "deliverable", "stopped", "error_stopped"]
            ),
            "failures": st.sampled_from([0, 0, 2]),
            "minutes": st.sampled_from([0, 0, 10, 3 * 24 * 60]),  # registered so long ago
            "date": st.sampled_from(["", "1990-12-01", "2026-11-30", "2026-12-01", "2026-12-31"]),
        }
    ),
    min_size=1,
    max_size=6,
)
stories = st.lists(
    st.sampled_from(
        [
            "step",
            "step later",
            "step at night",
            "loop",
            "birthday",
            "reserved",
            "paused",
            "this month",
            "today",
        ]
    ),
    min_size=1,
    max_size=5,
)


def write(magazine, what, item):
    """A story of that kind, most of them at 0:30 in the night."""
    months = {"item": filter_key(item), "operator": "this_month", "values": []}
    filters = {"this month": [months], "today": [months | {"operator": "today"}]}
    filter = {"match": "all", "blocks": filters.get(what, [])}
    match what:
        case "step":
            make_story(magazine, "step", wait_days=0, wait_hours=1)
        case "step later":
            make_story(magazine, "step", base="previous", wait_days=0, wait_hours=1)
        case "step at night":
            make_story(magazine, "step", wait_days=0, at_time=time(0, 30))
        case "birthday":
            timing = {"rule": "yearly", "date_item": item, "at_time": time(0, 30), "next_at": NIGHT}
            make_story(magazine, "loop", **timing)
        case "paused":
            make_story(magazine, "step", state="paused")
        case "loop":
            weekdays = list(range(7))
            timing = {"rule": "weekly", "weekdays": weekdays, "at_time": time(0, 30), "next_at": NIGHT}
            make_story(magazine, "loop", **timing)
        case _:
            issue = make_story(magazine, "extra", state="draft", filter=filter)
            starts.reserve(issue, NIGHT, user=None, now=NOW, token=uuid.uuid4())


@pytest.fixture(autouse=True)
def no_hints(monkeypatch):
    for module in ("mail.job_start", "mail.stories.starts"):
        monkeypatch.setattr(f"{module}.hint", lambda task, *ids, **_options: None)


PLAIN = {
    "email": "a@x.example.jp",
    "lead": {},
    "state": "deliverable",
    "failures": 0,
    "minutes": 0,
    "date": "",
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# One address twice: in one start the newer lead gets it; each at their own turn, both do.
@example(people=[PLAIN, PLAIN], series=["step", "loop"])
@example(people=[PLAIN | {"minutes": 10}, PLAIN], series=["step"])
@example(people=[PLAIN | {"date": "1990-12-01"}, PLAIN], series=["birthday"])
# Who is stopped at the start takes the mail from nobody.
@example(people=[PLAIN, PLAIN | {"failures": 2}], series=["loop"])
@example(people=[PLAIN | {"date": "2026-12-31"}, PLAIN | {"date": "2026-11-30"}], series=["this month"])
@given(people=readers, series=stories)
def test_upcoming_says_what_the_next_start_decides(db, people, series):
    """For the soonest time anybody is told: the same stories start, for the same readers, with the same reasons."""
    with transaction.atomic():
        magazine = make_magazine(stop_full=2)
        item = make_item(magazine, "契約日", "date")
        for what in series:
            write(magazine, what, item)
        for one in people:
            make_reader(
                magazine, lead=make_lead(one["email"], **one["lead"]), state=one["state"], failures_full=one["failures"],
                registered_at=NOW - timedelta(minutes=one["minutes"]), values={item.key: one["date"]} if one["date"] else {},
            )  # fmt: skip
        plan_turns(magazine.pk, now=NOW)
        told = [
            (one.at, reader.lead_id, one)
            for reader in Reader.objects.select_related("lead", "magazine")
            for one in upcoming(reader, now=NOW)
            if one.at is not None and not one.estimate
        ]
        soonest = min((at for at, _lead, _one in told), default=None)
        if soonest is not None:
            starts.start_due(soonest)
            for job_id in job_start.due(soonest):
                assert job_start.run(job_id, now=soonest)
        expected = {
            (one.story.pk, lead): "reader_error_stopped" if one.reason == OVER_THRESHOLD else one.reason
            for at, lead, one in told
            if at == soonest
        }
        assert all(one.answer == (one.reason == "") for _at, _lead, one in told)
        rows = Delivery.objects.filter(job__magazine=magazine)
        assert {(row.job.story_id, row.lead_id): row.reason for row in rows} == expected
        transaction.set_rollback(True)
