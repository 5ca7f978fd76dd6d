"""What returned mail changes: ADDR-4, ERR-1, ERR-5, FLAG-1, FLAG-2, OPT-9; twice, at once, too late, too often."""

import base64
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from leads.models import ConsentRecord, DmPermission, Lead
from mail.bounces import receive as door
from mail.bounces.receive import STALE_AFTER, receive
from mail.links import envelope_sender, one_click_url, opt_out_url
from mail.message import take_snapshot
from mail.models import Delivery, JobDomain, ReturnedMail
from mail.signals import delivery_failed
from settings.models import AuditEntry
from tests.factories import make_delivery, make_lead, make_sending_job, make_template
from tests.mail.returned import bounce, complaint


@pytest.fixture
def now():
    return timezone.now()


def sent_mail(lead, now, *, state="sent", ago=timedelta(hours=1), **values):
    values.setdefault("code", 40000 if state == "sent" else None)
    return make_delivery(lead, state=state, sent_at=now - ago, result_at=now - ago, **values)


@pytest.fixture
def lead(db, now):
    return make_lead("a@x.example.jp", email_since=now - timedelta(days=200))


@pytest.fixture
def sent(lead, now):
    return sent_mail(lead, now)


def back(raw, mail, **rest):
    return receive(raw, recipient=envelope_sender(mail.pk), **rest)


def test_err_5_cause_and_kind_are_kept_and_told(sent, now, django_capture_on_commit_callbacks):
    """ERR-1, ERR-2, ERR-5: cause, hard or soft, status and words on the delivery, in the list, in the signal."""
    told = []

    def hear(failures, **_rest):
        told.extend(failures)

    delivery_failed.connect(hear)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            received = back(bounce(), sent, now=now)
    finally:
        delivery_failed.disconnect(hear)
    assert (received.kind, received.changed, received.cause, received.hard) == (
        "failure",
        True,
        "no_mailbox",
        True,
    )
    before = sent.sent_at
    sent.refresh_from_db()
    assert (sent.state, sent.code, sent.cause, sent.enhanced_status) == (
        "error",
        90000,
        "no_mailbox",
        "5.1.1",
    )
    row = ReturnedMail.objects.get()
    assert (row.kind, row.delivery_id, row.lead_id, row.changed, row.cause, row.hard) == (
        "failure", sent.pk, sent.lead_id, True, "no_mailbox", True,
    )  # fmt: skip
    assert row.recipients[0]["diagnostic"] == "550 5.1.1 User unknown"
    assert row.raw is None
    [failure] = told
    assert (failure.delivery_id, failure.lead_id, failure.cause, failure.hard, failure.sent_at) == (
        sent.pk, sent.lead_id, "no_mailbox", True, before,
    )  # fmt: skip


def test_the_same_mail_twice_changes_nothing_twice(sent, now):
    first = back(bounce(), sent, now=now)
    again = back(bounce(), sent, now=now)
    other = back(bounce(said="550 5.1.1 once more"), sent, now=now)
    assert (first.changed, again.changed, again.repeated) == (True, False, True)
    assert (other.changed, other.note) == (False, "known")
    assert [event.what for event in sent.events.all()] == ["bounced"]
    assert Lead.objects.get().email_failures == 1
    assert ReturnedMail.objects.count() == 2


def test_err_1_a_report_after_a_month_counts_and_a_stale_one_does_not(lead, now):
    """ERR-1: a month later it still counts; after 90 days the address is stale and changes nothing."""
    month = sent_mail(lead, now, ago=timedelta(days=31))
    stale = sent_mail(lead, now, ago=STALE_AFTER + timedelta(hours=1))
    assert back(bounce(), month, now=now).changed
    received = back(bounce(), stale, now=now)
    assert (received.kind, received.changed, received.note) == ("failure", False, "stale")
    stale.refresh_from_db()
    assert stale.state == "sent"


@pytest.mark.parametrize("state", ["queued", "excluded", "reserved"])
def test_a_report_for_what_was_not_handed_over(lead, now, state):
    mail = make_delivery(lead, state=state, reason="stopped" if state == "excluded" else "")
    received = back(bounce(), mail, now=now)
    assert (received.changed, received.note) == (False, "not_sent")


def test_too_early_leaves_nothing_behind_and_comes_again(lead, now):
    """The report overtakes the record of the answer: nothing is stored, so the repetition is not a repetition."""
    mail = sent_mail(lead, now, state="handing_over")
    assert back(bounce(), mail, now=now).kind == "too_early"
    assert not ReturnedMail.objects.exists()
    Delivery.objects.update(state="sent", code=40000)
    assert back(bounce(), mail, now=now).changed
    waiting = sent_mail(lead, now, state="deferred", accepted=["boss@y.example.jp"], next_at=now)
    assert back(bounce("boss@y.example.jp"), waiting, now=now).kind == "too_early"


def test_flag_1_what_is_our_own_fault_never_counts(sent, lead, now):
    """FLAG-1, ERR-5: refused because of our reputation: an error of the mail, not of the lead."""
    received = back(
        bounce(said="550 5.7.1 Service refused, your IP is listed by a blocklist", status="5.7.1"),
        sent,
        now=now,
    )
    assert (received.changed, received.cause) == (True, "ours")
    assert Lead.objects.get().email_failures == 0


