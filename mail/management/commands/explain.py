from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from leads.address import normalise_email
from leads.models import Lead
from mail.models import SendJob, StepMail, Story
from mail.recipients.explain import Explanation, explain, explain_step
from mail.recipients.explain_stories import explain_story
from smp.lib.command import JsonCommand


class Command(JsonCommand):
    help = (
        "Why a lead was mailed by a job or a step mail, or not (EXC-6): decision, reason, values and time; and whether a story "
        "of a magazine comes to them next."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--job", type=int, metavar="ID")
        what.add_argument("--step", type=int, metavar="ID", help="a step mail: the lead's newest origin")
        what.add_argument(
            "--story",
            type=int,
            metavar="ID",
            help="a magazine's story: will this reader get it next, when, and why",
        )
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("--lead", type=int, metavar="ID")
        who.add_argument("--email", metavar="A", help="every lead with this address")

    def handle(self, *args: Any, **options: Any) -> None:
        job = step = story = None
        if options["story"] is not None:
            story = Story.objects.select_related("magazine").filter(pk=options["story"]).first()
            if story is None:
                raise CommandError(_("There is no story %(id)s.") % {"id": options["story"]})
            what: dict[str, Any] = {"story": story.pk}
        elif options["step"] is not None:
            step = StepMail.objects.select_related("search", "campaign").filter(pk=options["step"]).first()
            if step is None:
                raise CommandError(_("There is no step mail %(id)s.") % {"id": options["step"]})
            what = {"step": step.pk}
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
            found = _explained(job, step, story, lead)
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


def _explained(job: SendJob | None, step: StepMail | None, story: Story | None, lead: Lead) -> Explanation:
    now = timezone.now()
    if story is not None:
        return explain_story(story, lead, now=now)
    if step is not None:
        return explain_step(step, lead, now=now)
    assert job is not None
    return explain(job, lead, now=now)
