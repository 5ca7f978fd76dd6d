"""「個別メール送信履歴」: the list (RES-4) and one mail with everything known about it (RSV-4, ADDR-4, TGT-12)."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from campaigns.models import Campaign
from leads.models import DmPermission, Lead, Registration
from leads.scope import narrow_to
from mail.automatic_kinds import is_secret
from mail.bounces.cause import is_hard
from mail.delivery_list import TIME_LIMIT, TooMuchToRead, delivery_page
from mail.mail_kinds import automatic_kinds
from mail.models import Delivery
from mail.models.delivery import Cause, DeliveryKind, DeliveryState
from mail.models.magazine import ReaderState
from mail.models.template import MailForm
from mail.modes import shown_in
from mail.recipients.explain import explain_delivery
from mail.recipients.reasons import Reason
from mail.results import ADDRESSED, ResultGroup
from mail.returned_list import returned_of, waiting_for_reports
from mail.search_items import template_choices, template_labels
from mail.send_again import STATES as SEND_AGAIN_STATES
from mail.sent_links import sent_links
from mail.sent_mail import NotRebuilt, rebuild
from mail.single_mail import WAITING
from mail.smtp.replies import describe_code
from mail.story import story
from settings.permissions import both_modes, needs_view
from smp.lib.mode import campaign_of

BIGGEST_ID = 2**63 - 1
# Somebody's HTML: no scripts, nothing loaded from anywhere, and it may not even navigate.
HTML_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
# At the end of such HTML: a sandboxed frame opens no window, so that its links do nothing.
DEAD_LINKS = '<base target="_blank">'


def _identifier(label: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, required=False, min_value=1, max_value=BIGGEST_ID)


class DeliveryFilterForm(forms.Form):
    address = forms.CharField(label=gettext_lazy("To (part of the address)"), required=False, max_length=320)
    title = forms.CharField(label=gettext_lazy("Title (part)"), required=False, max_length=300)
    state = forms.ChoiceField(label=gettext_lazy("Result"), required=False)
    first_day = forms.DateField(
        label=gettext_lazy("From (day)"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    last_day = forms.DateField(
        label=gettext_lazy("Until (day)"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    reason = forms.ChoiceField(label=gettext_lazy("Reason"), required=False)
    code = forms.IntegerField(label=gettext_lazy("Code"), required=False, min_value=0, max_value=99999)
    cause = forms.ChoiceField(label=gettext_lazy("Cause"), required=False)
    kind = forms.ChoiceField(label=gettext_lazy("Sent as"), required=False)
    mail_kind = forms.ChoiceField(label=gettext_lazy("Which automatic mail"), required=False)
    template = forms.ChoiceField(label=gettext_lazy("Template"), required=False)
    campaign = forms.ChoiceField(label=gettext_lazy("Campaign"), required=False)
    job = _identifier(gettext_lazy("Mailing (ID)"))
    step = _identifier(gettext_lazy("Step mail (ID)"))
    lead = _identifier(gettext_lazy("Lead ID"))
    before = forms.IntegerField(required=False, min_value=1, max_value=BIGGEST_ID, widget=forms.HiddenInput)

    def __init__(self, *args: Any, campaign_id: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        everything = ("", _("All"))
        details = [
            (state.value, state.label) for state in DeliveryState if state.value not in ResultGroup.values
        ]
        self.fields["state"].choices = [
            everything,
            *ResultGroup.choices,
            (ADDRESSED, _("Addressed")),
            (_("In detail"), details),
        ]
        self.fields["reason"].choices = [everything, *Reason.choices]
        self.fields["cause"].choices = [everything, *Cause.choices]
        self.fields["kind"].choices = [everything, *DeliveryKind.choices]
        self.fields["mail_kind"].choices = [
            everything,
            *((kind.key, kind.label) for kind in automatic_kinds()),
        ]
        chosen = self.data.get("template", "")
        choices = template_choices(campaign_id)
        if campaign_id is not None:
            del self.fields["campaign"]
        else:
            campaigns = Campaign.objects.order_by("-id").values_list("pk", "name")
            self.fields["campaign"].choices = [
                everything, ("0", _("All-campaign mode only")), *campaigns,
            ]  # fmt: skip
        if (
            campaign_id is None
            and chosen.isascii()
            and chosen.isdecimal()
            and len(chosen) < 19
            and chosen not in {key for key, _label in choices}
        ):
            choices += list(template_labels([chosen]).items())
        self.fields["template"].choices = [everything, *choices]

    def main_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("address", "title", "state", "first_day", "last_day")]

    def more_fields(self) -> list[forms.BoundField]:
        names = (
            "reason",
            "code",
            "cause",
            "kind",
            "mail_kind",
            "template",
            "campaign",
            "job",
            "step",
            "lead",
        )
        return [self[name] for name in names if name in self.fields]

    @property
    def more_used(self) -> bool:
        return any(field.value() not in (None, "") or field.errors for field in self.more_fields())


@both_modes
@needs_view
@require_GET
def deliveries(request: HttpRequest) -> HttpResponse:
    campaign_id = campaign_of(request)
    form = DeliveryFilterForm(request.GET, campaign_id=campaign_id)
    context: dict[str, Any] = {"form": form, "page": None, "lead": None}
    if form.is_valid():
        wanted = form.cleaned_data
        try:
            context["page"] = delivery_page(wanted, before=wanted["before"], campaign_id=campaign_id)
        except TooMuchToRead:
            context["too_much"] = int(TIME_LIMIT.total_seconds())
        if wanted["lead"]:
            leads = narrow_to(Lead.objects.all(), campaign_id)
            context["lead"] = leads.filter(pk=wanted["lead"]).first()
    if context["page"] and campaign_id is None:
        names = _campaign_names(context["page"].rows)
        for row in context["page"].rows:
            row.campaign_name = names.get(row.campaign_id, "")
    return render(request, "mail/deliveries.html", context, status=200 if form.is_valid() else 422)


def _campaign_names(deliveries: Iterable[Delivery]) -> dict[int | None, str]:
    """One query, if there is any campaign among them."""
    ids = {row.campaign_id for row in deliveries if row.campaign_id}
    return dict(Campaign.objects.filter(pk__in=ids).values_list("pk", "name")) if ids else {}


def get_delivery(request: HttpRequest, delivery_id: int) -> Delivery:
    """One that the mode shows (APP-1)."""
    deliveries = Delivery.objects.select_related("lead", "template", "job", "snapshot")
    return get_object_or_404(shown_in(campaign_of(request), deliveries), pk=min(delivery_id, BIGGEST_ID))


@both_modes
@needs_view
@require_GET
def delivery(request: HttpRequest, delivery_id: int) -> HttpResponse:
    one = get_delivery(request, delivery_id)
    try:
        sent, not_rebuilt = rebuild(one, direct=True), ""
    except NotRebuilt as problem:
        sent, not_rebuilt = None, str(problem)
    content = one.snapshot.content if one.snapshot else {}
    context = {
        "delivery": one,
        "campaign_name": _campaign_names([one]).get(one.campaign_id, ""),
        "sent": sent,
        "counted": bool(content.get("counted") or content.get("opens")),
        "not_rebuilt": not_rebuilt,
        "form_label": MailForm(content["form"]).label if content.get("form") in MailForm.values else "",
        "explanation": explain_delivery(one),
        "reader_state": dict(ReaderState.choices).get(one.reader_state, ""),
        "code_text": describe_code(one.code),
        "hard": is_hard(one.cause),
        "returned": returned_of(one),
        "waiting_for_reports": waiting_for_reports(one, now=timezone.now()),
        "unknown_again": one.state == DeliveryState.UNKNOWN
        and one.job
        and one.job.state in SEND_AGAIN_STATES,
        "resendable": one.lead
        and not one.lead.deleted_at
        and one.kind not in {DeliveryKind.TEST, DeliveryKind.ALERT}
        and one.state not in WAITING
        and not is_secret(one.mail_kind),
        "original": one.original_id,
        "repeats": Delivery.objects.filter(lead=one.lead_id, original_id=one.pk).order_by("pk")[:20]
        if one.lead_id
        else [],
        "events": [(event, _event_label(event.what)) for event in story(one)],
        "dm_label": DmPermission(one.dm_permission).label
        if one.dm_permission in DmPermission.values
        else one.dm_permission,
        "registration_label": Registration(one.registration).label
        if one.registration in Registration.values
        else one.registration,
        "attachments": [part["name"] for part in content.get("attachments", [])],
        "links": sent_links(one) if sent else [],
        "opens": sent and content.get("opens", False),
    }
    return render(request, "mail/delivery.html", context)


def _event_label(what: str) -> str:
    if what in DeliveryState.values:
        return str(DeliveryState(what).label)
    return {
        "again": _("Sent again by a person's choice"),
        "swept": _("Lease over: put back by the sweeper"), "bounced": _("A bounce came in"),
        "delayed": _("A report of a delay came in"), "complaint": _("The recipient complained"),
        "arrived": _("Known to have arrived"),
        "unsubscribed": _("The recipient unsubscribed through this mail"),
    }.get(what, what)  # fmt: skip


def _sent_or_404(request: HttpRequest, delivery_id: int, *, direct: bool):
    try:
        return rebuild(get_delivery(request, delivery_id), direct=direct).mail
    except NotRebuilt as problem:
        raise Http404(str(problem)) from problem


def html_part(html: str) -> HttpResponse:
    """Somebody's HTML for a sandboxed frame (HTML_POLICY), kept nowhere. Its links are dead: one of ours followed from
    here would count for its reader (TRK-4), or this browser be taken for theirs (WEB-1)."""
    response = HttpResponse(html + DEAD_LINKS)
    response["Content-Security-Policy"] = HTML_POLICY
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response


@both_modes
@needs_view
@require_GET
def delivery_html(request: HttpRequest, delivery_id: int) -> HttpResponse:
    """The HTML part alone, for the sandboxed frame."""
    mail = _sent_or_404(request, delivery_id, direct=True)
    if not mail.html:
        raise Http404(_("This mail has no HTML part."))
    return html_part(mail.html)


@both_modes
@needs_view
@require_GET
def delivery_source(request: HttpRequest, delivery_id: int) -> HttpResponse:
    """The bytes as handed over, as a download."""
    mail = _sent_or_404(request, delivery_id, direct=False)
    response = HttpResponse(mail.data, content_type="message/rfc822")
    response["Content-Disposition"] = (
        f'attachment; filename="mail-{delivery_id}-{timezone.localtime():%Y%m%d}.eml"'
    )
    response["Cache-Control"] = "no-store"
    return response
