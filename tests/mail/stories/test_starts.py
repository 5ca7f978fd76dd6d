"""TGT-10, TGT-11, MAG-8: what the tick starts, and when; what is late, held up or missed."""

import uuid
from datetime import datetime, timedelta

import pytest

from leads.models import Lead
from mail.models import Delivery, Magazine, SendJob, Story, StoryTurn
from mail.refused import Refused
from mail.stories import starts
from mail.stories.loops import TOKYO
from mail.stories.starts import delete_reservation, reserve, send_now, start_due
from mail.stories.turns import plan_turns
from settings.models import AuditEntry
from tests.factories import make_user
from tests.mail.magazine_scene import make_magazine, make_reader, make_story
from tests.mail.stories.scene import make_start, waiting

pytestmark = pytest.mark.django_db

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def at(*when):
    return datetime(*when, tzinfo=TOKYO)


NOW = at(2026, 11, 22, 12, 1)


@pytest.fixture
def magazine():
    return make_magazine()


@pytest.fixture(autouse=True)
def hints(monkeypatch, django_capture_on_commit_callbacks):
    sent = []
    monkeypatch.setattr(starts, "hint", lambda task, job: sent.append((task, job)))
    return sent


def step(magazine, **values):
    return make_story(magazine, "step", **values)


def loop(magazine, next_at, **values):
    return make_story(magazine, "loop", next_at=next_at, **values)


def turn(story, due_at, **values):
    reader = make_reader(story.magazine, registered_at=due_at)
    return StoryTurn.objects.create(
        story=story, magazine=story.magazine, lead=reader.lead, base_at=due_at, due_at=due_at, **values
    )


def break_text(story):
    """Whatever it says, it cannot be sent."""
    type(story.template).objects.filter(pk=story.template_id).update(subject="")


def mend_text(story):
    type(story.template).objects.filter(pk=story.template_id).update(subject="今週の記事")


# ---- step stories


def test_a_step_story_starts_when_turns_are_due(magazine, hints, django_capture_on_commit_callbacks):
    story = step(magazine, filter={"match": "all", "blocks": []})
    turn(story, NOW - MINUTE)
    turn(story, NOW)
    turn(story, NOW + MINUTE)
    with django_capture_on_commit_callbacks(execute=True):
        assert start_due(NOW) == 1
    job = SendJob.objects.get()
    assert hints == [("mail.tasks.run_job", job.pk)]
    assert (job.story, job.magazine, job.template) == (story, magazine, story.template)
    assert (job.rule, job.purpose, job.condition) == ("by_search", "advertising", story.filter)
    assert (job.include_sent, job.skip_duplicates, job.campaign_id) == (True, True, None)
    assert (job.state, job.scheduled_at, job.occurrence_at, job.started_at) == ("preparing", None, NOW, None)
    assert StoryTurn.objects.filter(state="waiting").count() == 3  # decided when it really starts (TGT-10)


def test_nothing_due_starts_nothing(magazine):
    turn(step(magazine), NOW + MINUTE)
    step(magazine)
    loop(magazine, NOW + DAY)
    assert start_due(NOW) == 0
    assert not SendJob.objects.exists()


@pytest.mark.parametrize("state", ["draft", "paused", "deleted"])
def test_only_running_stories_start(magazine, state):
    turn(step(magazine, state=state), NOW)
    loop(magazine, NOW - MINUTE, state=state)
    assert start_due(NOW) == 0


def test_archived_magazines_start_nothing(magazine):
    turn(step(magazine), NOW)
    loop(magazine, NOW - MINUTE)
    Magazine.objects.update(archived_at=NOW)
    assert start_due(NOW) == 0


def test_one_open_start_a_story(magazine):
    story, other = step(magazine), step(magazine)
    turn(story, NOW - HOUR)
    turn(other, NOW - HOUR)
    make_start(story, now=NOW - HOUR, state="halted", decided_at=None, halt_reason="件名がありません。")
    assert start_due(NOW) == 1
    assert SendJob.objects.filter(story=story).count() == 1
    assert SendJob.objects.get(story=other).state == "preparing"


