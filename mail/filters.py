"""The filter of 「ウィザード利用履歴」."""

from datetime import datetime
from typing import Any

import django_filters
from django import forms
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.models import Campaign
from mail.counted_url_list import jobs_counting
from mail.job_queries import MAX_ID, text_filter
from mail.models import MailTemplate, SendJob
from mail.models.counting import CountedUrl
from mail.models.send_job import JobState, RecipientRule
from mail.modes import usable_in
from mail.send_jobs import LOCKED_BEFORE_START
from settings.models import User

DATE = forms.DateInput(attrs={"type": "date"})


class JobFilter(django_filters.FilterSet):
    counted_url: CountedUrl | None = None  # what `counts` found

    q = django_filters.CharFilter(
        label=_("ID, template, search condition"),
        method="by_text",
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    state = django_filters.ChoiceFilter(
        label=_("Sending status"),
        choices=[choice for choice in JobState.choices if choice[0] != JobState.DRAFT],
        method="by_state",
        empty_label=_("All"),
    )
    rule = django_filters.ChoiceFilter(
        label=_("How recipients are given"), choices=RecipientRule.choices, empty_label=_("All")
    )
    template = django_filters.ModelChoiceFilter(
        label=_("Template"),
        queryset=MailTemplate.objects.filter(magazine=None).order_by("name"),
        empty_label=_("All"),
    )
    created_by = django_filters.ModelChoiceFilter(
        label=_("Made by"), queryset=User.objects.order_by("name"), empty_label=_("All")
    )
    campaign = django_filters.ModelChoiceFilter(
        label=_("Campaign"),
        queryset=Campaign.objects.order_by("-id"),
        empty_label=_("All"),
        null_label=_("All-campaign mode only"),
    )
    since = django_filters.DateFilter(
        label=_("Registered from"), field_name="created_at", lookup_expr="date__gte", widget=DATE
    )
    until = django_filters.DateFilter(
        label=_("Registered until"), field_name="created_at", lookup_expr="date__lte", widget=DATE
    )

    counts = django_filters.NumberFilter(
        method="by_counted_url", min_value=1, max_value=MAX_ID, widget=forms.HiddenInput
    )

    class Meta:
        model = SendJob
        fields: list[str] = []

    def __init__(self, *args: Any, campaign_id: int | None = None, **kwargs: Any) -> None:
        """Inside a campaign its templates and the people who sent something there; among all campaigns everything, and
        a choice of the campaign."""
        super().__init__(*args, **kwargs)
        self.counted_urls = usable_in(campaign_id, CountedUrl.objects.all())
        if campaign_id is not None:
            del self.filters["campaign"]
            self.filters["template"].queryset = MailTemplate.objects.filter(campaign_id=campaign_id).order_by(
                "name"
            )
            self.filters["created_by"].queryset = User.objects.filter(
                pk__in=SendJob.objects.filter(campaign_id=campaign_id).values("created_by")
            ).order_by("name")

    def by_text(self, jobs: QuerySet[SendJob], name: str, value: str) -> QuerySet[SendJob]:
        return jobs.filter(text_filter(value))

    def by_counted_url(self, jobs: QuerySet[SendJob], name: str, value: Any) -> QuerySet[SendJob]:
        """From 「クリックカウントURL一覧」: the mailings that count this URL of the mode."""
        self.counted_url = self.counted_urls.filter(pk=int(value)).first()
        return jobs_counting(self.counted_url, jobs) if self.counted_url else jobs.none()

    def by_state(self, jobs: QuerySet[SendJob], name: str, value: str) -> QuerySet[SendJob]:
        """As displayed: a reservation is in preparation from 30 minutes before its time, whatever the row says (RSV-2)."""
        near = Q(state=JobState.RESERVED, scheduled_at__lte=self.now + LOCKED_BEFORE_START)
        if value == JobState.PREPARING:
            return jobs.filter(Q(state=value) | near)
        if value == JobState.RESERVED:
            return jobs.filter(state=value).exclude(near)
        return jobs.filter(state=value)

    @property
    def now(self) -> datetime:
        return timezone.now()
