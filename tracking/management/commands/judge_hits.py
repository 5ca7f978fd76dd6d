from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from mail.models import SendJob
from smp.lib.command import JsonCommand
from tracking.rejudge import Changes, rejudge


class Command(JsonCommand):
    help = "Judges opens, clicks and page views anew, person or machine, by the rules of this version."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since", metavar="DATE", help="what came on this day or later (2026-11-22, or with a time)"
        )
        parser.add_argument("--job", type=int, metavar="ID", help="only opens and clicks of this mailing")
        parser.add_argument("--dry-run", action="store_true", help="only says what would change")

    def handle(self, *args: Any, **options: Any) -> None:
        job = options["job"]
        if job is not None and not SendJob.objects.filter(pk=job).exists():
            raise CommandError(_("There is no job %(id)s.") % {"id": job})
        found = rejudge(_moment(options["since"]), job, dry_run=options["dry_run"])
        lines = [_said(pgettext("judged", "Opens and clicks"), found.mails)]
        if job is None:
            lines.append(_said(pgettext("judged", "Page views"), found.views))
        lines.append(
            _("Nothing was changed: this was a trial (--dry-run).")
            if options["dry_run"]
            else _("Rules of version %(version)s. It is noted in the audit log.")
            % {"version": found.rules_version}
        )
        self.answer(
            {"dry_run": options["dry_run"], **found.as_json()}, "\n".join(lines), as_json=options["json"]
        )


def _moment(text: str | None) -> datetime | None:
    """A day begins at midnight in local time."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(_("“%(text)s” is no date. Write it like 2026-11-22.") % {"text": text}) from error
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment


def _said(what: str, changes: Changes) -> str:
    return _(
        "%(what)s: %(judged)s judged, %(to_machine)s now a machine, %(to_person)s now a person, %(evidence)s for other reasons."
    ) % {
        "what": what, "judged": f"{changes.judged:,}", "to_machine": f"{changes.to_machine:,}",
        "to_person": f"{changes.to_person:,}", "evidence": f"{changes.evidence:,}",
    }  # fmt: skip
