"""A job's life: mail/send_jobs.py."""

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from leads.models import DmPermission, Lead, SavedSearch
from mail import send_jobs
from mail.delivery.sweep import sweep
from mail.job_queries import sent_numbers
from mail.job_start import run, start_due
from mail.models import SendJob
from mail.send_jobs import (
    BY_USER_LIMIT,
    Refused,
    change_draft,
    confirm,
    count,
    count_again_soon,
    create_draft,
    delete_reservation,
    displayed_state,
    finish_if_empty,
    jobs_to_count,
    may_delete,
    pause,
    resume,
    settle_stopped,
    stop,
    tick,
)
from settings.models import AuditEntry
from tests.connections import Other
from tests.factories import make_delivery, make_lead, make_sending_job, make_template, make_user

NOW = datetime(2026, 11, 21, 0, 0, tzinfo=UTC)
START = NOW + timedelta(days=3)
EVERYONE = {"match": "all", "blocks": []}


@pytest.fixture(autouse=True)
def hints(monkeypatch):
    """The broker's side: what would have been hinted."""
    sent = []
    for module in ("send_jobs", "job_start"):
        monkeypatch.setattr(f"mail.{module}.hint", lambda task, *ids: sent.append((task, *ids)))
    return sent


@pytest.fixture
def misaki(db):
    return make_user("misaki")


def reserve(rule, leads, *, user=None, template=None, at=START, **options):
    template = template or make_template()
    if rule == "by_user":
        job = create_draft(
            user=user,
            rule=rule,
            template=template,
            lead_ids=[lead.pk for lead in leads],
            scheduled_at=at,
            **options,
        )
    else:
        search = SavedSearch.objects.create(name=f"全員 {SavedSearch.objects.count()}", condition=EVERYONE)
        job = create_draft(user=user, rule=rule, template=template, search=search, scheduled_at=at, **options)
    assert confirm(job, user=user, now=NOW) is True
    job.refresh_from_db()
    return job


@pytest.mark.parametrize(
    ("rule", "state", "reason"), [("by_user", "queued", ""), ("by_search", "excluded", "dm_permission")]
)
def test_golden_case(misaki, rule, state, reason):
    """TGT-4, TGT-2, TGT-3: reserved with 希望する only, then a lead turns 希望しない: by user sent, by search not."""
    lead = make_lead()
    job = reserve(rule, [lead], user=misaki)
    Lead.objects.filter(pk=lead.pk).update(dm_permission=DmPermission.UNWANTED)
    assert run(job.pk, now=START) is True
    delivery = job.deliveries.get()
    assert (delivery.state, delivery.reason) == (state, reason)


def test_by_user_reservation_is_fixed(misaki):
    """TGT-2: later changes change neither the set nor the reserved count; the address is that of the start."""
    stays, invalid = make_lead("a@example.jp"), make_lead("b@example.jp")
    job = reserve("by_user", [stays, invalid], user=misaki)
    assert (job.decided_at, count(job).addressed) == (NOW, 2)
    make_lead("c@example.jp")
    Lead.objects.filter(pk=invalid.pk).update(email_valid=False)
    Lead.objects.filter(pk=stays.pk).update(email="new@example.jp", email_norm="new@example.jp")
    assert count(job).addressed == 2
    run(job.pk, now=START)
    assert sorted(job.deliveries.values_list("address", "state")) == [
        ("b@example.jp", "queued"),
        ("new@example.jp", "queued"),
    ]


def test_by_user_start_still_drops_some(misaki):
    """TGT-2, OPT-6: a deleted lead, a missing or malformed address, the recipient's own opt-out."""
    leads = {
        name: make_lead(f"{name}@example.jp") for name in ("deleted", "without", "broken", "left", "fine")
    }
    job = reserve("by_user", list(leads.values()), user=misaki)
    Lead.objects.filter(pk=leads["deleted"].pk).update(deleted_at=START)
    Lead.objects.filter(pk=leads["without"].pk).update(email="", email_norm="")
    Lead.objects.filter(pk=leads["broken"].pk).update(
        email="broken", email_norm="broken", email_malformed=True
    )
    Lead.objects.filter(pk=leads["left"].pk).update(unsubscribed_at=START, dm_permission="unwanted")
    run(job.pk, now=START)
    rows = {row.lead_id: (row.state, row.reason) for row in job.deliveries.all()}
    assert rows == {
        leads["deleted"].pk: ("excluded", "deleted"),
        leads["without"].pk: ("excluded", "no_address"),
        leads["broken"].pk: ("excluded", "malformed_address"),
        leads["left"].pk: ("excluded", "unsubscribed_late"),
        leads["fine"].pk: ("queued", ""),
    }


