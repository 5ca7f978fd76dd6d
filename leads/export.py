"""CSV-3: leads as a file for a spreadsheet; the headers are those the imports read."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import models

from leads.list_columns import list_columns, with_columns
from leads.models import Lead, LeadColumn, LeadQuerySet

FIELDS = (
    "id", "kind", "last_name", "first_name", "last_name_kana", "first_name_kana", "email", "company", "department",
    "job_title", "postal_code", "prefecture", "address", "phone", "note", "language", "registration", "dm_permission",
    "unsubscribed_at", "email_valid", "email_failures", "created_at", "updated_at",
)  # fmt: skip


def export_header(columns: Sequence[LeadColumn], campaign_id: int | None = None) -> list[str]:
    """In the active language. Of a campaign the application's columns stand at the end."""
    labels = [str(getattr(Lead._meta.get_field(name), "verbose_name", name)) for name in FIELDS]
    further = [str(column.label) for column in list_columns(campaign_id)]
    return ["ID", *labels[1:], *(column.label for column in columns), *further]


def export_rows(
    leads: LeadQuerySet, columns: Sequence[LeadColumn], campaign_id: int | None = None
) -> Iterator[list[Any]]:
    """One list per lead in the order of the header, by a cursor on the server: a million leads need no memory."""
    shown: dict[int, dict[str, str]] = {}
    for place, name in enumerate(FIELDS):
        field = Lead._meta.get_field(name)
        if isinstance(field, models.Field) and field.choices:
            shown[place] = {str(value): str(label) for value, label in field.flatchoices}
    keys = [column.key for column in columns]
    further = list_columns(campaign_id)
    wanted = (*FIELDS, "extra", *(column.alias for column in further))
    found = with_columns(leads, campaign_id).order_by("id").values_list(*wanted)
    for row in found.iterator(chunk_size=5000):
        values, extra = list(row[: len(FIELDS)]), row[len(FIELDS)]
        for place, labels in shown.items():
            values[place] = labels.get(values[place], values[place])
        told = [
            column.shown(value).text for column, value in zip(further, row[len(FIELDS) + 1 :], strict=True)
        ]
        yield [*values, *(extra.get(key) for key in keys), *told]
