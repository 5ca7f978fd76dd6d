"""Tasks are hints: the tick finds all work in the database (DESIGN: losing Redis costs only time)."""

import time
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from mail import tasks
from mail.delivery.claim import claim
from mail.delivery.queue import jobs_with_due_mail, mark_progress
from mail.delivery.slots import allow_engines, engine_slot
from mail.delivery.watchdog import stuck
from mail.models import Delivery, SendJob
from tests.factories import make_application, make_campaign, make_delivery, make_lead, make_sending_job

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hints(monkeypatch):
    """What was hinted, instead of a broker."""
    given = []
    monkeypatch.setattr(tasks, "hint", lambda task, *ids, **_options: given.append((task, *ids)))
    for module in ("send_jobs", "job_start"):
        monkeypatch.setattr(f"mail.{module}.hint", lambda task, *ids, **_options: given.append((task, *ids)))
    monkeypatch.setattr(tasks, "take_up_imports", lambda: given.append(("imports",)))
    return given


def test_the_tick_finds_due_mail_without_any_message(hints):
    job = make_sending_job("a@x.example.jp")
    make_delivery(make_lead("b@x.example.jp"), kind="single", snapshot=job.snapshot)
    done = make_sending_job("c@x.example.jp")
    done.deliveries.update(state="deferred", next_at=timezone.now() + timedelta(minutes=5))
    paused = make_sending_job("d@x.example.jp")
    SendJob.objects.filter(pk=paused.pk).update(state="paused")
    assert jobs_with_due_mail() == [None, job.pk]
    tasks.tick()
    kicks = [given for given in hints if given[0] == "mail.tasks.deliver_job"]
    assert kicks == [("mail.tasks.deliver_job",)] * tasks.HINTS  # whoever comes does everybody's work
    assert ("imports",) in hints
    assert cache.get(tasks.TICK_KEY) > 0


def test_the_tick_starts_due_jobs_and_ends_empty_ones(hints):
    job = make_sending_job("a@x.example.jp")
    job.deliveries.update(state="sent")
    waiting = make_sending_job()
    SendJob.objects.filter(pk=waiting.pk).update(state="preparing", scheduled_at=timezone.now())
    tasks.tick()
    assert ("mail.tasks.run_job", waiting.pk) in hints
    job.refresh_from_db()
    assert (job.state, job.counts["state"]) == ("done", {"sent": 1})


def test_the_tick_ends_unconfirmed_applications(hints):
    """APP-3."""
    cache.delete("smp:unconfirmed")
    late = timezone.now() - timedelta(hours=25)
    application = make_application(make_campaign(), state="provisional", created_at=late)
    tasks.tick()
    application.refresh_from_db()
    assert application.state == "cancelled"


def test_the_tick_sweeps_and_counts(hints):
    job = make_sending_job("a@x.example.jp", "b@x.example.jp")
    [row] = claim(job.pk, 1)
    Delivery.objects.filter(pk=row.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    tasks.tick()
    assert set(job.deliveries.values_list("state", flat=True)) == {"queued"}
    job.refresh_from_db()
    assert job.counts["state"] == {"queued": 2}


def test_mails_given_back_to_a_stopped_job_are_settled(hints):
    """RSV-3."""
    job = make_sending_job("a@x.example.jp")
    SendJob.objects.update(state="stopped")
    tasks.tick()
    assert list(job.deliveries.values_list("state", "reason")) == [("excluded", "stopped")]


def test_deliver_job_is_idempotent(hints, sink):
    job = make_sending_job("a@x.example.jp", "b@x.example.jp")
    tasks.deliver_job(job.pk)
    tasks.deliver_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done"
    assert len(sink.mails) == 2
    tasks.deliver_job(10**9)
    tasks.deliver_job()


def test_a_relay_that_is_away_is_not_asked_again_at_once(hints, settings):
    settings.RELAY = "127.0.0.1:1"
    job = make_sending_job("a@x.example.jp")
    tasks.deliver_job(job.pk)
    assert hints == []
    assert jobs_with_due_mail() == []  # waits some seconds


def test_without_redis_the_tick_still_works(hints, settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }
    job = make_sending_job("a@x.example.jp")
    tasks.tick()
    assert ("mail.tasks.deliver_job",) in hints
    assert jobs_with_due_mail() == [job.pk]


@pytest.fixture
def three_processes():
    assert allow_engines(3) == 2
    yield
    assert allow_engines(2) == 1


def test_one_process_of_a_worker_stays_free(other_connection, three_processes):
    """Two of three may hand mail over; the tick, starts and imports find the third."""
    with engine_slot() as first:
        assert first
        with other_connection() as other:
            second = engine_slot()
            assert other.run(second.__enter__) is True
            with other_connection() as another:
                assert another.run(engine_slot().__enter__) is False
        # Its connection is gone, and the slot with it, as soon as the server has noticed.
        deadline = time.monotonic() + 10
        taken = False
        while not taken and time.monotonic() < deadline:
            with other_connection() as other:
                slot = engine_slot()
                taken = other.run(slot.__enter__)
                other.run(slot.__exit__, None, None, None)
        assert taken


def test_a_worker_of_one_process_hands_mail_over_too():
    assert allow_engines(1) == 1


def test_the_watchdog_sees_due_mail_that_nobody_takes(hints, caplog):
    """Due rows without progress are an error in the log, and gone from it as soon as somebody takes them."""
    long_ago = timezone.now() - timedelta(minutes=30)
    job = make_sending_job("a@x.example.jp", "b@x.example.jp")
    SendJob.objects.filter(pk=job.pk).update(started_at=long_ago)
    job.deliveries.update(next_at=long_ago)
    single = make_delivery(make_lead("c@x.example.jp"), kind="single", snapshot=job.snapshot)
    Delivery.objects.filter(pk=single.pk).update(next_at=long_ago)
    young = make_sending_job("d@x.example.jp")
    tasks.tick()
    assert [one.job_id for one in stuck(now=timezone.now())] == [None, job.pk]
    told = [record.getMessage() for record in caplog.records if "no worker takes them" in record.getMessage()]
    assert len(told) == 2
    assert any(f"job {job.pk}:" in text for text in told)
    assert not any(f"job {young.pk}:" in text for text in told)
    mark_progress({job.pk})
    assert [one.job_id for one in stuck(now=timezone.now())] == [None]


def test_a_paused_or_put_off_mailing_is_not_stuck():
    long_ago = timezone.now() - timedelta(minutes=30)
    paused = make_sending_job("a@x.example.jp")
    paused.deliveries.update(next_at=long_ago)
    SendJob.objects.filter(pk=paused.pk).update(state="paused")
    later = make_sending_job("b@x.example.jp")
    SendJob.objects.filter(pk=later.pk).update(started_at=long_ago)
    later.deliveries.update(next_at=timezone.now() + timedelta(minutes=10))
    assert stuck(now=timezone.now()) == []
