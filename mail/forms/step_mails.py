"""The pages of setting up a step mail: 「送信設定」 and 「ステップメール配信」 (STEP-1..3, STEP-5, OPT-3, OPT-4)."""

import uuid
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from leads.models import DmPermission, SavedSearch
from mail.forms.sending import SendingForm
from mail.models import MailTemplate, StepMail, StepOrigin, StepState
from mail.models.template import Purpose
from mail.modes import usable_in
from mail.step_mail import NAME_MAX, WAIT_MAX
from mail.step_words import DAY, HOUR, pattern_sentence, split_wait
from mail.url_patterns import PATTERN_MAX, check_pattern

LONGEST_DAYS = WAIT_MAX // DAY


def shared_searches(campaign_id: int | None) -> QuerySet[SavedSearch]:
    """STEP-2: those of 「検索条件を保存(全ユーザ使用可)」 only, of this mode."""
    return usable_in(campaign_id, SavedSearch.objects.filter(shared=True)).order_by("name")


def usable_templates(campaign_id: int | None) -> QuerySet[MailTemplate]:
    return usable_in(campaign_id, MailTemplate.objects.filter(archived_at=None))


def _with_help(label: Any, text: str) -> SafeString:
    return format_html('<span><b>{}</b><span class="help">{}</span></span>', label, text)


