from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from leads.address import normalise_email
from leads.models import Lead
from mail.models import SendJob, StepMail
from mail.recipients.explain import explain, explain_step
from smp.lib.command import JsonCommand


class Command(JsonCommand):
    help = "Why a lead was mailed by a job or a step mail, or not (EXC-6): decision, reason, values and time."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--job", type=int, metavar="ID")
        what.add_argument("--step", type=int, metavar="ID", help="a step mail: the lead's newest origin")
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("--lead", type=int, metavar="ID")
        who.add_argument("--email", metavar="A", help="every lead with this address")

    def handle(self, *args: Any, **options: Any) -> None:
        job = step = None
        if options["step"] is not None:
            step = StepMail.objects.select_related("search", "campaign").filter(pk=options["step"]).first()
            if step is None:
                raise CommandError(_("There is no step mail %(id)s.") % {"id": options["step"]})
            what: dict[str, Any] = {"step": step.pk}
        else:
            job = SendJob.objects.select_related("template").filter(pk=options["job"]).first()
            if job is None:
                raise CommandError(_("There is no job %(id)s.") % {"id": options["job"]})
            what = {"job": job.pk}
        if options["lead"] is not None:
            leads = list(Lead.objects.filter(pk=options["lead"]))
        else:
            norm = normalise_email(options["email"])
            leads = list(Lead.objects.filter(email_norm=norm).order_by("-id")) if norm else []
        if not leads:
            raise CommandError(_("There is no such lead."))
        answers = []
        for lead in leads:
            now = timezone.now()
            found = explain_step(step, lead, now=now) if step else explain(job, lead, now=now)
            answers.append(
                {
                    **what, "lead": lead.pk, "decision": found.decision, "reason": found.reason, "state": found.state,
                    "sentence": found.sentence, "evidence": found.evidence, "decided_at": found.decided_at,
                    "values": found.values, "delivery": found.delivery_id,
                }
            )  # fmt: skip
        text = "\n".join(
            "\n".join(
                [f"{answer['lead']}: {answer['sentence']}", *(f"    {line}" for line in answer["evidence"])]
            )
            for answer in answers
        )
        data = answers[0] if options["lead"] is not None else {**what, "leads": answers}
        self.answer(data, text, as_json=options["json"])
