"""The start of a story: mail/job_start.py, and the last look before the hand-over (mail/delivery/intent.py)."""

from datetime import UTC, datetime, timedelta

import pytest

from mail import job_start
from mail.delivery.claim import claim
from mail.delivery.intent import Intent, intend, settle_refused
from mail.links import opt_out_url, reader_opt_out_url
from mail.magazines.item_uses import filter_key
from mail.message import Skeleton, store_snapshot
from mail.models import Delivery, Reader, SendJob, StoryTurn
from mail.recipients.plan import story_plan
from mail.recipients.reasons import Reason
from mail.recipients.resolve import expected_counts
from mail.registered_settings import SKIP_DUPLICATES
from mail.send_jobs import problems
from mail.stories.turns import plan_turns
from settings.system_settings import set_setting
from tests.factories import make_delivery, make_lead
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story

NOW = datetime(2026, 10, 15, 5, 0, 20, tzinfo=UTC)  # 14:00:20 in Tokyo
PLANNED = NOW - timedelta(seconds=20)


@pytest.fixture(autouse=True)
def no_hints(monkeypatch):
    monkeypatch.setattr("mail.job_start.hint", lambda task, *ids: None)


def job_of(story, **values):
    """As mail/stories/starts.py makes it."""
    values = {
        "rule": "by_search",
        "state": "preparing",
        "occurrence_at": PLANNED,
        "scheduled_at": PLANNED,
    } | values
    return SendJob.objects.create(magazine=story.magazine, story=story, template=story.template, **values)


def start(story, **values):
    job = job_of(story, **values)
    assert job_start.run(job.pk, now=NOW)
    job.refresh_from_db()
    return job


def decided(job):
    """{lead id: reason}, "" = addressed."""
    return dict(job.deliveries.values_list("lead_id", "reason"))


def test_start_decides_for_every_reader(db):
    """TGT-10, TGT-11, TGT-12: the stored start is the real one, twenty seconds late; one row for every reader of the magazine
    with the state of that moment, and none for anybody else."""
    magazine = make_magazine()
    there, stopped = make_reader(magazine), make_reader(magazine, state="stopped")
    failing = make_reader(magazine, state="error_stopped")
    make_reader(make_magazine("別のメルマガ"))
    make_lead("nobody@yamate.example.jp")
    job = start(make_story(magazine))
    assert decided(job) == {
        there.lead_id: "",
        stopped.lead_id: "reader_stopped",
        failing.lead_id: "reader_error_stopped",
    }
    assert (job.state, job.started_at, job.decided_at) == ("sending", NOW, NOW)
    rows = {row.lead_id: row for row in job.deliveries.all()}
    assert {row.kind for row in rows.values()} == {"magazine"}
    assert rows[failing.lead_id].reader_state == "error_stopped"
    assert rows[there.lead_id].reader_state == "deliverable"
    assert rows[there.lead_id].state == "queued"


def test_dm_permission_and_sent_before_are_not_asked(db):
    """A reader asked for the magazine: DM許可 希望しない is of the wizard's mail. The same story may go out again (a loop)."""
    magazine = make_magazine()
    reader = make_reader(magazine)
    story = make_story(magazine, "loop")
    assert reader.lead.dm_permission == "unwanted"
    first = start(story, occurrence_at=NOW - timedelta(days=31))
    assert decided(first) == decided(start(story)) == {reader.lead_id: ""}


def test_mag_12_the_lead_counts_too(db):
    """MAG-12: magazine mail also needs the lead not to be 配信停止 and the address valid; these reasons come first (EXC-1)."""
    magazine = make_magazine()
    gone = make_reader(magazine, state="stopped", lead=make_lead("a@yamate.example.jp", unsubscribed_at=NOW))
    invalid = make_reader(magazine, lead=make_lead("b@yamate.example.jp", email_valid=False))
    job = start(make_story(magazine))
    assert decided(job) == {gone.lead_id: "unsubscribed", invalid.lead_id: "invalid_address"}


