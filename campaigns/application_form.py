"""The application form of a campaign: drawn from its items, for attendees and (staff=True) for proxy registration.

It parses; what may be stored is judged by leads.edit.clean_values, leads.address and campaigns/answers.py, whether somebody
may apply by campaigns/applications.py. It asks nothing that depends on who is known here.
"""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import translation
from django.utils.html import escape
from django.utils.translation import gettext as _

from campaigns.answers import answer_text, clean_answer
from campaigns.applications import Entry
from campaigns.consent_texts import current_consent_text
from campaigns.form_fields import (
    AGREE,
    CHOOSE,
    CHOOSE_SEVERAL,
    DM_CHOICES,
    CheckboxesSomeDisabled,
    RadiosSomeDisabled,
    column_field,
    lead_field,
    question_field,
)
from campaigns.form_items import always_required, items_of, label_of
from campaigns.models import Campaign, ConsentText, FormItem, ItemSource, QuestionType, SessionChoice
from campaigns.texts import text_in
from campaigns.timetable import timetable
from leads.address import check_email
from leads.edit import clean_values
from leads.forms import LeadValuesForm
from leads.models import ConsentRecord, DmPermission, Lead, LeadColumn

# OPT-10: on what staff found the consent they enter. The person's own acts are not for others to claim.
STAFF_EVIDENCE = (
    ConsentRecord.Evidence.FORM,
    ConsentRecord.Evidence.CARD,
    ConsentRecord.Evidence.TRADE,
    ConsentRecord.Evidence.PUBLIC,
    ConsentRecord.Evidence.ADMIN,
)
PAIRS = {"first_name": "last_name", "first_name_kana": "last_name_kana"}  # side by side where there is room


