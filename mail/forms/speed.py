"""「配信速度」: parsing HTTP. What a rule may say is decided in mail/speed_changes.py."""

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from mail.delivery.speed_rules import RELAY
from mail.speed_changes import (
    FIELDS,
    SOURCE_FIELDS,
    WITHOUT_NAMES,
    clean_pool,
    clean_route,
    clean_source_address,
    domain_pattern,
    host_name,
    split_names,
)
from settings.models import DomainRule, SourceIp, Tls

BOUNDS = {
    "connections": (1, 200),
    "mails_per_connection": (1, 10_000),
    "mails_per_minute": (1, 1_000_000),
    "retry_interval_minutes": (1, 1440),
    "retry_period_hours": (1, 168),
}
_TEXTS = {
    "connections": _("Per source IP, to all domains of the rule together."),
    "mails_per_connection": _("Then the connection is closed, and a new one opened."),
    "mails_per_minute": _("Per source IP. Empty: no limit."),
    "retry_interval_minutes": _("Empty: as in the system settings."),
    "retry_period_hours": _("After it the mail ends as an error (41606). Empty: as in the system settings."),
}
_LONGEST = 200_000  # characters of a list of names as typed


class _Names(forms.CharField):
    """A list of names as text; its value is the cleaned list."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false"})

    def __init__(self, one: Any, **options: Any) -> None:
        super().__init__(required=False, max_length=_LONGEST, **options)
        self.one = one

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def clean(self, value: Any) -> list[str]:
        return split_names(super().clean(value), self.one)


class SpeedRuleForm(forms.Form):
    """`seen`: when the stored row was changed last as the page showed it, so that two who change it find out."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=40)
    name = forms.CharField(label=_("Name of the rule"), max_length=100)
    domains = _Names(
        domain_pattern,
        label=_("Receiving domains"),
        help_text=_("One a line. With *. in front: everything below it (*.example.jp)."),
    )
    exchangers = _Names(
        host_name,
        label=_("Mail exchangers (MX)"),
        help_text=_(
            "Domains whose mail is taken by these hosts, or by hosts below them, belong to the rule too."
        ),
    )

    def __init__(
        self, values: dict[str, Any], *, key: str | None, seen: datetime | None, data: Any = None
    ) -> None:
        super().__init__(data, initial=values | {"seen": seen.isoformat() if seen else ""})
        for name, (lowest, highest) in BOUNDS.items():
            column = DomainRule._meta.get_field(name)
            self.fields[name] = forms.IntegerField(
                label=column.verbose_name,  # type: ignore[union-attr]
                required=not column.null,
                min_value=lowest,
                max_value=highest,
                help_text=_TEXTS[name],
            )
        self.fields["tls"] = forms.ChoiceField(
            label=_("Encryption (TLS)"), choices=Tls, widget=forms.RadioSelect,
            help_text=_("Required: a mail that cannot travel encrypted waits and is tried again."),
        )  # fmt: skip
        self.fields["route"] = forms.CharField(
            label=_("Route"), required=False, max_length=260,
            help_text=_("Empty: as the system does. “mx”: straight to the receiver. host:port: through that relay."),
        )  # fmt: skip
        self.left_out = ["domains", "exchangers"] if key in WITHOUT_NAMES else []
        if key == RELAY:
            self.left_out += ["route", "retry_interval_minutes", "retry_period_hours"]
        for name in self.left_out:
            del self.fields[name]
        self._values = values

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if any(not character.isprintable() for character in name):
            raise ValidationError(_("The name must not hold control characters."))
        return name

    def clean_route(self) -> str:
        return clean_route(self.cleaned_data["route"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        interval, period = cleaned.get("retry_interval_minutes"), cleaned.get("retry_period_hours")
        if interval and period and interval > period * 60:
            self.add_error("retry_interval_minutes", _("The interval is longer than the whole period."))
        return cleaned

    @property
    def values(self) -> dict[str, Any]:
        """All columns: as typed, and as they were where the rule has no such field."""
        return {
            name: self._values[name] if name in self.left_out else self.cleaned_data[name] for name in FIELDS
        }

    @property
    def seen_at(self) -> datetime | None:
        try:
            return parse_datetime(self.cleaned_data.get("seen") or "")
        except ValueError:
            return None

    def main_fields(self) -> list[forms.BoundField]:
        return self._shown("connections", "mails_per_connection", "mails_per_minute")

    def retry_fields(self) -> list[forms.BoundField]:
        return self._shown("retry_interval_minutes", "retry_period_hours")

    def name_fields(self) -> list[forms.BoundField]:
        return self._shown("domains", "exchangers")

    def _shown(self, *names: str) -> list[forms.BoundField]:
        return [self[name] for name in names if name in self.fields]


class SourceIpForm(forms.ModelForm):
    class Meta:
        model = SourceIp
        fields = SOURCE_FIELDS
        help_texts = {
            "hostname": _("The name this address says at HELO. Its PTR record must lead to this name, and the name back to the address."),
            "pool": _("Addresses of a pool share the mails of the sending domains that use it. Letters a–z, digits, - and _."),
            "enabled": _("Off: nothing is sent from it any more; mails in the air are finished."),
            "warmup_started_on": _(
                "A new address sends little at first and more every day, for about a month. Empty: it is warm already."
            ),
        }  # fmt: skip
        widgets = {"warmup_started_on": forms.DateInput(attrs={"type": "date"})}

    # The model's own check would run before the address has its one spelling.
    address = forms.CharField(label=_("IP address"), max_length=60)

    def clean_address(self) -> str:
        return clean_source_address(self.cleaned_data["address"])

    def clean_hostname(self) -> str:
        name = self.cleaned_data["hostname"].strip()
        if not name:
            return ""
        cleaned = host_name(name)
        if "." not in cleaned:
            raise ValidationError(_("Enter the full name, for example mta1.example.jp."))
        return cleaned

    def clean_pool(self) -> str:
        return clean_pool(self.cleaned_data["pool"])

    def clean_warmup_started_on(self) -> Any:
        day = self.cleaned_data["warmup_started_on"]
        if day and abs((day - timezone.localdate()).days) > 3650:
            raise ValidationError(_("Enter a day within ten years."))
        return day

    def validate_unique(self) -> None:
        """save_source does it, under its lock."""

    @property
    def values(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in SOURCE_FIELDS}


class DomainQuestionForm(forms.Form):
    """ "Which rule holds for this domain?" An address will do."""

    domain = forms.CharField(label=_("Domain or e-mail address"), max_length=320)

    def clean_domain(self) -> str:
        return host_name(self.cleaned_data["domain"].rpartition("@")[2])
