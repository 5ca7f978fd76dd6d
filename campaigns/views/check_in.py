"""「会場受付」: the page at the door, and what its script asks for. Each works without the script, too."""

import json
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from campaigns.check_in import CheckedIn, Result, count, latest, undo
from campaigns.check_in import check_in as do_check_in
from campaigns.door_codes import door_codes
from campaigns.models import LIVE, Application, Campaign, CheckIn, Session, SessionChoice
from campaigns.qr_reading import LARGEST, NoPicture, read_code
from leads.search_text import search_terms
from settings.permissions import campaign_mode, needs_edit
from smp.lib.client_ip import client_ip
from smp.lib.rate_limit import too_many

MOST_SCANS = 100  # in one request
FOUND = 20
PICTURES = {"limit": 240, "seconds": 60}  # of one user: four frames a second
NO_CODE = "no_code"


@campaign_mode
@needs_edit
@never_cache
def check_in(request: HttpRequest) -> HttpResponse:
    """POST: typed, or by a scanner that types (TKT-4). Sent again by a reload it is the same scan."""
    campaign = request.campaign
    session, session_id = _session(campaign, request.POST.get("session") or request.GET.get("session"))
    if request.method == "POST":
        return _done(campaign, request, request.POST.get("text", ""), session, session_id)
    values: dict[str, Any] = {
        "campaign": campaign,
        "session": session,
        "sessions": list(campaign.sessions.all()),
        "scan": uuid4(),
        "results": {result.value: str(result.label) for result in Result},
        "bare": "bare" in request.GET,  # what a phone may hold: no names
    }
    if not values["bare"]:
        typed = request.GET.get("q", "")
        values |= {"outcome": _outcome(request, campaign), "typed": typed, **_live(campaign, session)}
        values["people"] = _people(campaign, typed, session)
    return render(request, "campaigns/check_in.html", values)


@campaign_mode
@needs_edit
@require_safe
def check_in_worker(request: HttpRequest) -> HttpResponse:
    """The service worker, from below the page: it may serve nothing above its own address."""
    script = files("smp").joinpath("static/smp/check_in_worker.js").read_bytes()
    return HttpResponse(script, content_type="text/javascript; charset=utf-8")


@campaign_mode
@needs_edit
@require_POST
def check_in_photo(request: HttpRequest) -> HttpResponse:
    """A photo of the ticket, for phones without the script."""
    campaign = request.campaign
    session, session_id = _session(campaign, request.POST.get("session"))
    text, _why = _read(request)
    if text is None:
        return redirect(_page(session_id, result=NO_CODE))
    return _done(campaign, request, text, session, session_id)


@campaign_mode
@needs_edit
@require_POST
def check_in_frame(request: HttpRequest) -> HttpResponse:
    """A frame of the camera, for browsers that cannot read codes themselves: {"text": what it holds, or null}."""
    text, why = _read(request)
    if why:
        return JsonResponse({"text": None, "error": why}, status=400 if why == NO_CODE else 429)
    return JsonResponse({"text": text})