def test_by_search_decides_at_its_start(misaki):
    """TGT-3, TGT-10: the number found at the start is the number addressed; the start is stored."""
    make_lead("a@example.jp")
    job = reserve("by_search", [], user=misaki)
    assert job.deliveries.count() == 0
    make_lead("b@example.jp")
    late = START + timedelta(seconds=40)
    run(job.pk, now=late)
    job.refresh_from_db()
    assert (job.started_at, job.decided_at, count(job).addressed) == (late, late, 2)


def test_start_may_be_late_and_the_real_one_is_stored(misaki):
    """TGT-11."""
    make_lead()
    job = reserve("by_search", [], user=misaki)
    assert run(job.pk, now=START - timedelta(seconds=1)) is False
    assert run(job.pk, now=START + timedelta(minutes=3)) is True
    job.refresh_from_db()
    assert job.started_at == START + timedelta(minutes=3)


def test_condition_is_kept_as_it_was(misaki):
    """TGT-8: changing or deleting the saved search afterwards changes nothing."""
    make_lead()
    job = reserve("by_search", [], user=misaki)
    SavedSearch.objects.update(
        name="変更後",
        condition={"match": "all", "blocks": [{"item": "lead.id", "operator": "is", "values": ["0"]}]},
    )
    SavedSearch.objects.all().delete()
    job.refresh_from_db()
    assert (job.search, job.search_name, job.condition) == (None, "全員 0", EVERYONE)
    run(job.pk, now=START)
    assert count(job).addressed == 1


def test_five_hundred_ticked_leads_are_accepted_and_one_more_is_refused(misaki):
    """TGT-6: 500 accepted, 501 refused with a message that names the limit and 「検索条件指定」."""
    Lead.objects.bulk_create(
        Lead(email=f"{n}@example.jp", email_norm=f"{n}@example.jp") for n in range(BY_USER_LIMIT + 1)
    )
    ids = list(Lead.objects.values_list("id", flat=True))
    job = create_draft(user=misaki, rule="by_user", template=make_template(), lead_ids=ids[:BY_USER_LIMIT])
    assert job.ticked.count() == 500
    with pytest.raises(Refused) as refused:
        tick(job, ids)
    assert refused.value.code == "too_many"
    assert "500" in refused.value.message
    assert job.ticked.count() == 500


def test_ticking_makes_the_job_by_user(misaki):
    """TGT-5: even if a search condition was chosen first."""
    lead = make_lead()
    job = create_draft(user=misaki, rule="by_search", template=make_template(), condition=EVERYONE)
    tick(job, [lead.pk])
    job.refresh_from_db()
    assert (job.rule, job.ticked.count()) == ("by_user", 1)


def test_confirming_twice_makes_one_job(misaki):
    """RSV-5: a double click, a reload, a second admin."""
    make_lead()
    job = create_draft(user=misaki, rule="by_search", template=make_template(), condition=EVERYONE)
    assert [confirm(job, user=misaki, now=NOW) for _ in range(3)] == [True, False, False]
    assert AuditEntry.objects.filter(action="job.send").count() == 1


def test_one_token_makes_one_draft(misaki):
    """RSV-5."""
    token = uuid.uuid4()
    first = create_draft(user=misaki, rule="by_search", token=token)
    assert create_draft(user=misaki, rule="by_search", token=token) == first
    assert SendJob.objects.count() == 1


def test_a_confirmed_job_cannot_be_changed(misaki):
    """RSV-1: the reserved time cannot be changed, nor the choices."""
    make_lead()
    job = reserve("by_search", [], user=misaki)
    with pytest.raises(Refused):
        change_draft(job, scheduled_at=NOW + timedelta(days=9))
    with pytest.raises(Refused):
        tick(job, [])
    job.refresh_from_db()
    assert job.scheduled_at == START


