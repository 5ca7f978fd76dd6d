"""The way out: claim, intent, answer, record (the sending promise; ERR-1..4)."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from leads.models import Lead
from mail import job_start, send_jobs
from mail.delivery import engine
from mail.delivery.claim import claim, release
from mail.delivery.engine import deliver
from mail.delivery.intent import Intent, intend, settle_refused
from mail.delivery.record import Result, record
from mail.delivery.sweep import sweep
from mail.models import Delivery, DeliveryEvent, SendJob, TemplateAttachment
from mail.models.delivery import DeliveryState
from mail.story import story
from tests.factories import make_delivery, make_lead, make_sending_job, make_template

pytestmark = pytest.mark.django_db(transaction=True)


def send(job, seconds=30):
    return deliver(job.pk if job else None, until=timezone.now() + timedelta(seconds=seconds))


def only(job):
    return job.deliveries.get()


def intent_of(row):
    return Intent(
        row.pk,
        row.token,
        row.snapshot_id,
        "{}",
        "件名",
        timezone.now(),
        row.address,
    )


def test_mails_go_out_and_the_ledger_says_so(sink):
    job = make_sending_job("a@x.example.jp", "b@x.example.jp", "c@x.example.jp")
    outcome = send(job)
    assert (outcome.sent, outcome.handled, outcome.trouble, outcome.more) == (3, 3, "", False)
    assert sorted(mail["recipients"] for mail in sink.mails) == [
        ["a@x.example.jp"],
        ["b@x.example.jp"],
        ["c@x.example.jp"],
    ]
    assert sink.sessions == 1  # one session for all
    row = job.deliveries.get(address="a@x.example.jp")
    assert (row.state, row.code, row.enhanced_status, row.remote_host) == (
        "sent",
        40000,
        "2.0.0",
        "127.0.0.1",
    )
    assert row.reply.startswith("250 2.0.0 queued as")
    assert row.subject == "髙橋様へ 製造業DXセミナーのご案内"
    assert row.merge_values["姓"] == "髙橋"
    assert (row.snapshot_id, row.attempts) == (job.snapshot_id, 1)
    assert row.sent_at <= row.result_at
    assert [line.what for line in story(row)] == ["sent"]


def test_by_user_the_values_are_those_of_the_start(sink):
    """TGT-2: what the lead is called later does not reach a by-user mailing that started."""
    lead, moment = make_lead(), timezone.now()
    job = send_jobs.create_draft(
        user=None, rule="by_user", template=make_template(), lead_ids=[lead.pk], scheduled_at=moment + timedelta(hours=1)
    )  # fmt: skip
    send_jobs.confirm(job, user=None, now=moment)
    Lead.objects.update(last_name="鈴木")  # after the reservation, before the start
    job_start.run(job.pk, now=moment + timedelta(hours=1))
    Lead.objects.update(last_name="田中")
    job.deliveries.update(next_at=moment)
    assert send(job).sent == 1
    assert only(job).subject == "鈴木様へ 製造業DXセミナーのご案内"
    assert only(job).merge_values["姓"] == "鈴木"


def test_err_1_2_refused_at_rcpt(sink):
    """ERR-2: the server's three digits, its words and the RFC 3463 status are kept; control characters are not."""
    job = make_sending_job("rcpt550@x.example.jp", "ok@x.example.jp")
    outcome = send(job)
    assert (outcome.sent, outcome.errors) == (1, 1)
    row = job.deliveries.get(address="rcpt550@x.example.jp")
    assert (row.state, row.code, row.enhanced_status) == ("error", 42550, "5.1.1")
    assert row.reply == "550 5.1.1 first line\n5.1.1 <rcpt550@x.example.jp> no such user"
    assert row.failed_address == "rcpt550@x.example.jp"
    assert row.sent_at is None
    assert sink.sessions == 1


