"""メールマガジン一覧: every magazine with its readers."""

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from mail.models import Magazine, ReaderState
from settings.permissions import needs_view


@needs_view
def magazines(request: HttpRequest) -> HttpResponse:
    rows = Magazine.objects.filter(archived_at=None).annotate(
        deliverable=Count("readers", filter=Q(readers__state=ReaderState.DELIVERABLE))
    )
    return render(request, "mail/magazines/magazines.html", {"magazines": rows})
