"""`manage.py worker`: a Celery worker with the options the sending promise counts on (docs/architecture.md)."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mail.delivery.slots import allow_engines
from smp.celery import app


class Command(BaseCommand):
    help = "Runs the tasks: decides recipients, hands mail over, imports files. Start as many as you like."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--concurrency", type=int, default=2, help="processes (default 2)")
        parser.add_argument(
            "--name", default="worker", help="tells workers of one host apart (default: worker)"
        )
        parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])

    def handle(self, *args: Any, **options: Any) -> None:
        if options["concurrency"] < 1:
            raise CommandError("--concurrency: at least 1.")
        if os.name == "posix" and os.geteuid() == 0:
            os.environ.setdefault(
                "C_FORCE_ROOT", "1"
            )  # containers and the demo; nothing is ever unpickled (JSON)
        allow_engines(options["concurrency"])
        # worker_main reads sys.argv through click for its own messages only
        sys.argv = ["celery", "worker"]
        app.worker_main(
            [
                "worker",
                f"--concurrency={options['concurrency']}",
                "--pool=prefork",
                f"--queues={settings.CELERY_TASK_DEFAULT_QUEUE}",
                "--prefetch-multiplier=1",  # a hint that waits in a busy process is a mail that waits
                "--without-gossip",
                "--without-mingle",
                f"--hostname={options['name']}@%h",
                f"--loglevel={options['log_level']}",
            ]
        )
