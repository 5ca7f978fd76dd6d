from typing import Any

from django.core.management.base import CommandParser

from mail.job_command import change_job
from mail.send_jobs import pause
from smp.lib.command import JsonCommand


class Command(JsonCommand):
    help = "一時停止 (RSV-3): nothing more is handed over until resume_job."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        change_job(self, options, pause)