class ApplicationForm(LeadValuesForm):
    """`lead`: whose values it begins with; their own address is not changed by applying. `staff`: consent is optional, and
    its evidence is asked for.

    After is_valid(): `entry()`, `consent_text` (None where none is asked for, or staff left it out), `summary()`,
    `email_notes` (what was changed of the address) and `suggestion` (what was probably meant, mostly ""; CHR-4: only
    ever proposed; there after a mistake in the address, too).
    """

    def __init__(
        self,
        campaign: Campaign,
        data: Mapping[str, Any] | None = None,
        *,
        lead: Lead | None = None,
        staff: bool = False,
        language: str = "ja",
    ) -> None:
        self.campaign, self.lead, self.staff, self.language = campaign, lead, staff, language
        items = items_of(campaign)
        keys = {item.field for item in items if item.source == ItemSource.COLUMN}
        rows = LeadColumn.objects.filter(pk__in=keys) if keys else ()
        self.columns = {column.key: column for column in rows}
        # An added item that no lead has any more (リード項目 deleted) is not asked.
        self.items = {
            name_of(item): item
            for item in items
            if item.source != ItemSource.COLUMN or item.field in self.columns
        }
        self.slots = [] if campaign.session_choice == SessionChoice.NONE else timetable(campaign)
        self.asked_consent: ConsentText | None = current_consent_text(campaign)
        self.email_notes: tuple[str, ...] = ()
        self.suggestion = ""
        super().__init__(data, initial=self._initial())
        with translation.override(language):
            for name, item in self.items.items():
                self.fields[name] = self._field(item)
            if self._own and "email" in self.fields:
                self.fields["email"].disabled = True
            if self.slots:
                self.fields["sessions"] = self._session_field()
            if self.asked_consent is not None:
                self.fields["consent"] = forms.BooleanField(
                    label=_("I agree to the above"), required=not staff, error_messages=AGREE
                )
                # Which version was before their eyes: it may change between drawing and sending (OPT-10).
                self.fields["consent_version"] = forms.CharField(
                    required=False, max_length=20, widget=forms.HiddenInput
                )
            if staff:
                self.fields["evidence"] = forms.ChoiceField(
                    label=_("Evidence of the consent"),
                    choices=[("", "―"), *((kind.value, kind.label) for kind in STAFF_EVIDENCE)],
                    required=False,
                    help_text=_("On what you enter the consent: a form on paper, a business card …"),
                )

    @property
    def _own(self) -> bool:
        """Filled in by the very lead, logged in to my page: an address is changed there alone."""
        return self.lead is not None and not self.staff

    # ---- drawing
    def _initial(self) -> dict[str, Any]:
        if self.lead is None:
            return {}
        initial: dict[str, Any] = {}
        for name, item in self.items.items():
            if item.source == ItemSource.LEAD:
                initial[name] = getattr(self.lead, item.field)
            elif item.source == ItemSource.COLUMN:
                initial[name] = self.lead.extra.get(item.field)
        return initial

    def _field(self, item: FormItem) -> forms.Field:
        if item.source == ItemSource.LEAD:
            field = lead_field(item.field)
        elif item.source == ItemSource.COLUMN:
            field = column_field(self.columns[item.field])
        else:
            field = question_field(item, self.language)
        field.label = label_of(item, self.language, self.columns)
        field.help_text = escape(text_in(item, "help", self.language))
        of_themselves = self.staff and item.type == QuestionType.AGREEMENT  # nobody agrees for somebody else
        field.required = field.widget.is_required = (
            item.required or always_required(item)
        ) and not of_themselves
        return field

    def _session_field(self) -> forms.Field:
        full = self._full_sessions()
        choices = [(str(slot.session.pk), slot.label(self.language)) for slot in self.slots]
        if self.campaign.session_choice == SessionChoice.ONE:
            return forms.ChoiceField(
                label=_("Session"), choices=choices, widget=RadiosSomeDisabled(full), error_messages=CHOOSE
            )
        return forms.MultipleChoiceField(
            label=_("Sessions"),
            choices=choices,
            widget=CheckboxesSomeDisabled(full),
            error_messages=CHOOSE_SEVERAL,
        )

    def _full_sessions(self) -> set[str]:
        return {str(slot.session.pk) for slot in self.slots if slot.full}

    @property
    def rows(self) -> list[list[forms.BoundField]]:
        """The items' fields in order, first and last name together."""
        rows: list[list[forms.BoundField]] = []
        for name in self.items:
            if rows and rows[-1][-1].name == PAIRS.get(name):
                rows[-1].append(self[name])
            else:
                rows.append([self[name]])
        return rows

    @property
    def consent_words(self) -> str:
        return text_in(self.asked_consent, "text", self.language) if self.asked_consent else ""

    def unjudged(self) -> "ApplicationForm":
        """Itself, to be drawn with what was entered and without a word on its mistakes."""
        self.errors.clear()
        return self

    # ---- judging
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        with translation.override(self.language):
            try:
                clean_values(self._values(), stored_email=self._stored_email())
            except ValidationError as problem:
                self.add_problems(problem)
            for name, item in self.items.items():
                if item.source == ItemSource.QUESTION and name in data:
                    try:
                        data[name] = clean_answer(item, data[name])
                    except ValidationError as problem:
                        self.add_error(name, problem)
            if self.staff and not data.get("evidence") and self._consents(data):
                self.add_error("evidence", _("Say on what you enter this person’s consent."))
            if self._agrees_to_an_older_text(data):
                self._untick_consent()
                self.add_error("consent", _("The text was changed meanwhile. Please read it again."))
            if self._full_sessions() & set(self._chosen()):
                self.add_error("sessions", _("This session is full. Choose another one."))
            self._look_at_address()
        return data

    def _consents(self, data: Mapping[str, Any]) -> bool:
        return bool(data.get("consent")) or data.get("dm_permission") == DmPermission.WANTED

    def _agrees_to_an_older_text(self, data: Mapping[str, Any]) -> bool:
        if self.asked_consent is None or not data.get("consent"):
            return False
        return data.get("consent_version") != str(self.asked_consent.version)

    def _untick_consent(self) -> None:
        entered = self.data.copy() if isinstance(self.data, QueryDict) else dict(self.data)
        entered.pop("consent", None)
        self.data = entered

    def _look_at_address(self) -> None:
        check = check_email(str(self._stored_email() if self._own else self.data.get("email") or ""))
        self.suggestion = check.suggestion
        # The suggestion is drawn with a button of its own; the other notes say what was changed.
        question = _("Did you mean %(address)s?") % {"address": check.suggestion}
        self.email_notes = tuple(note for note in check.notes if note != question)

    def _stored_email(self) -> str | None:
        return self.lead.email if self.lead else None

    def _values(self) -> dict[str, Any]:
        """Of lead and added items, blank ones left out."""
        data = self.cleaned_data
        filled = {name: item for name, item in self.items.items() if data.get(name) not in (None, "")}
        values = {item.field: data[name] for name, item in filled.items() if item.source == ItemSource.LEAD}
        extra = {item.field: data[name] for name, item in filled.items() if item.source == ItemSource.COLUMN}
        return {**values, "extra": extra} if extra else values

    def _chosen(self) -> list[str]:
        chosen = self.cleaned_data.get("sessions") or []
        return [chosen] if isinstance(chosen, str) else list(chosen)

    # ---- what was entered
    def entry(self) -> Entry:
        """Blank items are left out: they clear nothing of a lead that is known. Whoever fills in the form themselves is
        written to in its language from now on; the language of staff says nothing about somebody else."""
        data = self.cleaned_data
        values = clean_values(self._values(), stored_email=self._stored_email())
        if self._own:
            values.pop("email", None)
        return Entry(
            values=values if self.staff else values | {"language": self.language},
            answers={
                item.key: data[name]
                for name, item in self.items.items()
                if item.source == ItemSource.QUESTION and data.get(name) is not None
            },
            session_ids=[int(pk) for pk in self._chosen()],
            language=self.language,
            evidence=str(data.get("evidence") or ""),
        )

    @property
    def consent_text(self) -> ConsentText | None:
        return self.asked_consent if self.cleaned_data.get("consent") else None

    def summary(self) -> list[tuple[str, str, str]]:
        """(name, label, value in words) of everything, for the confirmation page; "" for what was left blank."""
        values = clean_values(self._values(), stored_email=self._stored_email())
        rows = [
            (name, str(self.fields[name].label), self._in_words(name, item, values))
            for name, item in self.items.items()
        ]
        if self.slots:
            chosen = self._chosen()
            words = [slot.label(self.language) for slot in self.slots if str(slot.session.pk) in chosen]
            rows.append(("sessions", str(self.fields["sessions"].label), "\n".join(words)))
        return rows

    def _in_words(self, name: str, item: FormItem, values: Mapping[str, Any]) -> str:
        if item.source == ItemSource.QUESTION:
            return answer_text(item, self.cleaned_data.get(name), self.language)
        if item.source == ItemSource.COLUMN:
            value = values.get("extra", {}).get(item.field)
        elif item.field == "dm_permission":
            value = dict(DM_CHOICES).get(values.get("dm_permission", ""))
        else:
            value = values.get(item.field)
        return "" if value is None else str(value)


def name_of(item: FormItem) -> str:
    """The field's name: that of the lead item, column_<id>, or question_<id>."""
    if item.source == ItemSource.LEAD:
        return item.field
    return f"column_{item.field}" if item.source == ItemSource.COLUMN else f"question_{item.pk}"