def test_err_3_temporary_failures_wait_and_end_as_41606(sink, django_assert_max_num_queries):
    """ERR-3: 4xx is tried again after about 30 minutes for about 24 hours, then 41606; the last reply is kept."""
    job = make_sending_job("rcpt451@x.example.jp")
    assert send(job).deferred == 1
    row = only(job)
    assert (row.state, row.code, row.attempts) == ("deferred", 42451, 1)
    wait = row.next_at - row.first_attempt_at
    assert timedelta(minutes=26) < wait < timedelta(minutes=34)
    assert send(job).handled == 0  # not due
    # 25 hours later
    job.deliveries.update(first_attempt_at=timezone.now() - timedelta(hours=25), next_at=timezone.now())
    send(job)
    row = only(job)
    assert (row.state, row.code, row.attempts) == ("error", 41606, 2)
    assert "no such user" in row.reply
    assert [event.what for event in row.events.all()] == ["deferred", "error"]


def test_err_3_answer_after_the_dot(sink):
    """ERR-3: 4xx after the dot was no acceptance: tried again; 5xx is final."""
    job = make_sending_job("dot451@x.example.jp", "dot554@x.example.jp")
    send(job)
    rows = {row.address[:6]: row for row in job.deliveries.all()}
    assert (rows["dot451"].state, rows["dot451"].code) == ("deferred", 42451)
    assert (rows["dot554"].state, rows["dot554"].code, rows["dot554"].enhanced_status) == (
        "error",
        42554,
        "5.7.1",
    )
    assert rows["dot554"].sent_at is not None


@pytest.mark.parametrize(("who", "code"), [("drop", None), ("garbage", None), ("silent", 40001)])
def test_err_4_no_answer_after_the_dot_is_unknown_and_stays_so(sink, who, code):
    """ERR-4: 結果不明 is never sent again by itself."""
    job = make_sending_job(f"{who}@x.example.jp", "next@x.example.jp")
    outcome = send(job)
    assert (outcome.unknown, outcome.sent) == (1, 1)
    row = job.deliveries.get(address=f"{who}@x.example.jp")
    assert (row.state, row.code) == ("unknown", code)
    assert row.reply
    sweep()
    send(job)
    assert len(sink.mails) == 2


def test_connection_lost_in_the_body_is_tried_again(sink):
    template = make_template()
    # 8 MB: a body that fits into the socket's buffers would hide the loss until the dot, and end as 結果不明.
    TemplateAttachment.objects.create(
        template=template,
        file_name="a.pdf",
        content_type="application/pdf",
        size=8_000_000,
        content=b"x" * 8_000_000,
    )
    job = make_sending_job("lose@x.example.jp", template=template)
    assert send(job).deferred == 1
    assert only(job).state == "deferred"
    assert sink.mails == []


def test_relay_away_is_no_attempt_and_the_job_shows_it(settings):
    """ERR-3: nobody's mail is touched; the job says why, until it works again."""
    settings.RELAY = "127.0.0.1:1"
    job = make_sending_job("a@x.example.jp")
    outcome = send(job)
    assert outcome.trouble
    row = only(job)
    assert (row.state, row.attempts, row.lease_until, row.first_attempt_at) == ("queued", 0, None, None)
    assert row.next_at > timezone.now()
    job.refresh_from_db()
    assert (job.state, job.halt_reason) == ("sending", outcome.trouble)


def test_relay_back_clears_the_job(sink):
    job = make_sending_job("a@x.example.jp", halt_reason="127.0.0.1: refused")
    assert send(job).sent == 1
    job.refresh_from_db()
    assert job.halt_reason == ""


def test_session_closed_between_mails_is_opened_again(sink):
    job = make_sending_job("a@x.example.jp", "rcpt421@x.example.jp", "b@x.example.jp")
    send(job)
    states = dict(job.deliveries.values_list("address", "state"))
    assert states == {"a@x.example.jp": "sent", "b@x.example.jp": "sent", "rcpt421@x.example.jp": "deferred"}


