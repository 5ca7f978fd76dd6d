"""`manage.py beat`: the clock. One at a time is meant to run; two do no harm, for the tick decides in the database."""

import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from smp.celery import app


class Command(BaseCommand):
    help = "Sends the tick every two seconds: starts due jobs, takes up what a lost worker left behind."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])

    def handle(self, *args: Any, **options: Any) -> None:
        # What is due stands in the database; the schedule file remembers nothing worth keeping.
        with tempfile.TemporaryDirectory(prefix="smp-beat-") as folder:
            app.start(
                [
                    "beat",
                    f"--schedule={Path(folder) / 'schedule'}",
                    "--pidfile=",
                    f"--loglevel={options['log_level']}",
                ]
            )
