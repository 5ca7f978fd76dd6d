"""Mail that comes back (ERR-1, ERR-2, FLAG-1): signed address, RFC 3464, what it changes."""

import io
import json
import smtplib
import socket
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from leads.models import Lead
from mail import send_jobs
from mail.bounces.receive import receive
from mail.job_queries import sent_numbers
from mail.links import envelope_sender
from tests.factories import make_delivery, make_lead, make_sending_job
from tests.mail.returned import bounce


@pytest.fixture
def sent(db):
    lead = make_lead("a@x.example.jp", email_since=timezone.now() - timedelta(days=90))
    moment = timezone.now() - timedelta(hours=1)
    return make_delivery(lead, state="sent", code=40000, sent_at=moment, result_at=moment)


def test_err_2_a_bounce_after_acceptance(sent):
    """ERR-1, ERR-2: 正常 becomes エラー 90000 with the other server's words and status; once, however often it comes."""
    received = receive(bounce(), recipient=envelope_sender(sent.pk))
    assert (received.kind, received.changed, received.delivery_id, received.lead_id) == (
        "failure",
        True,
        sent.pk,
        sent.lead_id,
    )
    before = sent.sent_at
    sent.refresh_from_db()
    assert (sent.state, sent.code, sent.enhanced_status, sent.reply) == (
        "error",
        90000,
        "5.1.1",
        "550 5.1.1 User unknown",
    )
    assert (sent.failed_address, sent.sent_at) == ("a@x.example.jp", before)
    assert Lead.objects.get().email_failures == 1
    again = receive(bounce(), recipient=envelope_sender(sent.pk).upper())
    assert (again.kind, again.changed) == ("failure", False)
    assert [event.what for event in sent.events.all()] == ["bounced"]
    assert Lead.objects.get().email_failures == 1


def test_a_bounce_after_the_end_of_its_job(db):
    """ERR-1, TGT-9: the numbers kept with a finished job follow; the list never shows the old ones."""
    job = make_sending_job("a@x.example.jp")
    delivery = job.deliveries.get()
    moment = timezone.now()
    job.deliveries.update(state="sent", code=40000, sent_at=moment, result_at=moment)
    send_jobs.finish_if_empty(job.pk, now=moment)
    job.refresh_from_db()
    assert sent_numbers([job]) == {job.pk: 1}
    assert receive(bounce(), recipient=envelope_sender(delivery.pk)).changed
    job.refresh_from_db()
    assert sent_numbers([job]) == {}
    assert list(send_jobs.jobs_to_count()) == [job]
    send_jobs.count(job)
    assert job.counts["state"] == {"error": 1}
    assert not send_jobs.jobs_to_count().exists()


def test_a_report_about_another_address(sent):
    """ADDR-4: a CC that bounced later is stored; the mail counts as failed."""
    receive(bounce("chief@y.example.jp"), recipient=envelope_sender(sent.pk))
    sent.refresh_from_db()
    assert (sent.state, sent.failed_address) == ("error", "chief@y.example.jp")


def test_a_bounce_settles_an_unknown_outcome(sent):
    type(sent).objects.update(state="unknown")
    assert receive(bounce(), recipient=envelope_sender(sent.pk)).changed
    sent.refresh_from_db()
    assert sent.state == "error"


def test_a_bounce_before_the_answer_was_recorded_comes_again(sent):
    type(sent).objects.update(state="handing_over")
    assert receive(bounce(), recipient=envelope_sender(sent.pk)).kind == "too_early"


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (bounce(action="delayed", status="4.4.1"), "delayed"),
        (bounce(action="delivered", status="2.0.0"), "report"),
        (
            b"From: a@x.example.jp\r\nAuto-Submitted: auto-replied\r\nSubject: Out of office\r\n\r\n550 5.1.1",
            "auto_reply",
        ),
        (b"From: a@x.example.jp\r\nSubject: Re: your mail\r\n\r\nunsubscribe 550 5.1.1", "other"),
        (b"", "other"),
        (b"\xff\x00\r\n" * 100, "other"),
        (b"Content-Type: multipart/report; boundary=\r\n\r\n--\r\n", "other"),
    ],
)
def test_what_is_no_failure_changes_nothing(sent, raw, kind):
    received = receive(raw, recipient=envelope_sender(sent.pk))
    assert (received.kind, received.changed) == (kind, False)
    sent.refresh_from_db()
    assert sent.state == "sent"
    assert {event.what for event in sent.events.all()} <= {"delayed"}


def test_unsigned_and_forged_addresses_change_nothing(sent):
    good = envelope_sender(sent.pk)
    local, _at, domain = good.partition("@")
    mac = local.rpartition(".")[2]
    forged = local.replace(mac, ("1" if mac[0] == "0" else "0") + mac[1:])
    for address in (
        "info@smp.example",
        f"b.{sent.pk}@{domain}",
        f"{forged}@{domain}",
        f"{local}@evil.example",
        "",
    ):
        assert receive(bounce(), recipient=address).kind == "unsigned", address
    sent.refresh_from_db()
    assert sent.state == "sent"


def test_deep_nesting_does_not_crash(sent):
    raw = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(5000)
    )
    assert receive(raw, recipient=envelope_sender(sent.pk)).changed is False


def test_a_status_that_stands_in_the_words_only(sent):
    """The enhanced status is taken from the server's words when the report has no field for it."""
    assert receive(bounce(said="550-5.1.1 no", status=""), recipient=envelope_sender(sent.pk)).changed
    sent.refresh_from_db()
    assert sent.enhanced_status == "5.1.1"


def test_flag_1_three_bounces_switch_the_flag_off(db):
    """FLAG-1: in a row by the time of sending; the last late report makes it three."""
    now = timezone.now()
    lead = make_lead("a@x.example.jp", email_since=now - timedelta(days=90))
    mails = [
        make_delivery(lead, state="sent", code=40000, sent_at=now - timedelta(days=days), result_at=now)
        for days in (3, 2, 1)
    ]
    for number, mail in enumerate(reversed(mails), 1):
        assert Lead.objects.get().email_valid
        receive(bounce(), recipient=envelope_sender(mail.pk))
        assert Lead.objects.get().email_failures == number
    assert not Lead.objects.get().email_valid


def test_receive_mail_command(sent, monkeypatch, capsys):
    raw = bounce(to=f"<{envelope_sender(sent.pk)}>")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
    monkeypatch.delenv("RECIPIENT", raising=False)
    call_command("receive_mail", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert (answer["kind"], answer["changed"], answer["delivery_id"]) == ("failure", True, sent.pk)


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.django_db(transaction=True)
def test_the_listener_answers_after_the_commit(lmtp):
    from mail.bounces.intake import Intake

    lead = make_lead("a@x.example.jp")
    mail = make_delivery(lead, state="sent", code=40000, sent_at=timezone.now(), result_at=timezone.now())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    intake = Intake("127.0.0.1", port, lmtp=lmtp)
    intake.start()
    try:
        with (smtplib.LMTP if lmtp else smtplib.SMTP)("127.0.0.1", port) as client:
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("", ["nobody@bounce.smp.example"], bounce())
            client.sendmail("", [envelope_sender(mail.pk)], bounce())
            mail.refresh_from_db()
            assert (mail.state, mail.code) == ("error", 90000)
    finally:
        intake.stop()
