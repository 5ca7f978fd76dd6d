"""MAG-8: step stories in order, each so long after the registration or the story before it."""

from datetime import UTC, datetime, time, timedelta

import pytest

from leads.models import Lead
from mail.models import Reader, Story, StoryTurn
from mail.stories.loops import TOKYO, ready_at
from mail.stories.turns import drop_gone, plan_missing, plan_turns, skip_late, turns_decided
from tests.factories import make_delivery
from tests.mail.magazine_scene import make_magazine, make_reader, make_story
from tests.mail.stories.scene import make_start, waiting

pytestmark = pytest.mark.django_db

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def at(*when):
    return datetime(*when, tzinfo=TOKYO)


NOW = at(2026, 11, 22, 12)


@pytest.fixture
def magazine():
    return make_magazine()


def step(magazine, **values):
    return make_story(magazine, "step", **values)


def decide(story, *readers, now):
    """A start of the story that decided these readers."""
    job = make_start(story, now=now)
    for reader in readers:
        make_delivery(reader.lead, job=job, kind="magazine", state="sent")
    return turns_decided(story.magazine_id, story.pk, job.pk, now=now)


def test_the_first_story_counts_from_the_registration(magazine):
    story = step(magazine, wait_days=3, wait_hours=5)
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, lead_ids=[reader.lead_id], now=NOW)
    turn = StoryTurn.objects.get()
    assert (turn.story_id, turn.lead_id, turn.magazine_id) == (story.pk, reader.lead_id, magazine.pk)
    assert (turn.state, turn.base_at, turn.due_at) == ("waiting", NOW, NOW + 3 * DAY + 5 * HOUR)
    assert (turn.decided_at, turn.job_id, turn.why) == (None, None, "")


@pytest.mark.parametrize(
    ("registered", "days", "hours", "at_time", "due"),
    [
        (at(2026, 11, 22, 12), 0, 0, None, at(2026, 11, 22, 12)),
        (at(2026, 11, 22, 9), 0, 0, time(10), at(2026, 11, 22, 10)),
        (at(2026, 11, 22, 10), 0, 0, time(10), at(2026, 11, 22, 10)),
        (at(2026, 11, 22, 10, 0, 1), 0, 0, time(10), at(2026, 11, 23, 10)),
        (at(2026, 12, 1, 15), 3, 0, time(10), at(2026, 12, 4, 10)),
        (at(2026, 12, 1, 9), 3, 0, time(10), at(2026, 12, 4, 10)),
        (at(2026, 12, 1, 15), 1, 0, time(0), at(2026, 12, 2)),
        (at(2026, 12, 1), 0, 0, time(0), at(2026, 12, 1)),
        (at(2026, 12, 1, 0, 0, 1), 0, 0, time(0), at(2026, 12, 2)),
        (at(2026, 11, 30, 23, 59, 59), 0, 0, time(23, 59), at(2026, 12, 1, 23, 59)),
        (at(2026, 11, 30, 23, 59, 59), 1, 0, time(0), at(2026, 12, 1)),
        # still the 30th in Tokyo, already the day after, or still the day before, elsewhere
        (datetime(2026, 11, 30, 14, 59, tzinfo=UTC), 1, 0, time(10), at(2026, 12, 1, 10)),
        (datetime(2026, 11, 30, 15, tzinfo=UTC), 1, 0, time(10), at(2026, 12, 2, 10)),
        (
            at(2026, 11, 22, 23, 30),
            0,
            1,
            time(0, 15),
            at(2026, 11, 23, 0, 15),
        ),  # hours count without a time only
        (at(2028, 2, 28, 18), 1, 0, time(10), at(2028, 2, 29, 10)),
        (at(2028, 2, 29, 18), 1, 0, time(10), at(2028, 3, 1, 10)),
        (at(2027, 2, 28, 18), 1, 0, time(10), at(2027, 3, 1, 10)),
        (at(2027, 1, 31, 18), 28, 0, time(10), at(2027, 2, 28, 10)),
        (at(2026, 12, 31, 12), 0, 0, time(9), at(2027, 1, 1, 9)),
        (at(2026, 11, 22, 12), 3650, 23, None, at(2036, 11, 20, 11)),
        (at(2026, 11, 22, 12), 3650, 0, time(23), at(2036, 11, 19, 23)),
    ],
)
def test_with_a_time_of_day_calendar_days_count_in_tokyo(magazine, registered, days, hours, at_time, due):
    """MAG-8: the statement for many and `ready_at` for one say the same."""
    assert ready_at(registered, at_time, days=days, hours=hours) == due
    step(magazine, wait_days=days, wait_hours=hours, at_time=at_time)
    make_reader(magazine, registered_at=registered)
    plan_turns(magazine.pk, now=registered - HOUR)
    assert StoryTurn.objects.get().due_at == due


