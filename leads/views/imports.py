"""「CSV一括更新」: doors to leads/imports/."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from leads.import_forms import ImportForm
from leads.imports import report, steps
from leads.imports.problems import file_problem_text
from leads.imports.steps import MOST_MEGABYTES
from leads.models import LeadImport
from leads.scope import leads_in
from leads.tasks import kick_import
from settings import audit
from settings.permissions import both_modes, needs_edit
from settings.system_settings import rows_per_page
from smp.lib.mode import campaign_of
from smp.lib.once import once


def _imports_in(request: HttpRequest) -> QuerySet[LeadImport]:
    """APP-1: an import belongs to the mode it was started in."""
    return LeadImport.objects.filter(campaign_id=campaign_of(request))


@both_modes
@needs_edit
@once
def imports(request: HttpRequest) -> HttpResponse:
    """The upload form, and the imports so far."""
    campaign_id = campaign_of(request)
    form = ImportForm(request.POST or None, request.FILES or None, campaign_id=campaign_id)
    if request.method == "POST" and form.is_valid():
        chosen = form.cleaned_data
        try:
            lead_import = steps.upload(
                chosen["file"].chunks(1 << 20), file_name=chosen["file"].name, mode=form.chosen_mode, key=chosen["key"],
                evidence=chosen["evidence"], user=request.user, campaign_id=campaign_id,
            )  # fmt: skip
        except ValidationError as error:
            form.add_error("file", error)
        else:
            transaction.on_commit(lambda: kick_import(lead_import.pk))
            return redirect("lead_import", lead_import.pk)
    past = _imports_in(request).exclude(mode=LeadImport.Mode.APPLY).select_related("created_by")
    page = Paginator(past, rows_per_page()).get_page(request.GET.get("page"))
    status = 422 if form.is_bound else 200
    return render(
        request,
        "leads/imports.html",
        {"form": form, "page_obj": page, "limit": MOST_MEGABYTES},
        status=status,
    )


@both_modes
@needs_edit
@require_GET
def lead_import(request: HttpRequest, import_id: int) -> HttpResponse:
    """One import: progress, dry run, or result, with its rows."""
    current = get_object_or_404(_imports_in(request).select_related("created_by"), pk=import_id)
    return render(request, "leads/lead_import.html", _page(request, current))


@both_modes
@needs_edit
@require_GET
def import_progress(request: HttpRequest, import_id: int) -> HttpResponse:
    """The live part. When the step is over, the whole page is asked for."""
    current = get_object_or_404(_imports_in(request), pk=import_id)
    response = render(request, "leads/import_progress.html", {"import": current})
    if current.state not in LeadImport.RUNNING:
        response["HX-Refresh"] = "true"
    return response


@both_modes
@needs_edit
@require_POST
@once
def import_commit(request: HttpRequest, import_id: int) -> HttpResponse:
    current = get_object_or_404(_imports_in(request), pk=import_id)
    try:
        started = steps.request_commit(
            current, skip_wrong="skip_wrong" in request.POST, user=request.user, now=timezone.now()
        )
    except ValidationError as error:
        return render(
            request,
            "leads/lead_import.html",
            _page(request, current) | {"refusal": error.messages},
            status=422,
        )
    if started:
        transaction.on_commit(lambda: kick_import(current.pk))
    else:
        messages.info(request, _("Somebody else was quicker: this page shows what became of the import."))
    return redirect("lead_import", current.pk)


@both_modes
@needs_edit
@require_POST
@once
def import_cancel(request: HttpRequest, import_id: int) -> HttpResponse:
    current = get_object_or_404(_imports_in(request), pk=import_id)
    if steps.cancel(current, user=request.user):
        messages.success(request, _("The import was cancelled; nothing was changed."))
        return redirect("csv_applications" if current.mode == LeadImport.Mode.APPLY else "imports")
    messages.info(request, _("Somebody else was quicker: this page shows what became of the import."))
    return redirect("lead_import", current.pk)


@both_modes
@needs_edit
@require_GET
def import_wrong_rows(request: HttpRequest, import_id: int) -> HttpResponse:
    """The wrong rows as a file, with row, column and reason."""
    current = get_object_or_404(_imports_in(request), pk=import_id)
    if not current.counts.get("wrong") or not current.chunks.exists():
        messages.info(request, _("There are no wrong rows to download."))
        return redirect("lead_import", current.pk)
    audit.record(
        "lead_import.export_wrong", user=request.user, target=current, campaign_id=current.campaign_id
    )
    return _download(f"import-{current.pk}-wrong.csv", report.wrong_rows_csv(current))


@both_modes
@needs_edit
@require_GET
def import_base_file(request: HttpRequest) -> HttpResponse:
    """An empty CSV with every header."""
    return _download("leads.csv", report.base_file())


def _download(file_name: str, lines) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    response["Cache-Control"] = "no-store"
    return response


class _Counted(Paginator):
    """The number of rows is known; counting a million of them again for each page is not needed."""

    def __init__(self, rows, number: int) -> None:
        super().__init__(rows, rows_per_page())
        self.__dict__["count"] = number


def _page(request: HttpRequest, current: LeadImport) -> dict:
    context = {"import": current, "refusal": []}
    if current.error:
        context["error"] = file_problem_text(current.error)
    if current.state in LeadImport.RUNNING or not current.counts:
        return context
    kept = current.staged_rows.exists()
    kinds = report.kinds(current)
    show = request.GET.get("show")
    if show not in {kind.key for kind in kinds}:
        show = next((kind.key for kind in kinds if kind.count), kinds[0].key)
    number = next(kind.count for kind in kinds if kind.key == show)
    page = _Counted(report.rows_of_kind(current, show), number).get_page(request.GET.get("page"))
    rows = list(page.object_list) if kept else []
    return context | {
        "kinds": kinds, "show": show, "page_obj": page, "kept": kept, "file_notes": report.file_notes(current),
        "rows": report.rows_shown(
            current, rows, made=report.made_leads(current, show, page.start_index(), len(rows)),
            may_see=leads_in(current.campaign_id) if request.user.only_own_campaigns else None,
        ),
        "writes": report.writes(current),
    }  # fmt: skip
