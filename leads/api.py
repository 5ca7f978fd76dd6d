"""API-1: visitor.put, and reading leads. A door to leads/edit.py; FLAG-3 to FLAG-5 hold there."""

from datetime import datetime
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema, Status
from pydantic import ConfigDict, Field

from leads.address import normalise_email
from leads.edit import FIELDS, change_lead, clean_values, create_lead
from leads.flags import Way
from leads.models import DmPermission, Lead, Registration
from leads.one_at_a_time import wait_for_the_same
from leads.scope import narrow_to
from settings.api_door import ANSWERS, Id, Moment, NeedsKey, Paging, Text, page
from settings.models import ApiKey
from smp.lib.api_errors import ApiProblem, from_validation, not_found, problem
from smp.lib.client_ip import client_ip

router = Router(tags=["Leads"])
# What update_key may be made of: the fields that tell people apart, joined by ":" as in name1:name2:email.
KEYS = ("email", "last_name", "first_name", "last_name_kana", "first_name_kana", "phone", "company")
SOURCE = "API"


class VisitorValues(Schema):
    """A lead's values. What is left out stays as it is; an empty text clears."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["visitor", "staff", "speaker"] | None = None
    last_name: Text | None = Field(None, max_length=100)
    first_name: Text | None = Field(None, max_length=100)
    last_name_kana: Text | None = Field(None, max_length=100)
    first_name_kana: Text | None = Field(None, max_length=100)
    email: Text | None = Field(None, max_length=320)
    company: Text | None = Field(None, max_length=200)
    department: Text | None = Field(None, max_length=200)
    job_title: Text | None = Field(None, max_length=200)
    postal_code: Text | None = Field(None, max_length=20)
    prefecture: Text | None = Field(None, max_length=20)
    address: Text | None = Field(None, max_length=300)
    phone: Text | None = Field(None, max_length=50)
    note: Text | None = Field(None, max_length=20_000)
    language: Literal["ja", "en"] | None = None
    registration: Literal["full", "provisional"] | None = None
    dm_permission: Literal["wanted", "unwanted"] | None = None
    columns: dict[Text, Text] | None = Field(None, description="リード項目: {column id: value}, empty clears")

    def values(self) -> dict[str, Any]:
        """As leads.edit takes them."""
        given = {name: value for name, value in self.dict(exclude_unset=True).items() if value is not None}
        if "columns" in given:
            given["extra"] = given.pop("columns")
        return {name: value for name, value in given.items() if name in FIELDS}


class VisitorIn(VisitorValues):
    id: Id | None = Field(None, description="The lead to change; not together with upsert=1")
    email_valid: bool | None = Field(
        None, description="E-mailアドレスの有効フラグ; only with upsert=1 (FLAG-5)"
    )


class VisitorOut(Schema):
    id: int
    kind: str
    last_name: str
    first_name: str
    last_name_kana: str
    first_name_kana: str
    email: str
    email_valid: bool
    email_failures: int
    company: str
    department: str
    job_title: str
    postal_code: str
    prefecture: str
    address: str
    phone: str
    note: str
    language: str
    registration: Registration
    dm_permission: DmPermission
    unsubscribed_at: datetime | None
    columns: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def resolve_columns(lead: Lead) -> dict[str, Any]:
        return dict(lead.extra)


class Visitors(Schema):
    items: list[VisitorOut]
    next: int | None


class VisitorFilter(Paging):
    model_config = ConfigDict(extra="forbid")

    email: Text | None = Field(None, max_length=320, description="Equal as EXC-4 compares")
    updated_since: Moment | None = None
    campaign: Id | None = Field(None, description="Only applicants of this campaign")


class PutHow(Schema):
    model_config = ConfigDict(extra="forbid")

    upsert: int = Field(
        0, ge=0, le=1, description="1: change the lead that update_key finds, else make a new one"
    )
    update_key: Text = Field(
        "email", max_length=100, description=f"Fields joined by ':', of: {', '.join(KEYS)}"
    )


@router.put("/visitor", auth=NeedsKey(ApiKey.Scope.LEADS_WRITE), response={200: VisitorOut, 201: VisitorOut} | ANSWERS,
            operation_id="visitor.put", summary="visitor.put: make or change a lead")  # fmt: skip
def put_visitor(request: HttpRequest, payload: VisitorIn, how: Query[PutHow]) -> Any:
    """Without upsert: changes the lead `id`, or makes a new one. With upsert=1: the newest lead whose values equal the
    given ones in all fields of update_key is changed; if there is none, a new one is made (201)."""
    now, values = timezone.now(), payload.values()
    if payload.email_valid is not None:
        if not how.upsert:
            text = _("The valid flag can be set with upsert=1 only.")
            raise problem(422, "needs_upsert", text, "email_valid")
        values["email_valid"] = payload.email_valid
    if how.upsert and payload.id is not None:
        raise problem(422, "id_with_upsert", _("Do not give an id together with upsert=1."), "id")
    try:
        with transaction.atomic():
            lead = _meant(payload, how, values)
            common: dict[str, Any] = {
                "way": Way.API_VISITOR_PUT, "now": now, "source": _source(request), "ip": client_ip(request),
            }  # fmt: skip
            if lead is None:
                return Status(201, create_lead(values, **common))
            return Status(200, change_lead(lead, values, **common))
    except ValidationError as error:
        raise from_validation(error) from error


@router.get("/leads", auth=NeedsKey(ApiKey.Scope.LEADS_READ), response={200: Visitors} | ANSWERS,
            operation_id="visitor.list", summary="Leads, in pages")  # fmt: skip
def list_visitors(request: HttpRequest, wanted: Query[VisitorFilter]) -> Any:
    leads = narrow_to(Lead.objects.existing(), wanted.campaign)
    if wanted.email is not None:
        leads = leads.filter(email_norm=normalise_email(wanted.email))
    if wanted.updated_since is not None:
        leads = leads.filter(updated_at__gte=wanted.updated_since)
    return page(leads, wanted, lambda lead: lead)


@router.get("/leads/{lead_id}", auth=NeedsKey(ApiKey.Scope.LEADS_READ), response={200: VisitorOut} | ANSWERS,
            operation_id="visitor.get", summary="One lead")  # fmt: skip
def get_visitor(request: HttpRequest, lead_id: Id) -> Any:
    return _lead(lead_id)


def _lead(lead_id: int) -> Lead:
    lead = Lead.objects.existing().filter(pk=lead_id).first()
    if lead is None:
        raise not_found(_("Lead %(id)s") % {"id": lead_id}, "id")
    return lead


def _meant(payload: VisitorIn, how: PutHow, values: dict[str, Any]) -> Lead | None:
    if not how.upsert:
        return _lead(payload.id) if payload.id is not None else None
    wanted: dict[str, str] = {}
    for name in how.update_key.split(":"):
        if name not in KEYS:
            text = _("update_key may consist of: %(names)s") % {"names": ", ".join(KEYS)}
            raise problem(422, "unknown_key", text, "update_key")
        if not (value := str(values.get(name) or "").strip()):
            text = _("update_key names this field, so it needs a value.")
            raise ApiProblem(422, *problem(422, "key_without_value", text, name).faults)
        if name == "email":
            wanted["email_norm"] = normalise_email(value)
        else:
            wanted[name] = clean_values({name: value})[name]  # as it is stored (CHR-6)
    if "email_norm" in wanted:
        wait_for_the_same("email", wanted["email_norm"])
    else:
        wait_for_the_same("upsert", *sorted(f"{name}: {value}" for name, value in wanted.items()))
    return Lead.objects.existing().filter(**wanted).order_by("-pk").first()


def _source(request: HttpRequest) -> str:
    return f"{SOURCE}: {getattr(request, 'auth', '')}"
