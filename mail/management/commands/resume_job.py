from typing import Any

from django.core.management.base import CommandParser

from mail.job_command import change_job
from mail.send_jobs import resume
from smp.lib.command import JsonCommand


class Command(JsonCommand):
    help = "再開 (RSV-3): a paused or halted job goes on where it stood."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        change_job(self, options, resume)