def test_flag_1_a_late_report_falls_into_its_place(lead, now):
    """FLAG-1: a newer mail that stayed 正常 ends the row, whenever the report about the older one comes."""
    older = sent_mail(lead, now, ago=timedelta(days=9))
    sent_mail(lead, now, ago=timedelta(days=1))
    assert back(bounce(), older, now=now).changed
    assert Lead.objects.get().email_failures == 0


@pytest.mark.parametrize(
    ("said", "newer", "valid"),
    [
        ("551 5.1.6 user is not local", False, False),
        ("551 5.1.6 user is not local", True, True),
        ("550 5.1.1 no", False, True),
    ],
)
def test_flag_2_codes_inside_a_report(lead, now, said, newer, valid):
    """FLAG-2: 521, 551, 553 in a report about the lead's own address switch the flag off at once, unless a later mail
    arrived."""
    mail = sent_mail(lead, now, ago=timedelta(days=2))
    if newer:
        sent_mail(lead, now, ago=timedelta(days=1))
    assert back(bounce(said=said), mail, now=now).changed
    assert Lead.objects.get().email_valid is valid


def test_flag_2_not_for_another_address_of_the_mail(sent, now):
    assert back(bounce("boss@y.example.jp", said="551 5.1.6 moved"), sent, now=now).changed
    sent.refresh_from_db()
    assert sent.failed_address == "boss@y.example.jp"
    assert Lead.objects.get().email_valid


def test_addr_4_a_forwarded_copy_is_the_leads_own(lead, now):
    """ADDR-4: the mail went to the lead alone, so a report about another address (where they forward their mail) is
    about theirs."""
    template = make_template(subject="hello", text_body="text")
    mail = sent_mail(
        lead,
        now,
        snapshot=take_snapshot(template),
        merge_values={"メールアドレス": lead.email, "email": lead.email},
    )
    assert back(bounce("private@home.example.net"), mail, now=now).changed
    mail.refresh_from_db()
    assert mail.failed_address == "a@x.example.jp"


@pytest.mark.parametrize("raw", ["delivered", "receipt"])
def test_err_4_a_report_of_success_settles_an_unknown_outcome(lead, now, raw, monkeypatch):
    mail = sent_mail(lead, now, state="unknown")
    text = bounce(action="delivered", status="2.0.0", said="250 ok")
    if raw == "receipt":
        monkeypatch.setattr(door, "read_report", lambda _raw: door.Report("receipt"))
    received = back(text, mail, now=now)
    mail.refresh_from_db()
    assert (received.changed, mail.state, mail.code) == (True, "sent", 40000)
    assert not back(bounce(action="delivered", status="2.0.0", said="250 ok again"), mail, now=now).changed


# ---- OPT-9


@pytest.mark.parametrize("state", ["sent", "unknown", "error"])
def test_opt_9_a_complaint_is_an_opt_out(lead, now, state):
    """OPT-9: known by our own signed ids in the returned copy, although every address is blacked out."""
    mail = sent_mail(lead, now, state=state)
    received = receive(complaint(mail), recipient="fbl@smp.example", now=now)
    assert (received.kind, received.changed, received.lead_id) == ("complaint", True, lead.pk)
    lead.refresh_from_db()
    assert (lead.unsubscribed_at, lead.dm_permission) == (now, DmPermission.UNWANTED)
    record = ConsentRecord.objects.get(lead=lead)
    assert (record.evidence, record.source) == ("complaint", f"#{mail.pk} ISP-Feedback/1.0")
    assert AuditEntry.objects.filter(action="lead.unsubscribe", target_id=str(lead.pk)).count() == 1
    mail.refresh_from_db()
    assert mail.state == ("sent" if state == "unknown" else state)
    assert "complaint" in [event.what for event in mail.events.all()]
    assert receive(complaint(mail, kind="fraud"), now=now).changed is False
    assert ConsentRecord.objects.count() == 1


def test_opt_9_old_complaints_count_too(lead, now):
    mail = sent_mail(lead, now, ago=timedelta(days=400))
    assert receive(complaint(mail), now=now).changed


def test_a_complaint_about_a_test_mail_stops_nobody(lead, now):
    """TEST: the lead only lent its data."""
    assert not receive(complaint(sent_mail(lead, now, kind="test")), now=now).changed
    lead.refresh_from_db()
    assert lead.unsubscribed_at is None


def test_a_complaint_of_somebody_in_copy_is_not_the_leads(lead, now):
    mail = sent_mail(lead, now)
    received = receive(complaint(mail, original_rcpt="boss@y.example.jp"), now=now)
    assert (received.changed, received.note) == (False, "other")
    assert receive(complaint(mail, original_rcpt="A@X.example.jp"), now=now).changed


def test_a_complaint_without_any_id_of_ours_changes_nothing(lead, now):
    mail = sent_mail(lead, now)
    received = receive(complaint(mail, ids=False), recipient="fbl@smp.example", now=now)
    assert (received.kind, received.changed) == ("unsigned", False)


