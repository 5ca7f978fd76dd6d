"""「デフォルト表示設定」: the texts of one page, and the design of all. Judged by mail/magazines/form_texts.py and form_design.py."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from mail.magazines import form_design
from mail.magazines.form_texts import LANGUAGES, LINES, PART_LABELS, FormPage, own_text, standard, stored_as
from mail.models import Magazine


class TextsForm(forms.Form):
    """A field for each part and language. An empty one is the standard text, which stands in it in grey."""

    def __init__(self, magazine: Magazine, page: FormPage, data: Any = None) -> None:
        super().__init__(data)
        self.page = page
        for part in page.parts:
            for language in LANGUAGES:
                self.fields[stored_as(part, language)] = self._field(magazine, part, language)

    def _field(self, magazine: Magazine, part: str, language: str) -> forms.CharField:
        usual = standard(self.page.key, part, language)
        attrs: dict[str, Any] = {"placeholder": usual}
        if language != "ja":
            attrs["lang"] = language
        line = part in LINES
        return forms.CharField(
            label=PART_LABELS[part],
            required=False,
            strip=False,
            initial=own_text(magazine, self.page.key, part, language),
            widget=forms.TextInput(attrs=attrs) if line else forms.Textarea(attrs=attrs | {"rows": 5}),
        )

    def japanese(self) -> list[forms.BoundField]:
        return [self[part] for part in self.page.parts]

    def english(self) -> list[forms.BoundField]:
        return [self[stored_as(part, "en")] for part in self.page.parts]

    def texts(self) -> dict[str, str]:
        return {name: str(self.cleaned_data.get(name) or "") for name in self.fields}


class DesignForm(forms.Form):
    accent = forms.CharField(
        label=_("Colour of buttons and links"),
        required=False,
        max_length=20,
        widget=forms.TextInput(attrs={"type": "color"}),
    )
    width = forms.ChoiceField(label=_("Width"), required=False, widget=forms.RadioSelect)
    heading = forms.CharField(
        label=_("Words at the top"),
        required=False,
        max_length=form_design.HEADING_MAX,
        help_text=_("Empty: the magazine's name."),
    )

    def __init__(self, magazine: Magazine, data: Any = None) -> None:
        design = form_design.design_of(magazine)
        super().__init__(
            data, initial={"accent": design.accent, "width": design.width, "heading": design.heading}
        )
        self.fields["width"].choices = [(key, label) for key, (_size, label) in form_design.WIDTHS.items()]  # type: ignore[attr-defined]

    def values(self) -> dict[str, str]:
        return {name: str(self.cleaned_data.get(name) or "") for name in self.fields}
