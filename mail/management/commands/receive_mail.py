"""`manage.py receive_mail < message`: handles one returned mail from a pipe; says what it was and what it changed."""

import logging
import os
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from mail.bounces.receive import READ_MAX, Received, receive
from mail.models import ReturnedKind, ReturnedNote, ReturnedSource
from mail.models.delivery import Cause
from smp.lib.command import JsonCommand

logger = logging.getLogger(__name__)

TEMPORARY_FAILURE = 75  # EX_TEMPFAIL: mail servers keep the mail and try the pipe again


class Command(JsonCommand):
    help = "Reads one returned mail (bounce) from standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--recipient",
            default=os.environ.get("ORIGINAL_RECIPIENT") or os.environ.get("RECIPIENT"),
            help="the envelope's recipient (default: ORIGINAL_RECIPIENT or RECIPIENT, otherwise the headers)",
        )
        parser.add_argument(
            "--sender",
            default=os.environ.get("SENDER"),
            help="the envelope's sender (default: SENDER, otherwise Return-Path)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stream = getattr(sys.stdin, "buffer", sys.stdin)
        raw = stream.read(READ_MAX)
        while stream.read(READ_MAX):  # a server whose pipe breaks would think that the mail was refused
            pass
        try:
            received = receive(
                raw, recipient=options["recipient"], sender=options["sender"], source=ReturnedSource.PIPE
            )
        except (
            Exception
        ) as error:  # the server keeps the mail; with any other exit code it would throw it away
            logger.exception("a returned mail could not be handled")
            text = _("The mail could not be handled now (%(error)s). Try again later.") % {"error": error}
            raise CommandError(text, returncode=TEMPORARY_FAILURE) from error
        if received.kind == "too_early":
            raise CommandError(
                _("The mail is still being handed over. Try again later."), returncode=TEMPORARY_FAILURE
            )
        self.answer(asdict(received), describe(received), as_json=options["json"])


def describe(received: Received) -> str:
    """What it was and what it changed, for people."""
    sentences = {
        ReturnedKind.FAILURE: _("A failure report for mail %(id)s: %(text)s"),
        ReturnedKind.COMPLAINT: _("A complaint about mail %(id)s."),
        ReturnedKind.DELAYED: _("A report of a delay for mail %(id)s."),
        ReturnedKind.REPORT: _("A report about mail %(id)s without a failure."),
        ReturnedKind.RECEIPT: _("A read receipt for mail %(id)s."),
        ReturnedKind.AUTO_REPLY: _("An automatic reply to mail %(id)s."),
        ReturnedKind.OTHER: _("No report: a mail to the address of mail %(id)s."),
        ReturnedKind.EMPTY_MAIL: _("A registration by empty mail for the magazine “%(text)s”."),
        ReturnedKind.UNSIGNED: _("Not for an address of ours."),
    }
    said = [sentences[ReturnedKind(received.kind)] % {"id": received.delivery_id, "text": received.text}]
    if received.cause:
        kind = _("permanent") if received.hard else _("may pass")
        said.append(_("Cause: %(cause)s (%(kind)s)") % {"cause": Cause(received.cause).label, "kind": kind})
    if received.repeated:
        said.append(_("This very mail was taken before."))
    elif received.note:
        said.append(str(ReturnedNote(received.note).label))
    said.append(_effect(received))
    return " ".join(said)


def _effect(received: Received) -> str:
    if not received.changed:
        return _("Nothing was changed.")
    match received.kind:
        case ReturnedKind.FAILURE:
            return _("It is recorded as an error.")
        case ReturnedKind.COMPLAINT:
            return _("The lead will get no more mails.")
        case ReturnedKind.EMPTY_MAIL:
            return _("A mail to confirm the address is sent.")
    return _("It is recorded as arrived.")
