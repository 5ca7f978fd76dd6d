from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from mail.check_items import CheckItem, worst
from mail.domain_checks import check_domain
from mail.domain_records import clean_domain
from mail.models import SendingDomain
from mail.sending_domains import check_now
from smp.lib.command import JsonCommand

MARKS = {"ok": "OK     ", "warning": "WARNING", "wrong": "WRONG  ", "unknown": "?      "}


class Command(JsonCommand):
    help = "Look at SPF, DKIM and DMARC of a domain in DNS, and say what to fix (RATE-4, LAW-3)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the domain of a sender's address, registered here or not")
        parser.add_argument(
            "--selector", action="append", default=[], help="a DKIM key of a domain that is not registered"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            name = clean_domain(options["name"])
        except ValueError:
            raise CommandError(
                _("“%(text)s” is no domain name. Write it like example.co.jp.")
                % {"text": options["name"][:100]}
            ) from None
        domain = SendingDomain.objects.filter(name=name).first()
        if domain is None:
            items = check_domain(name, selectors=options["selector"][:10])
        else:
            items = check_now(domain, now=timezone.now())
        own = [item for item in items if item.group == "domain"]
        data = {
            "domain": name,
            "registered": domain is not None,
            "state": worst(own),
            "spf": _part(items, "spf"),
            "dkim": _part(items, "dkim"),
            "dmarc": _part(items, "dmarc"),
            "items": [_said(item) for item in items],
        }
        self.answer(data, "\n".join(_lines(items)), as_json=options["json"])


def _part(items: list[CheckItem], kind: str) -> dict[str, Any]:
    """One of the three, of all items that belong to it."""
    found = [item for item in items if item.key.partition(":")[0] == kind]
    return {
        "state": worst(found),
        "text": " ".join(item.text for item in found),
        "found": [value for item in found for value in item.found],
        "fix": [
            {"name": item.name, "type": item.type, "value": item.wanted}
            for item in found
            if item.wanted and item.state != "ok"
        ],
    }


def _said(item: CheckItem) -> dict[str, Any]:
    return {
        "key": item.key, "group": item.group, "state": item.state, "code": item.code, "title": item.title,
        "text": item.text, "found": list(item.found), "wanted": item.wanted, "name": item.name, "type": item.type,
    }  # fmt: skip


def _lines(items: list[CheckItem]) -> list[str]:
    lines = []
    for item in items:
        lines.append(f"{MARKS[item.state]} {item.title}: {item.text}")
        if item.state != "ok":
            lines += [f"        = {value}" for value in item.found]
            if item.wanted:
                lines.append(f"        → {item.name} {item.type} {item.wanted}")
    return lines