def test_at_most_one_start_in_five_minutes(magazine):
    """So that a hundred people who register one after the other are not a hundred starts."""
    story = step(magazine)
    turn(story, NOW)
    assert start_due(NOW) == 1
    SendJob.objects.update(state="done", decided_at=NOW)
    StoryTurn.objects.update(state="decided", decided_at=NOW)
    turn(story, NOW + MINUTE)
    assert start_due(NOW + MINUTE) == 0
    assert start_due(at(2026, 11, 22, 12, 4, 59)) == 0
    assert start_due(at(2026, 11, 22, 12, 5)) == 1
    assert SendJob.objects.first().occurrence_at == NOW + MINUTE


def test_a_clock_that_went_ahead_keeps_no_step_story_back(magazine):
    story = step(magazine)
    make_start(story, now=NOW + 99 * DAY, state="done", reserved_at=NOW + 99 * DAY)
    turn(story, NOW)
    assert start_due(NOW) == 1


def test_who_left_is_no_reason_to_start(magazine):
    story = step(magazine)
    turn(story, NOW)
    magazine.readers.all().delete()
    assert start_due(NOW) == 0
    assert not StoryTurn.objects.exists()


def test_too_late_is_skipped_and_the_next_story_is_planned(magazine):
    first, second = step(magazine), step(magazine, base="previous", wait_days=2)
    late = turn(first, NOW - 73 * HOUR)
    assert start_due(NOW) == 0
    late.refresh_from_db()
    assert (late.state, late.why) == ("skipped", "too_late")
    assert StoryTurn.objects.get(state="waiting").story == second


def test_the_tick_plans_for_new_readers(magazine):
    story = step(magazine, wait_days=0)
    reader = make_reader(magazine, registered_at=NOW - MINUTE)
    assert starts.plan_new(NOW) == 1
    assert start_due(NOW) == 1
    assert waiting(reader) == story


def test_what_is_counted_is_chosen_at_the_start(magazine):
    """TRK-1: of a story that counts every URL of what really goes out."""
    text = "記事 https://blog.example.jp/1\n\n配信停止 {{ 配信停止URL }}\n"
    story = step(magazine, count_clicks=True, count_opens=True, template_values={"text_body": text})
    turn(story, NOW)
    start_due(NOW)
    job = SendJob.objects.get()
    assert job.count_clicks
    assert [one["url"] for one in job.counted_urls] == ["https://blog.example.jp/1"]


def test_from_the_tick_to_the_decision_and_the_next_story(magazine):
    """TGT-10, TGT-12, MAG-8: who is stopped when due is decided with that reason, who does not match too; the series goes on."""
    condition = {
        "match": "all",
        "blocks": [{"item": "lead.company", "operator": "is", "values": ["ワイ工業"]}],
    }
    story, following = (
        step(magazine, wait_days=0, filter=condition),
        step(magazine, base="previous", wait_days=2),
    )
    fine, stopped, other, later = (make_reader(magazine, registered_at=NOW) for _number in range(4))
    plan_turns(magazine.pk, now=NOW)
    StoryTurn.objects.filter(lead=later.lead).update(due_at=NOW + DAY)
    type(stopped).objects.filter(pk=stopped.pk).update(state="stopped")
    Lead.objects.exclude(pk=other.lead_id).update(company="ワイ工業")
    assert start_due(NOW) == 1
    job = SendJob.objects.get()
    assert starts.job_start.run(job.pk, now=NOW + timedelta(seconds=3))
    assert dict(Delivery.objects.values_list("lead_id", "reason")) == {
        fine.lead_id: "",
        stopped.lead_id: "reader_stopped",
        other.lead_id: "filter",
    }
    job.refresh_from_db()
    assert (job.started_at, job.decided_at) == (NOW + timedelta(seconds=3),) * 2  # TGT-11: the real start
    assert {waiting(one) for one in (fine, stopped, other)} == {following}
    assert waiting(later) == story
    done = StoryTurn.objects.get(story=story, lead=stopped.lead)
    assert (done.state, done.job_id, done.decided_at) == ("decided", job.pk, NOW + timedelta(seconds=3))