# ---- whose it is


@pytest.mark.parametrize("where", ["x_original_to", "base64", "one_click", "upper"])
def test_ids_are_found_wherever_they_are(lead, now, where):
    """Pipe and mailbox do not hand over the envelope: headers, then the returned copy, decoded if need be."""
    mail = sent_mail(lead, now)
    address = envelope_sender(mail.pk)
    if where == "base64":
        copy = base64.encodebytes(f"Return-Path: <{address}>\n\ntext\n".encode()).decode()
        raw = bounce().replace(
            b"\r\n--b--",
            f"\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{copy}\r\n--b--".encode(),
        )
    elif where == "one_click":
        raw = bounce(extra=f"X-Copy: <{one_click_url(lead.pk, mail.pk)}>\n")
    else:
        raw = bounce(extra=f"X-Original-To: {address.upper() if where == 'upper' else address}\n")
    assert receive(raw, now=now).delivery_id == mail.pk


def test_a_link_for_opting_out_names_the_lead_only(lead, now):
    """It is enough for a complaint, and too little for a failure."""
    raw = complaint(Delivery(pk=1), ids=False).replace(b"text\r\n", f"{opt_out_url(lead.pk)}\r\n".encode())
    assert receive(raw, now=now).changed
    assert receive(bounce(extra=f"X-Link: {opt_out_url(lead.pk)}\n"), now=now).changed is False


def test_forged_ids_inside_name_nobody(lead, now):
    mail = sent_mail(lead, now)
    good = envelope_sender(mail.pk)
    forged = ("b.0" if good[2] != "0" else "b.1") + good[3:]
    assert receive(bounce(extra=f"X-Original-To: {forged}\n"), now=now).kind == "unsigned"


# ---- floods and loops


def test_floods_for_one_mail_are_counted_not_stored(sent, now, monkeypatch):
    monkeypatch.setattr(door, "STORED_FOR_ONE", 5)
    for number in range(12):
        back(bounce(action="delayed", said=f"451 try {number}"), sent, now=now)
    assert ReturnedMail.objects.count() == 5
    assert sum(row.further for row in ReturnedMail.objects.all()) == 7
    assert sent.events.count() == 5
    assert back(bounce(), sent, now=now).changed  # what matters is never lost in a flood
    assert ReturnedMail.objects.count() == 6


def test_floods_of_nobodys_mail_are_counted_by_the_day(db, now, monkeypatch):
    monkeypatch.setattr(door, "STORED_OF_NOBODY", 3)
    for number in range(7):
        assert receive(bounce(said=f"550 {number}"), now=now).kind == "unsigned"
    assert ReturnedMail.objects.count() == 3
    assert receive(bounce(said="550 next day"), now=now + timedelta(days=2)).kind == "unsigned"
    assert ReturnedMail.objects.count() == 4


def test_hostile_bytes_are_stored_clean(sent, now):
    raw = bounce("a\x00b\x1b[31m@x.example.jp", said="550 5.1.1 \x00\u202e\ud7ff bad " + "x" * 5000)
    assert back(raw, sent, now=now).changed
    row = ReturnedMail.objects.get()
    assert all(character.isprintable() for one in row.recipients for character in one["diagnostic"])
    assert len(row.recipients[0]["diagnostic"]) <= 500


@pytest.mark.django_db(transaction=True)
def test_two_intakes_at_once(now):
    """Eight threads, two different reports of one mail: one failure, one event, two rows."""
    lead = make_lead("a@x.example.jp", email_since=now - timedelta(days=200))
    mail = sent_mail(lead, now)
    raws = [bounce(), bounce(said="550 5.1.1 the other server says so too")] * 4
    start = threading.Barrier(len(raws))
    answers, problems = [], []

    def take(raw):
        try:
            start.wait(30)
            answers.append(back(raw, mail, now=now))
        except Exception as error:
            problems.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=(raw,)) for raw in raws]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems
    assert sum(answer.changed for answer in answers) == 1
    assert ReturnedMail.objects.count() == 2
    assert [event.what for event in mail.events.all()] == ["bounced"]
    assert Lead.objects.get().email_failures == 1


def test_from_the_first_to_the_last_query(sent, now, django_assert_max_num_queries):
    with django_assert_max_num_queries(20):
        back(bounce(), sent, now=now)


def test_rate_2_bounces_brake_a_mailing_too(db, now, django_capture_on_commit_callbacks):
    """RATE-2: behind a relay the receivers' refusals come as reports; they count like refusals."""
    job = make_sending_job()
    mails = [
        sent_mail(make_lead(f"p{n}@x.example.jp"), now, job=job, remote_host="relay.example.jp")
        for n in range(3)
    ]
    with django_capture_on_commit_callbacks(execute=True):
        for mail in mails:
            assert back(
                bounce(mail.address, said="550 5.7.1 listed by a blocklist", status="5.7.1"), mail, now=now
            ).changed
    assert JobDomain.objects.get(job=job, domain="x.example.jp").failed == 3
