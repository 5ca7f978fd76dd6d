from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from mail.command_options import add_recipient_options, draft_from
from mail.recipients.plan import plan_of
from mail.recipients.resolve import expected_counts
from mail.send_jobs import problems
from smp.lib.command import JsonCommand


class Command(JsonCommand):
    help = (
        "How many leads a mailing would reach now, and why the others are left out (EXC-6). Changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_recipient_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        with transaction.atomic():
            job = draft_from(options)
            found = problems(job, now=now)
            if options["leads"] is None and job.condition is None:
                raise CommandError(_("Choose a search condition."))
            counts = expected_counts(plan_of(job), now=now)
            transaction.set_rollback(True)
        data = {
            "in_scope": counts.in_scope,
            "addressed": counts.addressed,
            "by_reason": {reason.value: number for reason, number in counts.by_reason.items()},
            "problems": [{"code": p.code, "severity": p.severity, "text": p.text} for p in found],
        }
        lines = [_("In scope: %(n)s") % {"n": counts.in_scope}]
        lines += [f"  −{number:>9,}  {reason.label}" for reason, number in counts.by_reason.items()]
        lines.append(_("Would be sent: %(n)s") % {"n": counts.addressed})
        lines += [f"  ! {problem.text}" for problem in found]
        self.answer(data, "\n".join(lines), as_json=options["json"])
