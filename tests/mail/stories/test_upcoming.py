"""EXC-6, TGT-10: will this reader get the next story, when, and why (not)?"""

import uuid
from datetime import datetime, time, timedelta

import pytest
from django.urls import reverse

from leads.models import Lead
from mail.magazines.filters import check_filter, filter_key
from mail.models import Magazine, Reader, SendJob, Story
from mail.recipients.explain_stories import explain_story
from mail.stories.loops import TOKYO
from mail.stories.starts import reserve
from mail.stories.turns import plan_turns
from mail.stories.upcoming import upcoming
from tests.factories import make_user
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def at(*when):
    return datetime(*when, tzinfo=TOKYO)


NOW = at(2026, 11, 22, 12)


@pytest.fixture
def magazine():
    return make_magazine()


def step(magazine, **values):
    return make_story(magazine, "step", **values)


def told(reader, now=NOW):
    return [(one.story.name, one.at, one.answer, one.reason) for one in upcoming(reader, now=now)]


def test_the_next_step_and_those_after_it(magazine):
    step(magazine, name="第1話", wait_days=3, at_time=time(10))
    step(magazine, name="第2話", base="previous", wait_days=7, at_time=time(10))
    step(magazine, name="第3話", wait_days=30)
    step(magazine, name="下書き", state="draft")
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    assert told(reader) == [
        ("第1話", at(2026, 11, 25, 10), True, ""),
        ("第2話", at(2026, 12, 2, 10), True, ""),
        ("第3話", at(2026, 12, 22, 12), True, ""),
    ]
    sentences = [one.sentence for one in upcoming(reader, now=NOW)]
    assert sentences[0] == "「第1話」は 11月25日 10:00 に配信されます。"
    assert sentences[1].startswith("「第2話」は 12月2日 10:00 に配信されます")
    assert [one.estimate for one in upcoming(reader, now=NOW)] == [False, True, True]


def test_a_paused_story_holds_the_ones_after_it(magazine):
    step(magazine, name="第1話", state="paused")
    step(magazine, name="第2話")
    make_story(magazine, "loop", name="月報", state="paused")
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    assert sorted(told(reader)) == [
        ("月報", None, False, "paused"),
        ("第1話", None, False, "paused"),
        ("第2話", None, False, "paused_before"),
    ]