# ---- loops


def test_a_loop_starts_at_its_time_and_waits_for_the_next(magazine):
    story = loop(magazine, at(2026, 11, 15, 10))
    assert start_due(at(2026, 11, 15, 9, 59, 59)) == 0
    assert start_due(at(2026, 11, 15, 10)) == 1
    job = SendJob.objects.get()
    assert (job.occurrence_at, job.state, job.story) == (at(2026, 11, 15, 10), "preparing", story)
    story.refresh_from_db()
    assert story.next_at == at(2026, 12, 15, 10)
    assert start_due(at(2026, 11, 15, 10, 0, 2)) == 0


def test_after_an_outage_the_newest_starts_and_the_older_ones_are_shown_as_missed(magazine):
    story = loop(magazine, at(2026, 11, 16, 10), rule="weekly", weekdays=[0, 1, 2, 3, 4, 5, 6])
    assert start_due(at(2026, 11, 19, 8)) == 1
    jobs = SendJob.objects.order_by("occurrence_at")
    assert [(job.occurrence_at.astimezone(TOKYO).day, job.state) for job in jobs] == [
        (16, "stopped"),
        (17, "stopped"),
        (18, "preparing"),
    ]
    missed = jobs[0]
    assert (missed.started_at, missed.halt_reason) == (None, starts.missed_text())
    story.refresh_from_db()
    assert story.next_at == at(2026, 11, 19, 10)
    assert AuditEntry.objects.get(action="story.missed").detail["missed"] == 2


def test_an_occurrence_that_is_too_late_is_missed_too(magazine):
    story = loop(magazine, at(2026, 11, 15, 10))
    assert start_due(at(2026, 11, 18, 10, 0, 1)) == 0  # 72 hours and a second
    assert SendJob.objects.get().state == "stopped"
    story.refresh_from_db()
    assert story.next_at == at(2026, 12, 15, 10)


def test_a_very_long_outage_is_recorded_in_bounds(magazine):
    loop(magazine, at(2024, 1, 1, 10), rule="weekly", weekdays=[0, 1, 2, 3, 4, 5, 6])
    assert start_due(NOW) == 1
    assert SendJob.objects.filter(state="stopped").count() == starts.MISSED
    assert AuditEntry.objects.get(action="story.missed").detail["missed"] > 1000


def test_a_clock_that_jumps_back_starts_nothing_twice(magazine):
    story = loop(magazine, at(2026, 11, 15, 10))
    assert start_due(at(2026, 11, 15, 10)) == 1
    SendJob.objects.update(state="done", decided_at=NOW)
    for moment in (at(2026, 11, 15, 9), at(2026, 11, 15, 9, 59), at(2026, 11, 15, 10), at(2026, 11, 15, 11)):
        assert start_due(moment) == 0
    assert SendJob.objects.count() == 1
    story.refresh_from_db()
    assert story.next_at == at(2026, 12, 15, 10)


def test_a_clock_that_jumped_ahead_and_was_set_right_keeps_the_loop(magazine):
    """Otherwise a loop would be silent for ten years."""
    story = loop(magazine, at(2026, 12, 15, 10))
    start_due(at(2036, 12, 15, 10))
    assert start_due(NOW) == 0
    story.refresh_from_db()
    assert story.next_at == at(2026, 12, 15, 10)
    SendJob.objects.update(state="done", decided_at=NOW)
    assert start_due(at(2026, 12, 15, 10)) == 1


