"""What pages of customers and readers of mails ask for: the script, its beacon, the merge URL of my page."""

import hashlib
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from mail.links import NOBODY, read_my_page
from settings.permissions import public
from tracking import beacon
from tracking.click_pass import MY_PAGE, PARAMETER, new_pass
from tracking.known_visitors import keep_identity
from tracking.models import IdentifiedBy
from tracking.sites import counts_own_pages, script_settings

SCRIPT = Path(settings.BASE_DIR) / "smp/static/smp/track.js"
PLACE = '"SMP_SITE"'
SCRIPT_SECONDS = 3600  # a changed setting is everywhere after an hour


@public
@require_safe
def track_script(request: HttpRequest) -> HttpResponse:
    """GET /t.js?site=KEY: the same for everybody, and nothing is noted."""
    body = _script().replace(PLACE, script_settings(request.GET.get("site", "")[:20]))
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:20]}"'
    if request.headers.get("If-None-Match", "").removeprefix("W/") == etag:
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(body, content_type="text/javascript; charset=utf-8")
    response.headers["Cache-Control"] = f"public, max-age={SCRIPT_SECONDS}, stale-while-revalidate=86400"
    response.headers["ETag"] = etag
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@public
@csrf_exempt
def view_beacon(request: HttpRequest) -> HttpResponse:
    return beacon.take_view(request, timezone.now())


@public
@never_cache
@require_safe
def my_page_from_mail(request: HttpRequest, token: str) -> HttpResponse:
    """マイページURL of a mail: says whose browser it is (a link: WEB-2) and leads to my page's door. It logs nobody in. A browser
    without an id takes a pass along; only where our own pages are counted the script gives it one."""
    found = read_my_page(token)
    if found is None:
        return render(request, "public/no_such_link.html", status=404)
    now = timezone.now()
    if found.lead_id != NOBODY and request.method == "GET" and not request.user.is_authenticated:
        known = keep_identity(request, how=IdentifiedBy.MY_PAGE_URL, now=now, lead=found.lead_id)
        if not known and counts_own_pages():
            query = urlencode({PARAMETER: new_pass(MY_PAGE, found.lead_id, at=now)})
            return redirect(f"{reverse('my_page_login')}?{query}")
    return redirect("my_page")


@lru_cache(maxsize=1)
def _script() -> str:
    return SCRIPT.read_text(encoding="utf-8")