def test_one_waiting_turn_a_reader_the_first_story_by_position(magazine):
    second, first = step(magazine, position=2), step(magazine, position=1)
    step(magazine, position=0, state="draft")
    step(magazine, position=0, state="deleted")
    make_story(magazine, "extra")
    step(make_magazine("別"))
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    assert waiting(reader) == first
    assert decide(first, reader, now=NOW + DAY) == 1
    assert waiting(reader) == second
    assert decide(second, reader, now=NOW + 2 * DAY) == 1
    assert waiting(reader) is None
    assert list(StoryTurn.objects.values_list("state", flat=True)) == ["decided", "decided"]


def test_a_paused_story_holds_its_place(magazine):
    first = step(magazine, state="paused")
    step(magazine)
    reader = make_reader(magazine, registered_at=NOW - 9 * DAY)
    plan_turns(magazine.pk, now=NOW)
    assert waiting(reader) == first


def test_after_the_previous_story_counts_from_its_decision(magazine):
    first = step(magazine)
    step(magazine, base="previous", wait_days=7)
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    decide(first, reader, now=NOW + DAY + HOUR)
    turn = StoryTurn.objects.get(state="waiting")
    assert (turn.base_at, turn.due_at) == (NOW + DAY + HOUR, NOW + 8 * DAY + HOUR)
    done = StoryTurn.objects.get(state="decided")
    assert (done.story_id, done.decided_at) == (first.pk, NOW + DAY + HOUR)


def test_after_the_previous_story_without_one_counts_from_the_registration(magazine):
    step(magazine, base="previous", wait_days=2)
    make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    assert StoryTurn.objects.get().due_at == NOW + 2 * DAY


def test_planning_again_changes_nothing(magazine):
    step(magazine)
    for hours in range(3):
        make_reader(magazine, registered_at=NOW - hours * HOUR)
    plan_turns(magazine.pk, now=NOW)
    before = list(StoryTurn.objects.order_by("pk").values())
    plan_turns(magazine.pk, now=NOW + HOUR)
    plan_turns(magazine.pk, now=NOW + 9 * DAY)  # all of them overdue by then, and still so
    assert list(StoryTurn.objects.order_by("pk").values()) == before


def test_who_is_behind_gets_no_flood(magazine):
    """Registered long ago, all stories counted from the registration: never two within a day, never into the past."""
    stories = [step(magazine, wait_days=days) for days in (0, 3, 7)]
    reader = make_reader(magazine, registered_at=NOW - 365 * DAY)
    moment, dues = NOW, []
    for story in stories:
        plan_turns(magazine.pk, now=moment)
        turn = StoryTurn.objects.get(state="waiting")
        assert turn.story_id == story.pk
        dues.append(turn.due_at)
        moment = turn.due_at
        decide(story, reader, now=moment)
    assert dues == [NOW, NOW + DAY, NOW + 2 * DAY]


def test_who_is_behind_gets_one_story_a_day_at_its_time(magazine):
    """MAG-8: starts are a little late, and the next story comes on the next day all the same."""
    stories = [step(magazine, wait_days=days, at_time=time(10)) for days in (0, 3, 7)]
    reader = make_reader(magazine, registered_at=NOW - 365 * DAY)
    moment, dues = NOW, []
    for story in stories:
        plan_turns(magazine.pk, now=moment)
        dues.append(StoryTurn.objects.get(state="waiting").due_at)
        moment = dues[-1] + timedelta(seconds=3)
        decide(story, reader, now=moment)
    assert dues == [at(2026, 11, 23, 10), at(2026, 11, 24, 10), at(2026, 11, 25, 10)]


def test_after_the_previous_story_calendar_days_count_too(magazine):
    first = step(magazine, wait_days=0)
    step(magazine, base="previous", wait_days=2, at_time=time(10))
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    decide(first, reader, now=NOW)
    assert StoryTurn.objects.get(state="waiting").due_at == at(2026, 11, 24, 10)


def test_who_comes_back_gets_no_story_twice_and_counts_anew(magazine):
    first = step(magazine, wait_days=0)
    second = step(magazine, base="previous", wait_days=3)
    reader = make_reader(magazine, registered_at=NOW)
    lead = reader.lead
    plan_turns(magazine.pk, now=NOW)
    decide(first, reader, now=NOW)
    reader.delete()
    plan_turns(magazine.pk, lead_ids=[lead.pk], now=NOW + DAY)
    assert StoryTurn.objects.get().state == "decided"  # nobody waits, and what was stays known
    back = make_reader(magazine, lead=lead, registered_at=NOW + 30 * DAY)
    plan_turns(magazine.pk, lead_ids=[lead.pk], now=NOW + 30 * DAY)
    assert waiting(back) == second
    assert StoryTurn.objects.get(state="waiting").due_at == NOW + 33 * DAY


