"""EXC-6 for magazine mail: one sentence and its evidence, never two lines that contradict each other; the same at the command."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mail import job_start
from mail.magazines.readers import change_reader, leave, remove
from mail.models import Reader, SendJob, StoryTurn
from mail.recipients.explain import explain
from mail.stories.turns import plan_turns
from tests.factories import make_lead, make_user
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story

NOW = datetime(2026, 10, 15, 5, 0, 20, tzinfo=UTC)  # 14:00:20 in Tokyo
BEFORE = NOW - timedelta(days=1)


@pytest.fixture(autouse=True)
def no_hints(monkeypatch):
    monkeypatch.setattr("mail.job_start.hint", lambda task, *ids: None)


@pytest.fixture
def magazine(db):
    return make_magazine("週刊DX", stop_full=3)


def start(story, *, now=NOW, planned=NOW):
    job = SendJob.objects.create(
        rule="by_search", state="preparing", magazine=story.magazine, story=story, template=story.template,
        occurrence_at=planned, condition=story.filter,
    )  # fmt: skip
    assert job_start.run(job.pk, now=now)
    return SendJob.objects.select_related("template").get(pk=job.pk)


def said(job, reader):
    found = explain(job, reader.lead, now=timezone.now())
    return found, "\n".join(found.evidence)


def test_a_stopped_reader_knows_since_when_and_by_what(magazine):
    """The state then, since when, and its cause, from the reader's history."""
    reader = make_reader(magazine, registered_at=BEFORE)
    leave(magazine, reader.lead, way="one_click", now=NOW - timedelta(hours=2))
    job = start(make_story(magazine, name="創刊号"))
    Reader.objects.update(state="deliverable")  # whatever comes later
    found, evidence = said(job, reader)
    assert (found.decision, found.reason, found.values["reader_state"]) == (
        "excluded",
        "reader_stopped",
        "stopped",
    )
    assert "読者の状態「配信停止」: 2026-10-15 12:00:20 から(ワンクリック配信停止)" in evidence
    assert (
        "メールマガジン「週刊DX」の号外「創刊号」" in evidence and "配信開始 2026-10-15 14:00:20" in evidence
    )
    assert "DM許可" not in evidence  # magazines do not ask for it


def test_who_was_stopped_at_this_start(magazine):
    """MAG-5: with the numbers; one line, not an older state beside it."""
    reader = make_reader(magazine, failures_full=3, registered_at=BEFORE)
    found, evidence = said(start(make_story(magazine)), reader)
    assert found.reason == "reader_error_stopped"
    assert "この配信の開始時にエラー停止になりました。配信開始時の判定" in evidence and "3" in evidence
    assert "読者の状態" not in evidence


def test_the_filter_is_said_in_words(magazine):
    """MAG-7: as it was at the start, though the story has another one by now."""
    reader = make_reader(magazine, registered_at=BEFORE)
    condition = {
        "match": "all",
        "blocks": [{"item": "lead.prefecture", "operator": "is", "values": ["東京都"]}],
    }
    story = make_story(magazine, filter=condition)
    job = start(story)
    story.filter = {"match": "all", "blocks": []}
    story.save()
    found, evidence = said(job, reader)
    assert found.reason == "filter" and "開始時の配信フィルタ" in evidence and "東京都" in evidence


def test_without_a_row_no_reader(magazine):
    """Never a reader; a reader later; taken off the list before."""
    job_story = make_story(magazine)
    removed = make_reader(magazine, registered_at=BEFORE)
    remove(magazine, [removed.pk], way="bulk", user=None, now=NOW - timedelta(minutes=5))
    never = make_lead("never@yamate.example.jp")
    job = start(job_story)
    later = make_reader(magazine, registered_at=NOW + timedelta(hours=1))
    for lead in (removed.lead, never, later.lead):
        found = explain(job, lead, now=timezone.now())
        assert (found.decision, found.reason) == ("none", "not_in_scope")
        assert "「週刊DX」の読者ではありませんでした" in found.sentence
    assert "読者リストから削除" in said(job, removed)[1]
    assert "読者になったのはその後" in said(job, later)[1]
    assert "読者になったのはその後" not in said(job, removed)[1]


