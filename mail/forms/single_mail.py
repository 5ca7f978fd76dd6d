"""「再送信」: parsing the simple mail screen (RES-2). What is allowed is decided in mail/single_mail.py."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail.forms.templates import FilesField
from mail.models import MailTemplate, SendingDomain
from mail.models.template import Charset, MailForm
from mail.templates import NewFile

_SEVERAL = gettext_lazy("Several addresses: separate them with a comma.")


def _label(field: str) -> Any:
    return MailTemplate._meta.get_field(field).verbose_name


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].strip().lower()


class SingleMailForm(forms.Form):
    sending_domain = forms.ChoiceField(
        label=gettext_lazy("Sending domain"),
        help_text=gettext_lazy("The sender's address must belong to it."),
    )
    form = forms.ChoiceField(
        label=_label("form"),
        choices=[(MailForm.TEXT, gettext_lazy("Text form")), (MailForm.HTML, gettext_lazy("HTML form"))],
        widget=forms.RadioSelect,
    )
    from_address = forms.CharField(label=_label("from_address"), max_length=320, strip=True)
    from_name = forms.CharField(label=_label("from_name"), max_length=100, required=False)
    cc = forms.CharField(label=_label("cc"), required=False, help_text=_SEVERAL)
    bcc = forms.CharField(label=_label("bcc"), required=False, help_text=_SEVERAL)
    reply_to = forms.CharField(label=_label("reply_to"), required=False, help_text=_SEVERAL)
    errors_to = forms.CharField(label=_label("errors_to"), required=False)
    to = forms.CharField(label=_label("to"), help_text=_SEVERAL)
    subject = forms.CharField(label=gettext_lazy("Title"), max_length=998)
    text_body = forms.CharField(
        label=_label("text_body"), required=False, strip=False, widget=forms.Textarea(attrs={"rows": 16})
    )
    html_body = forms.CharField(
        label=_label("html_body"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 16, "class": "code", "spellcheck": "false"}),
    )
    multipart = forms.BooleanField(
        label=gettext_lazy("Multipart mail"),
        required=False,
        help_text=gettext_lazy("Tick it to edit the text part and send it along with the HTML."),
    )
    kept = forms.MultipleChoiceField(
        label=gettext_lazy("Attachments of the original mail"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Untick what shall not be sent."),
    )
    files = FilesField(
        required=False,
        label=gettext_lazy("Add attachments"),
        help_text=gettext_lazy(
            "At most 3 MB a file and 10 files; together as much as the system settings allow (normally 5 MB)."
        ),
    )
    charset = forms.ChoiceField(label=_label("charset"), choices=Charset.choices, widget=forms.RadioSelect)

    def __init__(self, *args: Any, attachments: list[dict[str, str]], sender: str, **kwargs: Any) -> None:
        """`attachments`: those of the mail that is edited; `sender`: its sender's address."""
        super().__init__(*args, **kwargs)
        names = list(SendingDomain.objects.values_list("name", flat=True))
        own = domain_of(sender)
        best = max((name for name in names if _within(own, name)), key=len, default="")
        if own and not best:
            names.append(own)
        self.fields["sending_domain"].choices = [(name, name) for name in names]
        self.initial.setdefault("sending_domain", best or own)
        numbered = [
            (str(number), f"{part['name']} ({len(part['content']) * 3 // 4:,} bytes)")
            for number, part in enumerate(attachments)
        ]
        self.fields["kept"].choices = numbered
        if not numbered:
            del self.fields["kept"]
        else:
            self.initial.setdefault("kept", [number for number, _label in numbered])
        for name in ("from_address", "to", "cc", "bcc", "reply_to", "errors_to", "subject"):
            self.fields[name].widget.attrs["class"] = "wide"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        domain, address = cleaned.get("sending_domain"), cleaned.get("from_address")
        if domain and address and "@" in address and not _within(domain_of(address), domain):
            self.add_error(
                "from_address",
                _(
                    "The address is not of the sending domain %(domain)s. Choose the domain that fits, or correct the address."
                )
                % {"domain": domain},
            )
        return cleaned

    @property
    def kept_numbers(self) -> list[int]:
        return [int(number) for number in self.cleaned_data.get("kept") or []]

    @property
    def new_files(self) -> list[NewFile]:
        return [
            NewFile(file.name or "", file.content_type or "", file.read())
            for file in self.cleaned_data.get("files") or []
        ]


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")
