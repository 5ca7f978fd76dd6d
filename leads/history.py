"""A lead's change history, read from the audit log (SYS-2)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from leads.flags import Way
from leads.models import Lead, LeadColumn
from settings.audit import said_in_words
from settings.models import AuditEntry


@dataclass(frozen=True)
class HistoryEntry:
    at: datetime
    by: str
    what: str  # 編集, 削除 … and by which way
    source: str
    changes: list[tuple[str, str, str]]  # label, old, new; as shown
    first: bool  # the lead was registered: there are no old values


def history_of(
    lead: Lead, columns: Iterable[LeadColumn], *, limit: int, campaign_id: int | None = None
) -> list[HistoryEntry]:
    """The newest first, in one query. Inside a campaign the values are the person's and are all told; the source, which
    may name another campaign or its file, only of what was done in this one."""
    labels = change_labels(columns)
    order = {field: place for place, field in enumerate(labels)}  # JSON in the database keeps no order
    entries = []
    for entry in AuditEntry.objects.filter(target_type="lead", target_id=str(lead.pk)).order_by("-id")[
        :limit
    ]:
        changes = sorted(
            entry.detail.get("changes", {}).items(), key=lambda change: order.get(change[0], len(order))
        )
        shown = [
            (labels.get(field, field), shown_value(field, old), shown_value(field, new))
            for field, (old, new) in changes
        ]
        told = campaign_id is None or entry.detail.get("campaign") == campaign_id
        source = said_in_words("source", str(entry.detail.get("source", ""))) if told else ""
        entries.append(
            HistoryEntry(entry.at, _who(entry), _action(entry), source, shown, entry.action == "lead.create")
        )
    return entries


def _who(entry: AuditEntry) -> str:
    if entry.action == "lead.unsubscribe":
        return _("The person themselves")
    return _("System") if entry.user_name == "system" else entry.user_name


def change_labels(columns: Iterable[LeadColumn]) -> dict[str, str]:
    """{field name or extra.<key>: what the screens call it}."""
    labels = {
        field.name: str(field.verbose_name) for field in Lead._meta.fields if isinstance(field, models.Field)
    }
    return labels | {f"extra.{column.key}": column.label for column in columns}


def values_in_words(lead: Lead, fields: Iterable[str]) -> dict[str, str]:
    """{field: its value as the screens show it}, "" for blank; fields as in `change_labels`."""
    return {
        field: in_words(
            field,
            lead.extra.get(field.removeprefix("extra."))
            if field.startswith("extra.")
            else getattr(lead, field),
        )
        for field in fields
    }


def shown_value(field: str, value: Any) -> str:
    """A value of the log as the screens show it, blank as a dash."""
    return in_words(field, value) or "―"


def in_words(field: str, value: Any) -> str:
    """A choice by its label, times in Japan's; "" for blank."""
    if value is None:
        return ""
    if field == "email_valid":
        return _("Valid") if value else _("Invalid")
    if field == "unsubscribed_at" and (moment := parse_datetime(str(value))):
        return _date(moment)
    if not field.startswith("extra.") and field in {"kind", "registration", "dm_permission", "language"}:
        choices = Lead._meta.get_field(field).flatchoices  # type: ignore[union-attr]
        return str(dict(choices).get(value, value))
    return str(value)


def _date(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


def _action(entry: AuditEntry) -> str:
    names = {
        "lead.create": _("Registered"),
        "lead.edit": _("Changed"),
        "lead.delete": _("Deleted"),
        "lead.unsubscribe": _("Unsubscribed"),
        "lead.dm_permission": _("DM permission"),
        "lead.flag": _("Valid flag off after failures"),
    }
    name = str(names.get(entry.action, entry.action))
    way = entry.detail.get("way")
    return f"{name} ({Way(way).label})" if way in Way.values else name