def test_one_address_gets_one_mail(db):
    """EXC-3: of those who are otherwise mailable the newest lead; the system setting is the wizard's."""
    magazine = make_magazine()
    readers = [make_reader(magazine, lead=make_lead("same@yamate.example.jp")) for _number in range(3)]
    readers[2].state = "stopped"
    readers[2].save()
    set_setting(SKIP_DUPLICATES, False, user=None)
    job = start(make_story(magazine))
    assert decided(job) == {
        readers[0].lead_id: "duplicate", readers[1].lead_id: "", readers[2].lead_id: "reader_stopped",
    }  # fmt: skip


def test_filter_says_to_whom(db):
    """MAG-7: who matches is mailed; the state comes before the filter."""
    magazine = make_magazine()
    here = make_reader(magazine, lead=make_lead("a@yamate.example.jp", prefecture="東京都"))
    there = make_reader(magazine, lead=make_lead("b@yamate.example.jp", prefecture="大阪府"))
    stopped = make_reader(
        magazine, state="stopped", lead=make_lead("c@yamate.example.jp", prefecture="東京都")
    )
    both = make_reader(magazine, state="stopped", lead=make_lead("d@yamate.example.jp", prefecture="大阪府"))
    condition = {
        "match": "all",
        "blocks": [{"item": "lead.prefecture", "operator": "is", "values": ["東京都"]}],
    }
    job = start(make_story(magazine, filter=condition))
    assert decided(job) == {
        here.lead_id: "", there.lead_id: "filter", stopped.lead_id: "reader_stopped", both.lead_id: "reader_stopped",
    }  # fmt: skip
    assert job.condition == condition  # as it was, whatever becomes of the story


def test_mag_5_the_dry_run_counts_whom_the_start_will_stop(db):
    """EXC-6, MAG-5: the confirmation says what the start then does, for who shares an address with them too."""
    magazine = make_magazine(stop_full=2, stop_other=None)
    make_reader(magazine, "same@yamate.example.jp")
    make_reader(magazine, "same@yamate.example.jp", failures_full=2)
    make_reader(magazine, failures_full=1, failures_other=90)
    story = make_story(magazine)
    counts = expected_counts(story_plan(story, now=NOW), now=NOW)
    assert (counts.addressed, counts.by_reason) == (2, {Reason.READER_ERROR_STOPPED: 1})
    assert Reader.objects.filter(state="error_stopped").count() == 0
    assert sorted(decided(start(story)).values()) == ["", "", "reader_error_stopped"]
    assert Reader.objects.filter(state="error_stopped").count() == 1


@pytest.mark.parametrize("late", [timedelta(seconds=20), timedelta(hours=23)])
def test_mag_7_relative_dates_are_those_of_the_start_in_tokyo(db, late):
    """At 0:30 in Japan it is yesterday in UTC. "Today" and "this month" are Japan's, at the real start."""
    magazine = make_magazine()
    item = make_item(magazine, "契約期限", "date")
    texts = ["2026-10-31", "2026-11-01", "2026-11-30"]
    by_date = {make_reader(magazine, values={item.key: text}).lead_id: text for text in texts}
    planned = datetime(2026, 10, 31, 15, 30, tzinfo=UTC)
    for operator, meant in (("today", ["2026-11-01"]), ("this_month", ["2026-11-01", "2026-11-30"])):
        block = {"item": filter_key(item), "operator": operator, "values": []}
        job = job_of(
            make_story(magazine, filter={"match": "all", "blocks": [block]}),
            occurrence_at=planned, scheduled_at=planned,
        )  # fmt: skip
        assert job_start.run(job.pk, now=planned + late)
        found = decided(job)
        assert sorted(by_date[lead] for lead, reason in found.items() if not reason) == meant
        assert set(found.values()) == {"", "filter"}


