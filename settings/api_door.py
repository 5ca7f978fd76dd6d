"""The door of the API (API-1): who may come in, and how lists are paged. The routers stand in each app's api.py."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from ninja import Schema
from ninja.security import HttpBearer
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from settings.api_keys import authenticate, seconds_to_wait
from settings.models import ApiKey
from smp.lib.api_errors import Faults, language_of, problem
from smp.lib.client_ip import client_ip, neighbourhood
from smp.lib.rate_limit import too_many

WRONG_KEYS = 60  # per address and minute
LIMIT_MOST = 1000
# What every operation may answer beside its success.
ANSWERS: dict[int, Any] = dict.fromkeys((400, 401, 403, 404, 409, 413, 422, 429), Faults)


class NeedsKey(HttpBearer):
    """`Authorization: Bearer smp_…` with a scope. The key stands in request.auth."""

    def __init__(self, scope: str) -> None:
        super().__init__()
        self.scope = scope

    def __call__(self, request: HttpRequest) -> Any:
        translation.activate(language_of(request))  # ends with the request: settings.language restores it
        key = super().__call__(request)
        if key is None:
            self._refuse(request)
        return key

    def authenticate(self, request: HttpRequest, token: str) -> ApiKey | None:
        key = authenticate(token.strip(), now=timezone.now())
        if key is None:
            return None
        if wait := seconds_to_wait(key):
            text = _("Too many requests. Wait %(seconds)s seconds.") % {"seconds": wait}
            raise problem(429, "too_many_requests", text, headers={"Retry-After": str(wait)})
        if self.scope not in key.scopes:
            text = _("This API key may not do this (%(scope)s). Make a key with that scope in 設定.") % {
                "scope": self.scope
            }
            raise problem(403, "missing_scope", text)
        return key

    def _refuse(self, request: HttpRequest) -> None:
        if wait := too_many("api-key", neighbourhood(client_ip(request)), limit=WRONG_KEYS, seconds=60):
            text = _("Too many requests. Wait %(seconds)s seconds.") % {"seconds": wait}
            raise problem(429, "too_many_requests", text, headers={"Retry-After": str(wait)})
        text = _("The API key is missing, unknown, revoked or expired.")
        raise problem(401, "wrong_key", text, headers={"WWW-Authenticate": 'Bearer realm="SMP"'})


def _storable(text: str) -> str:
    """PostgreSQL's text holds no NUL."""
    if "\0" in text:
        raise PydanticCustomError("string_unicode", "NUL characters cannot be stored")
    return text


Row = TypeVar("Row", bound=Model)
Text = Annotated[str, AfterValidator(_storable)]


def _sensible(moment: datetime) -> datetime:
    """Aware (without a zone: Japan's), and far from the ends of what can be computed with."""
    if not 1970 <= moment.year <= 2999:
        raise PydanticCustomError("moment", "a date and time between 1970 and 2999")
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    return aware.astimezone(UTC)  # PostgreSQL knows no zone beyond 15:59


Moment = Annotated[datetime, AfterValidator(_sensible)]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Paging(Schema):
    """Lists come in the order of their ids. `next` of the answer is the `after` of the following page."""

    limit: int = Field(100, ge=1, le=LIMIT_MOST)
    after: int = Field(0, ge=0, le=2**63 - 1, description="Only rows with a greater id")


def page(rows: QuerySet[Row], paging: Paging, show: Callable[[Row], Any]) -> dict[str, Any]:
    """One query. {"items": […], "next": id or null}."""
    found = list(rows.filter(pk__gt=paging.after).order_by("pk")[: paging.limit + 1])
    more = len(found) > paging.limit
    found = found[: paging.limit]
    return {"items": [show(row) for row in found], "next": found[-1].pk if more else None}
