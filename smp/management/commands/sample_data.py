"""`manage.py sample_data [--if-empty]`: fills an empty database with about 5,000 invented leads and their mailings."""

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from smp.demo import sample_data


class Command(BaseCommand):
    help = "Sample data for demos and development; refused in production and when there is data already."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--if-empty", action="store_true", help="do nothing when there is data already")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEVELOPMENT:
            raise CommandError("Sample data has public passwords: it is loaded only with SMP_DEVELOPMENT=1.")
        if not sample_data.is_empty():
            if options["if_empty"]:
                if sample_data.nobody_can_log_in():  # leads were imported before the first demo
                    sample_data.make_users()
                sample_data.add_sending_domains(now=timezone.now())
                return
            raise CommandError("The database is not empty: sample data is loaded into an empty one only.")
        started = time.monotonic()
        counts = sample_data.load(now=timezone.now())
        text = ", ".join(f"{number:,} {name}" for name, number in counts.items())
        self.stdout.write(f"{text} ({time.monotonic() - started:.1f} s)")
