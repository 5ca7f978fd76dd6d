"""MAG-8: writing stories and changing the series; the page says before what will happen to whom, and that happens."""

import uuid
from datetime import datetime, time, timedelta

import pytest
from django.core.exceptions import ValidationError

from mail.models import Magazine, SendJob, Story, StoryTurn
from mail.refused import Refused
from mail.stories.loops import TOKYO
from mail.stories.starts import reserve
from mail.stories.stories import copy_story, delete, go_on, move, pause, preview, save_story, start_running
from mail.stories.turns import plan_turns, turns_decided
from mail.templates import Conflict, NewFile
from settings.models import AuditEntry
from tests.factories import make_delivery, make_user
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story
from tests.mail.stories.scene import make_start, waiting

pytestmark = pytest.mark.django_db

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def at(*when):
    return datetime(*when, tzinfo=TOKYO)


NOW = at(2026, 11, 22, 12)
BY = {"user": None, "now": NOW}


@pytest.fixture
def magazine():
    return make_magazine()


def step(magazine, **values):
    return make_story(magazine, "step", **values)


def decide(story, *readers, now):
    job = make_start(story, now=now)
    for reader in readers:
        make_delivery(reader.lead, job=job, kind="magazine", state="sent")
    turns_decided(story.magazine_id, story.pk, job.pk, now=now)


def fresh(story):
    return Story.objects.get(pk=story.pk)


def turn_of(story, reader):
    return StoryTurn.objects.get(story=story, lead=reader.lead)


# ---- saving


CONTENT = {
    "subject": "第1号",
    "form": "text",
    "charset": "utf-8",
    "text_body": "こんにちは\r\n",
    "html_body": "",
}


def test_a_new_story_is_a_draft_at_the_end_of_the_series(magazine):
    user = make_user()
    step(magazine, position=4)
    values = {
        "name": "  第1号\0 髙﨑𠮷 ",
        "base": "previous",
        "wait_days": 7,
        "wait_hours": 0,
        "at_time": time(10),
    }
    made = save_story(
        values,
        story=Story(magazine=magazine, kind="step"),
        content=CONTENT,
        user=user,
        now=NOW,
        ip="192.0.2.1",
    )
    stored = fresh(made)
    assert (stored.state, stored.kind, stored.position, stored.name) == ("draft", "step", 5, "第1号 髙﨑𠮷")
    assert (stored.base, stored.wait_days, stored.at_time) == ("previous", 7, time(10))
    assert (stored.template.subject, stored.template.text_body) == ("第1号", "こんにちは\n")
    assert (stored.template.magazine, stored.template.purpose) == (magazine, "advertising")
    entry = AuditEntry.objects.get(action="story.create")
    assert (entry.user, entry.ip, entry.target_label) == (user, "192.0.2.1", "第1号 髙﨑𠮷")
    assert not StoryTurn.objects.exists()


def test_saving_again_changes_text_files_and_filter(magazine):
    story = make_story(magazine, "extra", state="draft")
    files = [NewFile("案内.pdf", "application/pdf", b"%PDF")]
    save_story({"name": "改題"}, story=story, content=CONTENT, files=files, seen_at=story.updated_at, **BY)
    stored = fresh(story)
    assert (stored.name, stored.template.subject, stored.updated_at) == ("改題", "第1号", NOW)
    file = stored.template.attachments.get()
    assert file.file_name == "案内.pdf"
    with pytest.raises(Conflict):
        save_story({"name": "別"}, story=story, seen_at=story.updated_at, **BY)
    save_story({}, story=stored, removed=[file.pk], **BY)
    assert not stored.template.attachments.exists()
    assert AuditEntry.objects.filter(action="story.change").count() == 2


def test_a_file_of_another_story_is_not_removed(magazine):
    first, second = make_story(magazine, "extra"), make_story(magazine, "extra")
    save_story({}, story=first, files=[NewFile("a.pdf", "application/pdf", b"%PDF")], **BY)
    save_story({}, story=second, removed=[first.template.attachments.get().pk], **BY)
    assert first.template.attachments.count() == 1


