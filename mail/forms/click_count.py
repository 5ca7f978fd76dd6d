"""「クリックカウントURL指定」: which URLs of a mail are counted, under which names, and whether its opens are (TRK-1, TRK-2).

For any mailing that counts (models/counting.py): the send wizard and step mails show it by `mail/_click_count.html`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from mail.click_count import NAME_MAX, digest_of
from mail.counted_links import FoundUrl, find_urls
from mail.merging import TemplateError
from mail.models.counting import CountedUrl, Counting
from mail.models.template import MailForm
from mail.modes import usable_in

# Two fields for each: Django reads 1000 of a form.
URLS_MAX = 300


@dataclass
class UrlRow:
    """A countable URL of the mail as the page shows it. Its fields are named by `key`, which is made of the URL: what is
    posted is never taken for another URL, whatever happened to the template meanwhile (TRK-5)."""

    key: str
    found: FoundUrl
    name: forms.BoundField
    ticked: bool


class _Keys(forms.MultipleChoiceField):
    def valid_value(self, value: str) -> bool:
        return True  # what the mail does not hold is left out by `clean`


class ClickCountForm(forms.Form):
    """`content`: as snapshot_content makes it (its form and bodies are looked at); `counting`: what was chosen so far."""

    count = _Keys(required=False, widget=forms.CheckboxSelectMultiple)
    opens = forms.BooleanField(label=pgettext_lazy("click count", "Measure the open rate"), required=False)

    def __init__(
        self,
        *args: Any,
        content: Mapping[str, Any],
        counting: Counting,
        campaign_id: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        try:
            found = find_urls(content)
        except TemplateError:  # the checks before sending say where it is broken
            found = []
        self.mail_form = MailForm(content["form"])
        countable = [one for one in found if one.countable]
        self._found = {digest_of(one.url): one for one in countable[:URLS_MAX]}
        self.too_many = countable[URLS_MAX:]
        self.not_countable = [one for one in found if not one.countable]
        # Which URLs the page showed: ticks of an older state of the template are asked about once more.
        self.seen = digest_of("\n".join(self._found))[:16]
        self._chosen = (
            None
            if counting.counted_urls is None
            else {item["url"]: item["name"] for item in counting.counted_urls}
        )
        # A URL that was not there when the others were chosen is ticked, as at first (not kept for step mails).
        known = getattr(counting, "known_urls", None)
        self._known = None if known is None else {*known, *(self._chosen or {})}
        self._came: set[str] = set()  # keys that were not on the page that was sent
        registered = dict(
            usable_in(campaign_id, CountedUrl.objects.filter(digest__in=self._found)).values_list(
                "url", "name"
            )
        )
        for key, one in self._found.items():
            name = (self._chosen or {}).get(one.url) or registered.get(one.url) or one.label or one.url
            name = _one_line(name)[:NAME_MAX]
            self.fields[f"name_{key}"] = forms.CharField(
                label=_("URL name"), required=False, max_length=NAME_MAX, initial=name
            )
            if self.is_bound and f"name_{key}" not in self.data:
                self._came.add(key)
                self.data = self.data.copy()
                self.data[f"name_{key}"] = name
        opens = self.fields["opens"]
        if not self.may_measure_opens:
            opens.disabled, opens.initial = True, False
        elif counting.counted_urls is not None:
            opens.initial = counting.count_opens
        else:
            opens.initial = True

    @property
    def may_measure_opens(self) -> bool:
        """TRK-2: only HTML is opened in a way that can be seen."""
        return self.mail_form != MailForm.TEXT

    @property
    def rows(self) -> list[UrlRow]:
        """The countable URLs in the order of the mail; at first all are ticked."""
        if self.is_bound:
            ticked = {*(self["count"].value() or []), *self._came}
        else:
            ticked = {key for key, one in self._found.items() if self._to_be_ticked(one.url)}
        return [
            UrlRow(key=key, found=one, name=self[f"name_{key}"], ticked=key in ticked)
            for key, one in self._found.items()
        ]

    def _to_be_ticked(self, url: str) -> bool:
        if self._chosen is None:
            return True
        return url in self._chosen or (self._known is not None and url not in self._known)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if self.data.get("seen") != self.seen:
            raise ValidationError(
                _("The URLs of the template changed meanwhile. Check what is ticked now, then go on.")
            )
        chosen: dict[str, str] = {}
        for key, one in self._found.items():
            if key not in (values.get("count") or []) or f"name_{key}" in self.errors:
                continue
            name = _one_line(values.get(f"name_{key}") or "")
            if name:
                chosen[one.url] = name
            else:
                self.add_error(f"name_{key}", _("Enter a name for this URL."))
        values["urls"] = chosen
        return values

    @property
    def choice(self) -> dict[str, Any]:
        """{"urls": {url: name}, "opens": bool} for mail.click_count.choose, from cleaned data."""
        return {"urls": self.cleaned_data["urls"], "opens": self.cleaned_data["opens"]}


def _one_line(text: str) -> str:
    return " ".join(text.split())