def test_template_is_taken_at_the_start(misaki):
    """RSV-1: title and body follow the template until the job starts, and not after."""
    make_lead()
    template = make_template()
    job = reserve("by_search", [], template=template, user=misaki)
    template.subject = "変更した件名"
    template.save()
    run(job.pk, now=START)
    job.refresh_from_db()
    assert job.snapshot.content["subject"] == "変更した件名"


def test_unwanted_is_refused_for_advertising(misaki):
    """OPT-4: 広告宣伝 never reaches refusers; the refusal says why."""
    make_lead(dm_permission="unwanted")
    job = create_draft(
        user=misaki, rule="by_search", template=make_template(), condition=EVERYONE,
        dm_permissions=["wanted", "unwanted"], unwanted_confirmed=True,
    )  # fmt: skip
    with pytest.raises(Refused) as refused:
        confirm(job, user=misaki, now=NOW)
    assert refused.value.code == "unwanted_advertising"


def test_unwanted_needs_a_second_confirmation_and_is_audited(misaki):
    """OPT-3, OPT-4: for 事務連絡, with the number of refusers in the audit log."""
    make_lead(dm_permission="unwanted")
    make_lead("b@example.jp")
    template = make_template(purpose="notice")
    job = create_draft(
        user=misaki,
        rule="by_search",
        template=template,
        condition=EVERYONE,
        dm_permissions=["wanted", "unwanted"],
    )
    with pytest.raises(Refused) as refused:
        confirm(job, user=misaki, now=NOW)
    assert refused.value.code == "unwanted_not_confirmed"
    change_draft(job, unwanted_confirmed=True)
    assert confirm(job, user=misaki, now=NOW)
    assert AuditEntry.objects.get(action="job.send").detail["refusers"] == 1
    run(job.pk, now=NOW)
    assert count(job).addressed == 2


def test_template_that_turned_into_advertising_halts_the_job(misaki):
    """OPT-4 at the start: the purpose is the template's of that moment."""
    make_lead(dm_permission="unwanted")
    template = make_template(purpose="notice")
    job = reserve(
        "by_search",
        [],
        template=template,
        user=misaki,
        dm_permissions=["wanted", "unwanted"],
        unwanted_confirmed=True,
    )
    template.purpose = "advertising"
    template.save()
    assert run(job.pk, now=START) is False
    job.refresh_from_db()
    assert (job.state, job.deliveries.count()) == ("halted", 0)
    template.purpose = "notice"
    template.save()
    resume(job, user=misaki, now=START)
    assert run(job.pk, now=START) is True


def test_reservation_is_deleted_until_thirty_minutes_before(misaki):
    """RSV-2: to the second; afterwards 送信準備 with the reason."""
    lead = make_lead()
    job = reserve("by_user", [lead], user=misaki)
    locked = START - timedelta(minutes=30)
    assert displayed_state(job, locked - timedelta(seconds=1)) == "reserved"
    assert displayed_state(job, locked) == "preparing"
    with pytest.raises(Refused) as refused:
        delete_reservation(job, user=misaki, now=locked)
    assert refused.value.message == may_delete(job, locked)[1]
    delete_reservation(job, user=misaki, now=locked - timedelta(seconds=1))
    assert (job.state, job.deliveries.get().reason) == ("deleted", "reservation_deleted")
    assert run(job.pk, now=START) is False


def test_the_tick_marks_preparing_and_hints_what_is_due(misaki, hints):
    """RSV-2, TGT-10."""
    make_lead()
    job = reserve("by_search", [], user=misaki)
    hints.clear()
    assert start_due(START - timedelta(minutes=31)) == []
    assert start_due(START - timedelta(minutes=29)) == []
    job.refresh_from_db()
    assert job.state == "preparing"
    assert start_due(START) == [job.pk]
    assert hints == [("mail.tasks.run_job", job.pk)]


def test_pause_and_resume(misaki):
    """RSV-3."""
    make_lead()
    job = reserve("by_search", [], user=misaki)
    with pytest.raises(Refused):
        pause(job, user=misaki, now=NOW)
    run(job.pk, now=START)
    pause(job, user=misaki, now=START)
    assert job.state == "paused"
    assert finish_if_empty(job.pk, now=START) is False
    resume(job, user=misaki, now=START)
    assert (job.state, job.deliveries.get().state) == ("sending", "queued")


