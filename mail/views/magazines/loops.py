"""「ループメール」: the stories a magazine sends again and again, each with its rule and its next start (MAG-8)."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from mail.models.story import StoryKind
from mail.stories.lists import coming_starts, listed, numbers_of
from mail.views.magazines.inside import magazine_of, may_change_in
from settings.permissions import needs_view


@needs_view
@require_GET
def story_loops(request: HttpRequest, magazine_id: int) -> HttpResponse:
    magazine = magazine_of(magazine_id)
    now = timezone.now()
    loops = list(listed(magazine, StoryKind.LOOP))
    numbers = numbers_of(loops)
    rows = [
        {"story": story, "numbers": numbers[story.pk], "coming": coming_starts(story, now=now, number=1)}
        for story in loops
    ]
    context = {"magazine": magazine, "rows": rows, "may_change": may_change_in(request, magazine)}
    return render(request, "mail/magazines/loops.html", context)
