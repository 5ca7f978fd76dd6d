"""`manage.py intake`: takes mail that comes back: listens for it, and reads the mailbox SMP_BOUNCE_IMAP names."""

import logging
import signal
import threading
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError
from django.db import close_old_connections, connections

from mail.bounces.imap_poll import Mailbox, MailboxError, configured_mailbox, poll, remember
from mail.bounces.intake import Intake

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Takes returned mail over SMTP or LMTP, and from a mailbox, and records what it says. Ends with SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--listen", default=settings.INTAKE_LISTEN, help="host:port (default: SMP_INTAKE_LISTEN)"
        )
        parser.add_argument("--lmtp", action="store_true", help="LMTP instead of SMTP")

    def handle(self, *args: Any, **options: Any) -> None:
        host, _colon, port = options["listen"].rpartition(":")
        if not host or not port.isdigit():
            raise CommandError("--listen: expected host:port.")
        try:
            mailbox = configured_mailbox()
        except MailboxError as error:
            raise CommandError(str(error)) from error
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_signal: ended.set())
        intake = Intake(host.strip("[]"), int(port), lmtp=options["lmtp"])
        try:
            intake.start()
        except OSError as error:
            raise CommandError(f"{options['listen']}: {error}") from error
        self.stdout.write(f"Listening on {options['listen']} ({'LMTP' if options['lmtp'] else 'SMTP'}).")
        poller = None
        if mailbox is not None:
            self.stdout.write(f"Reading {mailbox.name} every {settings.BOUNCE_IMAP_SECONDS} seconds.")
            poller = threading.Thread(target=poll_until, args=(mailbox, ended), name="imap", daemon=True)
            poller.start()
        self.stdout.flush()
        ended.wait()
        intake.stop()
        if poller is not None:
            poller.join(10)


def poll_until(mailbox: Mailbox, ended: threading.Event) -> None:
    """Reads the mailbox again and again; whatever goes wrong is logged, shown by doctor, and tried again."""
    while not ended.is_set():
        close_old_connections()
        more = False
        try:
            polled = poll(mailbox)
            more = bool(polled.taken)
            remember(polled, "", at=time.time())
        except (MailboxError, DatabaseError) as error:
            logger.warning("the mailbox of bounces: %s", error)
            remember(None, str(error), at=time.time())
        except Exception as error:  # the listener must not lose its companion to one odd answer
            logger.exception("the mailbox of bounces")
            remember(None, f"{type(error).__name__}: {error}", at=time.time())
        ended.wait(1 if more else settings.BOUNCE_IMAP_SECONDS)
    connections.close_all()