class StepSettingsForm(SendingForm):
    """「送信設定」. `step` is the one being set up or edited, None for a new one."""

    token = forms.UUIDField(required=False, widget=forms.HiddenInput)
    name = forms.CharField(
        label=gettext_lazy("Name of the step mail"),
        max_length=NAME_MAX,
        help_text=gettext_lazy("Only you and your colleagues see it."),
        error_messages={"required": gettext_lazy("Give the step mail a name.")},
    )
    search = forms.ModelChoiceField(
        label=gettext_lazy("Search condition of the recipients"),
        queryset=SavedSearch.objects.none(),
        help_text=gettext_lazy(
            "Searches saved with “Save the search (all users may use it)” can be chosen. Whether somebody matches is looked "
            "up at the origin, and again when the mail is due."
        ),
        error_messages={"required": gettext_lazy("Choose the search condition.")},
    )
    # OPT-4: of one that was started; of a draft the confirmation asks it.
    unwanted_confirmed = forms.BooleanField(
        required=False,
        label=gettext_lazy(
            "I have checked that this is a business notice, and that people who do not want mail may be mailed."
        ),
    )

    def __init__(
        self, *args: Any, campaign_id: int | None, step: StepMail | None = None, **kwargs: Any
    ) -> None:
        kwargs["initial"] = {**self.initial_of(step), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        self.started = step is not None and step.state != StepState.DRAFT
        if not self.started:
            del self.fields["unwanted_confirmed"]
        self.fields["search"].queryset = shared_searches(campaign_id)
        self.fields["search"].empty_label = _("Choose a search condition")
        self.fields["template"].queryset = usable_templates(campaign_id)
        self.fields["template"].empty_label = _("Choose a template")
        self.fields["dm_permissions"].choices = [
            (DmPermission.WANTED.value, format_html("<b>{}</b>", DmPermission.WANTED.label)),
            (DmPermission.UNWANTED.value, _with_help(
                DmPermission.UNWANTED.label,
                _("Also sends to people who do not want mail. Only for business notices without advertising."),
            )),
        ]  # fmt: skip
        self.fields["include_sent"].choices = [
            ("no", _with_help(_("Leave them out"), _(
                "The same template never reaches the same lead twice, however often the origin happens and whatever else it "
                "is sent by."
            ))),
            ("yes", _with_help(_("Send to them too"), _(
                "The mail is sent once for every origin, so the same person can get it several times."
            ))),
        ]  # fmt: skip

    @staticmethod
    def initial_of(step: StepMail | None) -> dict[str, Any]:
        if step is None:
            return {
                "token": uuid.uuid4(),
                "dm_permissions": [DmPermission.WANTED.value],
                "include_sent": "no",
                "count_clicks": "no",
            }
        return {
            "token": step.token,
            "name": step.name,
            "search": step.search_id,
            "template": step.template_id,
            "dm_permissions": step.dm_permissions,
            "include_sent": "yes" if step.include_sent else "no",
            "count_clicks": "yes" if step.count_clicks else "no",
        }

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        if not name:
            raise ValidationError(_("Give the step mail a name."))
        return name

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        template, permissions = values.get("template"), values.get("dm_permissions") or []
        if template and DmPermission.UNWANTED in permissions and template.purpose != Purpose.NOTICE:
            # OPT-4: the anti-spam law; it is refused again when the step mail is put into operation.
            self.add_error("dm_permissions", _(
                "This template is advertising. The anti-spam law (特定電子メール法) forbids sending it to people who do "
                "not want mail: untick “Not wanted”, or use a template whose purpose is “Business notice”."
            ))  # fmt: skip
        if self.started and DmPermission.UNWANTED in permissions and not values.get("unwanted_confirmed"):
            self.add_error(
                "unwanted_confirmed", _("Confirm that people who do not want mail will be mailed.")
            )
        return values

    def values(self) -> dict[str, Any]:
        """The fields of the row, from cleaned data."""
        wanted = ("name", "search", "template", "dm_permissions", "include_sent", "count_clicks")
        values = {name: self.cleaned_data[name] for name in wanted}
        confirmed = self.started and DmPermission.UNWANTED in values["dm_permissions"]
        return (
            values
            | {"unwanted_confirmed": confirmed}
            | ({} if values["count_clicks"] else {"count_opens": False})
        )


def _number(label: Any, largest: int) -> forms.IntegerField:
    box = forms.NumberInput(attrs={"class": "short", "inputmode": "numeric", "aria-label": label})
    return forms.IntegerField(label=label, min_value=0, max_value=largest, required=False, widget=box)


class StepTimingForm(forms.Form):
    """「ステップメール配信」: the origin, and 「【待機して実行】起点から__日__時間__分後に送信」."""

    url_pattern = forms.CharField(
        label=gettext_lazy("URL of the page"),
        max_length=PATTERN_MAX,
        widget=forms.TextInput(
            attrs={
                "class": "wide",
                "placeholder": "www.example.co.jp/seminar/*",
                "spellcheck": "false",
                "autocapitalize": "off",
                "autocomplete": "off",
            }
        ),
        help_text=gettext_lazy(
            "Write the address of the page, with its host in full. * stands for anything behind the host."
        ),
        error_messages={"required": gettext_lazy("Enter the URL of the page.")},
    )
    days = _number(gettext_lazy("Days"), LONGEST_DAYS)
    hours = _number(gettext_lazy("Hours"), 23)
    minutes = _number(gettext_lazy("Minutes"), 59)

    def __init__(self, *args: Any, step: StepMail, **kwargs: Any) -> None:
        days, hours, minutes = split_wait(step.wait_minutes)
        kwargs.setdefault(
            "initial", {"url_pattern": step.url_pattern, "days": days, "hours": hours, "minutes": minutes}
        )
        super().__init__(*args, **kwargs)
        if step.origin == StepOrigin.APPLICATION:
            del self.fields["url_pattern"]

    def clean_url_pattern(self) -> str:
        return check_pattern(self.cleaned_data["url_pattern"])

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if not self.errors and self._minutes(values) > WAIT_MAX:
            self.add_error("days", _("The wait is at most %(days)s days.") % {"days": LONGEST_DAYS})
        return values

    @staticmethod
    def _minutes(values: dict[str, Any]) -> int:
        """An empty box means 0."""
        days, hours, minutes = (values[name] or 0 for name in ("days", "hours", "minutes"))
        return int(days * DAY + hours * HOUR + minutes)

    @property
    def meaning(self) -> str:
        """What the URL means as it stands in the page now; "" when it is none (the field's error says why)."""
        try:
            return (
                pattern_sentence(str(self["url_pattern"].value() or ""))
                if "url_pattern" in self.fields
                else ""
            )
        except ValidationError:
            return ""

    def wrong_numbers(self) -> list[str]:
        """The errors of the three small boxes, each with its name: they share one place."""
        return [
            f"{self.fields[name].label}: {error}"
            for name in ("days", "hours", "minutes")
            for error in self.errors.get(name, [])
        ]

    def values(self) -> dict[str, Any]:
        """The fields of the row, from cleaned data."""
        clean = self.cleaned_data
        pattern = {"url_pattern": clean["url_pattern"]} if "url_pattern" in clean else {}
        return {"wait_minutes": self._minutes(clean)} | pattern
