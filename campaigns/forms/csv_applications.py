"""The upload form of 「CSV一括申込」."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from campaigns.access import campaigns_of
from campaigns.models import Campaign, CampaignState
from leads.import_forms import ImportForm
from settings.models import User


class CsvApplicationForm(forms.Form):
    """Inside a campaign it is that one; otherwise it is chosen."""

    campaign = forms.ModelChoiceField(
        label=_("Campaign"), queryset=Campaign.objects.none(), empty_label=_("Please choose")
    )
    evidence = ImportForm.base_fields["evidence"]
    tell = forms.BooleanField(
        label=_("Send the mails of an application (those that are ON) to the people in the file"),
        required=False,
    )
    file = ImportForm.base_fields["file"]  # with the same limit

    def __init__(self, *args: Any, user: User, campaign: Campaign | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.current = campaign
        if campaign is not None:
            del self.fields["campaign"]
        else:
            self.fields["campaign"].queryset = campaigns_of(user).exclude(state=CampaignState.ARCHIVED)

    @property
    def chosen_campaign(self) -> Campaign:
        return self.current or self.cleaned_data["campaign"]
