"""What stop_job, pause_job and resume_job share."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from mail.models import SendJob
from mail.send_jobs import Refused, counts_now
from smp.lib.command import JsonCommand


def change_job(command: JsonCommand, options: dict[str, Any], change: Callable[..., object]) -> None:
    """Calls one of send_jobs' functions for the job of `options["id"]` and prints its new state."""
    job = SendJob.objects.filter(pk=options["id"]).first()
    if job is None:
        raise CommandError(_("There is no job %(id)s.") % {"id": options["id"]})
    try:
        change(job, user=None, now=timezone.now())
    except Refused as error:
        raise CommandError(error.message) from error
    job.refresh_from_db()
    counts = counts_now(job)
    command.answer(
        {"job": job.pk, "state": job.state, "by_state": counts.by_state, "by_reason": counts.by_reason},
        _("Job %(id)s: %(state)s") % {"id": job.pk, "state": job.get_state_display()},
        as_json=options["json"],
    )
