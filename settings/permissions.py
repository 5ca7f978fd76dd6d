"""SYS-1: who may open what. Every page needs a login unless it is marked public; views name the level they need.

@needs_view          everyone who is logged in (viewers included)
@needs_edit          特権管理者 and キャンペーン管理者: changes leads, templates, jobs
@needs_administer    特権管理者: system settings, users, the audit log
@public              no login (opt-out pages, login)
@needs_login         everyone, and campaign administrators outside of their campaigns too (home, profile, campaign list)

In which mode a view exists is said beside it (campaigns/mode.py): without a word in the all-campaign mode only;
@both_modes for views that show a campaign's part when `smp.lib.mode.campaign_of(request)` names one; @campaign_mode for
views that exist only inside a campaign. Campaign administrators open only views of their campaigns.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from smp.lib.mode import BOTH, ORANGE

View = TypeVar("View", bound=Callable[..., HttpResponse])


def _needs(attribute: str | None) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if attribute and not getattr(request.user, attribute):
                raise PermissionDenied(_("Your role does not allow this. Ask a privileged administrator."))
            return view(request, *args, **kwargs)

        guarded.needs_level = attribute or "may_view"  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return decorate


def needs_login(view: View) -> View:
    guarded = _needs(None)(view)
    guarded.everyone = True  # type: ignore[attr-defined]
    return guarded


def both_modes(view: View) -> View:
    view.modes = BOTH  # type: ignore[attr-defined]
    return view


def campaign_mode(view: View) -> View:
    view.modes = ORANGE  # type: ignore[attr-defined]
    return view


needs_view = _needs(None)
needs_edit = _needs("may_edit")
needs_administer = _needs("may_administer")


def public(view: View) -> View:
    """For people without a login. tests/settings/test_permissions.py lists every public page."""
    view.needs_level = "public"  # type: ignore[attr-defined]
    return view


class LoginRequiredMiddleware:
    """The safety net: a view without a level is refused to people who are not logged in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        if hasattr(view, "needs_level") or request.user.is_authenticated:
            return None
        return redirect_to_login(request.get_full_path())
