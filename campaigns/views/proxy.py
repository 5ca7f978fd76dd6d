"""「来場側詳細WEBページ(代理登録利用可)」: the public page for staff, who apply there for somebody else (APP-2)."""

from uuid import UUID, uuid4

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.access import campaigns_of
from campaigns.application_form import ApplicationForm
from campaigns.applications import Outcome, apply
from campaigns.campaign_page import page_of
from campaigns.models import Application, ApplicationWay, CampaignState
from campaigns.refusals import ApplicationRefused
from leads.lead_list import simple_search
from leads.models import Lead, LeadQuerySet
from settings.permissions import campaign_mode, needs_edit
from smp.lib.client_ip import client_ip
from smp.lib.mode import url_in

FOUND_MAX = 20


@campaign_mode
@needs_edit
def proxy_page(request: HttpRequest) -> HttpResponse:
    campaign = request.campaign
    page = page_of(campaign, language=request.LANGUAGE_CODE, now=timezone.now())
    if campaign.state != CampaignState.ARCHIVED:
        page["apply_url"] = reverse("proxy_application")
    page["public_path"] = url_in(None, "campaign_page", campaign.slug)
    page["public_url"] = request.build_absolute_uri(page["public_path"])
    return render(request, "campaigns/proxy_page.html", page)


@campaign_mode
@needs_edit
def proxy_application(request: HttpRequest) -> HttpResponse:
    """The form without its protection. `?lead=` applies for a lead that exists, `?q=` looks for one."""
    campaign = request.campaign
    lead = _lead(request)
    data = request.POST if request.method == "POST" else None
    form = ApplicationForm(campaign, data, lead=lead, staff=True, language=request.LANGUAGE_CODE)
    if data is not None and form.is_valid():
        try:
            applied = apply(
                campaign,
                form.entry(),
                way=ApplicationWay.PROXY,
                now=timezone.now(),
                token=_token(data.get("token", "")),
                lead=lead,
                user=request.user,
                ip=client_ip(request),
                consent_text=form.consent_text,
            )
        except ApplicationRefused as refused:
            form.add_error(None, refused.text)
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            _tell(request, applied.outcome)
            return redirect("application", applied.application.pk)
    typed = request.GET.get("q", "").strip()[:200]
    page = {
        "form": form,
        "lead": lead,
        "q": typed,
        "found": list(simple_search(_leads(request), typed).order_by("-pk")[:FOUND_MAX]) if typed else [],
        "token": (data or {}).get("token") or uuid4(),
    }
    return render(request, "campaigns/proxy_application.html", page)


def _leads(request: HttpRequest) -> LeadQuerySet:
    """SYS-1: a campaign administrator finds the applicants of their own campaigns only."""
    leads = Lead.objects.existing()
    if not request.user.only_own_campaigns:
        return leads
    own = Application.objects.filter(lead=OuterRef("pk"), campaign__in=campaigns_of(request.user))
    return leads.filter(Exists(own))


def _lead(request: HttpRequest) -> Lead | None:
    wanted = request.GET.get("lead", "")
    if not wanted:
        return None
    lead = _leads(request).filter(pk=int(wanted)).first() if wanted.isdecimal() and len(wanted) < 19 else None
    if lead is None:
        raise Http404
    return lead


def _token(text: str) -> UUID:
    """The drawn form's own, so that a double click is one application."""
    try:
        return UUID(text)
    except ValueError:
        return uuid4()


def _tell(request: HttpRequest, outcome: Outcome) -> None:
    if outcome == Outcome.ALREADY:
        messages.info(request, _("This lead had applied before; nothing was added."))
    elif outcome == Outcome.WAITING:
        messages.success(request, _("Registered on the waiting list."))
    else:
        messages.success(request, _("The application was registered."))
