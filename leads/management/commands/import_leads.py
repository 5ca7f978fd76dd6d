"""`manage.py import_leads FILE`: upload, check and commit in one go. Exit 0 = done, 1 = refused, 2 = usage."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from leads.imports.problems import file_problem_text
from leads.imports.report import problem_lines
from leads.imports.steps import cancel, commit_import, request_commit, stage_import, upload
from leads.models import LeadImport
from smp.lib.command import JsonCommand

SHOWN = 20


class Command(JsonCommand):
    help = "Imports leads from a CSV file (UTF-8 or CP932): checks every row first, then writes all of them or none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="- reads standard input")
        parser.add_argument("--mode", choices=["add", "update"], default="add")
        parser.add_argument(
            "--key", choices=["id", "email"], default="id", help="how --mode update finds the lead"
        )
        parser.add_argument(
            "--campaign",
            type=int,
            metavar="ID",
            help="registers them for this campaign (--mode is not asked then)",
        )
        parser.add_argument(
            "--tell", action="store_true", help="with --campaign: the mails of an application go out"
        )
        parser.add_argument("--dry-run", action="store_true", help="check only")
        parser.add_argument(
            "--skip-wrong", action="store_true", help="leave wrong rows out instead of refusing the file"
        )
        parser.add_argument(
            "--evidence",
            choices=["import", "form", "card", "public", "trade"],
            default="import",
            help="what consent is based on",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        lead_import = self._upload(options)
        stage_import(lead_import)
        lead_import.refresh_from_db()
        if lead_import.state == LeadImport.State.FAILED:
            raise CommandError(file_problem_text(lead_import.error))
        if options["dry_run"]:
            cancel(lead_import, user=None)
        else:
            self._commit(lead_import, skip_wrong=options["skip_wrong"])
        lead_import.refresh_from_db()
        self.answer(_as_json(lead_import), _as_text(lead_import), as_json=options["json"])

    def _upload(self, options: dict[str, Any]) -> LeadImport:
        name = options["file"]
        try:
            return upload(
                _blocks(name), file_name="stdin.csv" if name == "-" else Path(name).name,
                mode=options["mode"] if options["campaign"] is None else LeadImport.Mode.APPLY, key=options["key"],
                evidence=options["evidence"], user=None, campaign_id=options["campaign"], tell=options["tell"],
            )  # fmt: skip
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror}") from None
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from None

    def _commit(self, lead_import: LeadImport, *, skip_wrong: bool) -> None:
        try:
            request_commit(lead_import, skip_wrong=skip_wrong, user=None, now=timezone.now())
        except ValidationError as error:
            lines = [*error.messages, *problem_lines(lead_import, SHOWN)]
            cancel(lead_import, user=None)
            raise CommandError("\n".join(lines)) from None
        commit_import(lead_import)
        lead_import.refresh_from_db()
        if lead_import.state != LeadImport.State.DONE:
            cancel(lead_import, user=None)
            raise CommandError(
                _("The leads changed while the file was being imported; nothing was imported. Try again.")
            )


def _blocks(name: str) -> Iterator[bytes]:
    if name == "-":
        while block := sys.stdin.buffer.read(1 << 20):
            yield block
        return
    with open(name, "rb") as file:
        while block := file.read(1 << 20):
            yield block


def _as_json(lead_import: LeadImport) -> dict[str, Any]:
    names = ["new", "update", "unchanged", "wrong", "shared"]
    if lead_import.mode == LeadImport.Mode.APPLY:
        names += ["apply", "waiting", "already"]
    counts = {name: lead_import.counts[name] for name in names}
    return {
        "import": lead_import.pk, "state": lead_import.state, "mode": lead_import.mode, "rows": lead_import.rows,
        "encoding": lead_import.encoding, **counts, "problems": problem_lines(lead_import, SHOWN),
    }  # fmt: skip


def _as_text(lead_import: LeadImport) -> str:
    counts = lead_import.counts
    lines = [
        _("Import %(id)s, %(file)s: %(state)s") % {
            "id": lead_import.pk, "file": lead_import.file_name,
            "state": lead_import.get_state_display() if lead_import.state == "done" else _("checked only, nothing imported"),
        },
        _("new %(new)s, updated %(update)s, unchanged %(unchanged)s, wrong %(wrong)s") % counts,
    ]  # fmt: skip
    if lead_import.mode == LeadImport.Mode.APPLY:
        lines.append(
            _("applications %(apply)s, waiting list %(waiting)s, applied already %(already)s") % counts
        )
    return "\n".join([*lines, *problem_lines(lead_import, SHOWN)])