def test_emergency_stop(misaki):
    """RSV-3: stops what was not handed over; audited; not twice."""
    for n in range(3):
        make_lead(f"{n}@example.jp")
    job = reserve("by_search", [], user=misaki)
    run(job.pk, now=START)
    handed_over = job.deliveries.first()
    handed_over.state = "sent"
    handed_over.save()
    assert stop(job, user=misaki, now=START) == 2
    assert sorted(job.deliveries.values_list("state", "reason")) == [
        ("excluded", "stopped"),
        ("excluded", "stopped"),
        ("sent", ""),
    ]
    assert AuditEntry.objects.get(action="job.stop").detail == {"not_sent": 2}
    with pytest.raises(Refused):
        stop(job, user=misaki, now=START)


def test_mails_in_the_air_at_the_stop_are_counted_when_they_end(misaki):
    """RSV-3, TGT-9: the list's number follows the mail a worker had in its hands when the mailing was stopped."""
    make_lead()
    job = reserve("by_search", [], user=misaki)
    run(job.pk, now=START)
    job.deliveries.update(state="handing_over")
    stop(job, user=misaki, now=START)
    assert sent_numbers([job]) == {}
    job.deliveries.update(state="sent")
    assert sent_numbers([job]) == {job.pk: 1}
    assert list(jobs_to_count()) == [job]
    count(job)
    assert job.counts["state"] == {"sent": 1}
    assert not jobs_to_count().exists()


def test_counting_does_not_hide_what_came_meanwhile(misaki, monkeypatch):
    """TGT-9: a bounce that is recorded while a finished job is counted is counted next time."""
    make_lead()
    job = reserve("by_search", [], user=misaki)
    run(job.pk, now=START)
    job.deliveries.update(state="sent")
    finish_if_empty(job.pk, now=START)
    count_again_soon(job.pk)
    job.refresh_from_db()
    real = send_jobs.counts_now

    def bounced_meanwhile(job):
        counts = real(job)
        SendJob.objects.filter(pk=job.pk).update(counts={"stale": True, "state": {"sent": 1}})
        return counts

    monkeypatch.setattr(send_jobs, "counts_now", bounced_meanwhile)
    count(job)
    assert list(jobs_to_count()) == [job]


def test_a_condition_that_names_something_gone_is_refused_at_the_confirmation(misaki):
    """TGT-3: better now, on the screen, than halted at the start."""
    job = create_draft(
        user=misaki, rule="by_search", template=make_template(),
        condition={"match": "all", "blocks": [{"item": "lead.column.99", "operator": "is", "values": ["x"]}]},
    )  # fmt: skip
    with pytest.raises(Refused) as refused:
        confirm(job, user=misaki, now=NOW)
    assert refused.value.code == "condition"


def test_two_at_once_by_user_with_one_template(misaki):
    """EXC-2: confirmed one after the other before a worker came: each person gets the template once."""
    lead, template = make_lead(), make_template()
    first = reserve("by_user", [lead], user=misaki, template=template, at=None)
    second = reserve("by_user", [lead], user=misaki, template=template, at=None)
    for job in (first, second):
        run(job.pk, now=NOW)
    assert first.deliveries.get().state == "queued"
    assert (second.deliveries.get().state, second.deliveries.get().reason) == ("excluded", "already_sent")


def test_a_reservation_for_later_does_not_count_as_sent(misaki):
    """EXC-2, TGT-2: what waits for its time may still be deleted; it keeps nobody from an earlier mailing."""
    lead, template = make_lead(), make_template()
    reserve("by_user", [lead], user=misaki, template=template)
    today = reserve("by_user", [lead], user=misaki, template=template, at=None)
    run(today.pk, now=NOW)
    assert today.deliveries.get().state == "queued"


def test_emergency_stop_in_the_last_thirty_minutes(misaki):
    """RSV-2, RSV-3: deletion is over, the stop is not."""
    job = reserve("by_user", [make_lead()], user=misaki)
    stop(job, user=misaki, now=START - timedelta(minutes=10))
    assert run(job.pk, now=START) is False
    assert job.deliveries.get().reason == "stopped"


def test_nobody_to_send_to_is_done_at_once(misaki):
    make_lead(dm_permission="unwanted")
    job = reserve("by_search", [], user=misaki)
    run(job.pk, now=START)
    job.refresh_from_db()
    assert (job.state, job.counts["reason"]) == ("done", {"dm_permission": 1})


