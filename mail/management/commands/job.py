from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from mail.delivery.brake import brakes_of
from mail.job_command import counting_of
from mail.models import SendJob
from mail.models.delivery import DeliveryState
from mail.recipients.explain import moment
from mail.recipients.reasons import Reason
from mail.send_jobs import counts_now, displayed_state
from smp.lib.command import JsonCommand


class Command(JsonCommand):
    help = "A job's state, its start time, its counts per state and reason, and where it is braked."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        job = SendJob.objects.select_related("magazine", "story").filter(pk=options["id"]).first()
        if job is None:
            raise CommandError(_("There is no job %(id)s.") % {"id": options["id"]})
        counts = counts_now(job)
        state = displayed_state(job, timezone.now())
        brakes = brakes_of(job)
        data = {
            "job": job.pk, "campaign": job.campaign_id, "magazine": job.magazine_id, "story": job.story_id, "rule": job.rule, "state": state.value, "scheduled_at": job.scheduled_at,
            "decided_at": job.decided_at, "started_at": job.started_at, "finished_at": job.finished_at,
            "halt_reason": job.halt_reason, "occurrence_at": job.occurrence_at, "in_scope": counts.in_scope, "addressed": counts.addressed,
            "by_state": counts.by_state, "by_reason": counts.by_reason,
            "brakes": [
                {"domain": row.domain, "failed": row.failed, "of": row.failed + row.sent, "at": row.braked_at, "reply": row.reply}
                for row in brakes
            ],
            **counting_of(job),
        }  # fmt: skip
        lines = [
            _("Job %(id)s: %(state)s") % {"id": job.pk, "state": state.label},
            *([_("Campaign: %(name)s") % {"name": job.campaign.name}] if job.campaign else []),
            *(
                [
                    _("Mail magazine: %(magazine)s · %(story)s")
                    % {"magazine": job.magazine, "story": job.story}
                ]
                if job.magazine
                else []
            ),
            _("Started at: %(at)s") % {"at": moment(job.started_at)},
            _("In scope: %(n)s") % {"n": counts.in_scope},
        ]
        lines += [
            f"  {number:>9,}  {DeliveryState(name).label}" for name, number in sorted(counts.by_state.items())
        ]
        lines += [
            f"  −{counts.by_reason[reason]:>8,}  {reason.label}"
            for reason in Reason
            if reason in counts.by_reason
        ]
        for row in brakes:
            lines.append(
                _("Braked at %(domain)s: %(failed)s of the last %(total)s mails failed. %(reply)s")
                % {
                    "domain": row.domain,
                    "failed": row.failed,
                    "total": row.failed + row.sent,
                    "reply": row.reply,
                }
            )
        if job.halt_reason:
            lines.append(job.halt_reason)
        self.answer(data, "\n".join(lines), as_json=options["json"])
