"""What all pages for attendees have in common (campaign page, form, ticket, my page): no login, never cached, and a
language that `?lang=en` chooses and a cookie keeps. Their frame is templates/public/page.html."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.views.decorators.cache import never_cache

from settings.language import keep_language
from settings.permissions import public

LANGUAGE = "lang"  # of the query, or of a form's button that redraws it in the other language


def attendee_page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Marks the view public. Inside, `translation.get_language()` and `request.LANGUAGE_CODE` are the attendee's."""

    @wraps(view)
    def in_language(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        wanted = request.POST.get(LANGUAGE) or request.GET.get(LANGUAGE) or ""
        kept = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "")
        offered = [code for code, _name in settings.LANGUAGES]
        language = next((code for code in (wanted, kept) if code in offered), settings.LANGUAGE_CODE)
        with translation.override(language):
            request.LANGUAGE_CODE = language
            response = view(request, *args, **kwargs)
        response.headers.setdefault("Content-Language", language)
        if wanted == language != kept:
            # No session: a page that anybody may open writes no row.
            keep_language(response, language)
        return response

    return public(never_cache(in_language))
