"""The upload form of 「CSV一括更新」."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from leads.imports.steps import MEGABYTE, MOST_MEGABYTES
from leads.models import ConsentRecord, LeadImport

Evidence = ConsentRecord.Evidence
CHOSEN_AT_UPLOAD = (Evidence.IMPORT, Evidence.FORM, Evidence.CARD, Evidence.PUBLIC, Evidence.TRADE)


class CsvField(forms.FileField):
    """The file of an import, with the size it may have."""

    def __init__(self, *, megabytes: int) -> None:
        self.megabytes = megabytes
        super().__init__(
            label=_("CSV file"),
            max_length=255,
            widget=forms.FileInput(attrs={"accept": ".csv,.txt,.tsv,text/csv,text/plain"}),
            error_messages={
                "empty": _(
                    "The file is empty. Choose a file with a header row and at least one row below it."
                )
            },
        )

    def clean(self, data: Any, initial: Any = None) -> Any:
        file = super().clean(data, initial)
        if file and file.size > self.megabytes * MEGABYTE:
            raise forms.ValidationError(
                _("The file is larger than %(limit)s MB. Split it into several files."),
                params={"limit": self.megabytes},
            )
        return file


class ImportForm(forms.Form):
    """Inside a campaign a file only overwrites its applicants: a new one needs an application (CSV一括申込)."""

    mode = forms.ChoiceField(
        label=_("Mode"),
        choices=[(mode.value, mode.label) for mode in (LeadImport.Mode.ADD, LeadImport.Mode.UPDATE)],
        initial=LeadImport.Mode.ADD,
        widget=forms.RadioSelect,
    )
    key = forms.ChoiceField(
        label=_("Key for overwriting"),
        choices=LeadImport.Key,
        required=False,
        help_text=_("How the lead of a row is found. Only for “Overwrite existing leads”."),
    )
    evidence = forms.ChoiceField(
        label=_("Evidence of consent"),
        choices=[(kind.value, kind.label) for kind in CHOSEN_AT_UPLOAD],
        help_text=_(
            "What the DM permission in this file is based on. It is kept in each lead's consent history."
        ),
    )
    file = CsvField(megabytes=MOST_MEGABYTES)

    def __init__(self, *args: Any, campaign_id: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.campaign_id = campaign_id
        if campaign_id is not None:
            del self.fields["mode"]
            self.fields["key"].help_text = _("How the applicant of a row is found.")

    @property
    def chosen_mode(self) -> str:
        return str(LeadImport.Mode.UPDATE if self.campaign_id is not None else self.cleaned_data["mode"])

    def clean_key(self) -> str:
        return str(self.cleaned_data["key"] or LeadImport.Key.ID)