def test_step_story_reaches_whose_turn_has_come(db):
    """MAG-8: those who wait and are due; the same transaction marks their turns."""
    magazine = make_magazine()
    story, following = make_story(magazine, "step"), make_story(magazine, "step", base="previous")
    long_ago = make_reader(magazine, registered_at=NOW - timedelta(days=3))
    new = make_reader(magazine, registered_at=NOW - timedelta(hours=1))
    stopped = make_reader(magazine, state="stopped", registered_at=NOW - timedelta(days=3))
    plan_turns(magazine.pk, now=NOW - timedelta(days=2))
    job = start(story)
    assert decided(job) == {long_ago.lead_id: "", stopped.lead_id: "reader_stopped"}
    turns = StoryTurn.objects.filter(story=story)
    assert dict(turns.values_list("lead_id", "state")) == {
        long_ago.lead_id: "decided", stopped.lead_id: "decided", new.lead_id: "waiting",
    }  # fmt: skip
    assert set(turns.filter(state="decided").values_list("job_id", "decided_at")) == {(job.pk, NOW)}
    assert StoryTurn.objects.filter(story=following, lead=long_ago.lead_id, state="waiting").exists()


@pytest.mark.parametrize(
    ("rule", "offset", "day", "dates"),
    [
        ("yearly", 0, (2026, 10, 15), {"1990-10-15": True, "2001-10-15": True, "1990-10-16": False}),
        ("yearly", -3, (2026, 12, 30), {"1990-01-02": True, "1990-12-30": False}),
        ("yearly", 0, (2026, 2, 28), {"1990-02-28": True, "1992-02-29": True}),
        ("yearly", 0, (2028, 2, 28), {"1990-02-28": True, "1992-02-29": False}),
        ("yearly", 0, (2028, 2, 29), {"1990-02-28": False, "1992-02-29": True}),
        ("on_date", 0, (2026, 10, 15), {"2026-10-15": True, "2025-10-15": False}),
        ("on_date", 7, (2026, 10, 22), {"2026-10-15": True, "2026-10-22": False}),
    ],
)
def test_loop_by_a_date_of_the_reader(db, rule, offset, day, dates):
    """MAG-8: readers whose day it is are in scope, nobody else; 29 February is the 28th in a common year."""
    magazine = make_magazine()
    item = make_item(magazine, "誕生日", "date")
    readers = {make_reader(magazine, values={item.key: text}).lead_id: meant for text, meant in dates.items()}
    make_reader(magazine)
    make_reader(magazine, values={item.key: ""})
    story = make_story(magazine, "loop", rule=rule, date_item=item, date_offset=offset)
    planned = datetime(*day, 0, 30, tzinfo=UTC)  # 9:30 in Tokyo
    # The day is that of the plan, however late it starts.
    job = job_of(story, occurrence_at=planned, scheduled_at=planned)
    job_start.run(job.pk, now=planned + timedelta(hours=20))
    assert set(decided(job)) == {lead_id for lead_id, meant in readers.items() if meant}


def test_content_is_the_storys_with_the_magazines_sender(db):
    """TGT-10, RSV-1: text, sender and footer are those of the start; the snapshot names the magazine."""
    magazine = make_magazine()
    make_reader(magazine)
    story = make_story(magazine)
    job = job_of(story)
    magazine.from_name = "新しい差出人"
    magazine.save()
    assert job_start.run(job.pk, now=NOW)
    content = SendJob.objects.get(pk=job.pk).snapshot.content
    assert (content["from_name"], content["magazine"], content["purpose"]) == (
        "新しい差出人",
        magazine.pk,
        "advertising",
    )


def test_opt_out_url_is_the_readers(db):
    """OPT-7: 配信停止URL of a magazine's mail stops the reader; that of a test mail nobody."""
    magazine = make_magazine()
    reader = make_reader(magazine)
    job = start(make_story(magazine))
    content = job.snapshot.content
    values = dict.fromkeys(Skeleton(content).names, "x") | {"メールアドレス": "a@yamate.example.jp"}
    sent = Skeleton(content).build(
        values, delivery_id=7, lead_id=reader.lead_id, sent_at=NOW, address="a@yamate.example.jp"
    )
    assert reader_opt_out_url(magazine.pk, reader.lead_id) in sent.text
    assert opt_out_url(reader.lead_id) not in sent.text
    test = Skeleton(content | {"test": True}).build(
        values, delivery_id=7, lead_id=reader.lead_id, sent_at=NOW, address="b@example.jp"
    )
    assert reader_opt_out_url(magazine.pk, 0) in test.text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda story: story.magazine.__class__.objects.update(archived_at=NOW), "magazine_archived"),
        (lambda story: story.__class__.objects.update(state="deleted"), "story_deleted"),
        (lambda story: story.magazine.__class__.objects.update(footer_text=""), "template_text_body"),
        (
            lambda story: story.__class__.objects.update(
                filter={"match": "all", "blocks": [{"item": "lead.gone", "operator": "is", "values": ["1"]}]}
            ),
            "filter",
        ),
    ],
)
def test_what_is_wrong_halts_the_start(db, change, code):
    """Better no mail than a wrong one: the job says why, nothing is decided, and 再開 tries again."""
    magazine = make_magazine()
    make_reader(magazine)
    story = make_story(magazine, template_values={"text_body": "{{ 氏名 }} 様\n"})
    job = job_of(story)
    change(story)
    assert not job_start.run(job.pk, now=NOW)
    job = SendJob.objects.get(pk=job.pk)
    assert job.state == "halted" and job.halt_reason
    assert job.deliveries.count() == 0
    assert code in {problem.code for problem in problems(job, now=NOW)}


