"""The merge fields that only a magazine's mails have: its free items, under their labels or as 読者項目_<id>, and its name."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from leads.models import Lead
from mail.magazines.item_uses import merge_names
from mail.magazines.items import items_of, value_text
from mail.merge_fields import MergeField, Values
from mail.merging import is_merge_name
from mail.models import Magazine, Reader, ReaderItem

MAGAZINE_NAME = "メールマガジン名"
GROUP = _("Mail magazine")


def reader_fields(magazine_id: int, *, taken: set[str] | None = None) -> list[MergeField]:
    """In the picker's order; `taken`: names that mean something else already (姓): an item of such a name is written by its
    number. One query; their values cost one more for all of a magazine's items together."""
    shared = _Readers(magazine_id)
    name = MergeField(
        MAGAZINE_NAME, _("Magazine name"), GROUP, _name_of(magazine_id), aliases=("magazine_name",)
    )
    return [name, *(_field(item, shared, taken or set()) for item in items_of(magazine_id, retired=True))]


def _field(item: ReaderItem, shared: "_Readers", taken: set[str]) -> MergeField:
    label, number = merge_names(item)
    own_name = item.retired_at is None and is_merge_name(label) and label not in taken
    return MergeField(
        name=label if own_name else number,
        label=item.label,
        group=_("Free items of the magazine"),
        values=shared.of(item),
        aliases=(number,) if own_name else (),
    )


def _name_of(magazine_id: int) -> Values:
    def values(leads: Sequence[Lead], now: datetime) -> dict[int, str]:
        name = Magazine.objects.values_list("name", flat=True).get(pk=magazine_id)
        return {lead.id: name for lead in leads}

    return values


class _Readers:
    """The values of the readers among a batch of leads, asked once for all items of a text."""

    def __init__(self, magazine_id: int) -> None:
        self.magazine_id = magazine_id
        self._asked: frozenset[int] = frozenset()
        self._values: dict[int, Mapping[str, object]] = {}

    def of(self, item: ReaderItem) -> Values:
        def values(leads: Sequence[Lead], now: datetime) -> dict[int, str]:
            stored = self._stored(leads)
            return {
                lead.id: value_text(item, stored.get(lead.id, {}).get(item.key), lead.language)
                for lead in leads
            }

        return values

    def _stored(self, leads: Sequence[Lead]) -> dict[int, Mapping[str, object]]:
        asked = frozenset(lead.id for lead in leads)
        if asked != self._asked:
            rows = Reader.objects.filter(magazine=self.magazine_id, lead__in=asked)
            self._values = dict(rows.values_list("lead_id", "values"))
            self._asked = asked
        return self._values
