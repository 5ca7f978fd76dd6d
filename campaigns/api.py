"""API-1: application.post, and reading applications. A door to campaigns/applications.py."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema, Status
from pydantic import ConfigDict, Field

from campaigns.answers import clean_answer
from campaigns.applications import ApplicationRefused, Outcome, apply
from campaigns.entry import Entry
from campaigns.form_items import questions_of
from campaigns.models import Application, ApplicationState, ApplicationWay, Campaign, ItemSource
from leads.api import VisitorValues
from leads.models import Lead
from settings.api_door import ANSWERS, Id, NeedsKey, Paging, Text, page
from settings.models import ApiKey
from smp.lib.api_errors import ApiProblem, Fault, from_validation, not_found, problem
from smp.lib.client_ip import client_ip

router = Router(tags=["Applications"])
# full: try another session or campaign; the rest is wrong in the request.
CONFLICTS = frozenset({"full", "session_full", "archived"})


class ApplicationIn(Schema):
    model_config = ConfigDict(extra="forbid")

    campaign: Id
    lead: Id | None = Field(None, description="A lead that is known; without it APP-3 decides by the values")
    visitor: VisitorValues = Field(default_factory=VisitorValues)
    answers: dict[Text, Text | int | float | list[Text]] = Field(
        default_factory=dict, description="{question id: text, number, or the keys of the choices}"
    )
    sessions: list[Id] = Field(default_factory=list, max_length=100)
    language: Literal["ja", "en"] = "ja"
    token: UUID | None = Field(
        None,
        description="Sent twice with the same token, it is one application. Make one for each application.",
    )


class ApplicationOut(Schema):
    id: int
    campaign_id: int
    lead_id: int
    state: ApplicationState
    way: ApplicationWay
    code: str
    answers: dict[str, Any]
    sessions: list[int]
    language: str
    created_at: datetime
    applied_at: datetime | None
    waiting_since: datetime | None
    confirmed_at: datetime | None
    cancelled_at: datetime | None
    attended_at: datetime | None

    @staticmethod
    def resolve_sessions(application: Application) -> list[int]:
        return sorted(chosen.session_id for chosen in application.chosen.all())


class Applied(Schema):
    outcome: Outcome
    application: ApplicationOut


class Applications(Schema):
    items: list[ApplicationOut]
    next: int | None


class ApplicationFilter(Paging):
    model_config = ConfigDict(extra="forbid")

    campaign: Id | None = None
    lead: Id | None = None
    state: ApplicationState | None = None
    attended: bool | None = None


class PostHow(Schema):
    model_config = ConfigDict(extra="forbid")

    ignore_itemcheck: int = Field(0, ge=0, le=1, description="1: required items of the form may be left out")


@router.post("/applications", auth=NeedsKey(ApiKey.Scope.APPLICATIONS_WRITE),
             response={200: Applied, 201: Applied} | ANSWERS, operation_id="application.post",
             summary="application.post: apply for a campaign")  # fmt: skip
def post_application(request: HttpRequest, payload: ApplicationIn, how: Query[PostHow]) -> Any:
    """201 with a new application; 200 when the same token came before, or the lead had applied already. Known addresses
    are treated as the campaign says (APP-3); a full campaign puts people on its waiting list, or answers 409."""
    campaign = Campaign.objects.filter(pk=payload.campaign).first()
    if campaign is None:
        raise not_found(_("Campaign %(id)s") % {"id": payload.campaign}, "campaign")
    lead = None
    if payload.lead is not None:
        lead = Lead.objects.existing().filter(pk=payload.lead).first()
        if lead is None:
            raise not_found(_("Lead %(id)s") % {"id": payload.lead}, "lead")
    values = payload.visitor.values()
    answers = _answers(campaign, payload)
    if not how.ignore_itemcheck:
        _check_required(campaign, values, answers, known=lead is not None)
    entry = Entry(values, answers, payload.sessions, payload.language)
    try:
        applied = apply(
            campaign, entry, way=ApplicationWay.API, now=timezone.now(), token=payload.token or uuid4(), lead=lead,
            ip=client_ip(request), user_agent=request.headers.get("User-Agent", "")[:300],
        )  # fmt: skip
    except ApplicationRefused as refused:
        raise problem(409 if refused.code in CONFLICTS else 422, refused.code, refused.text) from refused
    except ValidationError as error:
        raise from_validation(error, under="visitor") from error
    new = applied.outcome not in {Outcome.REPEATED, Outcome.ALREADY}
    return Status(
        201 if new else 200, {"outcome": applied.outcome, "application": _with_sessions(applied.application)}
    )


@router.get("/applications", auth=NeedsKey(ApiKey.Scope.APPLICATIONS_READ), response={200: Applications} | ANSWERS,
            operation_id="application.list", summary="Applications, in pages")  # fmt: skip
def list_applications(request: HttpRequest, wanted: Query[ApplicationFilter]) -> Any:
    rows = Application.objects.prefetch_related("chosen")
    filters = {"campaign_id": wanted.campaign, "lead_id": wanted.lead, "state": wanted.state}
    rows = rows.filter(**{name: value for name, value in filters.items() if value is not None})
    if wanted.attended is not None:
        rows = rows.filter(attended_at__isnull=not wanted.attended)
    return page(rows, wanted, lambda row: row)


@router.get("/applications/{application_id}", auth=NeedsKey(ApiKey.Scope.APPLICATIONS_READ),
            response={200: ApplicationOut} | ANSWERS, operation_id="application.get", summary="One application")  # fmt: skip
def get_application(request: HttpRequest, application_id: Id) -> Any:
    row = Application.objects.prefetch_related("chosen").filter(pk=application_id).first()
    if row is None:
        raise not_found(_("Application %(id)s") % {"id": application_id}, "id")
    return row


def _with_sessions(application: Application) -> Application:
    return Application.objects.prefetch_related("chosen").get(pk=application.pk)


def _answers(campaign: Campaign, payload: ApplicationIn) -> dict[str, Any]:
    if not payload.answers:
        return {}
    questions = {item.key: item for item in questions_of(campaign)}
    answers: dict[str, Any] = {}
    faults: list[Fault] = []
    for key, value in payload.answers.items():
        field = f"answers.{key[:40]}"
        if key not in questions:
            text = _("This campaign has no such question.")
            faults.append(Fault(field=field, code="question_unknown", message=text))
            continue
        try:
            answer = clean_answer(questions[key], value)
        except ValidationError as error:
            faults += from_validation(error, under=field).faults
        else:
            if answer is not None:
                answers[key] = answer
    if faults:
        raise ApiProblem(422, *faults)
    return answers


def _check_required(
    campaign: Campaign, values: dict[str, Any], answers: dict[str, Any], *, known: bool
) -> None:
    """The form's required items, as the public form asks for them; a known lead's own values need not be repeated."""
    text = _("This field is required.")
    faults = []
    for item in campaign.form_items.filter(required=True, retired_at=None):
        if item.source == ItemSource.QUESTION:
            missing, field = item.key not in answers, f"answers.{item.key}"
        elif item.source == ItemSource.COLUMN:
            missing = not known and not values.get("extra", {}).get(item.field)
            field = f"visitor.columns.{item.field}"
        else:
            missing, field = not known and not values.get(item.field), f"visitor.{item.field}"
        if missing:
            faults.append(Fault(field=field, code="missing", message=text))
    if not known and not values:
        faults.append(Fault(field="visitor", code="missing", message=text))
    if faults:
        raise ApiProblem(422, *faults)
