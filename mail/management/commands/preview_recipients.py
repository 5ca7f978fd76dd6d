from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from mail.command_options import add_recipient_options, draft_from
from mail.models import Story
from mail.problems import Problem
from mail.recipients.plan import plan_of, story_plan
from mail.recipients.resolve import Counts, expected_counts
from mail.send_jobs import problems
from mail.stories.problems import story_problems
from smp.lib.command import JsonCommand


class Command(JsonCommand):
    help = (
        "How many leads a mailing would reach now, and why the others are left out (EXC-6). Changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_recipient_options(parser, required=False)
        parser.add_argument(
            "--story",
            type=int,
            metavar="ID",
            help="a magazine's story, as if it started now, instead of a template",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        if options["story"] is not None:
            counts, found = _of_story(options, now)
        else:
            counts, found = self._of_wizard(options, now)
        self._tell(counts, found, as_json=options["json"])

    def _of_wizard(self, options: dict[str, Any], now: datetime) -> tuple[Counts, list[Problem]]:
        if options["template"] is None or (options["search"] is None and options["leads"] is None):
            raise CommandError(_("Give --template with --search or --leads, or --story."))
        with transaction.atomic():
            job = draft_from(options)
            found = problems(job, now=now)
            if options["leads"] is None and job.condition is None:
                raise CommandError(_("Choose a search condition."))
            counts = expected_counts(plan_of(job), now=now)
            transaction.set_rollback(True)
        return counts, found

    def _tell(self, counts: Counts, found: list[Problem], *, as_json: bool) -> None:
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
        self.answer(data, "\n".join(lines), as_json=as_json)


def _of_story(options: dict[str, Any], now: datetime) -> tuple[Counts, list[Problem]]:
    if any(options[name] is not None for name in ("template", "search", "leads", "campaign", "at")):
        raise CommandError(_("--story goes alone: a story has its own text, magazine and readers."))
    story = (
        Story.objects.select_related("magazine", "template", "date_item").filter(pk=options["story"]).first()
    )
    if story is None:
        raise CommandError(_("There is no story %(id)s.") % {"id": options["story"]})
    found = story_problems(story, now=now)
    try:
        return expected_counts(story_plan(story, now=now), now=now), found
    except ValidationError as gone:  # its filter names what is not there any more
        raise CommandError(" ".join(gone.messages)) from gone
