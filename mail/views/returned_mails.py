"""「不達・返信の受信履歴」: bounces, complaints, automatic replies, as they came in and what they changed."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from mail.models import ReturnedKind
from mail.models.delivery import Cause
from mail.returned_list import returned_matching, returned_page, with_owners
from settings import audit
from settings.permissions import both_modes, needs_view
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response
from smp.lib.mode import campaign_of

BIGGEST_ID = 2**63 - 1


def _identifier(label: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, required=False, min_value=1, max_value=BIGGEST_ID)


def _day(label: Any) -> forms.DateField:
    return forms.DateField(label=label, required=False, widget=forms.DateInput(attrs={"type": "date"}))


class ReturnedFilterForm(forms.Form):
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), required=False)
    cause = forms.ChoiceField(label=gettext_lazy("Cause"), required=False)
    changed = forms.ChoiceField(label=gettext_lazy("Effect"), required=False)
    first_day = _day(gettext_lazy("From (day)"))
    last_day = _day(gettext_lazy("Until (day)"))
    job = _identifier(gettext_lazy("Mailing (ID)"))
    lead = _identifier(gettext_lazy("Lead ID"))
    delivery = _identifier(gettext_lazy("Mail (ID)"))
    before = forms.IntegerField(required=False, min_value=1, max_value=BIGGEST_ID, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        everything = ("", _("All"))
        self.fields["kind"].choices = [everything, *ReturnedKind.choices]
        self.fields["cause"].choices = [everything, *Cause.choices]
        self.fields["changed"].choices = [
            everything, ("yes", _("Changed something")), ("no", _("Changed nothing")),
        ]  # fmt: skip

    def main_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("kind", "cause", "changed", "first_day", "last_day")]

    def more_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("job", "lead", "delivery")]

    @property
    def more_used(self) -> bool:
        return any(field.value() not in (None, "") or field.errors for field in self.more_fields())


@both_modes
@needs_view
@require_GET
def returned_mails(request: HttpRequest) -> HttpResponse:
    form = ReturnedFilterForm(request.GET)
    context: dict[str, Any] = {"form": form, "page": None, "nothing_yet": False}
    if form.is_valid():
        context["page"] = page = returned_page(
            form.cleaned_data, before=form.cleaned_data["before"], campaign_id=campaign_of(request)
        )
        if not page.rows:
            context["nothing_yet"] = not returned_matching({}, campaign_id=campaign_of(request)).exists()
            context["bounce_domain"] = settings.BOUNCE_DOMAIN
            context["mailbox"] = bool(settings.BOUNCE_IMAP)
    return render(request, "mail/returned_mails.html", context, status=200 if form.is_valid() else 422)


@both_modes
@needs_view
@require_GET
def returned_export(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The list as filtered, as CSV (CSV-3)."""
    form = ReturnedFilterForm(request.GET)
    if not form.is_valid():
        return render(request, "mail/returned_mails.html", {"form": form, "page": None}, status=422)
    audit.record(
        "returned.export",
        user=request.user,
        detail={"filter": dict(request.GET.lists())},
        ip=client_ip(request),
    )
    header = [
        _("Time"), _("Kind"), _("E-mail address"), _("Cause"), _("Hard bounce"), _("Enhanced status"), _("The server's words"),
        _("Effect"), _("Mail (ID)"), _("Mailing (ID)"), _("Lead ID"), _("Forwarded to"), _("Forwarded at"),
    ]  # fmt: skip

    campaign_id = campaign_of(request)

    def lines() -> Iterator[list[Any]]:
        found = returned_matching(form.cleaned_data, campaign_id=campaign_id).iterator(chunk_size=500)
        while mails := list(islice(found, 500)):
            for row in with_owners(mails):
                mail = row.mail
                yield [
                    mail.at, mail.get_kind_display(), row.address, mail.get_cause_display(), mail.hard, row.status,
                    row.words, _("Changed something") if mail.changed else mail.get_note_display(), mail.delivery_id,
                    mail.job_id, mail.lead_id, mail.forward_to, mail.forwarded_at,
                ]  # fmt: skip

    return csv_response("returned-mails.csv", header, lines())
