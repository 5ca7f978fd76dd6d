"""Celery's doors to tracking/."""

import logging

from celery import shared_task
from django.utils import timezone

from mail.hints import hint
from tracking import flush, spool, stream
from tracking.mail_hits import prove_late
from tracking.retention import forget_old

logger = logging.getLogger(__name__)


@shared_task
def flush_hits() -> None:
    """Every two seconds. Redis being away is no error here: hits wait in the files of their hosts."""
    now = timezone.now()
    try:
        spool.settle()
        if flush.flush(now) and stream.look().length >= flush.BATCH:
            hint("tracking.tasks.flush_hits", expires=10)
        if stream.client().set("smp:hits:proof", 1, nx=True, ex=60):
            prove_late(now)
    except stream.AWAY_ERRORS as error:
        logger.warning("hits are not stored while Redis is away: %s", error)


@shared_task
def forget_views() -> None:
    """Hourly: views that are older than the settings say."""
    forget_old(timezone.now())