def test_numbers_come_from_the_rows(misaki):
    """TGT-9, TGT-12: in scope = addressed + excluded at the decision; a late exclusion stays addressed."""
    make_lead("a@example.jp")
    make_lead("b@example.jp")
    make_lead("c@example.jp", dm_permission="unwanted")
    job = reserve("by_search", [], user=misaki)
    run(job.pk, now=START)
    late = job.deliveries.filter(state="queued").first()
    late.state, late.reason = "excluded", "unsubscribed_late"
    late.save()
    counts = count(job)
    assert (counts.in_scope, counts.addressed, counts.by_reason) == (
        3,
        2,
        {"dm_permission": 1, "unsubscribed_late": 1},
    )


def test_a_job_whose_condition_is_gone_halts(misaki):
    make_lead()
    job = create_draft(
        user=misaki, rule="by_search", template=make_template(), condition=EVERYONE, scheduled_at=START
    )
    confirm(job, user=misaki, now=NOW)
    SendJob.objects.update(
        condition={"match": "all", "blocks": [{"item": "column.999", "operator": "is", "values": ["x"]}]}
    )
    assert run(job.pk, now=START) is False
    job.refresh_from_db()
    assert job.state == "halted"
    assert job.halt_reason


def wait_until_somebody_waits():
    for _try in range(200):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits for the job's row")


@pytest.mark.django_db(transaction=True)
def test_a_draft_confirmed_at_the_same_moment_is_not_deleted():
    """RSV-5: 「破棄」 in one window, 「送信」 in the other."""
    make_lead()
    job = send_jobs.create_draft(
        user=None, rule="by_search", template=make_template(), condition={"match": "all", "blocks": []}
    )
    with Other() as other:
        with transaction.atomic():
            assert send_jobs.confirm(job, user=None, now=timezone.now())
            deleting = other.start(lambda: send_jobs.delete_draft(job))
            wait_until_somebody_waits()
        deleting.result(10)
    assert SendJob.objects.filter(pk=job.pk).exists()


def test_an_unexpected_error_at_the_start_halts_the_job(misaki, monkeypatch):
    """DESIGN §5: no endless silent retry; nothing is half done, somebody is told, and 再開 tries again."""
    make_lead()
    job = reserve("by_search", [], user=misaki)
    with monkeypatch.context() as broken:
        broken.setattr("mail.job_start.store_snapshot", lambda template: 1 / 0)
        assert run(job.pk, now=START) is False
    job.refresh_from_db()
    assert (job.state, job.deliveries.count()) == ("halted", 0)
    assert "再開" in job.halt_reason
    resume(job, user=misaki, now=START)
    assert run(job.pk, now=START) is True


@pytest.mark.django_db
def test_a_stop_between_the_parts_of_a_mail_calls_nothing_back(misaki):
    """RSV-3, ADDR-4: the lead's own copy was taken already: 正常 (or the error of a refused copy), never 除外."""
    job = make_sending_job()
    at = timezone.now()
    waiting = make_delivery(make_lead("a@example.jp"), job=job)
    own_taken = make_delivery(
        make_lead("b@example.jp"),
        job=job,
        state="deferred",
        accepted=["b@example.jp"],
        sent_at=at,
        code=42451,
    )
    copy_refused = make_delivery(
        make_lead("c@example.jp"), job=job, state="deferred", accepted=["c@example.jp", "staff@example.com"],
        failed_address="staff@example.com", code=42550, sent_at=at,
    )  # fmt: skip
    dead_worker = make_delivery(
        make_lead("d@example.jp"), job=job, state="claimed", token=7, accepted=["d@example.jp"], sent_at=at,
        lease_until=at - timedelta(hours=1),
    )  # fmt: skip
    assert stop(job, user=misaki, now=at) == 1
    sweep()
    settle_stopped(now=at)
    rows = {row.pk: (row.state, row.code, row.reason) for row in job.deliveries.all()}
    assert rows == {
        waiting.pk: ("excluded", None, "stopped"),
        own_taken.pk: ("sent", 40000, ""),
        copy_refused.pk: ("error", 42550, ""),
        dead_worker.pk: ("sent", 40000, ""),
    }
    assert own_taken.events.filter(what="sent").count() == 1
