"""The forms of a campaign, its sessions and its administrators: they parse, the domain modules judge."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from campaigns.campaign_values import CAMPAIGN, SESSION
from campaigns.campaigns import possible_members
from campaigns.models import Campaign, KnownAddress, Place, Session, SessionChoice

SECTIONS: tuple[tuple[Promise, tuple[str, ...]], ...] = (
    (_("Name and texts"), ("name", "name_en", "summary", "summary_en", "description", "description_en", "organiser", "contact", "slug")),
    (_("Date and place"), ("starts_at", "ends_at", "place", "venue_name", "venue_address", "venue_url", "online_url")),
    (_("Applications"), ("applications_from", "applications_until", "cancel_until", "capacity", "waiting_list", "session_choice",
                         "confirm_address", "known_address", "ticket")),
    (_("Messages to staff"), ("staff_addresses",)),
)  # fmt: skip

HELP: dict[str, Promise] = {
    "slug": _("The last part of the public address: small letters, digits, hyphens. Left empty, one is made. After a change, links sent before lead nowhere."),
    "summary": _("One or two sentences, shown at the top of the page and when its link is shared."),
    "description": _("Plain text. Empty lines make paragraphs, addresses become links."),
    "contact": _("Shown to attendees: an address, a telephone number, opening hours."),
    "online_url": _("Only those who applied see it: on their ticket, on my page and in mails."),
    "applications_from": _("Empty: as soon as it is published."),
    "applications_until": _("Empty: until the end of the campaign. The last minute counts to its end."),
    "cancel_until": _("Empty: until the start."),
    "capacity": _("Empty: no limit. Fewer than are taken: nobody loses a seat. More: the waiting list moves up at once."),
    "confirm_address": _("The application counts once the link in a mail was opened."),
    "known_address": _("What happens when somebody applies whose address is known already."),
    "staff_addresses": _("Told by mail of applications and changes, as far as those mails are switched on. Separate several with commas."),
}  # fmt: skip


class _Moment(forms.DateTimeInput):
    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


def _field(model: type[Any], name: str) -> forms.Field:
    column = model._meta.get_field(name)
    label, kind = column.verbose_name, column.get_internal_type()
    common = {"label": label, "required": False, "help_text": HELP.get(name, "") if model is Campaign else ""}
    if kind == "DateTimeField":
        return forms.DateTimeField(widget=_Moment(), **common)
    if kind == "BooleanField":
        return forms.BooleanField(**common)
    if column.choices:
        radios = (
            forms.RadioSelect() if name in {"place", "session_choice", "known_address"} else forms.Select()
        )
        return forms.ChoiceField(choices=column.choices, widget=radios, **common)
    if kind == "TextField":
        return forms.CharField(widget=forms.Textarea(attrs={"rows": 8}), **common)
    if name == "capacity":
        return forms.CharField(widget=forms.TextInput(attrs={"inputmode": "numeric"}), **common)
    wide = forms.TextInput(attrs={"class": "wide"})
    return forms.CharField(widget=wide, max_length=column.max_length, **common)


class _RecordForm(forms.Form):
    """Fields drawn from the model, judged by the domain module."""

    model: type[Any]
    names: Iterable[str]
    must: Iterable[str] = ()

    def __init__(self, data: Any = None, *, record: Any) -> None:
        self.record = record
        super().__init__(data, initial={name: getattr(record, name) for name in self.names})
        for name in self.names:
            self.fields[name] = _field(self.model, name)
        for name in self.must:
            self.fields[name].required = True

    def values(self) -> dict[str, Any]:
        return {name: self.cleaned_data.get(name) for name in self.names}

    def add_problems(self, problem: ValidationError) -> None:
        """By field; what belongs to none stands on top."""
        if not hasattr(problem, "error_dict"):
            self.add_error(None, problem)
            return
        by_field: Mapping[str, list[ValidationError]] = problem.error_dict
        for name, errors in by_field.items():
            self.add_error(name if name in self.fields else None, errors)


class CampaignForm(_RecordForm):
    model, names, must = Campaign, tuple(CAMPAIGN), ("name",)
    seen_at = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, campaign: Campaign) -> None:
        super().__init__(data, record=campaign)
        self.initial["seen_at"] = campaign.updated_at.isoformat() if campaign.pk else ""
        for name, values in (
            ("place", Place),
            ("session_choice", SessionChoice),
            ("known_address", KnownAddress),
        ):
            self.fields[name].required = True
            assert isinstance(self.fields[name], forms.ChoiceField)
            self.fields[name].choices = values.choices  # type: ignore[attr-defined]

    def sections(self) -> list[tuple[Promise, list[forms.BoundField]]]:
        return [(label, [self[name] for name in names]) for label, names in SECTIONS]

    def moment_seen(self) -> datetime | None:
        """What cannot be read was no form of ours: then nothing is compared."""
        try:
            moment = parse_datetime(self.cleaned_data.get("seen_at") or "")
        except ValueError:
            return None
        return moment if moment and moment.tzinfo else None


class SessionForm(_RecordForm):
    model, names, must = Session, tuple(SESSION), ("title",)

    def __init__(self, data: Any = None, *, session: Session) -> None:
        super().__init__(data, record=session)


class MembersForm(forms.Form):
    members = forms.ModelMultipleChoiceField(
        queryset=None,
        required=False,
        label=_("Campaign administrators"),
        widget=forms.CheckboxSelectMultiple,
        help_text=_("They see and manage this campaign only. Privileged administrators see every campaign."),
    )

    def __init__(self, data: Any = None, *, campaign: Campaign) -> None:
        super().__init__(data, initial={"members": campaign.members.all()})
        self.fields["members"].queryset = possible_members()  # type: ignore[attr-defined]
