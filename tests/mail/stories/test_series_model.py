"""MAG-8 against a plain model: readers come, leave and return, stories are put in, moved, paused, go on and are deleted, time
passes. No story twice, none lost silently, the order kept: after every step the turns are those of the model."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mail.models import Delivery, Reader, SendJob, Story, StoryTurn
from mail.stories import starts
from mail.stories.loops import TOKYO
from mail.stories.stories import delete, go_on, move, pause, start_running
from mail.stories.turns import plan_turns, turns_decided
from tests.factories import make_lead
from tests.mail.magazine_scene import make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db

START = datetime(2026, 11, 22, 12, tzinfo=TOKYO)
DAY = timedelta(days=1)
LATE = timedelta(hours=72)
SLOT = timedelta(minutes=5)
LEADS = 3


# ---- the model


@dataclass
class Turn:
    state: str  # waiting | decided | added_later | overdue | too_late | deleted
    at: datetime | None = None  # decided or skipped at; of one that waits: due at


@dataclass
class Tale:
    name: str
    base: str
    days: int
    at_time: time | None
    state: str = "running"
    started: list = field(default_factory=list)  # when starts were made


@dataclass
class Model:
    order: list = field(default_factory=list)  # Tale, those in the series and the deleted ones
    readers: dict = field(default_factory=dict)  # lead number → registered at
    turns: dict = field(default_factory=dict)  # (lead number, story name) → Turn

    def series(self):
        return [tale for tale in self.order if tale.state != "deleted"]

    def waits_for(self, lead):
        return next((tale for tale in self.order if self.state(lead, tale) == "waiting"), None)

    def state(self, lead, tale):
        turn = self.turns.get((lead, tale.name))
        return turn.state if turn else None

    def last(self, lead):
        counted = ("decided", "overdue", "too_late")
        return max(
            (turn.at for (who, _), turn in self.turns.items() if who == lead and turn.state in counted),
            default=None,
        )

    def next_of(self, lead, now):
        """(story, when it was meant to go, when it will)."""
        for tale in self.series():
            if self.state(lead, tale) in (None, "waiting"):
                break
        else:
            return None, None, None
        base, last = self.readers[lead], self.last(lead)
        if tale.base == "previous" and last:
            base = max(base, last)
        planned = ready(base, tale.at_time, tale.days)
        if planned > now:
            return tale, planned, planned
        waiting = self.turns.get((lead, tale.name))
        if waiting and waiting.at <= now:
            return tale, planned, waiting.at
        due = ready(now, tale.at_time)
        if tale.base == "registration" and last:
            due = max(due, ready(last, tale.at_time, 1))
        return tale, planned, due

    def plan(self, leads, now):
        for lead in leads:
            tale, _planned, due = self.next_of(lead, now) if lead in self.readers else (None, None, None)
            old = self.waits_for(lead)
            if old:
                del self.turns[lead, old.name]
            if tale:
                # `next_of` was asked while the old turn was there
                self.turns[lead, tale.name] = Turn("waiting", due)

    def skip_passed(self, tale, now):
        later = self.series()[self.series().index(tale) + 1 :]
        for lead in self.readers:
            if self.state(lead, tale) is not None:
                continue
            had_later = any(self.state(lead, one) not in (None, "waiting") for one in later)
            following, planned, _due = self.next_of(lead, now)
            if had_later or (following is tale and planned <= now):
                self.turns[lead, tale.name] = Turn("added_later", now)

    def end_waiting(self, tale, state, now, *, before=None):
        ended = []
        for (lead, name), turn in self.turns.items():
            if name == tale.name and turn.state == "waiting" and (before is None or turn.at <= before):
                turn.state, turn.at = state, now
                ended.append(lead)
        return ended

    def due(self, tale, now):
        return [
            lead
            for (lead, name), turn in self.turns.items()
            if name == tale.name and turn.state == "waiting" and turn.at <= now
        ]

    def tick(self, now):
        """Which stories start now."""
        due = [tale for tale in self.series() if tale.state == "running" and self.due(tale, now)]
        due.sort(
            key=lambda tale: (
                min(self.turns[lead, tale.name].at for lead in self.due(tale, now)),
                int(tale.name),
            )
        )
        started = []
        for tale in due:
            # one who is late by exactly as much as may be is not too late
            self.plan(
                self.end_waiting(tale, "too_late", now, before=now - LATE - timedelta(microseconds=1)), now
            )
            slot = now - timedelta(seconds=now.timestamp() % SLOT.total_seconds())
            if self.due(tale, now) and not any(slot <= at < slot + SLOT for at in tale.started):
                tale.started.append(now)
                started.append(tale)
        for tale in started:
            self.plan(self.end_waiting(tale, "decided", now, before=now), now)
        return [tale.name for tale in started]


def ready(base, at_time, days=0):
    """Calendar days with a time of day; otherwise days of 24 hours."""
    if at_time is None:
        return base + days * DAY
    day = base.astimezone(TOKYO).date().toordinal() + days
    times = (datetime.combine(date.fromordinal(day + more), at_time, TOKYO) for more in (0, 1))
    return next(due for due in times if due >= base)


# ---- the same with the real thing


class Both:
    def __init__(self):
        self.now = START
        self.model = Model()
        self.magazine = make_magazine()
        self.leads = [make_lead(f"r{number}@yamate.example.jp") for number in range(LEADS)]
        self.stories = {}  # name → primary key
        self.by = {"user": None}

    def real(self, tale):
        return Story.objects.get(pk=self.stories[tale.name])

    def pick(self, number):
        series = self.model.series()
        return series[number % len(series)] if series else None

    # ---- steps

    def register(self, number):
        lead = number % LEADS
        if lead in self.model.readers:
            return
        make_reader(self.magazine, lead=self.leads[lead], registered_at=self.now)
        plan_turns(self.magazine.pk, lead_ids=[self.leads[lead].pk], now=self.now)
        self.model.readers[lead] = self.now
        self.model.plan([lead], self.now)

    def leave(self, number):
        lead = number % LEADS
        if lead not in self.model.readers:
            return
        Reader.objects.filter(lead=self.leads[lead]).delete()
        plan_turns(self.magazine.pk, lead_ids=[self.leads[lead].pk], now=self.now)
        del self.model.readers[lead]
        self.model.plan([lead], self.now)

    def add(self, place, base, days, at_time, passed):
        """At the end of the series, or moved to its place before it is put into operation."""
        tale = Tale(str(len(self.model.order) + 1), base, days, at_time)
        story = make_story(
            self.magazine, "step", name=tale.name, state="draft", base=base, wait_days=days, at_time=at_time,
            position=1000,
        )  # fmt: skip
        self.stories[tale.name] = story.pk
        move(story, place, now=self.now, **self.by)
        start_running(story, passed=passed, now=self.now, **self.by)
        series = self.model.series()
        series.insert(min(place - 1, len(series)), tale)
        self.model.order = series + [one for one in self.model.order if one.state == "deleted"]
        self._in_its_place(tale, passed)

    def _in_its_place(self, tale, passed):
        if passed == "skip":
            self.model.skip_passed(tale, self.now)
        self.model.plan(range(LEADS), self.now)

    def move(self, number, place, passed):
        tale = self.pick(number)
        if tale is None:
            return
        moved = move(self.real(tale), place, passed=passed, now=self.now, **self.by)
        series = self.model.series()
        before = list(series)
        series.remove(tale)
        series.insert(min(place - 1, len(series)), tale)
        assert moved == (series != before)
        self.model.order = series + [one for one in self.model.order if one.state == "deleted"]
        if moved:
            self._in_its_place(tale, passed)

    def pause(self, number):
        tale = self.pick(number)
        if tale is not None and tale.state == "running":
            pause(self.real(tale), now=self.now, **self.by)
            tale.state = "paused"

    def go_on(self, number, overdue):
        tale = self.pick(number)
        if tale is None or tale.state != "paused":
            return
        go_on(self.real(tale), overdue=overdue, now=self.now, **self.by)
        tale.state = "running"
        if overdue == "skip":
            self.model.end_waiting(tale, "overdue", self.now, before=self.now)
        else:
            for lead in self.model.due(tale, self.now):
                self.model.turns[lead, tale.name].at = ready(self.now, tale.at_time)
        self.model.plan(range(LEADS), self.now)

    def delete(self, number):
        tale = self.pick(number)
        if tale is not None:
            delete(self.real(tale), now=self.now, **self.by)
            tale.state = "deleted"
            self.model.end_waiting(tale, "deleted", self.now)
            self.model.plan(range(LEADS), self.now)

    def wait(self, hours):
        """Time passes at once, as in an outage; then three ticks."""
        self.now += timedelta(hours=hours)
        for _tick in range(3):
            starts.start_due(self.now)
            jobs = list(SendJob.objects.filter(state="preparing").order_by("pk"))
            assert [job.story.name for job in jobs] == self.model.tick(self.now)
            for job in jobs:
                self._decide(job)
            self.now += SLOT

    def _decide(self, job):
        """As mail/job_start.py does it, without the mails."""
        due = StoryTurn.objects.filter(story=job.story, state="waiting", due_at__lte=self.now)
        Delivery.objects.bulk_create(
            Delivery(job=job, lead_id=turn.lead_id, kind="magazine", state="sent", decided_at=self.now)
            for turn in due
        )
        turns_decided(self.magazine.pk, job.story_id, job.pk, now=self.now)
        SendJob.objects.filter(pk=job.pk).update(state="done", decided_at=self.now)

    # ---- what must hold

    def check(self):
        numbers = {lead.pk: number for number, lead in enumerate(self.leads)}
        names = {key: name for name, key in self.stories.items()}
        real = {
            (numbers[turn.lead_id], names[turn.story_id]): (
                turn.why or turn.state,
                turn.due_at if turn.state == "waiting" else turn.decided_at,
            )
            for turn in StoryTurn.objects.all()
        }
        assert real == {key: (turn.state, turn.at) for key, turn in self.model.turns.items()}
        mails = list(Delivery.objects.values_list("lead_id", "job__story_id"))
        assert len(mails) == len(set(mails))  # no story twice
        for lead in self.model.readers:  # none lost silently
            states = [self.model.state(lead, tale) for tale in self.model.series()]
            first_open = next(
                (place for place, state in enumerate(states) if state in (None, "waiting")), None
            )
            assert first_open is None or states[first_open] == "waiting"
            assert states.count("waiting") <= 1


numbers = st.integers(0, 5)
choice = st.sampled_from(["skip", "send"])
steps = st.one_of(
    st.tuples(st.just("register"), numbers),
    st.tuples(st.just("leave"), numbers),
    st.tuples(
        st.just("add"),
        st.integers(1, 4),
        st.sampled_from(["registration", "previous"]),
        st.integers(0, 9),
        st.sampled_from([None, time(10), time(23, 45)]),
        choice,
    ),
    st.tuples(st.just("move"), numbers, st.integers(1, 4), choice),
    st.tuples(st.just("pause"), numbers),
    st.tuples(st.just("go_on"), numbers, choice),
    st.tuples(st.just("delete"), numbers),
    st.tuples(st.just("wait"), st.sampled_from([1, 23, 24, 71, 80, 300])),
)


def run(story_of_steps):
    with transaction.atomic():
        both = Both()
        for name, *values in story_of_steps:
            getattr(both, name)(*values)
            both.check()
        transaction.set_rollback(True)


FIRST = [
    ("register", 0),
    ("add", 1, "registration", 1, None, "skip"),
    ("add", 2, "previous", 2, time(10), "skip"),
]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(more=st.lists(steps, min_size=3, max_size=9))
def test_the_series_is_as_the_model_says(more):
    run(FIRST + more)


def test_a_long_story():
    """One way through all of it, the same every time."""
    run(
        [
            *FIRST,
            ("wait", 24),
            ("register", 1),
            ("add", 1, "registration", 0, None, "skip"),
            ("wait", 71),
            ("add", 2, "previous", 1, time(10), "send"),
            ("wait", 24),
            ("pause", 1),
            ("leave", 1),
            ("wait", 80),
            ("register", 1),
            ("register", 2),
            ("go_on", 1, "skip"),
            ("move", 3, 1, "send"),
            ("wait", 24),
            ("delete", 2),
            ("wait", 300),
            ("wait", 23),
            ("wait", 300),
        ]
    )
