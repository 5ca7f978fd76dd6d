"""A magazine: the form of a new one, and 「基本設定」. What is allowed is decided in mail/magazines/magazines.py."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail.alignment import sender_hint
from mail.bounces.forwarded_mail import failure_address
from mail.mail_kinds import TEMPLATE_KIND, settings_of
from mail.merge_fields import check_names, known_names
from mail.merging import TemplateError
from mail.models import FailureGroup, Magazine, MailTemplate
from mail.models.template import MailForm, Purpose
from mail.template_check import Problem, address_errors, legal_problems
from smp.lib.mode import url_in

SENDER = ("from_name", "from_address", "reply_to", "errors_to")
FOOTER = ("footer_text", "footer_html")
THRESHOLDS = {f"stop_{group}": group for group in FailureGroup}
_ADDRESSES = ("from_address", "reply_to", "errors_to")
_HELP = {
    "name": gettext_lazy("Readers see it on forms and in notices."),
    "description": gettext_lazy("Shown on the registration form."),
    "from_name": gettext_lazy("Shown before the sender's address."),
    "from_address": gettext_lazy("One address."),
    "reply_to": gettext_lazy("Empty: replies come to the sender's address. Several: separated by a comma."),
    "footer_text": gettext_lazy("Stands below each mail of this magazine. Merge fields can be used."),
    "footer_html": gettext_lazy("For HTML mails. Empty: the text footer is used there too."),
    "registration_open": gettext_lazy("Off: the registration form says that registrations are closed."),
    "double_opt_in": gettext_lazy(
        "Who registers by the form becomes a reader only after following the link in a mail. It keeps strangers from "
        "registering other people's addresses."
    ),
    "confirm_page": gettext_lazy(
        "Registering and leaving ask once more before anything happens. The page says that it is not done yet; its words "
        "are edited in 「デフォルト表示設定」."
    ),
    "empty_mail": gettext_lazy(
        "Whoever sends a mail to the address below is asked to confirm the registration."
    ),
}


def legal_gaps(footer_text: str, footer_html: str, *, from_name: str) -> list[Problem]:
    """LAW-1: what the footers do not say yet; each story's own text may say it instead."""
    form = MailForm.MULTIPART if footer_html.strip() else MailForm.TEXT
    return legal_problems(
        MailTemplate(
            form=form, purpose=Purpose.ADVERTISING, from_name=from_name, text_body=footer_text, html_body=footer_html
        )
    )  # fmt: skip


class _SenderForm(forms.ModelForm):
    """Name and sender, with the checks of the address fields (ADDR-1, ADDR-2)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("name", *_ADDRESSES):
            if name in self.fields:
                self.fields[name].widget.attrs["class"] = "wide"
        for name in _ADDRESSES:
            if name in self.fields:
                field = self.fields[name]
                field.widget.attrs.pop("maxlength", None)
                field.max_length = None
                field.validators = [
                    check for check in field.validators if not isinstance(check, MaxLengthValidator)
                ]
        value = self.data.get("from_address") if self.is_bound else self.initial.get("from_address")
        if hint := sender_hint(value or ""):
            field = self.fields["from_address"]
            link = format_html(' <a href="{}">{}</a>', url_in(None, "sending_domains"), _("Sending domains"))
            field.help_text = format_html(
                '{} <span class="warn-text">{}</span>{}', field.help_text, hint, link
            )

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        if not name:
            raise ValidationError(_("Give the magazine a name."))
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        values = {name: cleaned.get(name) or "" for name in _ADDRESSES if name in self.fields}
        for problem in address_errors(values, ()):
            self.add_error(problem.field, problem.text)
        return cleaned

    def _get_validation_exclusions(self) -> set[str]:
        # Address fields are judged by clean() above, in words that name what to do.
        return super()._get_validation_exclusions() | set(_ADDRESSES)

    def values(self) -> dict[str, Any]:
        """The fields of the row, from cleaned data."""
        return {name: self.cleaned_data[name] for name in self._meta.fields}

    def add_problems(self, problem: ValidationError) -> None:
        """What the domain refuses: beside the fields it is about."""
        for name, errors in getattr(problem, "error_dict", {None: problem}).items():
            self.add_error(name if name in self.fields else None, errors)


class NewMagazineForm(_SenderForm):
    class Meta:
        model = Magazine
        fields = ("name", "from_name", "from_address")
        help_texts = _HELP

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        usual = settings_of(TEMPLATE_KIND)
        initial = {name: getattr(usual, name) for name in ("from_name", "from_address")}
        kwargs["initial"] = {name: value for name, value in initial.items() if "{{" not in value}
        super().__init__(*args, **kwargs)


class MagazineSettingsForm(_SenderForm):
    """「基本設定」. `confirmed` answers what `asks` lists."""

    seen_at = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Magazine
        fields = (
            "name", "description", *SENDER, *FOOTER, "leave_does", "blacklist", "registration_open", "double_opt_in",
            "confirm_page", "empty_mail", *THRESHOLDS,
        )  # fmt: skip
        help_texts = _HELP
        widgets = {
            "description": forms.TextInput(attrs={"class": "wide"}),
            "leave_does": forms.RadioSelect,
            "footer_text": forms.Textarea(attrs={"rows": 9}),
            "footer_html": forms.Textarea(attrs={"rows": 7, "class": "code", "spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["leave_does"].choices = Magazine._meta.get_field("leave_does").choices
        self.fields["blacklist"].label = _(
            "Addresses that left once (stopped, or removed from the list) are not registered again by administrators "
            "(blacklist)"
        )
        self.fields["errors_to"].help_text = _(
            "Empty or %(address)s: nobody is bothered; any other address also gets each bounce. The system records all."
        ) % {"address": failure_address()}
        for name, group in THRESHOLDS.items():
            self.fields[name].label = FailureGroup(group).label
            self.fields[name].widget.attrs |= {"class": "short", "inputmode": "numeric"}
            self.fields[name].usual = Magazine._meta.get_field(name).default
        for name in FOOTER:
            self.fields[name].strip = False
        self.initial["seen_at"] = self.instance.updated_at.isoformat()
        # As stored: ModelForm writes what was posted into the instance.
        self.stored = {name: self.initial[name] for name in ("blacklist", *THRESHOLDS)}

    def clean_seen_at(self) -> Any:
        try:
            return parse_datetime(self.cleaned_data["seen_at"]) if self.cleaned_data["seen_at"] else None
        except ValueError:
            raise ValidationError(_("Open the page again.")) from None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        names = known_names()
        for field in FOOTER:
            try:
                check_names(cleaned.get(field) or "", names)
            except TemplateError as error:
                self.add_error(field, str(error))
        return cleaned

    @property
    def thresholds(self) -> list[forms.BoundField]:
        return [self[name] for name in THRESHOLDS]

    def stricter(self) -> dict[str, int]:
        """The thresholds that are lower than before, or new where there was none (MAG-5)."""
        found = {}
        for name, group in THRESHOLDS.items():
            new, old = self.cleaned_data[name], self.stored[name]
            if new and (old is None or new < old):
                found[str(group)] = new
        return found

    @property
    def switches_blacklist_off(self) -> bool:
        return bool(self.stored["blacklist"]) and not self.cleaned_data["blacklist"]
