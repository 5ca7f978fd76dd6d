from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from mail.models import ReaderItem


class ReaderItemForm(forms.ModelForm):
    choices_text = forms.CharField(
        label=_("Choices"),
        required=False,
        max_length=30_000,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("One choice per line; for the type “choice” only."),
    )

    class Meta:
        model = ReaderItem
        fields = ("label", "type", "on_form", "required")

    field_order = ("label", "type", "choices_text", "on_form", "required")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["required"].help_text = _("Only for items that the registration form asks for.")
        self.fields["choices_text"].initial = "\n".join(self.instance.choices)
        if self.instance.pk:
            self.fields["type"].disabled = True
            self.fields["type"].help_text = _("The type cannot be changed any more.")

    def item_values(self) -> Mapping[str, Any]:
        data = self.cleaned_data
        return {
            "label": data["label"],
            "type": data["type"],
            "choices": data["choices_text"].splitlines(),
            "on_form": data["on_form"],
            "required": data["required"],
        }
