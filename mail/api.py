"""API-1: reading jobs and deliveries: what was decided about whom, and what became of it."""

from datetime import datetime

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema
from pydantic import ConfigDict, Field

from mail.models import Delivery, SendJob
from mail.models.delivery import Cause, DeliveryKind, DeliveryState
from mail.models.send_job import JobState, RecipientRule
from mail.recipients.reasons import Reason
from mail.send_jobs import counts_now
from settings.api_door import ANSWERS, Id, Moment, NeedsKey, Paging, page
from settings.models import ApiKey
from smp.lib.api_errors import not_found

router = Router(tags=["Mail"])
READ = NeedsKey(ApiKey.Scope.MAIL_READ)


class JobOut(Schema):
    id: int
    state: JobState
    rule: RecipientRule
    campaign_id: int | None
    magazine_id: int | None = Field(None, description="Of a start of a magazine's story")
    story_id: int | None = None
    template_id: int | None
    template_name: str
    search_name: str
    scheduled_at: datetime | None
    reserved_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    count_clicks: bool
    count_opens: bool

    @staticmethod
    def resolve_template_name(job: SendJob) -> str:
        return job.template.name if job.template else ""


class JobWithCounts(JobOut):
    in_scope: int
    by_state: dict[str, int]
    by_reason: dict[str, int]


class Jobs(Schema):
    items: list[JobOut]
    next: int | None


class JobFilter(Paging):
    model_config = ConfigDict(extra="forbid")

    state: JobState | None = None
    campaign: Id | None = None


class DeliveryOut(Schema):
    """One decision row: a mail, or the reason why there was none (TGT-12)."""

    id: int
    job_id: int | None
    lead_id: int | None
    campaign_id: int | None
    application_id: int | None
    kind: DeliveryKind
    mail_kind: str
    state: DeliveryState
    reason: str
    address: str
    subject: str
    code: int | None
    enhanced_status: str
    cause: str
    decided_at: datetime
    sent_at: datetime | None
    result_at: datetime | None


class Deliveries(Schema):
    items: list[DeliveryOut]
    next: int | None


class DeliveryFilter(Paging):
    model_config = ConfigDict(extra="forbid")

    job: Id | None = None
    lead: Id | None = None
    campaign: Id | None = None
    application: Id | None = None
    state: DeliveryState | None = None
    reason: Reason | None = None
    cause: Cause | None = None
    decided_since: Moment | None = Field(None, description="Without a zone: Japan's time")


@router.get(
    "/jobs", auth=READ, response={200: Jobs} | ANSWERS, operation_id="job.list", summary="Jobs, in pages"
)
def list_jobs(request: HttpRequest, wanted: Query[JobFilter]) -> object:
    jobs = SendJob.objects.exclude(state=JobState.DRAFT).select_related("template")
    if wanted.state is not None:
        jobs = jobs.filter(state=wanted.state)
    if wanted.campaign is not None:
        jobs = jobs.filter(campaign_id=wanted.campaign)
    return page(jobs, wanted, lambda job: job)


@router.get("/jobs/{job_id}", auth=READ, response={200: JobWithCounts} | ANSWERS, operation_id="job.get",
            summary="One job with its counts")  # fmt: skip
def get_job(request: HttpRequest, job_id: Id) -> object:
    job = SendJob.objects.exclude(state=JobState.DRAFT).select_related("template").filter(pk=job_id).first()
    if job is None:
        raise not_found(_("Job %(id)s") % {"id": job_id}, "id")
    counts = counts_now(job)
    for name in ("in_scope", "by_state", "by_reason"):
        setattr(job, name, getattr(counts, name))
    return job


@router.get("/deliveries", auth=READ, response={200: Deliveries} | ANSWERS, operation_id="delivery.list",
            summary="Mails and decisions, in pages")  # fmt: skip
def list_deliveries(request: HttpRequest, wanted: Query[DeliveryFilter]) -> object:
    rows = Delivery.objects.defer("merge_values", "given_values")
    filters = {
        "job_id": wanted.job, "lead_id": wanted.lead, "campaign_id": wanted.campaign,
        "application_id": wanted.application, "state": wanted.state, "reason": wanted.reason, "cause": wanted.cause,
    }  # fmt: skip
    rows = rows.filter(**{name: value for name, value in filters.items() if value is not None})
    if wanted.decided_since is not None:
        rows = rows.filter(decided_at__gte=wanted.decided_since)
    return page(rows, wanted, lambda row: row)


@router.get("/deliveries/{delivery_id}", auth=READ, response={200: DeliveryOut} | ANSWERS,
            operation_id="delivery.get", summary="One mail or decision")  # fmt: skip
def get_delivery(request: HttpRequest, delivery_id: Id) -> object:
    row = Delivery.objects.filter(pk=delivery_id).first()
    if row is None:
        raise not_found(_("Mail %(id)s") % {"id": delivery_id}, "id")
    return row
