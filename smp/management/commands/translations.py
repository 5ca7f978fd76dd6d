"""`manage.py translations compile | check | update`: the Japanese catalogue without the gettext tools."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from smp import translations


class Command(BaseCommand):
    help = "Compiles, checks or completes the Japanese texts of locale/ja/*.po."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("compile", help="all parts → locale/ja/LC_MESSAGES/django.mo")
        actions.add_parser(
            "check", help="missing, empty, fuzzy, contradictory texts; exit 1 if there are any"
        )
        update = actions.add_parser("update", help="add missing msgids, empty, to one part")
        update.add_argument("--part", default="new", help="name of the part, without .po (default: new)")
        update.add_argument(
            "--prune", action="store_true", help="drop texts that nothing uses, from all parts"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "compile":
            self.stdout.write(f"{translations.compile_catalogue()} texts compiled.")
        elif options["action"] == "update":
            new, dropped = translations.add_missing(options["part"], prune=options["prune"])
            self.stdout.write(f"{new} added to locale/ja/{options['part']}.po, {dropped} dropped.")
        elif problems := translations.find_problems():
            for problem in problems:
                self.stderr.write(problem)
            raise CommandError(f"{len(problems)} texts to mend.")
        else:
            self.stdout.write("All texts are translated.")