@campaign_mode
@needs_edit
@require_POST
def check_in_scans(request: HttpRequest) -> HttpResponse:
    """The scans a phone has kept: {"scans": [{"scan": uuid, "text", "at": ISO 8601, "session": id or null}]}. Each one is
    answered, whatever it is, so that the phone can let go of it; sent again the answer is the same."""
    try:
        scans = json.loads(request.body)["scans"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return JsonResponse({"error": "expected {scans: […]}"}, status=400)
    if not isinstance(scans, list) or len(scans) > MOST_SCANS:
        return JsonResponse({"error": f"expected at most {MOST_SCANS} scans"}, status=400)
    campaign = request.campaign
    now = timezone.now()
    answers = []
    for one in scans:
        one = one if isinstance(one, dict) else {}
        scan, text = _uuid(one.get("scan")), one.get("text")
        session, session_id = _session(campaign, one.get("session"))
        if scan is None or not isinstance(text, str):
            done = CheckedIn(Result.MALFORMED)
        elif session_id and session is None:
            done = CheckedIn(Result.NO_SESSION)
        else:
            done = do_check_in(
                campaign,
                text,
                scan=scan,
                at=_moment(one.get("at")) or now,
                user=request.user,
                now=now,
                session=session,
            )
        answers.append({"scan": one.get("scan"), **_described(done)})
    return JsonResponse({"results": answers})


@campaign_mode
@needs_edit
@never_cache
@require_safe
def check_in_codes(request: HttpRequest) -> HttpResponse:
    """What the phone judges by while it has no network."""
    session, _id = _session(request.campaign, request.GET.get("session"))
    return JsonResponse(door_codes(request.campaign, session))


@campaign_mode
@needs_edit
@never_cache
@require_safe
def check_in_live(request: HttpRequest) -> HttpResponse:
    session, _id = _session(request.campaign, request.GET.get("session"))
    values = {"campaign": request.campaign, "session": session, **_live(request.campaign, session)}
    return render(request, "campaigns/check_in_live.html", values)


@campaign_mode
@needs_edit
@require_POST
def check_in_undo(request: HttpRequest, pk: int) -> HttpResponse:
    made = get_object_or_404(CheckIn, pk=pk, application__campaign=request.campaign)
    undo(made, user=request.user, now=timezone.now(), ip=client_ip(request))
    _session_found, session_id = _session(request.campaign, request.POST.get("session"))
    return redirect(_page(session_id))


def _done(
    campaign: Campaign, request: HttpRequest, text: str, session: Session | None, session_id: str
) -> HttpResponse:
    now = timezone.now()
    scan = _uuid(request.POST.get("scan")) or uuid4()
    if session_id and session is None:
        done = CheckedIn(Result.NO_SESSION)
    else:
        done = do_check_in(campaign, text, scan=scan, at=now, user=request.user, now=now, session=session)
    return redirect(
        _page(
            session_id if session else "",
            result=done.result.value,
            application=done.application.pk if done.application else "",
            scan=str(done.check_in.scan) if done.check_in else "",
        )
    )


def _page(session_id: str, **said: object) -> str:
    query = {name: value for name, value in {"session": session_id, **said}.items() if value}
    return reverse("check_in") + (f"?{urlencode(query)}" if query else "")


def _outcome(request: HttpRequest, campaign: Campaign) -> dict[str, Any] | None:
    """What the last POST came to; "checked in" is believed only of a check-in that stands."""
    result = request.GET.get("result", "")
    if result == NO_CODE:
        return {"result": NO_CODE, "message": _no_code()}
    if result not in Result.values:
        return None
    number = request.GET.get("application", "")
    application = (
        Application.objects.filter(campaign=campaign, pk=int(number))
        .select_related("lead", "campaign")
        .first()
        if number.isascii() and number.isdigit() and len(number) < 19
        else None
    )
    scan = _uuid(request.GET.get("scan"))
    made = (
        CheckIn.objects.filter(scan=scan, application=application, undone_at=None).first() if scan else None
    )
    if result == Result.OK and (application is None or made is None):
        return None
    return _described(CheckedIn(Result(result), application, made))


def _described(done: CheckedIn) -> dict[str, Any]:
    """As the screen shows it, also by the script."""
    said: dict[str, Any] = {"result": done.result.value, "message": str(done.result.label)}
    if (application := done.application) is not None:
        lead = application.lead
        said |= {"name": lead.full_name or str(lead), "company": lead.company}
        if application.campaign.session_choice != SessionChoice.NONE:
            said["sessions"] = [session.title for session in application.sessions.all()]
        if done.result == Result.NOT_APPLIED:
            said["detail"] = str(application.get_state_display())
    if done.result == Result.ALREADY and done.check_in is not None:
        said["detail"] = f"{timezone.localtime(done.check_in.at):%m-%d %H:%M}"
    return said


def _live(campaign: Campaign, session: Session | None) -> dict[str, Any]:
    return {"turnout": count(campaign, session), "latest": latest(campaign)}


def _people(campaign: Campaign, typed: str, session: Session | None) -> list[Application]:
    """「名前で探す」: applicants by parts of name, kana, company or address."""
    terms = search_terms(typed[:200])
    if not terms:
        return []
    came = CheckIn.objects.filter(application=OuterRef("pk"), session=session, undone_at=None)
    people = Application.objects.filter(campaign=campaign, state__in=LIVE, lead__deleted_at=None)
    for term in terms:
        people = people.filter(lead__search_text__contains=term)
    people = people.annotate(came=Exists(came)).select_related("lead")
    return list(people.order_by("lead__last_name_kana", "lead__first_name_kana", "pk")[:FOUND])


def _read(request: HttpRequest) -> tuple[str | None, str]:
    """The text of the code in the picture sent along, and why there is none."""
    if too_many("check-in-picture", str(request.user.pk), **PICTURES):
        return None, "wait"
    picture = request.FILES.get("picture")
    if picture is None or (picture.size or 0) > LARGEST:
        return None, NO_CODE
    try:
        return read_code(picture.read()), ""
    except NoPicture:
        return None, NO_CODE


def _no_code() -> str:
    return _("No QR code could be read. Take the picture closer and in good light, or type the code.")


def _session(campaign: Campaign, said: object) -> tuple[Session | None, str]:
    """The session of this campaign, and what was said: a wrong one is told apart from none."""
    text = str(said) if isinstance(said, str | int) and not isinstance(said, bool) else ""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
    return (campaign.sessions.filter(pk=number).first() if number else None), text


def _uuid(said: object) -> UUID | None:
    try:
        return UUID(said) if isinstance(said, str) else None
    except ValueError:
        return None


def _moment(said: object) -> Any:
    try:
        moment = parse_datetime(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
