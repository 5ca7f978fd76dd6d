"""The template editor, 「メール設定」 and the test send: parsing HTTP. What is allowed is decided in mail/."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import MaxLengthValidator
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail.address_fields import LIST_MAX
from mail.alignment import sender_hint
from mail.bounces.forwarded_mail import failure_address
from mail.mail_kinds import MailKind
from mail.merge_fields import known_names
from mail.models import MailSettings, MailTemplate, TemplateAttachment
from mail.models.template import Charset, MailForm, Purpose
from mail.template_check import ADDRESS_FIELDS, address_errors, writing_errors
from mail.templates import FIELDS, NewFile
from mail.test_send import TestRefused, split_test_addresses
from smp.lib.mode import url_in

_LIST_HELP = gettext_lazy(
    "Several addresses or merge fields: separate them with a comma. At most 1000 characters."
)
_HELP = {
    "name": gettext_lazy("Only seen here, never by recipients."),
    "subject": gettext_lazy("Merge fields can be used."),
    "purpose": gettext_lazy(
        "Advertising needs the sender's name, address, contact and an opt-out notice in the text, and never goes to people who "
        "do not want mail. Business notices without any advertising may go to everybody."
    ),
    "charset": gettext_lazy(
        "UTF-8 carries every character. With ISO-2022-JP (for old devices) a mail whose text needs more is sent as UTF-8."
    ),
    "to": gettext_lazy(
        "Normally {{ メールアドレス }}. Several: separated by a comma, at most 1000 characters."
    ),
    "from_address": gettext_lazy("One address."),
    "from_name": gettext_lazy("Shown before the sender's address."),
    "cc": _LIST_HELP,
    "bcc": _LIST_HELP,
    "reply_to": _LIST_HELP,
    "errors_to": format_lazy(
        gettext_lazy(
            "One address. Bounces always come to the system itself, which records them with the mail. Empty or {address}: nobody "
            "is bothered. Any other address also gets each bounce forwarded."
        ),
        address=failure_address(),
    ),
}


class FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True
    template_name = "django/forms/widgets/file.html"


class FilesField(forms.FileField):
    """Several files of one field; [] for none."""

    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile]:
        return [super(FilesField, self).clean(file, initial) for file in (data or []) if file]


def _measured_by_ourselves(form: forms.ModelForm) -> None:
    """ADDR-1: address fields are counted as typed and refused with the number. A maxlength attribute would make the
    browser cut a pasted list silently."""
    for name in ADDRESS_FIELDS:
        if name in form.fields:
            field = form.fields[name]
            field.widget.attrs.pop("maxlength", None)
            field.widget.attrs["class"] = "wide"
            field.max_length = None
            field.validators = [
                check for check in field.validators if not isinstance(check, MaxLengthValidator)
            ]


def _say_if_unregistered(form: forms.ModelForm) -> None:
    """RATE-4: beside the sender's address, as it stands now."""
    value = form.data.get("from_address") if form.is_bound else form.initial.get("from_address")
    if hint := sender_hint(value or ""):
        field = form.fields["from_address"]
        # The page of sending domains is one of all campaigns; whoever works in one only is told in words.
        link = format_html(' <a href="{}">{}</a>', url_in(None, "sending_domains"), _("Sending domains"))
        in_campaign = form.instance.campaign_id is not None
        field.help_text = format_html(
            '{} <span class="warn-text">{}</span>{}', field.help_text, hint, "" if in_campaign else link
        )


