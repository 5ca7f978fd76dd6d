"""SYS-4: the interface language is the user's; before a login the browser's cookie decides, Japanese by default."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils import translation

SESSION_KEY = "language"


class UserLanguageMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        wanted = request.session.get(SESSION_KEY) or request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME)
        language = wanted if wanted in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
        with translation.override(language):
            request.LANGUAGE_CODE = language
            response = self.get_response(request)
            response.headers.setdefault("Content-Language", language)
            return response


def keep_language(response: HttpResponse, language: str) -> None:
    """For this browser, and pages without a session."""
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=365 * 86400,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )


def remember_language(request: HttpRequest, response: HttpResponse, language: str) -> bool:
    """For this session and this browser. False when it is none of ours."""
    if language not in dict(settings.LANGUAGES):
        return False
    request.session[SESSION_KEY] = language
    keep_language(response, language)
    return True


@receiver(user_logged_in, dispatch_uid="settings.language.use_own_language")
def use_own_language(request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """From the login on, the user's own language counts."""
    if request is not None and getattr(request, "session", None) is not None:
        request.session[SESSION_KEY] = user.language
