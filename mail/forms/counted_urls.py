"""「クリックカウントURL一覧」: its search, and one URL to register or to edit."""

from typing import Any

from django import forms
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail.models.counting import CountedUrl

SEARCH = forms.TextInput(attrs={"type": "search"})


class CountedUrlFilterForm(forms.Form):
    url = forms.CharField(label=gettext_lazy("Target URL"), required=False, max_length=2000, widget=SEARCH)
    name = forms.CharField(label=gettext_lazy("URL name"), required=False, max_length=200, widget=SEARCH)
    archived = forms.BooleanField(label=gettext_lazy("Archived ones"), required=False)


class CountedUrlForm(forms.Form):
    """`stored`: the row that is edited. Its URL stays as it is: links in mails already sent lead to it (TRK-6)."""

    url = forms.CharField(
        label=gettext_lazy("Target URL"),
        max_length=2000,
        widget=forms.TextInput(attrs={"class": "wide", "inputmode": "url", "placeholder": "https://"}),
        help_text=gettext_lazy(
            "As it is written in templates. Merge fields may stand behind the host: "
            "https://www.example.jp/form?id={{ リードID }}"
        ),
    )
    name = forms.CharField(
        label=gettext_lazy("URL name"),
        max_length=200,
        help_text=gettext_lazy("Shown in reports, and filled in where a mailing counts this URL."),
    )
    memo = forms.CharField(
        label=gettext_lazy("Memo"), required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 3})
    )

    def __init__(self, *args: Any, stored: CountedUrl | None = None, **kwargs: Any) -> None:
        if stored:
            kwargs["initial"] = {"url": stored.url, "name": stored.name, "memo": stored.memo}
        super().__init__(*args, **kwargs)
        if stored:
            self.fields["url"].disabled = True
            self.fields["url"].help_text = format_html(
                '{} <a href="{}?from={}">{}</a>',
                _(
                    "The URL cannot be changed: links in mails already sent lead to it. For another address, register another URL."
                ),
                reverse("counted_url_new"),
                stored.pk,
                _("Register a URL like this one"),
            )

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())