class ContentForm(forms.ModelForm):
    """What is written of a mail, of a template or of a story, with its attachments; `seen_at`: the version that was shown."""

    seen_at = forms.CharField(required=False, widget=forms.HiddenInput)
    files = FilesField(
        required=False,
        label=gettext_lazy("Add attachments"),
        help_text=gettext_lazy(
            "At most 3 MB a file and 10 files; together as much as the system settings allow (normally 5 MB)."
        ),
    )
    removed = forms.ModelMultipleChoiceField(
        queryset=None,
        required=False,
        label=gettext_lazy("Attachments to remove"),
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = MailTemplate
        fields = ("subject", "form", "charset", "text_body", "html_body")
        help_texts = _HELP
        widgets = {
            "form": forms.RadioSelect,
            "purpose": forms.RadioSelect,
            "charset": forms.RadioSelect,
            "name": forms.TextInput(attrs={"class": "wide"}),
            "subject": forms.TextInput(attrs={"class": "wide"}),
            "text_body": forms.Textarea(attrs={"rows": 18}),
            "html_body": forms.Textarea(attrs={"rows": 18, "class": "code", "spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["form"].choices = MailForm.choices
        self.fields["charset"].choices = Charset.choices
        attachments = TemplateAttachment.objects.filter(template_id=self.instance.pk or 0).defer("content")
        self.fields["removed"].queryset = attachments
        self.fields["removed"].label_from_instance = lambda file: f"{file.file_name} ({file.size:,} bytes)"
        for field in ("text_body", "html_body"):
            self.fields[field].strip = False

    @property
    def new_files(self) -> list[NewFile]:
        return [
            NewFile(file.name or "", file.content_type or "", file.read())
            for file in self.cleaned_data.get("files") or []
        ]

    @property
    def removed_ids(self) -> list[int]:
        return [file.pk for file in self.cleaned_data["removed"]]


class TemplateForm(ContentForm):
    class Meta(ContentForm.Meta):
        fields = FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["purpose"].choices = Purpose.choices
        if self.instance.pk:
            self.initial["seen_at"] = self.instance.updated_at.isoformat()
        _measured_by_ourselves(self)
        _say_if_unregistered(self)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        template = MailTemplate(**{field: cleaned.get(field) or "" for field in FIELDS})
        for problem in writing_errors(template, known_names()):
            if problem.field not in self.errors:
                self.add_error(problem.field, problem.text)
        return cleaned

    def _get_validation_exclusions(self) -> set[str]:
        # Address fields are judged by clean() above, in words that name what to do.
        return super()._get_validation_exclusions() | set(ADDRESS_FIELDS)

    def clean_seen_at(self) -> Any:
        text = self.cleaned_data["seen_at"]
        try:
            return parse_datetime(text) if text else None
        except ValueError:
            raise ValidationError(_("Open the template again.")) from None


class MailSettingsForm(forms.ModelForm):
    class Meta:
        model = MailSettings
        fields = ("enabled", "from_address", "from_name", "cc", "bcc", "reply_to", "errors_to")
        help_texts = _HELP

    def __init__(self, *args: Any, kind: MailKind, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not kind.automatic:
            del self.fields["enabled"]
        _measured_by_ourselves(self)
        _say_if_unregistered(self)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        values = {field: cleaned.get(field) or "" for field in ADDRESS_FIELDS if field in self.fields}
        for problem in address_errors(values, known_names()):
            self.add_error(problem.field, problem.text)
        return cleaned

    def _get_validation_exclusions(self) -> set[str]:
        return super()._get_validation_exclusions() | set(ADDRESS_FIELDS)


class TestSendForm(forms.Form):
    __test__ = False

    addresses = forms.CharField(
        label=gettext_lazy("Send the test mail to"),
        max_length=LIST_MAX,
        widget=forms.TextInput(attrs={"class": "wide"}),
        help_text=gettext_lazy(
            "Your own address, or up to 10, separated by commas. CC and BCC of the template are not used."
        ),
    )

    def clean_addresses(self) -> list[str]:
        try:
            return split_test_addresses(self.cleaned_data["addresses"])
        except TestRefused as error:
            raise ValidationError(str(error)) from error


class TemplateFilterForm(forms.Form):
    q = forms.CharField(
        required=False,
        max_length=200,
        label=gettext_lazy("Template name or subject"),
        widget=forms.SearchInput,
    )
    form = forms.ChoiceField(
        required=False, label=gettext_lazy("Form"), choices=[("", gettext_lazy("All")), *MailForm.choices]
    )
    purpose = forms.ChoiceField(
        required=False, label=gettext_lazy("Purpose"), choices=[("", gettext_lazy("All")), *Purpose.choices]
    )
    archived = forms.BooleanField(required=False, label=gettext_lazy("Archived ones"))