def test_a_story_put_in_behind_the_readers_back_is_no_previous_one(magazine):
    first, late = step(magazine), step(magazine)
    step(magazine, base="previous", wait_days=7)
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    decide(first, reader, now=NOW + DAY)
    values = {
        "story": late,
        "magazine": magazine,
        "lead": reader.lead,
        "state": "skipped",
        "decided_at": NOW + 5 * DAY,
    }
    StoryTurn.objects.filter(state="waiting").delete()
    turn = StoryTurn.objects.create(why="added_later", **values)
    plan_turns(magazine.pk, now=NOW + 5 * DAY)
    assert StoryTurn.objects.get(state="waiting").due_at == NOW + 8 * DAY
    StoryTurn.objects.filter(pk=turn.pk).update(why="too_late")  # that one had its time
    plan_turns(magazine.pk, now=NOW + 5 * DAY)
    assert StoryTurn.objects.get(state="waiting").due_at == NOW + 12 * DAY


def test_deleted_leads_and_former_readers_have_no_turn(magazine):
    story = step(magazine, wait_days=0)
    stays, deleted, gone = (make_reader(magazine, registered_at=NOW) for _ in range(3))
    plan_turns(magazine.pk, now=NOW)
    Lead.objects.filter(pk=deleted.lead_id).update(deleted_at=NOW)
    Reader.objects.filter(pk=gone.pk).delete()
    assert drop_gone(magazine.pk, story.pk, now=NOW) == 2
    assert list(StoryTurn.objects.values_list("lead_id", flat=True)) == [stays.lead_id]
    assert drop_gone(magazine.pk, story.pk, now=NOW) == 0


def test_overdue_for_too_long_is_skipped_visibly_and_the_series_goes_on(magazine):
    first = step(magazine, wait_days=0)
    second = step(magazine, base="previous", wait_days=2)
    late, in_time = make_reader(magazine, registered_at=NOW), make_reader(magazine, registered_at=NOW + HOUR)
    plan_turns(magazine.pk, now=NOW)
    now = NOW + 72 * HOUR + timedelta(minutes=1)
    assert skip_late(magazine.pk, first.pk, now=now) == 1
    turn = StoryTurn.objects.get(state="skipped")
    assert (turn.lead_id, turn.why, turn.decided_at) == (late.lead_id, "too_late", now)
    assert waiting(late) == second
    assert StoryTurn.objects.get(state="waiting", lead=late.lead).due_at == now + 2 * DAY
    assert waiting(in_time) == first


def test_how_late_is_a_setting_and_0_means_always(magazine):
    from settings.system_settings import set_setting

    set_setting("step_mail_late_hours", 0, user=None)
    story = step(magazine, wait_days=0)
    make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    assert skip_late(magazine.pk, story.pk, now=NOW + 999 * DAY) == 0


def test_the_tick_finds_readers_without_a_plan(magazine):
    step(magazine)
    new = make_reader(magazine, registered_at=NOW - HOUR / 2)
    old = make_reader(magazine, registered_at=NOW - 9 * DAY)
    assert plan_missing(NOW, everybody=False) == 1
    assert waiting(new) is not None and waiting(old) is None
    assert plan_missing(NOW, everybody=True) == 1
    assert waiting(old) is not None
    assert plan_missing(NOW, everybody=True) == 0


def test_readers_who_had_every_story_are_not_looked_for(magazine):
    story = step(magazine)
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    decide(story, reader, now=NOW + DAY)
    assert plan_missing(NOW + DAY, everybody=True) == 0
    later = step(magazine)
    assert plan_missing(NOW + DAY, everybody=True) == 1
    assert waiting(reader) == later


def test_as_many_queries_for_one_reader_as_for_three(magazine, django_assert_num_queries):
    step(magazine)
    readers = [make_reader(magazine, registered_at=NOW) for _ in range(3)]
    plan_turns(magazine.pk, now=NOW)
    for leads in ([readers[0].lead_id], [reader.lead_id for reader in readers]):
        with django_assert_num_queries(
            6
        ):  # the lock, is there a series, the rows, the statement, and the savepoint
            plan_turns(magazine.pk, lead_ids=leads, now=NOW)


def test_without_a_series_nothing_is_planned(magazine, django_assert_num_queries):
    """An import of 100,000 readers into a magazine without step stories asks for it once; who waits for a story that is gone is
    freed all the same."""
    reader = make_reader(magazine, registered_at=NOW)
    with django_assert_num_queries(4):  # the savepoint, the lock, the question
        plan_turns(magazine.pk, lead_ids=[reader.lead_id], now=NOW)
    story = step(magazine)
    plan_turns(magazine.pk, lead_ids=[reader.lead_id], now=NOW)
    assert StoryTurn.objects.filter(story=story, state="waiting").count() == 1
    Story.objects.filter(pk=story.pk).update(state="deleted")
    plan_turns(magazine.pk, lead_ids=[reader.lead_id], now=NOW)
    assert not StoryTurn.objects.exists()