def test_a_running_loop_without_a_next_time_gets_one(magazine):
    story = loop(magazine, None)
    assert start_due(NOW) == 0
    story.refresh_from_db()
    assert story.next_at == at(2026, 12, 15, 10)


# ---- held up


def test_a_story_that_cannot_start_says_why_once(magazine):
    make_user("misaki")
    story = step(magazine)
    due = turn(story, NOW)
    break_text(story)
    assert start_due(NOW) == start_due(NOW + MINUTE) == 0
    story.refresh_from_db()
    assert "タイトル" in story.trouble
    assert AuditEntry.objects.filter(action="story.trouble").count() == 1
    assert Delivery.objects.filter(kind="alert").count() == 1
    due.refresh_from_db()
    assert due.state == "waiting"
    mend_text(story)
    assert start_due(NOW + 10 * MINUTE) == 1
    story.refresh_from_db()
    assert story.trouble == ""


def test_a_loop_that_cannot_start_goes_on_when_mended(magazine):
    story = loop(magazine, at(2026, 11, 15, 10))
    break_text(story)
    assert start_due(at(2026, 11, 15, 10)) == 0
    mend_text(story)
    assert start_due(at(2026, 11, 16, 10)) == 1
    assert SendJob.objects.get().occurrence_at == at(2026, 11, 15, 10)


def halted(story, reason, **values):
    values = {"state": "halted", "decided_at": None, "halt_reason": reason} | values
    return make_start(story, now=values.get("occurrence_at", NOW), **values)


def test_a_halted_start_goes_on_by_itself_when_its_reason_is_mended(magazine):
    story = step(magazine)
    job = halted(story, "件名がありません。")
    break_text(story)
    start_due(NOW)
    start_due(NOW + MINUTE)
    job.refresh_from_db()
    assert job.state == "halted"
    story.refresh_from_db()
    assert story.trouble == "件名がありません。"
    mend_text(story)
    start_due(NOW + 2 * MINUTE)
    job.refresh_from_db()
    story.refresh_from_db()
    assert (job.state, story.trouble) == ("preparing", "")


def test_after_an_unexpected_failure_somebody_looks_first(magazine):
    from mail.problems import unexpected_text

    job = halted(step(magazine), unexpected_text())
    for minutes in range(3):
        start_due(NOW + minutes * MINUTE)
    job.refresh_from_db()
    assert job.state == "halted"


def test_a_halted_start_that_is_too_late_is_given_up(magazine):
    story = step(magazine)
    job = halted(story, "件名がありません。", occurrence_at=NOW - 73 * HOUR)
    turn(story, NOW)
    assert start_due(NOW) == 1
    job.refresh_from_db()
    assert (job.state, job.halt_reason) == ("stopped", starts.missed_text())


def test_a_mistake_in_one_story_keeps_back_no_other(magazine, monkeypatch):
    bad, good = step(magazine), step(magazine)
    turn(bad, NOW - MINUTE)
    turn(good, NOW)
    real = starts._start_step

    def fails(story, now, aligned):
        if story.pk == bad.pk:
            raise RuntimeError("a mistake")
        return real(story, now, aligned)

    monkeypatch.setattr(starts, "_start_step", fails)
    assert start_due(NOW) == 1
    bad.refresh_from_db()
    assert bad.trouble and SendJob.objects.get().story == good


# ---- extra issues


