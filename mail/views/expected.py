"""The list behind one number of a dry run (EXC-6), of the wizard and of stories: templates/mail/expected_rows.html."""

from typing import Any

from django.http import HttpRequest

from leads.models import Lead
from mail.recipients.reasons import Reason
from mail.recipients.resolve import ExpectedPage

PAGE = 50


def page_number(request: HttpRequest) -> int:
    text = request.GET.get("page", "1")
    return min(max(int(text), 1), 10**6) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def offset_of(number: int) -> int:
    return PAGE * (number - 1)


def rows_context(found: ExpectedPage, number: int) -> dict[str, Any]:
    """What the list and the links to its other pages need. One query."""
    leads = Lead.objects.in_bulk([row.lead_id for row in found.rows])
    rows = [
        {
            "lead": leads[row.lead_id],
            "reason": Reason(row.reason).label if row.reason else "",
            "decided": row.reason,
            "related": row.related_id,
        }
        for row in found.rows
        if row.lead_id in leads
    ]
    return {
        "rows": rows, "total": found.total, "number": number, "first": offset_of(number) + 1,
        "last": offset_of(number) + len(rows), "more": PAGE * number < found.total, "before": number - 1, "after": number + 1,
    }  # fmt: skip
