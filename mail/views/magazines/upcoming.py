"""「この読者は次の記事の配信対象になりますか?」: for one reader and every coming story, yes or no, why, and when."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from mail.stories.upcoming import upcoming
from mail.views.magazines.inside import magazine_of, reader_of
from settings.permissions import needs_view


@needs_view
@require_GET
def reader_upcoming(request: HttpRequest, magazine_id: int, reader_id: int) -> HttpResponse:
    """A part of the reader's page, loaded by hx-get; opened alone a page of its own."""
    magazine = magazine_of(magazine_id)
    reader = reader_of(magazine, reader_id)
    request.menu_page = "readers"  # the menu marks the readers (smp/navigation.py)
    context = {"magazine": magazine, "reader": reader, "lines": upcoming(reader, now=timezone.now())}
    name = "reader_upcoming_part.html" if request.headers.get("HX-Request") else "reader_upcoming.html"
    return render(request, f"mail/magazines/{name}", context)
