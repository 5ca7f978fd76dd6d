"""/t/<token>: the ticket (TKT-1..3), without a login. The signed address is the proof, so POST needs no other one."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from campaigns.attendee_pages import LANGUAGE, attendee_page
from campaigns.calendar import calendar_file
from campaigns.events import Event
from campaigns.models import Application
from campaigns.notices import is_on
from campaigns.ticket_page import ticket_of
from campaigns.tickets import TEST_TOKEN, may_reissue, read_ticket, reissue
from smp.lib.machines import opened_by_person


@csrf_exempt  # Referrer-Policy: no-referrer makes browsers say "Origin: null", which Django's check refuses
@attendee_page
@require_http_methods(["GET", "HEAD", "POST"])
def ticket(request: HttpRequest, token: str) -> HttpResponse:
    """TKT-2: opening an expired address sends a fresh one when the campaign wants that; POST asks for it."""
    now = timezone.now()
    link = read_ticket(token, now=now)
    application = link.application
    if application is None:
        return _no_ticket(request, token)
    if not link.expired:
        if request.method == "POST":
            return redirect("ticket", token)
        values = {"ticket": ticket_of(application), "expires_at": link.expires_at}
        return _page(request, "public/ticket.html", application, {**values, "token": token})
    if request.method == "POST":
        reissue(application, now=now, asked=True)
        return redirect("ticket_sent", token)
    by_itself = is_on(Event.TICKET_REISSUED, application.campaign) and opened_by_person(request)
    if by_itself:
        reissue(application, now=now)
    return _page(
        request,
        "public/ticket_expired.html",
        application,
        {"sent": by_itself and not may_reissue(application, now=now), "expires_at": link.expires_at,
         "address": half_hidden(application.lead.email), "token": token},
    )  # fmt: skip


@attendee_page
@require_http_methods(["GET", "HEAD"])
def ticket_sent(request: HttpRequest, token: str) -> HttpResponse:
    """After the button: the same words whether a mail went out now or within the last 24 hours."""
    link = read_ticket(token, now=timezone.now())
    if link.application is None:
        return _no_ticket(request, token)
    return _page(request, "public/ticket_sent.html", link.application, {})


@attendee_page
@require_http_methods(["GET", "HEAD"])
def ticket_calendar(request: HttpRequest, token: str) -> HttpResponse:
    """The campaign for the attendee's calendar (RFC 5545)."""
    now = timezone.now()
    link = read_ticket(token, now=now)
    application = link.application
    if application is None or link.expired or application.campaign.starts_at is None:
        return _no_ticket(request, token)
    with translation.override(_language(request, application)):
        shown = ticket_of(application)
        notes = [_("Ticket code: %(code)s") % {"code": shown.code}]
        if shown.online_url:
            notes.append(shown.online_url)
        content = calendar_file(application, shown.sessions, now=now, notes=notes)
    response = HttpResponse(content, content_type="text/calendar; charset=utf-8; method=PUBLISH")
    response.headers["Content-Disposition"] = f'attachment; filename="{application.campaign.slug}.ics"'
    return _private(response)


def half_hidden(address: str) -> str:
    """Enough of an address to recognise one's own: y•••@yamate.example.jp."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}•••@{domain}" if at and local else ""


def _no_ticket(request: HttpRequest, token: str) -> HttpResponse:
    """TEST-5. The link of a test mail stands where we put it; any other one is not found."""
    response = render(request, "public/no_ticket.html", status=200 if token == TEST_TOKEN else 404)
    return _private(response)


def _page(
    request: HttpRequest, template: str, application: Application, values: dict[str, Any]
) -> HttpResponse:
    language = _language(request, application)
    with translation.override(language):
        response = render(request, template, {"campaign": application.campaign, **values})
    response.headers["Content-Language"] = language
    return _private(response)


def _language(request: HttpRequest, application: Application) -> str:
    """As the attendee chose; without a choice the language of the application."""
    chosen = request.GET.get(LANGUAGE) or request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME)
    offered = dict(settings.LANGUAGES)
    if chosen in offered or application.language not in offered:
        return translation.get_language() or settings.LANGUAGE_CODE
    return application.language


def _private(response: HttpResponse) -> HttpResponse:
    """Nobody keeps the page, and no other site learns its address."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response
