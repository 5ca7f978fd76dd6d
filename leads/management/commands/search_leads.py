import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from leads.search import describe_condition, leads_matching
from leads.searches import usable_search
from smp.lib.command import JsonCommand


class Command(JsonCommand):
    help = "The leads that match a saved search or a condition given as JSON, or how many they are."

    def add_arguments(self, parser: CommandParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--search", type=int, metavar="ID", help="a saved search")
        source.add_argument(
            "--where",
            metavar="JSON",
            help='{"match": "all", "blocks": [{"item": …, "operator": …, "values": […]}]}',
        )
        parser.add_argument(
            "--campaign", type=int, metavar="ID", help="inside this campaign: its searches and applicants"
        )
        parser.add_argument("--count", action="store_true", help="only the number of leads")

    def handle(self, *args: Any, **options: Any) -> None:
        condition = _condition(options)
        try:
            leads = leads_matching(condition, now=timezone.now(), campaign_id=options["campaign"])
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from error
        said = describe_condition(condition, inside=options["campaign"])
        if options["count"]:
            count = leads.count()
            self.answer({"count": count, "condition": said}, f"{count}", as_json=options["json"])
            return
        columns = ("id", "last_name", "first_name", "company", "email")
        rows = list(leads.order_by("id").values_list(*columns))
        lines = ["\t".join(_one_line(value) for value in row) for row in rows]
        self.answer(
            {
                "count": len(rows),
                "condition": said,
                "leads": [dict(zip(columns, row, strict=True)) for row in rows],
            },
            "\n".join(
                [*lines, _("%(count)s leads: %(condition)s") % {"count": len(rows), "condition": said}]
            ),
            as_json=options["json"],
        )


def _one_line(value: object) -> str:
    return " ".join(str(value).split())


def _condition(options: dict[str, Any]) -> Any:
    if options["where"] is None:
        try:
            return usable_search(options["search"], None, options["campaign"]).condition
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from error
    try:
        return json.loads(options["where"])
    except (ValueError, RecursionError) as error:
        raise CommandError(_("--where is not valid JSON: %(error)s") % {"error": error}) from error
