"""API-1: the JSON API at /api/v1/, its OpenAPI description and the page to read it. The routers stand in the apps."""

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import translation
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.docs import Swagger

from campaigns.api import router as applications
from leads.api import router as leads
from mail.api import router as mail
from settings.permissions import public
from smp.lib.api_errors import ApiProblem, Fault, from_pydantic, language_of, problem

api = NinjaAPI(
    title="SMP API",
    version="1",
    urls_namespace="api",
    docs=Swagger(settings={"persistAuthorization": False}),
    docs_url="/docs",
    description=(
        "Leads (visitor.put), applications (application.post), jobs and deliveries. Send the API key of "
        "設定 › APIキー as `Authorization: Bearer smp_…`. Errors are JSON: "
        '`{"errors": [{"field", "code", "message"}]}`, in the language of Accept-Language (ja, en).'
    ),
)
api.add_router("", leads)
api.add_router("", applications)
api.add_router("", mail)


def _answer(request: HttpRequest, found: ApiProblem) -> HttpResponse:
    faults = {"errors": [fault.dict() for fault in found.faults]}
    response = api.create_response(request, faults, status=found.status)
    for name, value in found.headers.items():
        response[name] = value
    return response


@api.exception_handler(ApiProblem)
def _problem(request: HttpRequest, found: ApiProblem) -> HttpResponse:
    return _answer(request, found)


@api.exception_handler(ValidationError)
def _schema(request: HttpRequest, found: ValidationError) -> HttpResponse:
    return _answer(request, ApiProblem(422, *from_pydantic(found.errors)))


@api.exception_handler(AuthenticationError)
def _no_key(request: HttpRequest, found: AuthenticationError) -> HttpResponse:
    text = _("The API key is missing, unknown, revoked or expired.")
    return _answer(
        request, problem(401, "wrong_key", text, headers={"WWW-Authenticate": 'Bearer realm="SMP"'})
    )


@api.exception_handler(HttpError)
def _http(request: HttpRequest, found: HttpError) -> HttpResponse:
    text = _("The body of the request is no JSON.") if found.status_code == 400 else str(found)
    return _answer(request, problem(found.status_code, "bad_request", text))


@api.exception_handler(RequestDataTooBig)
def _too_big(request: HttpRequest, found: RequestDataTooBig) -> HttpResponse:
    return _answer(request, problem(413, "too_large", _("The request is larger than 10 MB.")))


@public
def nothing_here(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Any other address below /api/: JSON too."""
    with translation.override(language_of(request)):
        text = _("There is nothing at this address. The description of the API is at /api/v1/docs.")
        fault = Fault(field="", code="not_found", message=text)
        return _answer(request, ApiProblem(404, fault))


def _marked(pattern: Any) -> Any:
    """Every view says who may open it (SYS-1): programs need no login but a key, which each operation asks for."""
    public(pattern.callback)
    return pattern


_patterns, _app, _namespace = api.urls
urls = ([_marked(pattern) for pattern in _patterns], _app, _namespace)
rest = path("api/<path:rest>", nothing_here, name="api_nothing_here")
