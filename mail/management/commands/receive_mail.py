"""`manage.py receive_mail < message`: handles one returned mail from a pipe; says what it was and what it changed."""

import os
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from mail.bounces import Received, receive
from mail.bounces.receive import SIZE_MAX
from smp.lib.command import JsonCommand

TEMPORARY_FAILURE = 75  # EX_TEMPFAIL: mail servers keep the mail and try the pipe again


class Command(JsonCommand):
    help = "Reads one returned mail (bounce) from standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--recipient",
            default=os.environ.get("ORIGINAL_RECIPIENT") or os.environ.get("RECIPIENT"),
            help="the envelope's recipient (default: ORIGINAL_RECIPIENT or RECIPIENT, otherwise the headers)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stream = getattr(sys.stdin, "buffer", sys.stdin)
        received = receive(stream.read(SIZE_MAX + 1), recipient=options["recipient"])
        if received.kind == "too_early":
            raise CommandError(
                _("The mail is still being handed over. Try again later."), returncode=TEMPORARY_FAILURE
            )
        self.answer(asdict(received), describe(received), as_json=options["json"])


def describe(received: Received) -> str:
    sentences = {
        "failure": _("A failure report for mail %(id)s: %(text)s"),
        "delayed": _("A report of a delay for mail %(id)s."),
        "report": _("A report about mail %(id)s without a failure."),
        "auto_reply": _("An automatic reply to mail %(id)s."),
        "other": _("No report: a mail to the address of mail %(id)s."),
        "unsigned": _("Not for an address of ours."),
        "unreadable": _("The mail could not be read."),
        "too_large": _("The mail is too large."),
    }
    sentence = sentences[received.kind] % {"id": received.delivery_id, "text": received.text}
    return f"{sentence} {_('It is recorded as an error.') if received.changed else _('Nothing was changed.')}"
