"""`manage.py poll_bounces`: takes the returned mail of the mailbox SMP_BOUNCE_IMAP names, once."""

import time
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from mail.bounces.imap_poll import MailboxError, configured_mailbox, poll, remember
from smp.lib.command import JsonCommand


class Command(JsonCommand):
    help = "Fetches returned mail (bounces) from the IMAP mailbox of SMP_BOUNCE_IMAP, once."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            mailbox = configured_mailbox()
            if mailbox is None:
                raise CommandError(_("No mailbox is configured: set SMP_BOUNCE_IMAP (see .env.example)."))
            polled = poll(mailbox)
        except MailboxError as error:
            remember(None, str(error), at=time.time())
            raise CommandError(str(error)) from error
        remember(polled, "", at=time.time())
        text = _("%(taken)s mails taken, %(changed)s changed something, %(later)s wait, %(failed)s failed.")
        self.answer(asdict(polled), text % asdict(polled), as_json=options["json"])
