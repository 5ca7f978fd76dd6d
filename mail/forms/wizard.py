"""Page 1 of the send wizard: whom, what, with which permissions, when (TGT-1, OPT-3, OPT-4, EXC-2)."""

import datetime
import uuid
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from leads.models import DmPermission, SavedSearch
from mail.forms.sending import Revealing, SendingForm
from mail.models import MailTemplate, SendJob
from mail.models.send_job import RecipientRule
from mail.models.template import Purpose
from mail.modes import usable_in
from settings.models import User


def usable_searches(user: User, campaign_id: int | None) -> QuerySet[SavedSearch]:
    """One's own saved searches and those that all users may use, of this mode (APP-1)."""
    searches = usable_in(campaign_id, SavedSearch.objects.all())
    return searches.filter(Q(owner=user) | Q(shared=True)).order_by("name")


class TimingChoice(Revealing, forms.RadioSelect):
    shows = {"later": "later"}


def _choice(label: str, help_text: str) -> SafeString:
    return format_html('<span><b>{}</b><span class="help">{}</span></span>', label, help_text)


class WizardForm(SendingForm):
    """`job` is the draft being changed (None on the entry page); `ticked` how many leads are ticked so far."""

    token = forms.UUIDField(required=False, widget=forms.HiddenInput)
    rule = forms.ChoiceField(
        label=gettext_lazy("How recipients are given"),
        choices=RecipientRule.choices,
        widget=forms.RadioSelect,
    )
    search = forms.ModelChoiceField(
        label=gettext_lazy("Search condition of the recipients"),
        queryset=SavedSearch.objects.none(),
        required=False,
    )
    timing = forms.ChoiceField(
        label=gettext_lazy("When to send"),
        choices=[("now", gettext_lazy("Send at once")), ("later", gettext_lazy("Reserve a time"))],
        widget=TimingChoice,
    )
    date = forms.DateField(
        label=gettext_lazy("Date"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    time = forms.TimeField(
        label=gettext_lazy("Time (Japan)"),
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
    )

    def __init__(
        self,
        *args: Any,
        user: User,
        now: datetime.datetime,
        campaign_id: int | None,
        job: SendJob | None = None,
        ticked: int = 0,
        **kwargs: Any,
    ) -> None:
        kwargs["initial"] = {**self.initial_of(job), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        self.now, self.ticked = now, ticked
        searches = usable_searches(user, campaign_id)
        if job and job.search_id:
            searches = SavedSearch.objects.filter(
                Q(pk=job.search_id) | Q(pk__in=searches.values("pk"))
            ).order_by("name")
        self.fields["search"].queryset = searches
        self.fields["search"].empty_label = _("Choose a search condition")
        self.fields["template"].queryset = usable_in(
            campaign_id, MailTemplate.objects.filter(archived_at=None)
        )
        self.fields["template"].empty_label = _("Choose a template")
        self.fields["include_sent"].help_text = _(
            "With “Leave them out”, leads who already received this template in any way are left out."
        )
        self.fields["rule"].choices = [
            (RecipientRule.BY_USER.value, _choice(_("By user"), _(
                "You tick the people (at most 500). The list and the decision are fixed when you reserve. "
                "Good for picking single people."
            ))),
            (RecipientRule.BY_SEARCH.value, _choice(_("By search"), _(
                "The condition is searched again when sending starts, so later changes of leads count. "
                "Good for many people; the condition stays visible in the history."
            ))),
        ]  # fmt: skip
        self.fields["dm_permissions"].choices = [
            (DmPermission.WANTED.value, format_html("<b>{}</b>", DmPermission.WANTED.label)),
            (DmPermission.UNWANTED.value, _choice(
                str(DmPermission.UNWANTED.label),
                _("Also sends to people who do not want mail. Only for business notices without advertising."),
            )),
        ]  # fmt: skip

    @staticmethod
    def initial_of(job: SendJob | None) -> dict[str, Any]:
        if job is None:
            return {
                "token": uuid.uuid4(),
                "rule": RecipientRule.BY_SEARCH.value,
                "dm_permissions": [DmPermission.WANTED.value],
                "include_sent": "no",
                "count_clicks": "no",
                "timing": "now",
            }
        at = timezone.localtime(job.scheduled_at) if job.scheduled_at else None
        return {
            "token": job.token,
            "rule": job.rule,
            "search": job.search_id,
            "template": job.template_id,
            "dm_permissions": job.dm_permissions,
            "include_sent": "yes" if job.include_sent else "no",
            "count_clicks": "yes" if job.count_clicks else "no",
            "timing": "later" if at else "now",
            "date": at.date() if at else None,
            "time": at.time() if at else None,
        }

    @property
    def has_searches(self) -> bool:
        return bool(self.fields["search"].queryset.exists())

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        by_user = values.get("rule") == RecipientRule.BY_USER
        if not values.get("search") and "search" not in self.errors and not (by_user and self.ticked):
            self.add_error("search", _("Choose the search condition whose leads are addressed."))
        template, permissions = values.get("template"), values.get("dm_permissions") or []
        if template and DmPermission.UNWANTED in permissions and template.purpose != Purpose.NOTICE:
            # OPT-4: the anti-spam law; the wizard refuses it again at the confirmation.
            self.add_error("dm_permissions", _(
                "This template is advertising. The anti-spam law (特定電子メール法) forbids sending it to people who do "
                "not want mail: untick “Not wanted”, or use a template whose purpose is “Business notice”."
            ))  # fmt: skip
        values["scheduled_at"] = self._scheduled_at(values) if values.get("timing") == "later" else None
        return values

    def _scheduled_at(self, values: dict[str, Any]) -> datetime.datetime | None:
        date, time = values.get("date"), values.get("time")
        for name, value, text in (("date", date, _("Enter the date.")), ("time", time, _("Enter the time."))):
            if value is None and name not in self.errors:
                self.add_error(name, text)
        if not date or time is None:
            return None
        at = datetime.datetime.combine(date, time, tzinfo=timezone.get_default_timezone())
        if at <= self.now:
            self.add_error("date", _("This time is in the past. Choose a later one, or send at once."))
        return at

    def draft_values(self) -> dict[str, Any]:
        """The draft's fields, from cleaned data. By search keeps no ticks, by user may have no condition."""
        wanted = (
            "rule", "search", "template", "dm_permissions", "include_sent", "count_clicks", "scheduled_at",
        )  # fmt: skip
        return {name: self.cleaned_data[name] for name in wanted}