def test_stories_they_had_are_not_coming(magazine):
    first = step(magazine, name="第1話")
    step(magazine, name="第2話", base="previous", wait_days=2)
    reader = make_reader(magazine, registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    first.turns.update(state="decided", decided_at=NOW)
    plan_turns(magazine.pk, now=NOW)
    assert told(reader) == [("第2話", NOW + 2 * DAY, True, "")]


@pytest.mark.parametrize(
    ("of_reader", "of_lead", "reason"),
    [
        ({"state": "stopped"}, {}, "reader_stopped"),
        ({"state": "error_stopped"}, {}, "reader_error_stopped"),
        ({"failures_no_mailbox": 1}, {}, "over_threshold"),
        ({"state": "stopped", "failures_no_mailbox": 1}, {}, "reader_stopped"),
        ({}, {"email": "", "email_norm": ""}, "no_address"),
        ({}, {"unsubscribed_at": NOW}, "unsubscribed"),
        ({}, {"email_valid": False}, "invalid_address"),
        ({}, {"deleted_at": NOW}, "deleted"),
    ],
)
def test_who_gets_nothing_is_told_why(magazine, of_reader, of_lead, reason):
    make_story(magazine, "loop", name="月報", next_at=at(2026, 12, 15, 10))
    reader = make_reader(magazine, registered_at=NOW)
    Reader.objects.filter(pk=reader.pk).update(**of_reader)
    Lead.objects.filter(pk=reader.lead_id).update(**of_lead)
    reader = Reader.objects.select_related("lead", "magazine").get()
    assert told(reader) == [("月報", at(2026, 12, 15, 10), False, reason)]
    sentence = upcoming(reader, now=NOW)[0].sentence
    assert "12月15日 10:00" in sentence and "配信されません" in sentence


def test_one_mail_an_address(magazine):
    make_story(magazine, "loop", next_at=at(2026, 12, 15, 10))
    older = make_reader(magazine, "same@yamate.example.jp")
    newer = make_reader(magazine, "same@yamate.example.jp")
    assert [one.reason for one in upcoming(older, now=NOW)] == ["duplicate"]
    assert [one.answer for one in upcoming(newer, now=NOW)] == [True]


def test_a_filter_is_judged_at_the_time_of_the_start(magazine):
    """TGT-10: 契約期限[今月] is this month of the start, not of today."""
    item = make_item(magazine, "契約期限", "date")
    condition = {
        "match": "all",
        "blocks": [{"item": filter_key(item), "operator": "this_month", "values": []}],
    }
    make_story(magazine, "loop", filter=check_filter(condition, magazine.pk), next_at=at(2026, 12, 15, 10))
    reader = make_reader(magazine, values={item.key: "2026-12-31"})
    other = make_reader(magazine, values={item.key: "2026-11-30"})
    assert [one.reason for one in upcoming(reader, now=NOW)] == [""]
    assert [one.reason for one in upcoming(other, now=NOW)] == ["filter"]


def test_loops_by_a_date_say_the_readers_own_day(magazine):
    item = make_item(magazine, "誕生日", "date")
    values = {"date_item": item, "at_time": time(9), "next_at": at(2026, 11, 23, 9)}
    make_story(magazine, "loop", name="誕生日", rule="yearly", date_offset=-3, **values)
    make_story(magazine, "loop", name="更新日", rule="on_date", **values)
    reader = make_reader(magazine, values={item.key: "1988-02-29"})
    assert told(reader) == [("誕生日", at(2027, 2, 25, 9), True, ""), ("更新日", None, False, "date_over")]
    assert "2027年2月25日 9:00" in upcoming(reader, now=NOW)[0].sentence
    without = make_reader(magazine)
    assert {one.reason for one in upcoming(without, now=NOW)} == {"no_date"}
    broken = make_reader(magazine, values={item.key: "昨日"})
    assert {one.reason for one in upcoming(broken, now=NOW)} == {"no_date"}


def test_reserved_issues_are_coming(magazine):
    story = make_story(magazine, "extra", name="号外", state="draft")
    make_story(magazine, "extra", name="下書き", state="draft")
    reserve(story, at(2026, 11, 25, 10), user=None, now=NOW, token=uuid.uuid4())
    reader = make_reader(magazine)
    assert told(reader) == [("号外", at(2026, 11, 25, 10), True, "")]
    assert upcoming(reader, now=NOW)[0].sentence == "「号外」は 11月25日 10:00 に配信されます。"


def test_one_address_twice_in_two_starts(magazine):
    """EXC-3 is of one start: whose turn or day comes at another time takes the mail from nobody."""
    item = make_item(magazine, "誕生日", "date")
    step(magazine, name="第1話", wait_days=1)
    make_story(magazine, "loop", name="誕生日", rule="yearly", date_item=item, at_time=time(9))
    older, newer = (
        make_reader(magazine, "same@yamate.example.jp", registered_at=NOW - ago, values={item.key: day})
        for ago, day in ((timedelta(hours=3), "1988-12-01"), (timedelta(hours=1), "1988-12-02"))
    )
    plan_turns(magazine.pk, now=NOW)
    for reader in (older, newer):
        assert [answer for _name, _at, answer, _reason in told(reader)] == [True, True]


def test_a_story_that_cannot_start_says_so(magazine, client):
    """MAG-7: a filter that names what is gone, a story that is held up, an issue that was halted: no promise, and no broken page."""
    gone = {"match": "all", "blocks": [{"item": "lead.gone", "operator": "is", "values": ["1"]}]}
    broken = make_story(magazine, "loop", name="絞り込み", filter=gone, next_at=at(2026, 12, 15, 10))
    make_story(
        magazine, "loop", name="月報", trouble="差出人が認証されていません。", next_at=at(2026, 12, 15, 10)
    )
    issue = make_story(magazine, "extra", name="号外", state="draft")
    job = reserve(issue, at(2026, 11, 25, 10), user=None, now=NOW, token=uuid.uuid4())
    SendJob.objects.filter(pk=job.pk).update(state="halted", halt_reason="フッターがありません。")
    reader = make_reader(magazine)
    assert sorted(told(reader)) == [
        ("号外", None, False, "held_up"), ("月報", None, False, "held_up"), ("絞り込み", None, False, "held_up"),
    ]  # fmt: skip
    sentences = " ".join(one.sentence for one in upcoming(reader, now=NOW))
    for why in ("lead.gone", "差出人が認証されていません。", "フッターがありません。"):
        assert f"{why}" in sentences
    client.force_login(make_user())
    assert client.get(reverse("reader_upcoming", args=[magazine.pk, reader.pk])).status_code == 200
    assert explain_story(broken, reader.lead, now=NOW).reason == "held_up"


def test_nothing_of_another_or_an_archived_magazine(magazine):
    make_story(make_magazine("別"), "loop")
    reader = make_reader(magazine)
    assert upcoming(reader, now=NOW) == []
    make_story(magazine, "loop")
    Magazine.objects.update(archived_at=NOW)
    assert upcoming(Reader.objects.get(pk=reader.pk), now=NOW) == []


def test_as_many_queries_for_one_story_as_for_three(magazine, django_assert_num_queries):
    reader = make_reader(magazine, registered_at=NOW)
    for _number in range(2):
        step(magazine)
        make_story(magazine, "loop", next_at=at(2026, 12, 15, 10))
        plan_turns(magazine.pk, now=NOW)
        with django_assert_num_queries(6):
            assert upcoming(reader, now=NOW)
    assert Story.objects.count() == 4
