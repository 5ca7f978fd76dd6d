import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from mail.click_count import choose, default_choice
from mail.command_options import add_recipient_options, draft_from
from mail.delivery.engine import deliver
from mail.job_command import counting_of
from mail.job_start import run
from mail.models import SendJob
from mail.models.delivery import DeliveryState
from mail.models.send_job import FINISHED, JobState
from mail.send_jobs import Refused, confirm, counts_now, delete_draft, finish_if_empty
from smp.lib.command import JsonCommand

NOT_TRIED_YET = (
    DeliveryState.QUEUED,
    DeliveryState.CLAIMED,
    DeliveryState.HANDING_OVER,
    DeliveryState.RESERVED,
)


class Command(JsonCommand):
    help = "Send a template by the rules of the send wizard (TGT, EXC), at once or reserved."

    def add_arguments(self, parser: CommandParser) -> None:
        add_recipient_options(parser)
        parser.add_argument(
            "--count-clicks", action="store_true", help="count the clicks on every URL that can be counted"
        )
        parser.add_argument(
            "--count-opens", action="store_true", help="measure the open rate (not of text mails)"
        )
        parser.add_argument(
            "--wait",
            action="store_true",
            help="work on the job here (beside any workers) until every mail was tried; retries that are due later stay",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        job = draft_from(options)
        try:
            _choose_what_counts(job, clicks=options["count_clicks"], opens=options["count_opens"])
            confirm(job, user=None, now=timezone.now())
        except Refused as error:
            delete_draft(job)
            raise CommandError(error.message) from error
        except ValidationError as error:
            delete_draft(job)
            raise CommandError(" ".join(error.messages)) from error
        job.refresh_from_db()
        if options["wait"]:
            wait_for(job, tell=self.stderr.write)
        counts = counts_now(job)
        job.refresh_from_db()
        data = {
            "job": job.pk, "state": job.state, "scheduled_at": job.scheduled_at, "in_scope": counts.in_scope,
            "addressed": counts.addressed, "by_state": counts.by_state, "by_reason": counts.by_reason,
            **counting_of(job),
        }  # fmt: skip
        text = _("Job %(id)s: %(state)s") % {"id": job.pk, "state": job.get_state_display()}
        self.answer(data, text, as_json=options["json"])
        if job.state == JobState.HALTED:
            raise CommandError(job.halt_reason)


def _choose_what_counts(job: SendJob, *, clicks: bool, opens: bool) -> None:
    """TRK-1, TRK-2, like the wizard's page."""
    if (clicks or opens) and job.template is not None:
        urls = default_choice(job.template).urls if clicks else {}
        choose(job, urls=urls, opens=opens)


def wait_for(job: SendJob, *, tell: Callable[[str], object]) -> None:
    """Does the work of the workers for one job, safely beside them, until each of its mails was tried once.
    While the relay is away it waits like a worker, and tells why, once for each reason."""
    told = ""
    while True:
        now = timezone.now()
        job.refresh_from_db()
        if job.state in FINISHED or job.state in {JobState.PAUSED, JobState.HALTED}:
            return
        if job.scheduled_at and job.scheduled_at > now:
            time.sleep(min(1.0, (job.scheduled_at - now).total_seconds()))
            continue
        run(job.pk, now=now)
        trouble = deliver(job.pk, until=now + timedelta(seconds=60)).trouble
        if trouble and trouble != told:
            tell(_("Waiting: %(reason)s") % {"reason": trouble})
        told = trouble or told
        finish_if_empty(job.pk, now=timezone.now())
        job.refresh_from_db()
        if job.state == JobState.SENDING and not job.deliveries.filter(state__in=NOT_TRIED_YET).exists():
            return
        time.sleep(0.1)
