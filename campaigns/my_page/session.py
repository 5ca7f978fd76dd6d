"""APP-4: who is logged in to my page. A signed cookie of its own; the administrators' session knows nothing of it.

The cookie names the lead, the version of its account and when it was issued. A new password or a new address raises the
version, and every cookie that is out ends. It ends by itself after 12 hours.
"""

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import rotate_token
from django.utils import timezone

from campaigns.models import MyPageAccount
from leads.models import Lead
from settings.language import keep_language

COOKIE = "my_page"
VALID_FOR = timedelta(hours=12)
_SIGNER = signing.Signer(salt="campaigns.my_page.session")


def lead_of(request: HttpRequest) -> Lead | None:
    """The lead that is logged in, or None: a deleted lead is nobody, and merging leads ends the sessions of those that went
    (campaigns/lead_merge.py). Looked up once a request."""
    if not hasattr(request, "_my_page_lead"):
        request._my_page_lead = _look_up(request.COOKIES.get(COOKIE, ""), now=timezone.now())  # type: ignore[attr-defined]
    found: Lead | None = request._my_page_lead  # type: ignore[attr-defined]
    return found


def start(request: HttpRequest, response: HttpResponse, account: MyPageAccount, *, now: datetime) -> None:
    """Logs in: the account as it is now. The CSRF token is renewed, as with every login."""
    value = _SIGNER.sign(f"{account.lead_id}-{account.version}-{int(now.timestamp())}")
    response.set_cookie(
        COOKIE,
        value,
        max_age=int(VALID_FOR.total_seconds()),
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
    rotate_token(request)
    if settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:  # nobody has chosen one in this browser
        keep_language(response, account.lead.language)


def end(response: HttpResponse) -> None:
    response.delete_cookie(COOKIE, samesite="Lax")


def _look_up(cookie: str, *, now: datetime) -> Lead | None:
    if not cookie or len(cookie) > 200:
        return None
    try:
        lead_id, version, issued = (int(part) for part in _SIGNER.unsign(cookie).split("-"))
    except (signing.BadSignature, ValueError):
        return None
    if not timedelta(0) <= now - datetime.fromtimestamp(issued, UTC) < VALID_FOR:
        return None
    account = MyPageAccount.objects.select_related("lead").filter(
        lead_id=lead_id, version=version, lead__deleted_at=None
    )
    found = account.first()
    return found.lead if found else None
