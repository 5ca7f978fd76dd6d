"""What pages of customers and readers of mails ask for: the script, its beacon, the merge URL of my page. The first two are
answered by tracking/door.py already; here they have their names."""

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from mail.links import NOBODY, read_my_page
from settings.permissions import public
from tracking import beacon, script
from tracking.click_pass import MY_PAGE, PARAMETER, new_pass
from tracking.known_visitors import keep_identity
from tracking.models import IdentifiedBy
from tracking.sites import counts_own_pages


@public
@csrf_exempt
def track_script(request: HttpRequest) -> HttpResponse:
    return script.script(request)


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
