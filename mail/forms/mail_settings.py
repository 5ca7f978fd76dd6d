"""「メール設定」 of one automatic mail: parsing HTTP. What is allowed is decided in mail/automatic_settings.py."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail.automatic import system_sender
from mail.automatic_kinds import is_secret
from mail.automatic_settings import TemplateRefused, check_choice
from mail.forms.templates import MailSettingsForm
from mail.mail_kinds import SENDERS, InForce
from mail.models import MailTemplate
from mail.models.template import Purpose
from mail.modes import usable_in
from mail.reminders import MOST_DAYS


class AutomaticMailForm(MailSettingsForm):
    template = forms.ModelChoiceField(
        queryset=None,
        required=False,
        label=gettext_lazy("Wording"),
        empty_label=gettext_lazy("Standard text"),
        help_text=gettext_lazy(
            "Templates of this mode with the purpose 事務連絡. A template is sent to everybody as it is; the standard text "
            "exists in Japanese and English."
        ),
    )
    days_before = forms.IntegerField(
        label=gettext_lazy("Days before the start"), min_value=0, max_value=MOST_DAYS
    )
    at = forms.TimeField(
        label=gettext_lazy("At (Japan time)"),
        widget=forms.TimeInput(format="%H:%M", attrs={"type": "time"}),
        input_formats=["%H:%M"],
    )

    class Meta(MailSettingsForm.Meta):
        fields = ("enabled", "template", *SENDERS)

    field_order = ("enabled", "days_before", "at", "template", *SENDERS)

    def __init__(self, *args: Any, held: InForce, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = held.kind
        if not held.kind.switchable:
            del self.fields["enabled"]
        templates = usable_in(
            self.instance.campaign_id, MailTemplate.objects.filter(archived_at=None).order_by("name", "pk")
        )
        self.fields["template"].queryset = templates.defer("text_body", "html_body")
        self.fields["template"].label_from_instance = _labelled
        if "days_before" not in held.kind.options:
            del self.fields["days_before"], self.fields["at"]
        else:
            self.initial |= {name: held.options[name] for name in ("days_before", "at")}
        if is_secret(held.kind.key):
            for name in ("cc", "bcc"):
                del self.fields[name]
        initial = system_sender()
        for name in SENDERS:
            if name in self.fields:
                otherwise = held.sender[name] or initial[name]
                own = getattr(self.instance, name)
                if otherwise and not own and "{{" not in otherwise:
                    self.fields[name].widget.attrs["placeholder"] = otherwise

    def clean_template(self) -> MailTemplate | None:
        template: MailTemplate | None = self.cleaned_data["template"]
        if template is not None:
            try:
                check_choice(self.kind, MailTemplate.objects.get(pk=template.pk))
            except TemplateRefused as refused:
                raise ValidationError(str(refused)) from refused
        return template

    def values(self) -> dict[str, Any]:
        """For save_settings."""
        values = {
            name: self.cleaned_data[name] for name in ("enabled", "template", *SENDERS) if name in self.fields
        }
        if "days_before" in self.fields:
            values["options"] = {
                "days_before": self.cleaned_data["days_before"],
                "at": f"{self.cleaned_data['at']:%H:%M}",
            }
        return values


def _labelled(template: MailTemplate) -> str:
    if template.purpose == Purpose.NOTICE:
        return template.name
    return _("%(name)s (advertising: cannot be chosen)") % {"name": template.name}
