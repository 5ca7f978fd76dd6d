"""`manage.py parse_bounce FILE…`: what returned mails say. Needs no database and changes nothing."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from mail.bounces.mime import READ_MAX
from mail.bounces.read import FailedRecipient, Report, read_report
from mail.smtp.replies import clean_text
from smp.lib.command import JsonCommand

SHOWN_MAX = 200
_SEPARATOR = re.compile(rb"From \S+ .*[12]\d{3}(?: [-+]\d{4})?\s*$")


class Command(JsonCommand):
    help = "Reads mail files (one mail each, or mbox): whose mail failed, why, hard or soft, or not a bounce."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        answers: list[dict[str, Any]] = []
        texts: list[str] = []
        unreadable = 0
        for name in options["files"]:
            try:
                for number, raw in enumerate(mails_in(Path(name)), 1):
                    report = read_report(raw)
                    answers.append({"file": name, "mail": number, **as_data(report)})
                    texts.append(describe(name if number == 1 else f"{name} ({number})", report))
            except (OSError, ValueError) as error:
                unreadable += 1
                reason = getattr(error, "strerror", None) or str(error)
                answers.append({"file": name, "error": reason})
                self.stderr.write(_("%(file)s: cannot be read: %(why)s") % {"file": name, "why": reason})
        self.answer({"files": answers}, "\n".join(texts), as_json=options["json"])
        if unreadable:
            raise CommandError(_("Files that could not be read: %(count)d") % {"count": unreadable})


def mails_in(path: Path) -> Iterator[bytes]:
    """The mails of a file: of an mbox each (it begins with `From `), else the one. Each no longer than is ever read."""
    with path.open("rb") as file:
        lines: list[bytes] = []
        size, before, first = 0, b"\n", True
        while line := file.readline(64 * 1024):
            if first:
                mbox, first = bool(_SEPARATOR.match(line)), False
            elif mbox and not before.strip() and _SEPARATOR.match(line):
                yield b"".join(lines)
                lines, size = [], 0
            if size <= READ_MAX:
                lines.append(line)
                size += len(line)
            before = line
        yield b"".join(lines)


def as_data(report: Report) -> dict[str, Any]:
    return {
        "bounce": report.kind in {"failure", "delayed"},
        "kind": report.kind,
        "recipients": [
            {
                "address": one.address,
                "action": one.action,
                "reason": one.cause.value if one.cause else "",
                "hard": one.hard,
                "status": one.status,
                "diagnostic": one.diagnostic,
            }
            for one in report.recipients
        ],
    }


def describe(name: str, report: Report) -> str:
    kinds = {
        "failure": _("a failure report")
        if report.recipients
        else _("a failure report that names no recipient"),
        "delayed": _("a delay; the server is still trying"),
        "report": _("not a bounce: a report of a delivery"),
        "complaint": _("not a bounce: a complaint (feedback report)"),
        "receipt": _("not a bounce: a receipt of reading"),
        "auto_reply": _("not a bounce: an automatic reply"),
        "other": _("not a bounce"),
    }
    return "\n".join([f"{name}: {kinds[report.kind]}", *(f"    {_line(one)}" for one in report.recipients)])


def _line(one: FailedRecipient) -> str:
    if one.action == "complaint":
        return one.address
    firmness = _("hard") if one.hard else _("soft")
    words = clean_text(" ".join(one.diagnostic.split()), SHOWN_MAX)
    return f"{one.address}: {one.cause.label} ({firmness}) {one.status} {words}".rstrip()
