"""What those who write a reader share: locks, values, counts, the line of history."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from leads.models import Lead
from mail.magazines.locks import lock_leads
from mail.models import FailureGroup, Magazine, Reader, ReaderChange, ReaderFailure
from mail.refused import Refused

COUNTS = tuple(f"failures_{group.value}" for group in FailureGroup)


def lock_lead(lead: Lead) -> Lead:
    current = lock_leads([lead.pk])[0]
    if current.deleted_at is not None:
        raise Refused("deleted", _("This lead has been deleted."))
    return current


def lock_reader(magazine: Magazine, lead_id: int) -> Reader | None:
    rows = Reader.objects.select_for_update(of=("self",), no_key=True).select_related("lead")
    return rows.filter(magazine=magazine, lead_id=lead_id).first()


def set_values(reader: Reader, values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """{item key: [old, new]} of what differs; None and "" empty an item."""
    changes: dict[str, list[Any]] = {}
    for key, value in values.items():
        old, new = reader.values.get(key), None if value == "" else value
        if old != new:
            changes[key] = [old, new]
            reader.values.pop(key, None)
            if new is not None:
                reader.values[key] = new
    return changes


def start_anew(reader: Reader, *, now: datetime) -> dict[str, int]:
    """The failures of this (locked) reader count from 0; returns {group: failures} as they were."""
    had = {group.value: reader.failures(group) for group in FailureGroup if reader.failures(group)}
    forget_failures(reader.magazine, [reader.lead_id], now=now)
    for name in COUNTS:
        setattr(reader, name, 0)
    return had


def forget_failures(magazine: Magazine, lead_ids: list[int], *, now: datetime) -> None:
    """Of readers that are locked: what failed until now is no longer counted. Who calls sets the counts to 0."""
    counted = ReaderFailure.objects.filter(magazine=magazine, lead_id__in=lead_ids, reset_at=None)
    counted.update(reset_at=now)


def note(magazine: Magazine, lead_id: int, what: str, **values: Any) -> None:
    ReaderChange.objects.create(magazine=magazine, lead_id=lead_id, what=what, **values)
