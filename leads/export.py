"""CSV-3: leads as a file for a spreadsheet; the headers are those the imports read."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import models

from leads.models import Lead, LeadColumn, LeadQuerySet

FIELDS = (
    "id", "kind", "last_name", "first_name", "last_name_kana", "first_name_kana", "email", "company", "department",
    "job_title", "postal_code", "prefecture", "address", "phone", "note", "language", "registration", "dm_permission",
    "unsubscribed_at", "email_valid", "email_failures", "created_at", "updated_at",
)  # fmt: skip


def export_header(columns: Sequence[LeadColumn]) -> list[str]:
    """In the active language."""
    labels = [str(getattr(Lead._meta.get_field(name), "verbose_name", name)) for name in FIELDS]
    return ["ID", *labels[1:], *(column.label for column in columns)]


def export_rows(leads: LeadQuerySet, columns: Sequence[LeadColumn]) -> Iterator[list[Any]]:
    """One list per lead in the order of the header, by a cursor on the server: a million leads need no memory."""
    shown: dict[int, dict[str, str]] = {}
    for place, name in enumerate(FIELDS):
        field = Lead._meta.get_field(name)
        if isinstance(field, models.Field) and field.choices:
            shown[place] = {str(value): str(label) for value, label in field.flatchoices}
    keys = [column.key for column in columns]
    for row in leads.order_by("id").values_list(*FIELDS, "extra").iterator(chunk_size=5000):
        values = list(row[:-1])
        for place, labels in shown.items():
            values[place] = labels.get(values[place], values[place])
        yield [*values, *(row[-1].get(key) for key in keys)]
