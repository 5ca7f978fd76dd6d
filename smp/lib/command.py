"""What every stable command shares: `--json`, and the exit codes 0 done, 1 refused (reason on stderr), 2 usage."""

import json
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import translation


class JsonCommand(BaseCommand):
    """Prints human text, or one JSON object with --json. Refusals are CommandError (exit 1)."""

    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
        parser.add_argument(
            "--language", choices=["ja", "en"], default="ja", help="language of the text (default ja)"
        )
        return parser

    def execute(self, *args: Any, **options: Any) -> Any:
        with translation.override(options.get("language") or "ja"):
            return super().execute(*args, **options)

    def answer(self, data: dict[str, Any], text: str, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(data, ensure_ascii=False, default=_plain))
        else:
            self.stdout.write(text)


def _plain(value: object) -> str:
    """Times as ISO 8601; lazy texts and the like as they read."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
