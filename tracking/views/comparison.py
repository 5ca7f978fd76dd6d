"""「メールの比較」: up to ten mailings side by side (TRK-3)."""

from collections.abc import Iterator
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_GET

from mail.models import SendJob
from mail.models.template import MailForm
from mail.modes import shown_in
from settings import audit
from settings.permissions import both_modes, needs_view
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response
from smp.lib.mode import campaign_of
from tracking.reports import numbers_of, scope_of_job

MOST = 10


def _sent_jobs(request: HttpRequest) -> Any:
    """Those that were started, of the mode (APP-1)."""
    jobs = SendJob.objects.filter(magazine=None).exclude(started_at=None).exclude(snapshot=None)
    return (
        shown_in(campaign_of(request), jobs)
        .select_related("template", "snapshot", "campaign")
        .order_by("-pk")
    )


def _chosen_ids(request: HttpRequest) -> list[int]:
    """The ids of the address, each once, in its order; what is no id is left out."""
    found = [one for one in request.GET.getlist("job") if one.isascii() and one.isdigit() and len(one) < 19]
    return list(dict.fromkeys(map(int, found)))


def _compared(request: HttpRequest, ids: list[int]) -> list[dict[str, Any]]:
    """One line a mailing, in the order chosen; three statements for all of them."""
    jobs = {job.pk: job for job in _sent_jobs(request).filter(pk__in=ids[:MOST])}
    numbers = numbers_of("job_id", jobs)
    lines = []
    for pk in ids[:MOST]:
        if job := jobs.get(pk):
            scope = scope_of_job(job)
            lines.append({
                "job": job, "subject": job.snapshot.content.get("subject", ""), "numbers": numbers[pk], "scope": scope,
                "multipart": scope.opens and scope.form == MailForm.MULTIPART,
            })  # fmt: skip
    return lines


@both_modes
@needs_view
@require_GET
def job_comparison(request: HttpRequest) -> HttpResponse:
    ids = _chosen_ids(request)
    lines = _compared(request, ids)
    page = Paginator(_sent_jobs(request), rows_per_page()).get_page(request.GET.get("page"))
    context = {
        "lines": lines,
        "too_many": len(ids) > MOST,
        "most": MOST,
        "chosen": [line["job"].pk for line in lines],
        "page": page,
        "elsewhere": [
            line["job"] for line in lines if line["job"].pk not in {job.pk for job in page.object_list}
        ],
        "any_multipart": any(line["multipart"] for line in lines),
    }
    return render(request, "tracking/comparison.html", context)


@both_modes
@needs_view
@require_GET
def job_comparison_export(request: HttpRequest) -> StreamingHttpResponse:
    lines = _compared(request, _chosen_ids(request))
    audit.record(
        "report.export", user=request.user, detail={"what": "comparison", "jobs": [line["job"].pk for line in lines]},
        ip=client_ip(request), campaign_id=campaign_of(request),
    )  # fmt: skip
    header = [
        _("ID"), _("Template"), _("Subject"), _("Sending started at"), pgettext("report", "Delivered"),
        pgettext("report", "Opened"), _("Open rate") + " %", pgettext("report", "Clicked"), _("Click rate") + " %",
    ]  # fmt: skip

    def rows() -> Iterator[list[Any]]:
        for line in lines:
            numbers, scope, job = line["numbers"], line["scope"], line["job"]
            yield [
                job.pk, job.template, line["subject"], job.started_at, numbers.delivered,
                *_rate(numbers.opened, numbers.delivered, scope.opens), *_rate(numbers.clicked, numbers.delivered, scope.clicks),
            ]  # fmt: skip

    return csv_response("comparison.csv", header, rows())


def _rate(part: int, whole: int, measured: bool) -> list[Any]:
    """The number and its share; both blank where nothing was measured."""
    if not measured:
        return ["", ""]
    return [part, f"{100 * part / whole:.1f}" if whole else ""]
