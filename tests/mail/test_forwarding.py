"""ADDR-5: 「エラー時返信先」: recorded only, or forwarded too; once, bounded, without loops, with an end."""

import email
import socket
from datetime import timedelta
from email import policy

import pytest
from django.db import connection
from django.utils import timezone

from mail import tasks
from mail.bounces import forward
from mail.bounces.forward import SUMMARY, WAITING, forward_due
from mail.bounces.forwarded_mail import ATTACHED_MAX, was_forwarded
from mail.bounces.receive import receive
from mail.links import envelope_sender
from mail.message import take_snapshot
from mail.models import ReturnedMail
from mail.smtp.single import NotSent
from tests.factories import make_delivery, make_lead, make_template
from tests.mail.returned import bounce

OFFICE = "office@seminar.example.jp"


@pytest.fixture
def now():
    return timezone.now()


def sent_mail(now, *, errors_to=OFFICE, address="a@x.example.jp", **values):
    template = make_template(errors_to=errors_to, subject="セミナーのご案内", text_body="text")
    lead = make_lead(address)
    return make_delivery(
        lead, state="sent", code=40000, sent_at=now, result_at=now, snapshot=take_snapshot(template), subject="セミナーのご案内",
        merge_values={"メールアドレス": address, "email": address}, **values,
    )  # fmt: skip


def bounced(mail, now, raw=None):
    raw = raw or bounce(mail.address)
    assert receive(raw, recipient=envelope_sender(mail.pk), now=now).changed
    return ReturnedMail.objects.get(delivery_id=mail.pk)


@pytest.mark.parametrize(
    "errors_to", ["", "failure@smp.example", "Failure@SMP.example", "b@bounce.smp.example"]
)
def test_addr_5_recorded_and_nobody_is_bothered(db, now, errors_to, sink):
    """ADDR-5: empty, or the system's own failure address."""
    row = bounced(sent_mail(now, errors_to=errors_to), now)
    assert (row.forward_to, row.forward_next_at, row.raw) == ("", None, None)
    assert forward_due(now=now) == 0
    assert sink.mails == []


def test_addr_5_any_other_address_gets_the_bounce_too(db, now, sink):
    """ADDR-5: with the null sender, Auto-Submitted, the bounce attached as it came; then its bytes are forgotten."""
    mail = sent_mail(now)
    row = bounced(mail, now)
    assert (row.forward_to, row.forward_next_at) == (OFFICE, now)
    assert bytes(row.raw) == bounce(mail.address)
    assert forward_due(now=now) == 1
    [got] = sink.mails
    assert (got["sender"], got["recipients"]) == ("", [OFFICE])
    message = email.message_from_string(got["data"], policy=policy.default)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["To"] == OFFICE
    assert message["Subject"] == "不達: セミナーのご案内"
    text, attached = message.iter_parts()
    assert "User unknown" in text.get_content()
    assert f"/mail/deliveries/{mail.pk}/" in text.get_content()
    assert attached.get_content_type() == "message/rfc822"
    assert attached.get_content()["Subject"] == "Undelivered Mail"
    row.refresh_from_db()
    assert (row.forwarded_at, row.forward_next_at, row.raw) == (now, None, None)
    assert forward_due(now=now + timedelta(days=1)) == 0
    assert len(sink.mails) == 1


def test_merge_fields_in_the_address(db, now):
    row = bounced(sent_mail(now, errors_to="{{ メールアドレス }}", address="own@y.example.jp"), now)
    assert row.forward_to == "own@y.example.jp"


def test_only_failures_that_changed_their_mail_are_forwarded(db, now):
    mail = sent_mail(now)
    bounced(mail, now)
    for raw in (
        bounce(mail.address, said="550 5.1.1 again"),
        bounce(mail.address, action="delayed", said="451 wait"),
    ):
        receive(raw, recipient=envelope_sender(mail.pk), now=now)
    assert ReturnedMail.objects.exclude(forward_to="").count() == 1


def test_a_forwarded_mail_that_comes_back_goes_no_further(db, now, sink):
    """Loops: the office's address leads back to us. Our own signed header is known; it changes nothing."""
    mail, other = sent_mail(now), sent_mail(now, address="b@x.example.jp")
    bounced(mail, now)
    forward_due(now=now)
    raw = sink.mails[0]["data"].encode()
    assert was_forwarded(raw)
    again = receive(raw, recipient=envelope_sender(other.pk), now=now)
    assert (again.kind, again.changed, again.note) == ("other", False, "loop")
    assert not was_forwarded(bounce(extra="X-SMP-Forwarded-Bounce: 1.0000000000000000\n"))
    going_round = bounce(other.address, extra="Received: from x by y\n" * 60)
    assert receive(going_round, recipient=envelope_sender(other.pk), now=now).note == "loop"
    assert ReturnedMail.objects.exclude(forward_to="").count() == 1


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (bounce().replace(b"It failed.", "失敗".encode()), "application/octet-stream"),
        (bounce().replace(b"It failed.", b"x" * 2000), "application/octet-stream"),
        (bounce().replace(b"It failed.", b"x\0y"), "application/octet-stream"),
        (bounce().replace(b"It failed.", b".\r\n.\r\nRCPT"), "message/rfc822"),
        (bounce() + b"tail of the copy\r\n" * 20_000, "message/rfc822"),
    ],
)
def test_odd_and_big_bounces_travel_safely(db, now, sink, raw, kind):
    bounced(sent_mail(now), now, raw)
    assert forward_due(now=now) == 1
    data = sink.mails[0]["data"]
    message = email.message_from_string(data, policy=policy.default)
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", kind]
    assert len(data) < ATTACHED_MAX * 1.5
    assert max(map(len, data.split("\r\n"))) <= 998