def test_opt_6_unsubscribed_after_the_claim(sink):
    """OPT-6: looked at in the statement that commits the intent; recorded as the reason."""
    job = make_sending_job("a@x.example.jp")
    [row] = claim(job.pk, 10)
    now = timezone.now()
    Lead.objects.update(unsubscribed_at=now, dm_permission="unwanted")
    intent = intent_of(row)
    assert intend([intent]) == set()
    assert settle_refused([intent]) == {row.pk: "unsubscribed_late"}
    row = Delivery.objects.get()
    assert (row.state, row.reason, row.unsubscribed_at) == ("excluded", "unsubscribed_late", now)
    assert [event.what for event in row.events.all()] == ["excluded"]


def test_opt_6_through_the_engine(sink):
    """OPT-6: the others of the job still go out."""
    job = make_sending_job("a@x.example.jp", "b@x.example.jp", "c@x.example.jp")
    Lead.objects.filter(email="b@x.example.jp").update(
        unsubscribed_at=timezone.now(), dm_permission="unwanted"
    )
    outcome = send(job)
    assert (outcome.sent, outcome.excluded) == (2, 1)
    assert sorted(mail["recipients"][0] for mail in sink.mails) == ["a@x.example.jp", "c@x.example.jp"]


def test_opt_6_a_copy_that_is_still_to_come_does_not_undo_what_the_lead_got(sink):
    """OPT-6, ADDR-4: after the hand-over it cannot be called back."""
    job = make_sending_job("a@x.example.jp")
    job.deliveries.update(accepted=["a@x.example.jp"], sent_at=timezone.now())
    Lead.objects.update(unsubscribed_at=timezone.now(), dm_permission="unwanted")
    [row] = claim(job.pk, 10)
    assert intend([intent_of(row)]) == {row.pk}


def test_opt_6_is_for_advertising(sink):
    """OPT-6: a business notice reaches people who unsubscribed, if the job addressed them."""
    job = make_sending_job("a@x.example.jp", purpose="notice")
    Lead.objects.update(unsubscribed_at=timezone.now(), dm_permission="unwanted")
    assert send(job).sent == 1


def test_lead_deleted_after_the_start_is_not_mailed(sink):
    job = make_sending_job("a@x.example.jp")
    Lead.objects.update(deleted_at=timezone.now())
    assert send(job).excluded == 1
    assert (only(job).state, only(job).reason) == ("excluded", "deleted")


@pytest.mark.parametrize(
    ("state", "ends"), [("paused", ("queued", "")), ("stopped", ("excluded", "stopped"))]
)
def test_rsv_3_paused_or_stopped_after_the_claim(sink, state, ends):
    """RSV-3: what is in a worker's hands when the job is paused or stopped is not handed over."""
    job = make_sending_job("a@x.example.jp")
    [row] = claim(job.pk, 10)
    SendJob.objects.update(state=state)
    intent = intent_of(row)
    assert intend([intent]) == set()
    settle_refused([intent])
    row = Delivery.objects.get()
    assert (row.state, row.reason) == ends
    assert claim(job.pk, 10) == []


def test_rsv_3_pause_and_resume_lose_and_repeat_nothing(sink, monkeypatch):
    """RSV-3: paused by an administrator while a batch is under way, resumed later."""

    job = make_sending_job(*[f"r{number}@x.example.jp" for number in range(60)])
    calls = []

    def pause_at_the_third(intents):
        calls.append(intents)
        if len(calls) == 3:
            SendJob.objects.update(state="paused")
        return intend(intents)

    monkeypatch.setattr(engine, "intend", pause_at_the_third)
    outcome = send(job)
    assert 0 < outcome.sent < 60
    assert not outcome.more
    assert job.deliveries.filter(state="queued", lease_until=None).count() == 60 - outcome.sent
    assert send(job).handled == 0
    SendJob.objects.update(state="sending")
    assert send(job).sent == 60 - outcome.sent
    assert len({mail["sender"] for mail in sink.mails}) == len(sink.mails) == 60


