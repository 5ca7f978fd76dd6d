"""The listener (SMTP, LMTP): what it takes, how much of it, from whom; and that 250 means committed."""

import smtplib
import socket
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from mail.bounces import intake as listener
from mail.bounces.gate import Gate, Limits
from mail.bounces.intake import Intake
from mail.links import envelope_sender
from mail.models import Delivery, ReturnedMail
from tests.factories import make_delivery, make_lead
from tests.mail.returned import bounce, complaint

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mail():
    moment = timezone.now() - timedelta(hours=1)
    return make_delivery(
        make_lead("a@x.example.jp"), state="sent", code=40000, sent_at=moment, result_at=moment
    )


@pytest.fixture
def listen():
    """`listen(limits, lmtp=…)` → port."""
    started = []

    def start(limits=None, *, lmtp=False):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        intake = Intake("127.0.0.1", port, lmtp=lmtp, limits=limits)
        intake.start()
        started.append(intake)
        return port

    start.running = started
    yield start
    for intake in started:
        intake.stop()


def send(port, raw, *recipients, client=smtplib.SMTP):
    with client("127.0.0.1", port, timeout=60) as connection:
        connection.sendmail("", list(recipients), raw)


def answer_to_data(port, raw, recipient):
    """The answer after the dot, for raw bytes exactly as given."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo()
        client.mail("")
        client.rcpt(recipient)
        client.putcmd("data")
        client.getreply()
        client.send(raw + b"\r\n.\r\n")
        return client.getreply()


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)


def test_only_addresses_of_ours(mail, listen):
    port = listen()
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(port, bounce(), "nobody@bounce.smp.example")
    assert refused.value.recipients["nobody@bounce.smp.example"][0] == 550
    send(port, bounce(), envelope_sender(mail.pk))
    assert Delivery.objects.get().state == "error"
    assert ReturnedMail.objects.get().source == "listener"


def test_complaints_come_to_an_open_address(mail, listen):
    """OPT-9: feedback loops send to one fixed address."""
    send(listen(), complaint(mail), "fbl@smp.example")
    mail.lead.refresh_from_db()
    assert mail.lead.unsubscribed_at


def test_lmtp_answers_for_each_recipient(mail, listen):
    """RFC 2033 4.2."""
    port = listen(lmtp=True)
    moment = timezone.now()
    other = make_delivery(make_lead("b@x.example.jp"), state="handing_over", sent_at=moment)
    with smtplib.LMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo_or_helo_if_needed()
        client.mail("")
        client.rcpt(envelope_sender(mail.pk))
        client.rcpt(envelope_sender(other.pk))
        client.putcmd("data")
        assert client.getreply()[0] == 354
        client.send(bounce() + b"\r\n.\r\n")
        assert [client.getreply()[0], client.getreply()[0]] == [250, 451]


def test_250_only_after_the_commit(mail, listen, monkeypatch):
    """The database is away: 451, and nothing is lost when the sender repeats; a mail of the lost 250 is harmless."""
    port = listen()
    real = listener.receive

    def away(*_args, **_rest):
        raise OperationalError("away")

    monkeypatch.setattr(listener, "receive", away)
    with pytest.raises(smtplib.SMTPDataError) as refused:
        send(port, bounce(), envelope_sender(mail.pk))
    assert refused.value.smtp_code == 451

    def die_after_the_commit(*args, **rest):
        real(*args, **rest)
        raise RuntimeError("killed before its 250")

    monkeypatch.setattr(listener, "receive", die_after_the_commit)
    with pytest.raises(smtplib.SMTPDataError):
        send(port, bounce(), envelope_sender(mail.pk))
    monkeypatch.setattr(listener, "receive", real)
    send(port, bounce(), envelope_sender(mail.pk))
    assert ReturnedMail.objects.count() == 1
    assert mail.events.count() == 1


@pytest.mark.parametrize(
    "raw",
    [
        bounce() + b"x" * 3_000_000,
        bounce() + b"tail\r\n" * 500_000,
        bounce().replace(b"It failed.", b"y" * 200_000),
        bounce().replace(b"\r\n", b"\n"),
        bounce().replace(b"It failed.", b".\r\n..\r\n.x"),
    ],
    ids=["one endless line", "big", "long line", "bare LF", "dots"],
)
def test_odd_forms_are_taken(mail, listen, raw):
    """A report that is refused for its form is lost, so big ones are cut, and long lines and bare LF are read."""
    stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in raw.split(b"\r\n"))
    assert answer_to_data(listen(), stuffed, envelope_sender(mail.pk))[0] == 250
    assert Delivery.objects.get().state == "error"


def test_no_end_in_sight(mail, listen, monkeypatch):
    monkeypatch.setattr(listener, "SIZE_MAX", 100_000)
    port = listen()
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo()
        client.mail("")
        client.rcpt(envelope_sender(mail.pk))
        client.putcmd("data")
        client.getreply()
        client.send(b"x" * 70 + b"\r\n")
        with pytest.raises((OSError, smtplib.SMTPException)):
            for _line in range(100_000):
                client.send(b"x" * 1000 + b"\r\n")
            if client.getreply()[0] == 552:
                raise smtplib.SMTPException("552")
    send(port, bounce(), envelope_sender(mail.pk))


def test_too_many_connections(mail, listen):
    """421 for the next one of a peer, whoever holds the others; places become free again."""
    port = listen(Limits(connections_of_one_peer=3))
    gate = listen.running[0].gate
    wait_for(lambda: gate.connections == 0)  # aiosmtpd looks whether its port answers
    held = [socket.create_connection(("127.0.0.1", port), timeout=60) for _n in range(3)]
    assert all(one.recv(3) == b"220" for one in held)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as turned_away:
        assert turned_away.recv(100).startswith(b"421 ")
        assert turned_away.recv(100) == b""
    for one in held:
        one.close()
    wait_for(lambda: gate.connections == 0)
    send(port, bounce(), envelope_sender(mail.pk))


def test_too_many_mails_of_one_peer(mail, listen):
    port = listen(Limits(mails_a_minute_of_one_peer=3))
    for number in range(3):
        send(port, bounce(action="delayed", said=f"451 {number}"), envelope_sender(mail.pk))
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(port, bounce(), envelope_sender(mail.pk))
    assert next(iter(refused.value.recipients.values()))[0] == 451


def test_a_full_queue_says_busy_and_loses_nothing(mail, listen, monkeypatch):
    """The database hangs: what waits is bounded, the rest is asked to come again, and all of it gets in at last."""
    release, real, answers = threading.Event(), listener.receive, []

    def slow(*args, **rest):
        assert release.wait(120)
        return real(*args, **rest)

    monkeypatch.setattr(listener, "receive", slow)
    port = listen(Limits(waiting=2))
    gate = listen.running[0].gate

    def deliver(number):
        answers.append(answer_to_data(port, bounce(said=f"550 5.1.1 {number}"), envelope_sender(mail.pk))[0])

    waiting = [threading.Thread(target=deliver, args=(number,)) for number in range(2)]
    for thread in waiting:
        thread.start()
    wait_for(lambda: gate.waiting == 2)
    with pytest.raises(smtplib.SMTPDataError) as busy:
        send(port, bounce(), envelope_sender(mail.pk))
    assert busy.value.smtp_code == 451
    release.set()
    for thread in waiting:
        thread.join(120)
    assert answers == [250, 250]
    send(port, bounce(), envelope_sender(mail.pk))
    assert ReturnedMail.objects.count() == 3
    assert gate.waiting == 0
    assert gate.bytes == 0


def test_a_slow_client_is_left(mail, listen):
    """One byte now and then holds a place for a bounded time only."""
    port = listen(Limits(idle_seconds=1))
    gate = listen.running[0].gate
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.recv(100)
        client.sendall(b"EHLO slow.example\r\n")
        wait_for(lambda: gate.connections == 1)
        assert client.recv(1000)
        until = time.monotonic() + 60
        left = False
        while not left and time.monotonic() < until:
            try:
                client.sendall(b"x")
                client.settimeout(0.2)
                left = client.recv(100) == b""
            except TimeoutError:
                pass
            except OSError:
                left = True
        assert left
    wait_for(lambda: gate.connections == 0)


@pytest.mark.parametrize(
    "garbage",
    [b"\0" * 5000 + b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20, b"MAIL\r\n" * 50, b"\xff\xfe\r\n"],
)
def test_garbage_does_no_harm(mail, listen, garbage):
    port = listen()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
        while True:
            try:
                if not client.recv(4096):
                    break
            except OSError:
                break
    send(port, bounce(), envelope_sender(mail.pk))
    assert Delivery.objects.get().state == "error"


def test_the_gate_forgets_peers(monkeypatch):
    monkeypatch.setattr("mail.bounces.gate.PEERS_REMEMBERED", 5)
    clock = [1000.0]
    monkeypatch.setattr("mail.bounces.gate.time.monotonic", lambda: clock[0])
    gate = Gate(Limits())
    assert all(gate.one_more_mail(f"10.0.0.{n}") for n in range(5))
    assert not gate.one_more_mail("10.0.0.9")
    assert gate.one_more_mail("10.0.0.1")
    clock[0] += 61
    assert gate.one_more_mail("10.0.0.9")
