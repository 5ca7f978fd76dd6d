"""`manage.py demo_inbox`: the demo's SMTP server by itself; `manage.py demo` runs it as one of its processes."""

import asyncio
import contextlib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from smp.demo.inbox import InboxRules
from smp.demo.smtp_server import SmtpServer


class Command(BaseCommand):
    help = "Receives every mail into a folder, shown under /inbox/; for demos and development, never for production."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--listen", default=settings.RELAY, help="host:port (default: SMP_RELAY)")
        parser.add_argument("--folder", default=settings.DEMO_INBOX_FOLDER, help="default: SMP_DEMO_INBOX")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["folder"]:
            raise CommandError("Name a folder: --folder, or the variable SMP_DEMO_INBOX.")
        host, _, port = options["listen"].rpartition(":")
        if not host or not port.isdigit():
            raise CommandError(f"--listen {options['listen']}: expected host:port.")
        rules = InboxRules(settings.INTAKE_LISTEN)
        server = SmtpServer(Path(options["folder"]), host=host, port=int(port), rules=rules)
        self.stdout.write(f"Receiving on {options['listen']} into {options['folder']}")
        with contextlib.suppress(KeyboardInterrupt):
            try:
                asyncio.run(server.serve_forever())
            except OSError as error:
                raise CommandError(f"Cannot listen on {options['listen']}: {error}") from error
