"""APP-4: a lead's own data on my page. Not the address (campaigns/my_page/address.py) nor consent (leads/consent.py), and none
of what staff keep about somebody: notes, kind and their own items."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.db import models, transaction
from django.forms.models import fields_for_model
from django.utils import translation
from django.utils.dateparse import parse_datetime
from django.utils.translation import pgettext_lazy

from campaigns.events import CHANGES, Event, Happening, announce
from campaigns.form_fields import AUTOCOMPLETE
from campaigns.my_page.login import lock_lead
from leads.edit import change_lead
from leads.flags import Way
from leads.forms import LeadValuesForm
from leads.models import Lead

FIELDS = (
    "last_name", "first_name", "last_name_kana", "first_name_kana", "company", "department", "job_title",
    "postal_code", "prefecture", "address", "phone", "language",
)  # fmt: skip
_LONG_AGO = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class ProfileForm(LeadValuesForm):
    """After is_valid(): `values()` for `save`, `seen_at` of what was before their eyes."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=40)

    def __init__(self, lead: Lead, data: Mapping[str, Any] | None = None) -> None:
        initial = {name: getattr(lead, name) for name in FIELDS} | {"seen": lead.updated_at.isoformat()}
        super().__init__(data, initial=initial)
        for name, field in fields_for_model(Lead, FIELDS).items():
            if field is None:
                continue
            self.fields[name] = field
            if name in AUTOCOMPLETE:
                field.widget.attrs["autocomplete"] = AUTOCOMPLETE[name]
        self.fields["language"].label = pgettext_lazy("my page", "Language of our mails")
        self.fields["phone"].widget.attrs["inputmode"] = "tel"

    @property
    def rows(self) -> list[list[forms.BoundField]]:
        """In order; names side by side."""
        pairs = {"last_name": "first_name", "last_name_kana": "first_name_kana"}
        return [
            [self[name], self[pairs[name]]] if name in pairs else [self[name]]
            for name in FIELDS
            if name not in pairs.values()
        ]

    @property
    def seen_at(self) -> datetime:
        """Anything odd counts as long ago."""
        try:
            seen = parse_datetime(self.cleaned_data.get("seen") or "")
        except ValueError:
            seen = None
        return seen if seen and seen.tzinfo else _LONG_AGO

    def values(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in FIELDS}


def save(
    lead: Lead, values: Mapping[str, Any], *, seen_at: datetime, now: datetime, ip: str | None
) -> tuple[Lead, bool]:
    """The lead as it is now, and whether anything changed; only then they are told. ValidationError and LeadChangedError as
    leads.edit.change_lead."""
    with transaction.atomic():
        before = lock_lead(lead)
        after = change_lead(
            before, values, way=Way.MY_PAGE, now=now, source="my page", ip=ip, seen_at=seen_at
        )
        with translation.override(after.language):
            lines = [line for name in values if (line := _difference(name, before, after))]
        if lines:
            announce(Happening(Event.MY_PAGE_CHANGED, after, now, values={CHANGES: "\n".join(lines)}))
    return after, bool(lines)


def _difference(name: str, before: Lead, after: Lead) -> str:
    """「会社名: 旧 → 新」, "" where nothing differs."""
    field = Lead._meta.get_field(name)
    assert isinstance(field, models.Field)
    old, new = (getattr(lead, name) for lead in (before, after))
    if old == new:
        return ""
    words = dict(field.flatchoices)
    return f"{field.verbose_name}: {words.get(old, old) or '–'} → {words.get(new, new) or '–'}"
