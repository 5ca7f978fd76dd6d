"""設定 › 操作履歴 (SYS-2)."""

from collections.abc import Iterator

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from settings import audit
from settings.audit_labels import action_label, detail_lines, target_url, target_word
from settings.filters import AuditFilter
from settings.models import AuditEntry
from settings.permissions import needs_administer
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response


@needs_administer
def audit_log(request: HttpRequest) -> HttpResponse:
    found = AuditFilter(request.GET, AuditEntry.objects.all())
    page = Paginator(found.qs, rows_per_page()).get_page(request.GET.get("page"))
    lines = [
        {
            "entry": entry,
            "action": action_label(entry.action),
            "word": target_word(entry),
            "url": target_url(entry),
            "details": detail_lines(entry),
        }
        for entry in page
    ]
    return render(request, "settings/audit_log.html", {"page_obj": page, "lines": lines, "form": found.form})


@needs_administer
@require_POST
def export_audit_log(request: HttpRequest) -> HttpResponse:
    """Exports are audited themselves; the file holds what the filters show."""
    found = AuditFilter(request.GET, AuditEntry.objects.all())
    entries = found.qs
    audit.record(
        "audit.export",
        user=request.user,
        detail={"filter": request.GET.urlencode(), "rows": entries.count()},
        ip=client_ip(request),
    )
    header = [
        _("Time"),
        _("Who"),
        _("Action"),
        _("Kind of target"),
        _("Target ID"),
        _("Target"),
        _("Details"),
        _("IP address"),
    ]

    def rows() -> Iterator[list[object]]:
        for entry in entries.iterator(chunk_size=2000):
            details = " / ".join(f"{word}: {text}" for word, text in detail_lines(entry))
            yield [entry.at, entry.user_name, action_label(entry.action), target_word(entry), entry.target_id,
                   entry.target_label, details, entry.ip or ""]  # fmt: skip

    return csv_response("操作履歴.csv", header, rows())
