"""「インポート」 inside a magazine: doors to mail/magazines/imports/."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mail.forms.magazines.imports import ReaderImportForm
from mail.magazines.imports import report, steps, undoing
from mail.magazines.imports.columns import base_header
from mail.magazines.imports.words import file_problem_text
from mail.magazines.items import items_of
from mail.models import Magazine, ReaderImport
from mail.views.magazines.inside import magazine_in_use, magazine_of
from settings import audit
from settings.permissions import needs_edit
from settings.system_settings import rows_per_page
from smp.lib.once import once

State = ReaderImport.State


def _import_of(magazine: Magazine, import_id: int) -> ReaderImport:
    """404 for an import of another magazine."""
    rows = ReaderImport.objects.defer("content").select_related("magazine", "created_by", "undone_by")
    return get_object_or_404(rows, pk=import_id, magazine=magazine)


@needs_edit
@require_http_methods(["GET", "HEAD", "POST"])
@once
def reader_imports(request: HttpRequest, magazine_id: int) -> HttpResponse:
    """The upload form, and the imports so far."""
    magazine = magazine_in_use(magazine_id) if request.method == "POST" else magazine_of(magazine_id)
    form = ReaderImportForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        try:
            made = steps.upload(
                file.chunks(steps.MEGABYTE), magazine=magazine, file_name=file.name,
                evidence=form.cleaned_data["evidence"], user=request.user,
            )  # fmt: skip
        except ValidationError as error:
            form.add_error("file", error)
        else:
            transaction.on_commit(lambda: steps.kick(made.pk))
            return redirect("reader_import", magazine.pk, made.pk)
    past = magazine.imports.defer("content").select_related("created_by")
    page = Paginator(past, rows_per_page()).get_page(request.GET.get("page"))
    context = {"magazine": magazine, "form": form, "page_obj": page, "limit": steps.MOST_MEGABYTES}
    status = 422 if form.is_bound else 200
    return render(request, "mail/magazines/reader_imports.html", context, status=status)


@needs_edit
@require_GET
def reader_import(request: HttpRequest, magazine_id: int, import_id: int) -> HttpResponse:
    """One import: progress, dry run, or result, with its rows."""
    current = _import_of(magazine_of(magazine_id), import_id)
    return render(request, "mail/magazines/reader_import.html", _page(request, current))


@needs_edit
@require_GET
def reader_import_progress(request: HttpRequest, magazine_id: int, import_id: int) -> HttpResponse:
    """The live part. When the step is over, the whole page is asked for."""
    current = _import_of(magazine_of(magazine_id), import_id)
    response = render(
        request,
        "mail/magazines/reader_import_progress.html",
        {"import": current, "magazine": current.magazine},
    )
    if current.state not in ReaderImport.RUNNING:
        response["HX-Refresh"] = "true"
    return response


@needs_edit
@require_POST
@once
def reader_import_commit(request: HttpRequest, magazine_id: int, import_id: int) -> HttpResponse:
    current = _import_of(magazine_in_use(magazine_id), import_id)
    try:
        started = steps.request_commit(
            current, skip_malformed="skip_malformed" in request.POST, turn="turn" in request.POST, user=request.user,
            now=timezone.now(),
        )  # fmt: skip
    except ValidationError as error:
        context = _page(request, current) | {"refusal": error.messages}
        return render(request, "mail/magazines/reader_import.html", context, status=422)
    return _kicked(request, current, started)


@needs_edit
@require_POST
@once
def reader_import_cancel(request: HttpRequest, magazine_id: int, import_id: int) -> HttpResponse:
    current = _import_of(magazine_of(magazine_id), import_id)
    if steps.cancel(current, user=request.user):
        messages.success(request, _("The import was cancelled; nothing was changed."))
        return redirect("reader_imports", magazine_id)
    return _kicked(request, current, started=False)


@needs_edit
@require_http_methods(["GET", "HEAD", "POST"])
@once
def reader_import_undo(request: HttpRequest, magazine_id: int, import_id: int) -> HttpResponse:
    """GET: what would happen, in numbers. POST: it happens."""
    current = _import_of(magazine_of(magazine_id), import_id)
    if request.method == "POST":
        try:
            started = steps.request_undo(current, user=request.user, now=timezone.now())
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return redirect("reader_import", magazine_id, import_id)
        return _kicked(request, current, started)
    if not steps.can_be_undone(current, now=timezone.now()):
        messages.info(request, _("This import cannot be taken back (any more)."))
        return redirect("reader_import", magazine_id, import_id)
    context = {"import": current, "magazine": current.magazine, "outlook": undoing.preview(current)}
    return render(request, "mail/magazines/reader_import_undo.html", context)


def _kicked(request: HttpRequest, current: ReaderImport, started: bool) -> HttpResponse:
    if started:
        transaction.on_commit(lambda: steps.kick(current.pk))
    else:
        messages.info(request, _("Somebody else was quicker: this page shows what became of the import."))
    return redirect("reader_import", current.magazine_id, current.pk)


@needs_edit
@require_GET
def reader_import_rows(request: HttpRequest, magazine_id: int, import_id: int) -> HttpResponse:
    """The rows of one group as a file, with row, column and reason."""
    current = _import_of(magazine_of(magazine_id), import_id)
    show = request.GET.get("show", "")
    shown = {kind.key for kind in report.kinds(current)} if current.counts else set()
    if show not in shown or not current.lines.exists():
        messages.info(request, _("There are no rows to download."))
        return redirect("reader_import", magazine_id, import_id)
    rows = report.rows_of_kind(current, show, _other(request))
    audit.record("reader_import.export", user=request.user, target=current, detail={"rows": rows.count()})
    return _download(f"import-{current.pk}-{show}.csv", report.rows_csv(current, rows))


@needs_edit
@require_GET
def reader_import_base(request: HttpRequest, magazine_id: int) -> HttpResponse:
    """An empty CSV with every header."""
    magazine = magazine_of(magazine_id)
    return _download(f"readers-{magazine.pk}.csv", report.base_file(base_header(items_of(magazine))))


def _download(file_name: str, lines: Any) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    response["Cache-Control"] = "no-store"
    return response


def _other(request: HttpRequest) -> int | None:
    """The other magazine whose stopped readers are asked for (MAG-11)."""
    text = request.GET.get("magazine", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _page(request: HttpRequest, current: ReaderImport) -> dict[str, Any]:
    now = timezone.now()
    context: dict[str, Any] = {"import": current, "magazine": current.magazine, "refusal": []}
    if current.error:
        context["error"] = file_problem_text(current.error)
    if current.state in ReaderImport.RUNNING or not current.counts:
        return context
    kinds = report.kinds(current)
    show = request.GET.get("show")
    if show not in {kind.key for kind in kinds}:
        show = next((kind.key for kind in kinds if kind.count), kinds[0].key)
    other = _other(request) if show == report.ELSEWHERE else None
    page = Paginator(report.rows_of_kind(current, show, other), rows_per_page()).get_page(
        request.GET.get("page")
    )
    return context | {
        "kinds": kinds,
        "show": show,
        "page_obj": page,
        "kept": current.lines.exists(),
        "rows": report.rows_shown(current, list(page.object_list)),
        "file_notes": report.file_notes(current),
        "writes": steps.writes(current.counts),
        "elsewhere": report.elsewhere(current),
        "keeps_failures": current.counts["reasons"].get("keeps_failures", 0),
        "first_readers": current.state == State.CHECKED and not current.magazine.readers.exists(),
        "undoable": steps.can_be_undone(current, now=now),
        "undoable_until": current.committed_at + steps.KEPT if current.committed_at else None,
    }
