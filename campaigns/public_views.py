"""The pages of one campaign for everybody: what it is, the form, its confirmation, what comes next.

They say the same, whoever an address belongs to. That is why they never say whether a seat or a place on the waiting list
was got: somebody who has a seat keeps it when they apply again for a campaign that is full meanwhile, and could be told
from others by it. The mail says it.
"""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from campaigns import form_protection as protection
from campaigns.access import campaigns_of
from campaigns.application_form import ApplicationForm
from campaigns.applications import apply, confirm
from campaigns.attendee_pages import attendee_page
from campaigns.campaign_page import page_of, status_now
from campaigns.confirm_links import read_confirm_link, to_confirm
from campaigns.events import Known, tell_known
from campaigns.models import Application, ApplicationState, ApplicationWay, Campaign, CampaignState
from campaigns.my_page.session import lead_of
from campaigns.refusals import ApplicationRefused
from smp.lib.client_ip import client_ip

SUGGESTION = "email_suggestion"  # the button that takes over what the address was probably meant to be


@attendee_page
@require_safe
def campaign_page(request: HttpRequest, slug: str) -> HttpResponse:
    campaign = _campaign(request, slug)
    page = page_of(campaign, language=request.LANGUAGE_CODE, now=timezone.now())
    if page["status"].may_apply:
        page["apply_url"] = reverse("apply_page", args=[slug])
    page["page_url"] = settings.BASE_URL + reverse("campaign_page", args=[slug])
    return render(request, "public/campaign.html", page)


@attendee_page
@require_http_methods(["GET", "HEAD", "POST"])
def apply_page(request: HttpRequest, slug: str) -> HttpResponse:
    """The form, and its confirmation page, which carries the entries along and has them judged again."""
    campaign = _campaign(request, slug)
    if _came_before(request, campaign):
        return _thanks(campaign, request.LANGUAGE_CODE)
    status = status_now(campaign, timezone.now())
    lead = lead_of(request)  # logged in to my page
    if not status.may_apply:
        return render(request, "public/no_applications.html", {"campaign": campaign, "status": status})
    if request.method != "POST":
        return _draw_form(request, ApplicationForm(campaign, lead=lead, language=request.LANGUAGE_CODE))
    if _is_too_long(request):
        form = ApplicationForm(campaign, lead=lead, language=request.LANGUAGE_CODE)
        return _draw_form(
            request, form, _("That is too much text. Please shorten it, and send it again."), 413
        )
    data = request.POST.copy()
    if SUGGESTION in data:
        data["email"] = data[SUGGESTION]
    form = ApplicationForm(campaign, data, lead=lead, language=request.LANGUAGE_CODE)
    if SUGGESTION in data or "lang" in data:  # the same page once more
        on_confirmation = data.get("page") == "confirm" and form.is_valid()
        return _draw_confirmation(request, form) if on_confirmation else _draw_form(request, form.unjudged())
    if data.get("step") == "back":
        return _draw_form(request, form.unjudged())
    stopped = _stopped(request, form, data)
    if stopped is not None:
        return stopped
    if not form.is_valid():
        return _draw_form(request, form)
    return _send(request, form) if data.get("step") == "send" else _draw_confirmation(request, form)


@attendee_page
@require_safe
def applied_page(request: HttpRequest, slug: str) -> HttpResponse:
    campaign = _campaign(request, slug)
    return render(request, "public/applied.html", {"campaign": campaign})


