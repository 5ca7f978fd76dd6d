"""The filter of 「読者」."""

from typing import Any

import django_filters
from django import forms
from django.db.models import F, Func, QuerySet, TextField, Value
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from leads.filters import DATE, DayFilter
from mail.magazines.reader_list import failures_q, over_thresholds_q, text_q
from mail.models import FailureGroup, Magazine, Reader, ReaderItem, ReaderState, ReaderWay

MOST_FAILURES = 99_999


class ItemFilter(django_filters.CharFilter):
    """A free item's value. Not Django's key lookup: it takes a key of digits for an array index."""

    def __init__(self, item: ReaderItem, lookup_expr: str = "icontains", **kwargs: Any) -> None:
        super().__init__("values", lookup_expr, max_length=200, label=item.label, **kwargs)
        self.item = item

    def filter(self, readers: QuerySet[Reader], value: str) -> QuerySet[Reader]:
        if not value:
            return readers
        alias = f"item_{self.item.pk}"
        stored = Func(
            F("values"), Value(self.item.key), function="jsonb_extract_path_text", output_field=TextField()
        )
        wanted = value.replace("\0", "")
        return readers.alias(**{alias: stored}).filter(**{f"{alias}__{self.lookup_expr}": wanted})


class ItemChoiceFilter(ItemFilter):
    field_class = forms.ChoiceField

    def __init__(self, item: ReaderItem) -> None:
        django_filters.Filter.__init__(
            self, "values", "exact", label=item.label, choices=[("", _("All")), *((one, one) for one in item.choices)]
        )  # fmt: skip
        self.item = item


class ReaderFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(
        label=_("Address, name, company"),
        method="by_text",
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    state = django_filters.ChoiceFilter(label=_("State"), choices=ReaderState.choices, empty_label=_("All"))
    registered_from = DayFilter("registered_at", "gte", label=_("Registered on or after"), widget=DATE)
    registered_to = DayFilter("registered_at", "lt", label=_("Registered on or before"), widget=DATE)
    stopped_from = DayFilter("state_at", "gte", label=_("In this state since, on or after"), widget=DATE)
    way = django_filters.ChoiceFilter(
        label=pgettext_lazy("reader", "Way of registration"),
        choices=[
            (way.value, way.label if way != ReaderWay.ADMIN else pgettext_lazy("reader", "Registered by an administrator"))
            for way in (ReaderWay.FORM, ReaderWay.EMPTY_MAIL, ReaderWay.IMPORT, ReaderWay.ADMIN, ReaderWay.MERGE)
        ],
        empty_label=_("All"),
    )  # fmt: skip
    group = django_filters.ChoiceFilter(
        label=_("Cause of failures"), choices=FailureGroup.choices, method="keep", empty_label=_("Any cause")
    )
    failures = django_filters.NumberFilter(
        label=_("Failures, at least"), method="keep", min_value=1, max_value=MOST_FAILURES
    )
    # From 「基本設定」: whom the next start stops (MAG-5).
    over = django_filters.BooleanFilter(method="by_over", widget=forms.HiddenInput)

    class Meta:
        model = Reader
        fields: list[str] = []

    def __init__(self, *args: Any, magazine: Magazine, items: list[ReaderItem], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.magazine = magazine
        for item in items:
            one = ItemChoiceFilter(item) if item.type == ReaderItem.Type.CHOICE else ItemFilter(item)
            one.parent, one.model = self, Reader
            self.filters[f"item_{item.pk}"] = one

    def by_text(self, readers: QuerySet[Reader], name: str, value: str) -> QuerySet[Reader]:
        return readers.filter(text_q(value))

    def by_over(self, readers: QuerySet[Reader], name: str, value: bool | None) -> QuerySet[Reader]:
        return readers.filter(over_thresholds_q(self.magazine)) if value else readers

    def keep(self, readers: QuerySet[Reader], name: str, value: Any) -> QuerySet[Reader]:
        """Cause and number mean something together only."""
        return readers

    def filter_queryset(self, queryset: QuerySet[Reader]) -> QuerySet[Reader]:
        found = super().filter_queryset(queryset)
        cleaned = self.form.cleaned_data
        group, number = cleaned.get("group") or "", cleaned.get("failures")
        if group or number:
            found = found.filter(failures_q(group, int(number or 1)))
        return found

    @property
    def only_state(self) -> str | None:
        """The state, if nothing else narrows the list down; "" if nothing does; None otherwise."""
        used = {name for name, value in self.form.cleaned_data.items() if value not in (None, "")}
        return self.form.cleaned_data.get("state", "") if used <= {"state"} else None