def test_an_extra_issue_is_reserved_once(magazine):
    """RSV-5: one job a token, one an issue; two administrators make one reservation."""
    user, token = make_user(), uuid.uuid4()
    story = make_story(magazine, "extra", state="draft")
    job = reserve(story, NOW + 3 * DAY, user=user, now=NOW, token=token, ip="192.0.2.1")
    assert (job.state, job.scheduled_at, job.occurrence_at) == ("reserved", NOW + 3 * DAY, NOW + 3 * DAY)
    assert (job.created_by, job.story, job.decided_at) == (user, story, None)
    assert reserve(story, NOW + 3 * DAY, user=user, now=NOW, token=token) == job
    with pytest.raises(Refused) as refused:
        reserve(story, NOW + 4 * DAY, user=user, now=NOW, token=uuid.uuid4())
    assert refused.value.code == "already"
    story.refresh_from_db()
    assert (story.state, story.running_since) == ("running", NOW)
    assert SendJob.objects.count() == 1
    entry = AuditEntry.objects.get(action="story.reserve")
    assert (entry.user, entry.ip, entry.target_id) == (user, "192.0.2.1", str(story.pk))


def test_a_deleted_reservation_is_a_draft_again_and_may_be_reserved_for_the_same_time(magazine):
    """RSV-2."""
    story = make_story(magazine, "extra", state="draft")
    job = reserve(story, NOW + DAY, user=None, now=NOW, token=uuid.uuid4())
    with pytest.raises(Refused):
        delete_reservation(job, user=None, now=NOW + DAY - 30 * MINUTE)
    story.refresh_from_db()
    assert story.state == "running"
    delete_reservation(job, user=None, now=NOW + DAY - 31 * MINUTE)
    story.refresh_from_db()
    assert (story.state, story.running_since) == ("draft", None)
    again = reserve(story, NOW + DAY, user=None, now=NOW, token=uuid.uuid4())
    assert again != job and again.occurrence_at == NOW + DAY


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "loop"}, "wrong_kind"),
        ({"state": "deleted"}, "wrong_state"),
        ({"broken": True}, "template_subject"),
        ({"archived": True}, "magazine_archived"),
        ({"over": True}, "over"),
    ],
)
def test_what_cannot_be_reserved_says_why(magazine, change, code):
    story = make_story(magazine, change.get("kind", "extra"), state=change.get("state", "draft"))
    if "broken" in change:
        break_text(story)
    if "archived" in change:
        Magazine.objects.update(archived_at=NOW)
    when = NOW if "over" in change else NOW + DAY
    with pytest.raises(Refused) as refused:
        reserve(Story.objects.get(pk=story.pk), when, user=None, now=NOW, token=uuid.uuid4())
    assert (refused.value.code, bool(refused.value.message)) == (code, True)
    assert not SendJob.objects.exists()


def test_an_immediate_issue_is_run_in_the_click(magazine, monkeypatch):
    """TGT-10: decided when 「はい」 is clicked."""
    ran = []
    monkeypatch.setattr(starts.job_start, "run", lambda job_id, *, now: ran.append((job_id, now)))
    story, token = make_story(magazine, "extra", state="draft"), uuid.uuid4()
    job = send_now(story, user=None, now=NOW, token=token)
    assert (job.scheduled_at, job.occurrence_at) == (None, None)
    assert send_now(story, user=None, now=NOW + MINUTE, token=token) == job
    assert ran == [(job.pk, NOW)]
    with pytest.raises(Refused):
        send_now(make_story(magazine, "extra", state="draft"), user=None, now=NOW, token=token)


# ---- cost


def test_the_ticks_question_uses_its_index(magazine, django_assert_num_queries):
    """Whatever waits: 100,000 turns that are not due cost the tick nothing."""
    from django.db import connection

    stories = [step(magazine) for _ in range(3)]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO mail_storyturn (story_id, magazine_id, lead_id, base_at, due_at, why) "
            "SELECT (%s::bigint[])[1 + n %% 3], %s, n, %s, %s, '' FROM generate_series(1, 100000) n",
            [[story.pk for story in stories], magazine.pk, NOW, NOW + DAY],
        )
        cursor.execute("ANALYZE mail_storyturn")
        cursor.execute("EXPLAIN " + starts.DUE_STEPS, {"now": NOW})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "story_turn_due" in plan
    assert "Seq Scan on mail_storyturn" not in plan
