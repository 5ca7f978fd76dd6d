"""`manage.py intake`: listens for mail that comes back (bounces)."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mail.bounces.intake import Intake


class Command(BaseCommand):
    help = "Takes returned mail over SMTP or LMTP and records what it says. Ends with SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--listen", default=settings.INTAKE_LISTEN, help="host:port (default: SMP_INTAKE_LISTEN)"
        )
        parser.add_argument("--lmtp", action="store_true", help="LMTP instead of SMTP")

    def handle(self, *args: Any, **options: Any) -> None:
        host, _colon, port = options["listen"].rpartition(":")
        if not host or not port.isdigit():
            raise CommandError("--listen: expected host:port.")
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_signal: ended.set())
        intake = Intake(host.strip("[]"), int(port), lmtp=options["lmtp"])
        try:
            intake.start()
        except OSError as error:
            raise CommandError(f"{options['listen']}: {error}") from error
        self.stdout.write(f"Listening on {options['listen']} ({'LMTP' if options['lmtp'] else 'SMTP'}).")
        self.stdout.flush()
        ended.wait()
        intake.stop()
