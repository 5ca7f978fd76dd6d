"""Stores what waits, by hand: what the worker does every two seconds. `--refused` tries again what could not be stored."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from tracking import flush, spool, stream


class Command(BaseCommand):
    help = "Stores the opens, clicks and page views that wait, without a worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--refused", action="store_true", help="try those again that could not be stored")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        stored = still_refused = 0
        if options["refused"]:
            stored, still_refused = flush.try_refused_again()
        else:
            try:
                spool.settle()
                while count := flush.flush(timezone.now()):
                    stored += count
            except stream.AWAY_ERRORS as error:
                raise CommandError(f"Redis does not answer: {error}") from error
        if options["json"]:
            self.stdout.write(json.dumps({"stored": stored, "refused": still_refused}))
        elif options["refused"]:
            self.stdout.write(f"{stored} stored, {still_refused} refused still")
        else:
            self.stdout.write(f"{stored} stored")