def test_without_a_row_turn_or_date(magazine):
    """MAG-8: whose turn or day it was not learns when it is."""
    item = make_item(magazine, "誕生日", "date")
    reader = make_reader(magazine, registered_at=NOW - timedelta(hours=1), values={item.key: "1990-04-01"})
    step = make_story(magazine, "step")
    plan_turns(magazine.pk, now=NOW)
    found, evidence = said(start(step), reader)
    assert "このストーリーを配信する時期ではありません" in found.sentence
    assert "このストーリーの配信予定は 2026-10-16 13:00:20 です" in evidence
    StoryTurn.objects.update(state="skipped", why="added_later", decided_at=NOW)
    assert "飛ばされました" in said(SendJob.objects.get(), reader)[1]
    loop = make_story(magazine, "loop", rule="yearly", date_item=item)
    found, evidence = said(start(loop), reader)
    assert "この読者の指定日ではありませんでした" in found.sentence
    assert "「誕生日」が 10-15 の読者です" in evidence and "現在の「誕生日」: 1990-04-01" in evidence


def test_before_the_start_the_outlook(magazine):
    reader = make_reader(magazine, state="stopped")
    story = make_story(magazine)
    job = SendJob.objects.create(
        rule="by_search", state="reserved", magazine=magazine, story=story, template=story.template,
        scheduled_at=NOW, occurrence_at=NOW,
    )  # fmt: skip
    found, evidence = said(job, reader)
    assert found.sentence == "まだ決まっていません。配信対象は配信開始時(2026-10-15 14:00:20)に決まります。"
    assert "読者が配信停止" in evidence or "配信停止" in evidence
    assert (
        "この配信の対象読者ではありません"
        in explain(job, make_lead("x@yamate.example.jp"), now=NOW).evidence[0]
    )


def test_panel_of_the_lead_asks_as_often_for_one_as_for_many(client, magazine):
    """The lead page's 「なぜ届いた・届かなかったのか」 shows magazine mail with its evidence."""
    client.force_login(make_user())
    reader = make_reader(magazine, registered_at=BEFORE)
    numbers = []
    for count in (1, 3):
        for number in range(count):
            start(make_story(magazine, name=f"{count}-{number}"))
        with CaptureQueriesContext(
            connection,
        ) as asked:
            page = client.get(reverse("lead", args=[reader.lead_id]))
        numbers.append(len(asked))
    assert numbers[0] == numbers[1]
    assert "メールマガジン「週刊DX」の号外「3-2」" in page.content.decode()


# ---- commands


def command(name, *args):
    out = StringIO()
    call_command(name, *args, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_explain_and_job_know_magazines(magazine):
    reader = make_reader(magazine, state="stopped")
    story = make_story(magazine)
    job = start(story)
    answer = command("explain", f"--job={job.pk}", f"--lead={reader.lead_id}")
    assert (answer["decision"], answer["reason"]) == ("excluded", "reader_stopped")
    shown = command("job", str(job.pk))
    assert (shown["magazine"], shown["story"], shown["by_reason"]) == (
        magazine.pk,
        story.pk,
        {"reader_stopped": 1},
    )


def test_preview_of_a_story(magazine):
    """EXC-6: as if it started now; nothing is written."""
    make_reader(magazine)
    make_reader(magazine, state="error_stopped")
    story = make_story(magazine, "loop")
    answer = command("preview_recipients", f"--story={story.pk}")
    assert (answer["in_scope"], answer["addressed"], answer["by_reason"]) == (
        2,
        1,
        {"reader_error_stopped": 1},
    )
    assert SendJob.objects.count() == 0
    for wrong in ([], [f"--story={story.pk}", "--search=1"], ["--story=999999"], ["--template=1"]):
        with pytest.raises(CommandError):
            call_command("preview_recipients", *wrong)


def test_will_this_reader_get_it_next(magazine):
    """「この読者は次の記事の配信対象になりますか?」: yes with the time, no with the reason; no reader; nothing planned."""
    reader = make_reader(magazine, registered_at=timezone.now())
    story = make_story(magazine, "loop")
    yes = command("explain", f"--story={story.pk}", f"--lead={reader.lead_id}")
    assert yes["reason"] == "would_be_addressed" and "15" in yes["sentence"]
    change_reader(reader, {}, state="stopped", reset_failures=False, user=make_user(), now=timezone.now())
    no = command("explain", f"--story={story.pk}", f"--email={reader.lead.email}")["leads"][0]
    assert no["reason"] == "reader_stopped" and "読者の状態「配信停止」" in "".join(no["evidence"])
    stranger = make_lead("stranger@yamate.example.jp")
    assert command("explain", f"--story={story.pk}", f"--lead={stranger.pk}")["reason"] == "no_reader"
    draft = make_story(magazine, state="draft")
    nothing = command("explain", f"--story={draft.pk}", f"--lead={reader.lead_id}")
    assert nothing["reason"] == "nothing_planned"
    with pytest.raises(CommandError):
        call_command("explain", "--story=999999", f"--lead={reader.lead_id}")
