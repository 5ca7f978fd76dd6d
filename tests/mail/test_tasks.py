"""Tasks are hints: the tick finds all work in the database (DESIGN: losing Redis costs only time)."""

import time
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from mail import tasks
from mail.delivery.claim import claim
from mail.delivery.queue import jobs_with_due_mail
from mail.delivery.slots import PER_JOB, free_slots, slot
from mail.models import Delivery, SendJob
from tests.factories import make_delivery, make_lead, make_sending_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def hints(monkeypatch):
    """What was hinted, instead of a broker."""
    given = []
    monkeypatch.setattr(tasks, "hint", lambda task, *ids, **_options: given.append((task, *ids)))
    monkeypatch.setattr("mail.send_jobs.hint", lambda task, *ids, **_options: given.append((task, *ids)))
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
    assert kicks == [("mail.tasks.deliver_job",)] * PER_JOB + [("mail.tasks.deliver_job", job.pk)] * PER_JOB
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
    assert ("mail.tasks.deliver_job", job.pk) in hints


@pytest.mark.django_db(transaction=True)
def test_slots_bound_how_many_work_on_one_job(other_connection):
    assert free_slots(7) == PER_JOB
    with slot(7) as first:
        assert first
        assert free_slots(7) == PER_JOB - 1
        assert free_slots(8) == PER_JOB
        with other_connection() as other:
            second = slot(7)
            assert other.run(second.__enter__) is True
            assert free_slots(7) == 0
        # Its connection is gone, and the slot with it, as soon as the server has noticed.
        deadline = time.monotonic() + 10
        while free_slots(7) != PER_JOB - 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert free_slots(7) == PER_JOB - 1
    assert free_slots(7) == PER_JOB