def test_hostile_words_break_out_of_nothing(db, now, sink):
    mail = sent_mail(now)
    mail.subject = "x\r\nBcc: evil@example.com"
    mail.save()
    bounced(mail, now, bounce(mail.address, said="550 5.1.1 \x00 =?utf-8?q?=0D=0ABcc:_e@example.com?="))
    forward_due(now=now)
    message = email.message_from_string(sink.mails[0]["data"])
    assert message["Bcc"] is None
    assert sink.mails[0]["recipients"] == [OFFICE]


def test_retried_with_an_end(db, now, monkeypatch):
    """Each attempt waits longer; after the last one it is given up, and the bytes go."""
    row = bounced(sent_mail(now), now)

    def refuse(recipient, data):
        raise NotSent("451 4.7.1 greylisted")

    monkeypatch.setattr(forward, "hand_over_one", refuse)
    moment, waits = now, []
    while row.forward_next_at is not None:
        moment = row.forward_next_at
        assert forward_due(now=moment) == 0
        row.refresh_from_db()
        waits.append((row.forward_next_at - moment).total_seconds() / 60 if row.forward_next_at else None)
        assert len(waits) < 20
    assert waits == [5, 15, 60, 240, 720, None]
    assert (row.forward_error, row.raw, row.forwarded_at) == ("451 4.7.1 greylisted", None, None)


def test_a_permanent_refusal_ends_it_at_once(db, now, sink):
    row = bounced(sent_mail(now, errors_to="rcpt550@seminar.example.jp"), now)
    assert forward_due(now=now) == 0
    row.refresh_from_db()
    assert row.forward_next_at is None
    assert row.forward_error.startswith("550 5.1.1")
    assert row.raw is None


def test_a_relay_that_is_away_costs_no_attempt(db, now, settings, nobodys_port):
    settings.RELAY = f"127.0.0.1:{nobodys_port}"
    row = bounced(sent_mail(now), now)
    assert forward_due(now=now) == 0
    row.refresh_from_db()
    assert (row.forward_attempts, row.raw is not None) == (0, True)
    assert row.forward_next_at > now
    later = now + timedelta(days=6)
    ReturnedMail.objects.update(forward_next_at=later)
    forward_due(now=later)
    row.refresh_from_db()
    assert row.forward_next_at is None


@pytest.fixture
def nobodys_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_flood_becomes_one_summary(db, now, sink, monkeypatch):
    """At most so many an hour to one address; the rest waits for the hour's end and goes as one mail. Bytes beyond
    what the hour takes are never stored."""
    monkeypatch.setattr(forward, "HOURLY", 3)
    for number in range(8):
        bounced(sent_mail(now, address=f"p{number}@x.example.jp"), now)
    assert ReturnedMail.objects.exclude(raw=None).count() == 3
    other = bounced(sent_mail(now, errors_to="other@seminar.example.jp", address="o@x.example.jp"), now)
    assert forward_due(now=now) == 4
    assert sorted(mail["recipients"][0] for mail in sink.mails) == [OFFICE] * 3 + [other.forward_to]
    assert set(ReturnedMail.objects.filter(forwarded_at=None).values_list("forward_error", flat=True)) == {
        WAITING
    }
    assert forward_due(now=now + timedelta(minutes=59)) == 0
    later = now + timedelta(minutes=61)
    assert forward_due(now=later) == 1
    message = email.message_from_string(sink.mails[-1]["data"], policy=policy.default)
    assert message["Subject"] == "不達通知 5件"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "/mail/returned/" in message.get_content()
    assert ReturnedMail.objects.filter(forwarded_at=later).count() == 5
    assert ReturnedMail.objects.filter(forward_error=SUMMARY).count() == 4
    assert not ReturnedMail.objects.exclude(raw=None).exists()


def test_a_worker_that_died_costs_a_delay(db, now, sink, monkeypatch):
    """Killed between the lease and the hand-over: it comes again after the lease, with the same Message-ID."""
    row = bounced(sent_mail(now), now)

    def die(recipient, data):
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(forward, "hand_over_one", die)
        with pytest.raises(SystemExit):
            forward_due(now=now)
    row.refresh_from_db()
    assert row.forward_next_at == now + forward.LEASE
    assert forward_due(now=now + timedelta(minutes=1)) == 0
    assert forward_due(now=now + forward.LEASE) == 1


def test_only_one_process_forwards(db, now, sink, other_connection):
    bounced(sent_mail(now), now)
    with other_connection() as other:
        other.run(advisory, "pg_advisory_lock")
        assert forward_due(now=now) == 0
        other.run(advisory, "pg_advisory_unlock")
        assert forward_due(now=now) == 1


def advisory(function):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [forward.LOCK])


def test_the_tick_starts_it(db, now, monkeypatch):
    hints = []
    monkeypatch.setattr(tasks, "hint", lambda task, *ids, **_rest: hints.append(task))
    tasks.tick()
    assert "mail.tasks.forward_bounces" not in hints
    bounced(sent_mail(now), now)
    tasks.tick()
    assert "mail.tasks.forward_bounces" in hints


def test_what_belongs_to_nobody_is_forgotten(db, now):
    receive(bounce(), now=now - timedelta(days=91))
    receive(bounce(said="550 newer"), now=now - timedelta(days=80))
    row = bounced(sent_mail(now), now)
    ReturnedMail.objects.filter(pk=row.pk).update(at=now - timedelta(days=300))
    assert forward.forget_old(now=now) == 1
    assert ReturnedMail.objects.count() == 2
