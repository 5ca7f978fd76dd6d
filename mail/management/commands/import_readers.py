"""`manage.py import_readers FILE --magazine ID`: upload, check and commit in one go. Exit 0 = done, 1 = refused, 2 = usage."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from leads.import_forms import CHOSEN_AT_UPLOAD
from mail.magazines.imports import steps
from mail.magazines.imports.report import problem_lines
from mail.magazines.imports.words import file_problem_text
from mail.models import Magazine, ReaderImport, ReaderImportRow
from smp.lib.command import JsonCommand

SHOWN = 20
State = ReaderImport.State
Group = ReaderImportRow.Group


class Command(JsonCommand):
    help = "Imports readers of a magazine from a CSV file (UTF-8 or CP932): checks every row first, then writes all or none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="- reads standard input")
        parser.add_argument("--magazine", type=int, metavar="ID", required=True)
        parser.add_argument(
            "--evidence",
            choices=[kind.value for kind in CHOSEN_AT_UPLOAD],
            default="import",
            help="what the readers' consent is based on",
        )
        parser.add_argument("--dry-run", action="store_true", help="check only")
        parser.add_argument(
            "--skip-malformed",
            action="store_true",
            help="leave malformed rows out instead of refusing the file",
        )
        parser.add_argument(
            "--turn",
            action="store_true",
            help="with the blacklist off: readers who had left may be mailed again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        magazine = Magazine.objects.filter(pk=options["magazine"]).first()
        if magazine is None:
            raise CommandError(_("There is no magazine %(id)s.") % {"id": options["magazine"]})
        made = self._upload(magazine, options)
        steps.check(made)
        checked = steps.current_state(made.pk)
        if checked.state == State.FAILED:
            raise CommandError(file_problem_text(checked.error or {}))
        if options["dry_run"]:
            steps.cancel(checked, user=None)
        else:
            self._commit(checked, options)
        current = steps.current_state(made.pk)
        self.answer(_as_json(current), _as_text(current), as_json=options["json"])

    def _upload(self, magazine: Magazine, options: dict[str, Any]) -> ReaderImport:
        name = options["file"]
        try:
            return steps.upload(
                _blocks(name), magazine=magazine, file_name="stdin.csv" if name == "-" else Path(name).name,
                evidence=options["evidence"], user=None,
            )  # fmt: skip
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror}") from None
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from None

    def _commit(self, checked: ReaderImport, options: dict[str, Any]) -> None:
        try:
            steps.request_commit(
                checked,
                skip_malformed=options["skip_malformed"],
                turn=options["turn"],
                user=None,
                now=timezone.now(),
            )
        except ValidationError as error:
            lines = [*error.messages, *problem_lines(checked, SHOWN)]
            steps.cancel(checked, user=None)
            raise CommandError("\n".join(lines)) from None
        steps.commit(checked)
        current = steps.current_state(checked.pk)
        if current.state == State.FAILED:
            raise CommandError(file_problem_text(current.error or {}))
        if current.state != State.DONE:
            steps.cancel(current, user=None)
            raise CommandError(
                _("The readers changed while the file was being imported; nothing was imported. Try again.")
            )


def _blocks(name: str) -> Iterator[bytes]:
    if name == "-":
        while block := sys.stdin.buffer.read(steps.MEGABYTE):
            yield block
        return
    with open(name, "rb") as file:
        while block := file.read(steps.MEGABYTE):
            yield block


def _as_json(current: ReaderImport) -> dict[str, Any]:
    return {
        "import": current.pk, "magazine": current.magazine_id, "state": current.state, "rows": current.rows,
        "encoding": current.encoding, **{group.value: current.counts[group] for group in Group},
        "new_leads": current.counts["new_leads"], "elsewhere": current.counts["elsewhere_rows"],
        "problems": problem_lines(current, SHOWN),
    }  # fmt: skip


def _as_text(current: ReaderImport) -> str:
    done = current.state == State.DONE
    lines = [
        _("Import %(id)s, %(file)s: %(state)s") % {
            "id": current.pk, "file": current.file_name,
            "state": current.get_state_display() if done else _("checked only, nothing imported"),
        },
        *(f"{group.label}: {current.counts[group]}" for group in Group),
    ]  # fmt: skip
    if current.counts["elsewhere_rows"]:
        lines.append(f"{_('Stopped in another magazine')}: {current.counts['elsewhere_rows']}")
    return "\n".join([*lines, *problem_lines(current, SHOWN)])