@pytest.mark.parametrize(
    ("kind", "values", "field"),
    [
        ("extra", {"name": " \0 "}, "name"),
        ("extra", {"name": "あ" * 101}, "name"),
        ("extra", {"filter": {"match": "all", "blocks": [{"nonsense": 1}]}}, "filter"),
        ("step", {"base": "tomorrow"}, "base"),
        ("step", {"wait_days": 3651}, "wait_days"),
        ("step", {"wait_hours": 24}, "wait_hours"),
        ("step", {"wait_hours": 1, "at_time": time(10)}, "wait_hours"),
        ("loop", {"rule": "hourly"}, "rule"),
        ("loop", {"at_time": None}, "at_time"),
        ("loop", {"day_of_month": 32}, "day_of_month"),
        ("loop", {"rule": "weekly", "weekdays": []}, "weekdays"),
        ("loop", {"rule": "weekly", "weekdays": [7]}, "weekdays"),
        ("loop", {"rule": "yearly"}, "date_item"),
    ],
)
def test_errors_stand_by_their_field(magazine, kind, values, field):
    story = make_story(magazine, kind)
    with pytest.raises(ValidationError) as raised:
        save_story(values, story=story, **BY)
    assert set(raised.value.message_dict) == {field}
    assert fresh(story).updated_at == story.updated_at


def test_a_loop_keeps_only_what_its_rule_uses(magazine):
    item = make_item(magazine, "誕生日", "date")
    story = make_story(magazine, "loop", next_at=at(2026, 12, 15, 10))
    save_story(
        {"rule": "yearly", "date_item": item, "date_offset": -3, "at_time": time(9, 0, 30)}, story=story, **BY
    )
    stored = fresh(story)
    assert (stored.day_of_month, stored.date_item, stored.date_offset) == (None, item, -3)
    assert (stored.at_time, stored.next_at) == (time(9), at(2026, 11, 23, 9))
    save_story({"rule": "month_end"}, story=story, **BY)
    stored = fresh(story)
    assert (stored.date_item, stored.date_offset, stored.next_at) == (None, 0, at(2026, 11, 30, 9))


@pytest.mark.parametrize("change", [{"magazine": "other"}, {"type": "text"}, {"retired_at": NOW}])
def test_a_loop_goes_by_a_date_item_of_its_own_magazine(magazine, change):
    where = make_magazine("別") if "magazine" in change else magazine
    item = make_item(where, "日", change.get("type", "date"), retired_at=change.get("retired_at"))
    with pytest.raises(ValidationError) as raised:
        save_story({"rule": "on_date", "date_item": item}, story=make_story(magazine, "loop"), **BY)
    assert set(raised.value.message_dict) == {"date_item"}


def test_deleted_stories_and_archived_magazines_are_not_changed(magazine):
    gone, story = step(magazine, state="deleted"), step(magazine)
    with pytest.raises(Refused):
        save_story({"name": "別"}, story=gone, **BY)
    Magazine.objects.update(archived_at=NOW)
    for change in (save_story, pause, delete):
        with pytest.raises(Refused):
            change({"name": "別"}, story=story, **BY) if change is save_story else change(story, **BY)


def test_new_times_of_a_running_story_are_those_of_who_waits(magazine):
    story = step(magazine, wait_days=3)
    reader, late = (
        make_reader(magazine, registered_at=NOW),
        make_reader(magazine, registered_at=NOW - 2 * DAY),
    )
    plan_turns(magazine.pk, now=NOW)
    values = {"wait_days": 1, "at_time": time(10)}
    look = preview(story, lambda: save_story(values, story=story, **BY), now=NOW)
    assert (look.waited, look.waits, look.sooner, look.later) == (2, 2, 2, 0)
    assert (look.first_at, look.last_at) == (at(2026, 11, 23, 10), at(2026, 11, 23, 10))
    assert fresh(story).wait_days == 3
    save_story(values, story=story, **BY)
    assert turn_of(story, reader).due_at == at(2026, 11, 23, 10)
    assert turn_of(story, late).due_at == at(2026, 11, 23, 10)  # its time is over: the next 10:00


def test_a_copy_is_a_draft_with_everything(magazine):
    story = step(magazine, wait_days=9, filter={"match": "any", "blocks": []})
    save_story({}, story=story, files=[NewFile("a.pdf", "application/pdf", b"%PDF")], **BY)
    copied = fresh(copy_story(fresh(story), **BY))
    assert (copied.state, copied.wait_days, copied.filter) == ("draft", 9, story.filter)
    assert copied.position == story.position + 1
    assert copied.template_id != story.template_id
    assert copied.template.text_body == story.template.text_body
    assert bytes(copied.template.attachments.get().content) == b"%PDF"


# ---- putting into operation


