"""Celery's doors to mail/. Messages are hints that carry ids: they may come twice, late or never."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from celery import shared_task
from django.conf import settings
from django.core.cache import cache
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from redis.exceptions import RedisError

from campaigns.applications import cancel_unconfirmed
from campaigns.my_page.requests import handle_requests
from leads.tasks import take_up_imports
from mail import job_start, send_jobs
from mail.alignment import check_due
from mail.bounces import forward
from mail.delivery.engine import ALL, deliver
from mail.delivery.queue import jobs_with_due_mail
from mail.delivery.slots import engine_slot
from mail.delivery.sweep import sweep_all
from mail.delivery.watchdog import watch
from mail.hints import hint
from mail.magazines import requests
from mail.magazines.failures import count_missed
from mail.magazines.imports import steps as reader_imports
from mail.models import SendJob
from mail.reminders import remind
from mail.step_due import decide_due
from mail.stories import starts

logger = logging.getLogger(__name__)

TICK_KEY = "smp:tick"  # `manage.py doctor` reads it: Unix time of the last tick
RUN_FOR = timedelta(seconds=10)  # then the next task of the queue has its turn, the tick among them
HINTS = 2  # engines that a tick wakes at most; those that are at work hint again by themselves
COUNT_BIG_EVERY = 10  # seconds


@shared_task
def tick() -> None:
    """Every two seconds: finds all work there is, in the database. Losing Redis therefore costs only time."""
    now = timezone.now()
    job_start.start_due(now)
    sweep_all()
    send_jobs.settle_stopped(now=now)
    if jobs_with_due_mail():
        for _engine in range(HINTS):
            hint("mail.tasks.deliver_job", expires=10)
    watch(now=now)
    for job in send_jobs.jobs_to_count():
        if not send_jobs.finish_if_empty(job.pk, now=now):
            _count_sometimes(job)
    take_up_imports()
    if forward.due(now):
        hint("mail.tasks.forward_bounces", expires=10)
    _apart(handle_requests, now)
    _apart(requests.handle_requests, now)
    _apart(remind, now)
    _apart(decide_due, now)
    if _remember("new readers", "smp:new-readers", 1, 60):
        _apart(starts.plan_new, now)
    _apart(starts.start_due, now)
    if _remember("turns", "smp:turns", 1, 600):
        _apart(starts.plan_everybody, now)
    _apart(reader_imports.take_up, now)
    if _remember("unconfirmed", "smp:unconfirmed", 1, 60):
        _apart(cancel_unconfirmed, now)
    if _remember("missed failures", "smp:missed-failures", 1, 60):
        _apart(count_missed, now)
    if _remember("forget", "smp:forget", 1, 3600):
        forward.forget_old(now=now)
        _apart(requests.forget_old, now)
        _apart(reader_imports.forget_old_files, now)
    _remember("tick", TICK_KEY, time.time())


def _apart(work: Callable[[datetime], object], now: datetime) -> None:
    """What campaigns, step mails and magazines need of the tick. A mistake there is logged, and tried again in two seconds; it never keeps the mails
    from going out."""
    try:
        work(now)
    except (OperationalError, InterfaceError):
        raise  # the database went away: nothing else of this tick works either
    except Exception:
        logger.exception("%s of the tick failed", work.__name__)


@shared_task
def check_sending_domains() -> None:
    """RATE-5: keeps the checks of the sending domains younger than a day."""
    if settings.REQUIRE_ALIGNMENT or settings.DNS_SERVER:
        check_due(now=timezone.now())


@shared_task
def run_job(job_id: int) -> None:
    """Starts a due job: decides its recipients."""
    job_start.run(job_id, now=timezone.now())


@shared_task
def deliver_job(job_id: int | None = None) -> None:
    """Hands over what is due of all jobs for a few seconds, then lets others have a turn. The id only tells who asked:
    whoever comes first does everybody's work."""
    with engine_slot() as free:
        if not free:
            return
        outcome = deliver(ALL, until=timezone.now() + RUN_FOR)
    for job in outcome.jobs:
        send_jobs.finish_if_empty(job, now=timezone.now())
    if outcome.more and not outcome.trouble:
        hint("mail.tasks.deliver_job")


@shared_task
def run_reader_import(reader_import_id: int) -> None:
    """Whatever the import's next step is."""
    reader_imports.run(reader_import_id)


@shared_task
def forward_bounces() -> None:
    """ADDR-5: sends the bounces that go on to somebody's 「エラー時返信先」."""
    forward.forward_due(now=timezone.now())


@shared_task
def reader_requests() -> None:
    """Somebody asked on a magazine's form to read it or to leave (MAG-2, MAG-13): not only at the next tick."""
    requests.handle_requests(timezone.now())


def _count_sometimes(job: SendJob) -> None:
    """The progress people see; a big job is not counted every two seconds."""
    if send_jobs.stored_counts(job).in_scope < send_jobs.BIG or _remember(
        "count", f"smp:count:{job.pk}", 1, COUNT_BIG_EVERY
    ):
        send_jobs.count(job)


def _remember(what: str, key: str, value: float, seconds: int | None = None) -> bool:
    """A note in the cache; with `seconds` only if there is none yet. Without Redis: noted in the log, True."""
    try:
        if seconds is None:
            cache.set(key, value, timeout=3600)
            return True
        return bool(cache.add(key, value, timeout=seconds))
    except (OSError, RedisError) as error:
        logger.warning("the cache does not answer (%s): %s", what, error)
        return True
