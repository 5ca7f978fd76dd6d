"""What the send wizard and a step mail ask alike: the template, whom to leave out, what is counted (OPT-3, EXC-2, TRK-1)."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy, pgettext_lazy

from leads.models import DmPermission
from mail.models import MailTemplate


class Revealing:
    """Choices of which some reveal an element while ticked: {value: id of the element} (data-shows, smp.js)."""

    shows: dict[str, str] = {}

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)  # type: ignore[misc]
        if value in self.shows:
            option["attrs"]["data-shows"] = self.shows[value]
        return option


class PermissionChoice(Revealing, forms.CheckboxSelectMultiple):
    shows = {DmPermission.UNWANTED.value: "unwanted_warning"}


class SendingForm(forms.Form):
    """The choices of `template` are the subclass's: those of its mode."""

    template = forms.ModelChoiceField(
        label=gettext_lazy("Template"),
        queryset=MailTemplate.objects.none(),
        error_messages={"required": gettext_lazy("Choose the template to send.")},
    )
    dm_permissions = forms.MultipleChoiceField(
        label=gettext_lazy("DM permission"),
        choices=DmPermission.choices,
        widget=PermissionChoice,
        error_messages={"required": gettext_lazy("Tick at least one value.")},
    )
    include_sent = forms.TypedChoiceField(
        label=gettext_lazy("Also send to people who already received it"),
        choices=[("no", gettext_lazy("Leave them out")), ("yes", gettext_lazy("Send to them too"))],
        coerce=lambda value: value == "yes",
        widget=forms.RadioSelect,
    )
    count_clicks = forms.TypedChoiceField(
        label=gettext_lazy("E-mail click count"),
        choices=[
            ("no", pgettext_lazy("click count", "Do not use")),
            ("yes", pgettext_lazy("click count", "Use")),
        ],
        coerce=lambda value: value == "yes",
        empty_value=False,
        required=False,
        widget=forms.RadioSelect,
        help_text=gettext_lazy(
            "With “Use”, a later page asks which links are counted, and whether the open rate is measured."
        ),
    )