def test_the_first_start_says_who_gets_it_and_who_not(magazine):
    """Readers of long ago get no flood: by default they do not get it, and that is shown."""
    story = step(magazine, state="draft", wait_days=3)
    new, old = (
        make_reader(magazine, registered_at=NOW - DAY),
        make_reader(magazine, registered_at=NOW - 99 * DAY),
    )
    look = preview(story, lambda: start_running(story, **BY), now=NOW)
    assert (look.passed, look.waits, look.gets_next, look.at_once) == (1, 1, 1, 0)
    assert look.first_at == look.last_at == NOW + 2 * DAY
    other = preview(story, lambda: start_running(story, passed="send", **BY), now=NOW)
    assert (other.passed, other.waits, other.at_once) == (0, 2, 1)
    assert fresh(story).state == "draft" and not StoryTurn.objects.exists()
    assert start_running(story, **BY) is True
    assert start_running(story, **BY) is False
    assert (fresh(story).state, fresh(story).running_since) == ("running", NOW)
    assert waiting(new) == story
    assert (turn_of(story, old).state, turn_of(story, old).why) == ("skipped", "added_later")
    assert AuditEntry.objects.filter(action="story.start").count() == 1


def test_who_had_passed_its_place_may_get_it_at_the_next_start(magazine):
    first, third = step(magazine, wait_days=0), step(magazine, position=3, base="previous", wait_days=7)
    passed, before = (make_reader(magazine, registered_at=NOW - 8 * DAY) for _ in range(2))
    plan_turns(magazine.pk, now=NOW - 8 * DAY)
    decide(first, passed, before, now=NOW - 8 * DAY)
    decide(third, passed, now=NOW - DAY)
    StoryTurn.objects.filter(lead=before.lead, state="decided").update(decided_at=NOW - HOUR)
    second = step(magazine, position=2, state="draft", base="previous", wait_days=2)
    look = preview(second, lambda: start_running(second, **BY), now=NOW)
    assert (look.passed, look.gets_next, look.later) == (1, 1, 1)  # `before` waits longer for another mail
    start_running(second, passed="send", **BY)
    assert waiting(passed) == waiting(before) == second
    assert turn_of(second, passed).due_at == NOW + DAY  # two days after the last one they got
    assert turn_of(second, before).due_at == NOW - HOUR + 2 * DAY


def test_a_loop_put_into_operation_knows_its_next_time(magazine):
    story = make_story(magazine, "loop", state="draft")
    assert preview(story, lambda: start_running(story, **BY), now=NOW).next_at == at(2026, 12, 15, 10)
    start_running(story, **BY)
    assert fresh(story).next_at == at(2026, 12, 15, 10)


def test_what_cannot_start_says_why(magazine):
    story = step(magazine, state="draft", template_values={"subject": ""})
    with pytest.raises(Refused) as refused:
        start_running(story, **BY)
    assert refused.value.code == "template_subject"
    with pytest.raises(Refused):
        start_running(make_story(magazine, "extra", state="draft"), **BY)
    with pytest.raises(Refused):
        preview(story, lambda: start_running(story, **BY), now=NOW)


# ---- pausing and going on


def test_a_paused_story_holds_its_readers(magazine):
    story, other = step(magazine, wait_days=0), step(magazine)
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    job = make_start(story, now=NOW, state="preparing", decided_at=None)
    look = preview(story, lambda: pause(story, **BY), now=NOW)
    assert (look.waited, look.waits, look.held, look.skipped) == (1, 1, 1, {})
    assert pause(story, **BY) is True and pause(story, **BY) is False
    job.refresh_from_db()
    assert job.state == "stopped"  # it had decided nobody
    assert waiting(reader) == story
    with pytest.raises(Refused):
        pause(step(magazine, state="draft"), **BY)
    assert fresh(other).state == "running"


@pytest.mark.parametrize("overdue", ["send", "skip"])
def test_going_on_asks_what_becomes_of_who_is_overdue(magazine, overdue):
    story, following = (
        step(magazine, wait_days=0, at_time=time(10)),
        step(magazine, base="previous", wait_days=2),
    )
    late, later = (
        make_reader(magazine, registered_at=NOW),
        make_reader(magazine, registered_at=NOW + 29 * DAY),
    )
    plan_turns(magazine.pk, now=NOW)
    pause(story, **BY)
    now = NOW + 29 * DAY + HOUR
    plan_turns(magazine.pk, now=now)
    look = preview(story, lambda: go_on(story, overdue=overdue, user=None, now=now), now=now)
    assert (look.waited, look.overdue, look.held) == (2, 1, 0)
    assert look.skipped == ({} if overdue == "send" else {"overdue": 1})
    assert go_on(story, overdue=overdue, user=None, now=now) is True
    assert go_on(story, overdue=overdue, user=None, now=now) is False
    if overdue == "send":
        assert turn_of(story, late).due_at == at(2026, 12, 22, 10)
        assert look.first_at == at(2026, 12, 22, 10)
    else:
        assert turn_of(story, late).state == "skipped"
        assert turn_of(following, late).due_at == now + 2 * DAY
    assert turn_of(story, later).due_at == at(2026, 12, 22, 10)


