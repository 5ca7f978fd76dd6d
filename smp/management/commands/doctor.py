"""`manage.py doctor [--json]`: is the installation well, and what to do if not; exit 1 when something is wrong."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from smp import doctor

MARKS = {doctor.OK: "ok     ", doctor.WARNING: "warning", doctor.WRONG: "WRONG  "}


class Command(BaseCommand):
    help = "Looks at database, broker, workers, clock, sending domains, relay, intake, DNS and disk."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = doctor.examine()
        well = all(finding.state != doctor.WRONG for finding in findings)
        if options["json"]:
            self.stdout.write(
                json.dumps({"ok": well, "checks": [asdict(each) for each in findings]}, ensure_ascii=False)
            )
        else:
            for each in findings:
                self.stdout.write(f"{MARKS[each.state]} {each.name:<11} {each.text}")
                if each.advice:
                    self.stdout.write(f"{'':19} → {each.advice}")
        if not well:
            sys.exit(1)
