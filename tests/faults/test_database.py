"""The database goes away at the worst moments: at the intent's commit and while a result is recorded."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from mail.delivery import engine, record
from mail.delivery.intent import intend
from mail.models import Delivery
from tests.connections import Other
from tests.factories import make_sending_job
from tests.sink import Sink

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sink(tmp_path, settings):
    with Sink(tmp_path / "accepted.jsonl") as running:
        settings.RELAY = f"127.0.0.1:{running.port}"
        yield running
        engine.shut_down(patience=10)


def send(job):
    return engine.deliver(job.pk, until=timezone.now() + timedelta(seconds=20))


def cut_connection():
    """PostgreSQL ends this thread's session, as a restart does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    with Other() as other:
        other.run(lambda: connection.cursor().execute("SELECT pg_terminate_backend(%s, 5000)", [pid]))


def once(function):
    """Calls it the first time only."""
    done = []

    def maybe():
        if not done:
            done.append(True)
            function()

    return maybe


def test_cut_before_the_result_is_recorded(sink, monkeypatch):
    """The answer in hand is worth waiting for the database."""
    cut = once(cut_connection)
    write = record._write

    def cut_then_write(results):
        cut()
        return write(results)

    monkeypatch.setattr(record, "_write", cut_then_write)
    job = make_sending_job("a@x.example.jp", "b@x.example.jp")
    assert send(job).sent == 2
    assert sorted(job.deliveries.values_list("state", flat=True)) == ["sent", "sent"]
    assert len(sink.mails) == 2


def test_commit_of_the_result_happened_but_nobody_knows(sink, monkeypatch):
    """Repeating the fenced statement answers it: one result, one event."""
    write = record._write

    def lose_the_answer():
        raise OperationalError("server closed the connection unexpectedly")

    lose = once(lose_the_answer)

    def write_then_lose(results):
        written = write(results)
        lose()
        return written

    monkeypatch.setattr(record, "_write", write_then_lose)
    job = make_sending_job("a@x.example.jp")
    assert send(job).sent == 1
    row = job.deliveries.get()
    assert (row.state, row.attempts, row.events.count()) == ("sent", 1, 0)


@pytest.mark.parametrize("committed", [True, False])
def test_connection_lost_at_the_intent(sink, monkeypatch, committed):
    """On disk or not: the dot was not sent, so the holder takes the row back, and it is sent once."""

    def cut():
        if committed:
            raise OperationalError("server closed the connection unexpectedly")
        cut_connection()

    act = once(cut)

    def broken(intents):
        if committed:
            allowed = intend(intents)
            act()
            return allowed
        act()
        return intend(intents)

    monkeypatch.setattr(engine, "intend", broken)
    job = make_sending_job("a@x.example.jp")
    outcome = send(job)
    assert outcome.sent == 1
    assert len(sink.mails) == 1
    assert Delivery.objects.get().state == "sent"


def test_an_exception_nobody_thought_of_gives_the_claims_back(sink, monkeypatch):
    job = make_sending_job("a@x.example.jp", "b@x.example.jp")

    def breaks(self, rows):
        raise RuntimeError("a bug")

    monkeypatch.setattr("mail.delivery.compose.Composer.make", breaks)
    with pytest.raises(RuntimeError):
        send(job)
    assert list(job.deliveries.values_list("state", "lease_until")) == [("queued", None)] * 2


def test_a_lane_that_breaks_leaves_its_mail_to_the_sweeper(sink, monkeypatch):
    """Nobody knows how far it came, so nobody says: the lease decides. The run ends, and the others go out."""
    job = make_sending_job("a@x.example.jp")

    async def breaks(self, outgoing, flight, started):
        raise RuntimeError("a bug")

    monkeypatch.setattr("mail.delivery.agents.DeliveryAgent._verdict", breaks)
    assert send(job).handled == 0
    assert job.deliveries.get().state == "handing_over"