def test_a_loop_that_goes_on_makes_up_for_nothing(magazine):
    story = make_story(magazine, "loop", next_at=at(2026, 12, 15, 10))
    pause(story, **BY)
    assert fresh(story).next_at is None
    go_on(story, user=None, now=at(2027, 3, 1))
    assert fresh(story).next_at == at(2027, 3, 15, 10)
    assert not SendJob.objects.exists()


# ---- the order


def test_moving_a_story_renumbers_the_series_and_tells_who_passed(magazine):
    first, second, third = (step(magazine, wait_days=0, base="previous") for _ in range(3))
    reader, new = make_reader(magazine, registered_at=NOW - DAY), make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    decide(first, reader, now=NOW)
    decide(second, reader, now=NOW)
    decide(third, reader, now=NOW)
    fourth = step(magazine, base="previous", wait_days=5)
    plan_turns(magazine.pk, now=NOW)
    assert waiting(reader) == fourth
    look = preview(fourth, lambda: move(fourth, 1, **BY), now=NOW)
    assert (look.waited, look.waits, look.gets_next, look.passed) == (1, 2, 1, 0)  # who waits for it gets it
    assert move(fourth, 1, **BY) is True
    assert move(fourth, 1, **BY) is False
    order = Story.objects.filter(kind="step").order_by("position")
    assert [one.pk for one in order] == [fourth.pk, first.pk, second.pk, third.pk]
    assert [one.position for one in order] == [1, 2, 3, 4]
    assert waiting(new) == waiting(reader) == fourth


def test_moving_before_what_a_reader_had_skips_it_for_them(magazine):
    first, second, third = (step(magazine, wait_days=0, base="previous") for _ in range(3))
    passed = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    decide(first, passed, now=NOW)
    assert waiting(passed) == second
    look = preview(third, lambda: move(third, 1, **BY), now=NOW)
    assert (look.passed, look.gets_next) == (1, 0)
    assert preview(third, lambda: move(third, 1, passed="send", **BY), now=NOW).gets_next == 1
    move(third, 1, **BY)
    assert (turn_of(third, passed).state, turn_of(third, passed).why) == ("skipped", "added_later")
    assert waiting(passed) == second


def test_drafts_move_without_anybody_noticing(magazine):
    first, draft = step(magazine, wait_days=0), step(magazine, state="draft")
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    move(draft, 1, **BY)
    assert waiting(reader) == first
    assert StoryTurn.objects.count() == 1
    with pytest.raises(Refused):
        move(make_story(magazine, "loop"), 1, **BY)


# ---- deleting


def test_who_waits_for_a_deleted_story_goes_on_with_the_next(magazine):
    first, second, third = (
        step(magazine, wait_days=0),
        step(magazine),
        step(magazine, base="previous", wait_days=9),
    )
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    decide(first, reader, now=NOW)
    look = preview(second, lambda: delete(second, **BY), now=NOW)
    assert (look.waited, look.waits, look.skipped, look.later) == (1, 0, {"deleted": 1}, 1)
    assert delete(second, **BY) is True and delete(second, **BY) is False
    assert (turn_of(second, reader).why, waiting(reader)) == ("deleted", third)
    assert turn_of(third, reader).due_at == NOW + 9 * DAY  # after the last one they got
    assert preview(third, lambda: delete(third, **BY), now=NOW).ended == 1
    assert Story.objects.count() == 3  # its history stays


def test_a_reserved_issue_is_not_deleted_under_its_reservation(magazine):
    story = make_story(magazine, "extra", state="draft")
    reserve(story, NOW + DAY, user=None, now=NOW, token=uuid.uuid4())
    with pytest.raises(Refused) as refused:
        delete(story, **BY)
    assert refused.value.code == "reserved"
    SendJob.objects.update(state="deleted")
    assert delete(story, **BY) is True


def test_looking_ahead_leaves_nothing_behind(magazine):
    story = step(magazine, wait_days=0)
    make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    before = list(StoryTurn.objects.values()), list(Story.objects.values()), AuditEntry.objects.count()
    for change in (pause, delete):
        preview(story, lambda change=change: change(story, **BY), now=NOW)
        preview(story, lambda change=change: change(story, **BY), now=NOW)
    assert (
        list(StoryTurn.objects.values()),
        list(Story.objects.values()),
        AuditEntry.objects.count(),
    ) == before