# ---- the last look before the hand-over --------------------------------------------------------------------------------


def at_the_dot(job):
    """Whether the one mail of the job may be handed over now, and its row afterwards."""
    (row,) = claim(job.pk, 10)
    intents = [Intent(row.pk, row.token, job.snapshot_id, "{}", "s", NOW, "a@yamate.example.jp")]
    gone = intend(intents)
    settled = settle_refused([one for one in intents if one.pk not in gone])
    return bool(gone), settled.get(row.pk), Delivery.objects.get(pk=row.pk)


@pytest.fixture
def sending(transactional_db):
    magazine = make_magazine()
    return make_reader(magazine), start(make_story(magazine))


@pytest.mark.parametrize("left", ["stopped", "removed"])
def test_opt_6_who_leaves_before_the_hand_over_is_not_mailed(sending, left):
    """OPT-6: stopped, or taken off the list, after the start: not sent, with its reason."""
    reader, job = sending
    if left == "stopped":
        Reader.objects.filter(pk=reader.pk).update(state="stopped")
    else:
        reader.delete()
    went, reason, row = at_the_dot(job)
    assert (went, reason) == (False, Reason.READER_LEFT_LATE)
    assert (row.state, row.reason) == ("excluded", "reader_left_late")


def test_opt_6_other_magazines_and_errors_do_not_hold_it_back(sending):
    """MAG-1: the state belongs to one magazine. Stopped by errors meanwhile is no opt-out: it counts from the next start on."""
    reader, job = sending
    make_reader(make_magazine("別のメルマガ"), lead=reader.lead, state="stopped")
    Reader.objects.filter(pk=reader.pk).update(state="error_stopped")
    went, _reason, row = at_the_dot(job)
    assert went and row.state == "handing_over"


def test_opt_6_the_lead_comes_first(sending):
    reader, job = sending
    reader.lead.__class__.objects.filter(pk=reader.lead_id).update(unsubscribed_at=NOW)
    Reader.objects.filter(pk=reader.pk).update(state="stopped")
    assert at_the_dot(job)[1] == Reason.UNSUBSCRIBED_LATE


@pytest.mark.parametrize("left", [False, True])
def test_opt_6_a_single_mail_of_a_magazine_asks_the_reader_too(sending, left):
    """A repetition of a magazine's mail knows its magazine by its content; another single mail asks no reader."""
    reader, job = sending
    job.deliveries.all().delete()
    for content in (job.snapshot.content, {"purpose": "advertising"}):
        snapshot = store_snapshot(content | {"name": "再送"})
        make_delivery(reader.lead, kind="single", state="queued", snapshot=snapshot, next_at=NOW)
    Reader.objects.filter(pk=reader.pk).update(state="stopped" if left else "error_stopped")
    rows = claim(None, 10)
    snapshots = dict(Delivery.objects.values_list("pk", "snapshot_id"))
    intents = [
        Intent(one.pk, one.token, snapshots[one.pk], "{}", "s", NOW, "a@yamate.example.jp") for one in rows
    ]
    assert len(intents) == 2
    assert len(intend(intents)) == (1 if left else 2)
