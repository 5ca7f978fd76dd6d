"""`manage.py bench NAME`: figures, and beside each the bare cost of the same work as a ratio (docs/operating.md)."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from smp.lib.bench import benches, figures_as_text


class Command(BaseCommand):
    help = (
        "Measures this machine with a scratch database beside the configured one; real data is never touched."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        names = parser.add_subparsers(dest="bench", required=True, metavar="NAME")
        for name, module in benches().items():
            own = names.add_parser(name, help=module.HELP)
            own.add_argument("--json", action="store_true", help="one JSON object instead of text")
            module.add_arguments(own)

    def handle(self, *args: Any, **options: Any) -> None:
        figures = {"bench": options["bench"]} | benches()[options["bench"]].run(options)
        self.stdout.write(
            json.dumps(figures, ensure_ascii=False) if options["json"] else figures_as_text(figures)
        )
