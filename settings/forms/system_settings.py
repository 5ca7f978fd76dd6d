import json

from django import forms
from django.utils.translation import gettext_lazy as _

from settings.system_settings import Setting, clean_value


def yes_no(value: str) -> bool:
    return value == "1"


class SystemSettingForm(forms.Form):
    """One setting. `seen` carries the value the page showed, so that two who change it at once find out."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, setting: Setting, value, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.setting = setting
        self.fields["value"] = self._field(setting)
        self.initial["value"] = ("1" if value else "0") if setting.type is bool else value
        self.initial["seen"] = json.dumps(value, ensure_ascii=False)

    @staticmethod
    def _field(setting: Setting) -> forms.Field:
        texts = {"label": setting.label, "help_text": setting.help}
        if setting.type is bool:
            return forms.TypedChoiceField(
                choices=[("1", _("Enabled (1)")), ("0", _("Disabled (0)"))],
                coerce=yes_no,
                widget=forms.RadioSelect,
                **texts,
            )
        if setting.choices:
            return forms.ChoiceField(choices=setting.choices, widget=forms.RadioSelect, **texts)
        if setting.type is int:
            # Bounds are the setting's own (clean_value): one message, also for the API of commands.
            return forms.IntegerField(widget=forms.NumberInput(attrs=_bounds(setting)), **texts)
        if setting.type == "text":
            return forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 4}), **texts)
        return forms.CharField(required=False, widget=forms.TextInput(attrs={"class": "wide"}), **texts)

    def clean_value(self):
        return clean_value(self.setting, self.cleaned_data["value"])

    @property
    def expected(self):
        """The value seen, or None when the form did not say (then nothing is compared)."""
        try:
            return json.loads(self.cleaned_data.get("seen") or "null")
        except ValueError:
            return None


def _bounds(setting: Setting) -> dict[str, int]:
    return {
        name: bound
        for name, bound in (("min", setting.minimum), ("max", setting.maximum))
        if bound is not None
    }
