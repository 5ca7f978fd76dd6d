"""What the lead list shows beside the lead inside a campaign: the application's part, registered by campaigns/.

Every column is one expression on Lead, so that a page, a sort and an export each stay one statement.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import django_filters
from django.db.models.expressions import Combinable

from leads.models import LeadQuerySet
from smp.lib.navigation import Text


@dataclass(frozen=True)
class Cell:
    """`text` is a word or a moment; with `tag` ("ok", "warn", "bad" or "plain") it is drawn as a tag."""

    text: Any
    tag: str = ""


@dataclass(frozen=True)
class ListColumn:
    """`value(campaign_id)` is the expression; `shown` makes a cell of what it gives. `key` is also what ?sort= says."""

    key: str
    label: Text
    value: Callable[[int], Combinable]
    shown: Callable[[Any], Cell] = Cell

    @property
    def alias(self) -> str:
        return f"list_{self.key}"


Filters = Callable[[int], dict[str, django_filters.Filter]]
_COLUMNS: list[ListColumn] = []
_FILTERS: list[Filters] = []


def register_list_columns(columns: list[ListColumn], filters: Filters) -> None:
    """From AppConfig.ready(). `filters(campaign_id)` answers further filters of the list by parameter name."""
    _COLUMNS[:] = columns
    _FILTERS[:] = [filters]


def list_columns(campaign_id: int | None) -> list[ListColumn]:
    return [] if campaign_id is None else list(_COLUMNS)


def list_column_labels() -> list[str]:
    """In the active language: the headers an export of a campaign's leads has, and an import ignores."""
    return [str(column.label) for column in _COLUMNS]


def list_filters(campaign_id: int | None) -> dict[str, django_filters.Filter]:
    return {} if campaign_id is None or not _FILTERS else _FILTERS[0](campaign_id)


def with_columns(leads: LeadQuerySet, campaign_id: int | None) -> LeadQuerySet:
    """The leads with each column's value under its alias."""
    if campaign_id is None:
        return leads
    return leads.annotate(**{column.alias: column.value(campaign_id) for column in _COLUMNS})


def cells_of(lead: Any, campaign_id: int | None) -> list[Cell]:
    """Of a lead that came out of `with_columns`."""
    return [column.shown(getattr(lead, column.alias)) for column in list_columns(campaign_id)]