def test_only_jobs_that_are_sending_are_claimed():
    job = make_sending_job("a@x.example.jp")
    for state in (
        "draft",
        "reserved",
        "preparing",
        "resolving",
        "paused",
        "halted",
        "done",
        "stopped",
        "deleted",
    ):
        SendJob.objects.update(state=state)
        assert claim(job.pk, 10) == [], state
    SendJob.objects.update(state="sending")
    assert len(claim(job.pk, 10)) == 1
    assert claim(job.pk, 10) == []


def test_mails_without_a_job(sink):
    """TEST-6: test mails go the same way, with values of their own, and to people whatever their consent."""
    from mail.message import as_test, snapshot_content, store_snapshot

    snapshot = store_snapshot(as_test(snapshot_content(make_template())))
    make_delivery(
        None, kind="test", snapshot=snapshot, address="misaki@x.example.jp", merge_values={"姓": "試"}
    )
    assert send(None).sent == 1
    row = Delivery.objects.get()
    assert (row.state, row.subject) == ("sent", "【テスト】試様へ 製造業DXセミナーのご案内")
    assert sink.mails[0]["recipients"] == ["misaki@x.example.jp"]


def test_addr_3_a_mail_that_cannot_be_made_does_not_stop_the_others(sink):
    """ADDR-3: the field and what it became are the reason."""
    template = make_template(cc="{{ 会社名 }}")
    job = make_sending_job("a@x.example.jp", "b@x.example.jp", template=template)
    Lead.objects.filter(email="a@x.example.jp").update(company="山手製作所")
    Lead.objects.filter(email="b@x.example.jp").update(company="boss@x.example.jp")
    outcome = send(job)
    assert (outcome.excluded, outcome.sent) == (1, 1)
    row = job.deliveries.get(address="a@x.example.jp")
    assert (row.state, row.reason, row.attempts) == ("excluded", "merged_address", 0)
    assert "山手製作所" in row.reply


def test_an_unexpected_error_while_building_ends_that_mail_only(sink, monkeypatch):
    from mail.message import Skeleton

    build = Skeleton.build

    def breaks(self, values, **given):
        if values["姓"] == "壊":
            raise RuntimeError("a bug")
        return build(self, values, **given)

    monkeypatch.setattr(Skeleton, "build", breaks)
    job = make_sending_job("a@x.example.jp")
    make_delivery(make_lead("b@x.example.jp", last_name="壊"), job=job)
    outcome = send(job)
    assert (outcome.sent, outcome.errors) == (1, 1)
    row = job.deliveries.get(address="b@x.example.jp")
    assert (row.state, row.code) == ("error", None)
    assert "a bug" in row.reply


def test_addr_4_another_address_refused_for_good(sink):
    """ADDR-4: the lead gets the mail, which counts as failed, and the address that failed is stored."""
    job = make_sending_job(
        "a@x.example.jp", template=make_template(cc="rcpt550@y.example.jp", bcc="z@y.example.jp")
    )
    assert send(job).errors == 1
    assert [mail["recipients"] for mail in sink.mails] == [["a@x.example.jp", "z@y.example.jp"]]
    row = only(job)
    assert (row.state, row.code, row.failed_address) == ("error", 42550, "rcpt550@y.example.jp")


def test_addr_4_another_address_refused_for_now(sink):
    """ADDR-4: nothing is sent to anybody while there is time; the last attempt goes to those who are accepted."""
    job = make_sending_job("a@x.example.jp", template=make_template(cc="rcpt451@y.example.jp"))
    assert send(job).deferred == 1
    assert sink.mails == []
    job.deliveries.update(first_attempt_at=timezone.now() - timedelta(hours=25), next_at=timezone.now())
    assert send(job).errors == 1
    assert [mail["recipients"] for mail in sink.mails] == [["a@x.example.jp"]]
    row = only(job)
    assert (row.state, row.code, row.failed_address) == ("error", 41606, "rcpt451@y.example.jp")


def test_refused_sender_is_not_the_leads_fault(sink):
    sink.mail_answer = "550 5.7.1 sender rejected"
    job = make_sending_job("a@x.example.jp")
    assert send(job).errors == 1
    row = only(job)
    assert (row.code, row.failed_address.endswith("@bounce.smp.example")) == (42550, True)
    assert Lead.objects.get().email_failures == 0


