"""What the commands about one job share."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from mail.models import SendJob
from mail.send_jobs import Refused, counts_now
from smp.lib.command import JsonCommand


def counting_of(job: SendJob) -> dict[str, Any]:
    """What it counts, for JSON: null where it counts no clicks (TRK-1), and what changed until the start (TRK-5)."""
    return {
        "counted_urls": job.counted_urls if job.count_clicks else None,
        "count_opens": job.count_clicks and job.count_opens,
        "links_changed": job.links_changed,
    }


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
