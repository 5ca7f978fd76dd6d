"""`manage.py demo_dns`: the demo's DNS by itself; `manage.py demo` runs it as one of its processes."""

import contextlib
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from mail.alignment import check_due
from smp.demo.dns_server import DnsServer
from smp.demo.zones import zones

REFRESH_SECONDS = 2.0


class Command(BaseCommand):
    help = (
        "Answers for the sample sending domains on SMP_DNS; for demos and development, never for production."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--listen", default=settings.DNS_SERVER, help="host:port (default: SMP_DNS)")

    def handle(self, *args: Any, **options: Any) -> None:
        host, _, port = options["listen"].rpartition(":")
        if not host or not port.isdigit():
            raise CommandError(f"--listen {options['listen']!r}: expected host:port.")
        known = zones()
        server = DnsServer(known, host=host, port=int(port))
        try:
            server.start()
        except OSError as error:
            raise CommandError(f"Cannot listen on {options['listen']}: {error}") from error
        self.stdout.write(f"Answering on {options['listen']}")
        check_due(now=timezone.now())  # the pages show a check from the start
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(REFRESH_SECONDS)
                with contextlib.suppress(DatabaseError):  # the embedded server is being revived
                    known = refresh(server, known)


def refresh(server: DnsServer, known: dict[str, dict[str, list[Any]]]) -> dict[str, dict[str, list[Any]]]:
    """Publishes what changed in the database since; returns what is published now."""
    wanted = zones()
    for name in known.keys() - wanted.keys():
        server.remove(name)
    for name, records in wanted.items():
        if known.get(name) != records:
            server.set(name, records)
    return wanted