def test_size_limit_of_the_relay(sink):
    sink.size = 1000
    job = make_sending_job("a@x.example.jp", template=make_template(text_body="本文\n" * 200))
    assert send(job).errors == 1
    assert only(job).code == 42552


def test_a_token_that_is_not_the_rows_any_more_changes_nothing():
    """The fence: a slow holder whose row was taken by another one cannot write."""
    job = make_sending_job("a@x.example.jp")
    [old] = claim(job.pk, 10)
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert sweep().queued == 1
    [new] = claim(job.pk, 10)
    assert new.token > old.token
    assert intend([intent_of(old)]) == set()
    assert settle_refused([intent_of(old)]) == {}
    release([old])
    assert record([Result(old.pk, old.token, DeliveryState.SENT, 40000)]) == set()
    assert only(job).state == "claimed"
    assert intend([intent_of(new)]) == {new.pk}


def test_a_lease_that_is_over_stops_the_intent():
    job = make_sending_job("a@x.example.jp")
    [row] = claim(job.pk, 10)
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert intend([intent_of(row)]) == set()


def test_sweep_queues_what_was_not_handed_over_and_flags_the_rest():
    job = make_sending_job("a@x.example.jp", "b@x.example.jp", "c@x.example.jp")
    first, second, third = claim(job.pk, 10)
    intend([intent_of(second)])
    Delivery.objects.exclude(pk=third.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    swept = sweep()
    assert (swept.queued, swept.unknown) == (1, 1)
    assert [Delivery.objects.get(pk=row.pk).state for row in (first, second, third)] == [
        "queued",
        "unknown",
        "claimed",
    ]
    assert sweep().total == 0
    # one statement wrote both, in whatever order
    assert sorted(DeliveryEvent.objects.values_list("what", flat=True)) == ["swept", "unknown"]
    # The one who held it knows the real answer after all.
    assert record([Result(second.pk, second.token, DeliveryState.SENT, 40000)]) == {second.pk}
    assert Delivery.objects.get(pk=second.pk).state == "sent"


def test_unknown_never_becomes_due_again():
    job = make_sending_job("a@x.example.jp")
    [row] = claim(job.pk, 10)
    intend([intent_of(row)])
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    sweep()
    assert record([Result(row.pk, row.token, DeliveryState.DEFERRED, 42451)]) == set()
    assert only(job).state == "unknown"


def test_sweep_of_a_stopped_job():
    """RSV-3: a claimed mail of a dead worker whose job was stopped is excluded, not queued."""
    job = make_sending_job("a@x.example.jp")
    claim(job.pk, 10)
    SendJob.objects.update(state="stopped")
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert sweep().excluded == 1
    assert (only(job).state, only(job).reason) == ("excluded", "stopped")


def test_until_ends_the_loop_and_gives_back(sink):
    job = make_sending_job(*[f"r{number}@x.example.jp" for number in range(5)])
    outcome = send(job, seconds=-1)
    assert (outcome.handled, outcome.more) == (0, True)
    assert job.deliveries.filter(state="queued", lease_until=None).count() == 5


def test_intent_is_synchronous_whatever_the_default():
    """Said inside the intent's own transaction, because the server's default may be another."""
    job = make_sending_job("a@x.example.jp")
    [row] = claim(job.pk, 10)
    seen = []

    def look(execute, sql, params, many, context):
        answer = execute(sql, params, many, context)
        if "'handing_over', snapshot_id" in sql:
            with context["connection"].connection.cursor() as raw:
                raw.execute("SHOW synchronous_commit")
                seen.append(raw.fetchone()[0])
        return answer

    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        try:
            with connection.execute_wrapper(look):
                assert intend([intent_of(row)]) == {row.pk}
        finally:
            cursor.execute("RESET synchronous_commit")
    assert seen == ["on"]