@attendee_page
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_application(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows a button: scanners open every link of a mail. Whoever has the link has read the mail, so this page may say
    what became of the application."""
    application = read_confirm_link(token)
    if application is None:
        return render(request, "public/no_such_link.html", status=404)
    refusal = ""
    shown = to_confirm(application, request.LANGUAGE_CODE)
    stale = request.POST.get("seen", shown.seen) != shown.seen
    if request.method == "POST" and application.state == ApplicationState.PROVISIONAL:
        try:
            if stale:
                raise ApplicationRefused("changed")
            confirmed = confirm(application, now=timezone.now())
        except ApplicationRefused as refused:
            refusal = refused.text
        else:
            tell_known(request, confirmed.lead_id, Known.CONFIRMATION)
            return HttpResponseRedirect(request.get_full_path())
    page = {"application": application, "campaign": application.campaign, "refusal": refusal, "stale": stale}
    page["shown"] = shown
    return render(request, "public/confirm_application.html", page)


def _campaign(request: HttpRequest, slug: str) -> Campaign:
    """One in preparation or in the archive exists for its staff only."""
    campaign = Campaign.objects.filter(slug=slug).first()
    if campaign is None:
        raise Http404
    hidden = campaign.state in {CampaignState.DRAFT, CampaignState.ARCHIVED}
    if hidden and not campaigns_of(request.user).filter(pk=campaign.pk).exists():
        raise Http404
    return campaign


# ---- the form
def _is_too_long(request: HttpRequest) -> bool:
    return int(request.META.get("CONTENT_LENGTH") or 0) > protection.BODY_MAX


def _came_before(request: HttpRequest, campaign: Campaign) -> bool:
    """Sent twice: its own seat may have been the last one, so this is asked before whether there is one."""
    if request.method != "POST" or _is_too_long(request) or request.POST.get("step") != "send":
        return False
    stamp = protection.read_stamp(request.POST.get("stamp", ""), campaign)
    return stamp is not None and Application.objects.filter(campaign=campaign, token=stamp.token).exists()


def _thanks(campaign: Campaign, language: str) -> HttpResponse:
    return HttpResponseRedirect(f"{reverse('applied_page', args=[campaign.slug])}?lang={language}")


def _stopped(request: HttpRequest, form: ApplicationForm, data: QueryDict) -> HttpResponse | None:
    """The form once more, with what to do, when it looks like a robot's or a flood."""
    now = timezone.now()
    stamp = protection.read_stamp(data.get("stamp", ""), form.campaign)
    if stamp is None or protection.is_too_old(stamp, now):
        data["stamp"] = ""
        return _draw_form(request, form.unjudged(), protection.too_old_words())
    if data.get(protection.TRAP):
        return _draw_form(request, form.unjudged(), protection.trap_words())
    if protection.is_too_fast(stamp, now):
        return _draw_form(request, form.unjudged(), protection.too_fast_words())
    ip = client_ip(request)
    wait = protection.wait_to_check(ip)
    if not wait and data.get("step") == "send":
        address = form.lead.email if form.lead else data.get("email", "")
        wait = protection.wait_to_send(ip, address, form.campaign)
    return _draw_form(request, form.unjudged(), protection.wait_words(wait), 429) if wait else None


def _send(request: HttpRequest, form: ApplicationForm) -> HttpResponse:
    stamp = protection.read_stamp(request.POST["stamp"], form.campaign)
    assert stamp is not None  # looked at before
    try:
        applied = apply(
            form.campaign,
            form.entry(),
            way=ApplicationWay.MY_PAGE if form.lead else ApplicationWay.FORM,
            now=timezone.now(),
            token=stamp.token,
            lead=form.lead,
            ip=client_ip(request),
            user_agent=request.headers.get("User-Agent", "")[
                : Application._meta.get_field("user_agent").max_length
            ],
            consent_text=form.consent_text,
        )
    except ApplicationRefused as refused:
        return _draw_form(request, form, refused.text, 409)
    except ValidationError as problem:  # an item went between the check and now
        form.add_problems(problem)
        return _draw_form(request, form)
    if applied.application.state != ApplicationState.PROVISIONAL:  # else the link of its mail tells
        tell_known(request, applied.application.lead_id, Known.APPLICATION)
    return _thanks(form.campaign, form.language)


def _draw_form(
    request: HttpRequest, form: ApplicationForm, note: str = "", status: int = 200
) -> HttpResponse:
    return render(request, "public/apply.html", _page(form, note), status=status)


def _draw_confirmation(request: HttpRequest, form: ApplicationForm) -> HttpResponse:
    entries = [(name, value) for name in form.fields for value in form.data.getlist(name)]
    return render(request, "public/apply_confirm.html", {**_page(form), "entries": entries})


def _page(form: ApplicationForm, note: str = "") -> dict[str, object]:
    """The stamp stays with the form through every redraw."""
    campaign = form.campaign
    stamp = str(form.data.get("stamp") or "")
    if protection.read_stamp(stamp, campaign) is None:
        stamp = protection.new_stamp(campaign, now=timezone.now())
    status = status_now(campaign, timezone.now())
    return {
        "campaign": campaign,
        "form": form,
        "note": note,
        "stamp": stamp,
        "trap": protection.TRAP,
        "waiting": status.waiting,
    }
