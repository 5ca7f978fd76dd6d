"""「ステップメール」: the series of a magazine in its order, and who stands where in it (MAG-8)."""

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from mail.models import Reader, StoryTurn
from mail.models.story import StoryKind, StoryState, TurnState
from mail.stories.lists import listed, numbers_of
from mail.views.magazines.inside import magazine_of, may_change_in
from mail.views.magazines.story import story_of
from settings.permissions import needs_view
from settings.system_settings import rows_per_page


@needs_view
@require_GET
def story_steps(request: HttpRequest, magazine_id: int) -> HttpResponse:
    magazine = magazine_of(magazine_id)
    series = list(listed(magazine, StoryKind.STEP))
    numbers = numbers_of(series)
    rows = [
        {"story": story, "number": number, "numbers": numbers[story.pk], "last": number == len(series)}
        for number, story in enumerate(series, start=1)
    ]
    drafts = sum(story.state == StoryState.DRAFT for story in series)
    context = {
        "magazine": magazine,
        "rows": rows,
        "drafts": drafts,
        "may_change": may_change_in(request, magazine),
    }
    return render(request, "mail/magazines/steps.html", context)


@needs_view
@require_GET
def story_turns(request: HttpRequest, magazine_id: int, story_id: int) -> HttpResponse:
    """Whose turn it is and when, or who was skipped and why: `?state=` waiting, decided, skipped."""
    story = story_of(magazine_id, story_id)
    if story.kind != StoryKind.STEP:
        raise Http404
    state = request.GET.get("state", TurnState.WAITING)
    if state not in TurnState.values:
        raise Http404
    order = "due_at" if state == TurnState.WAITING else "-decided_at"
    turns = StoryTurn.objects.filter(story=story, state=state).select_related("lead").order_by(order, "pk")
    page = Paginator(turns, rows_per_page()).get_page(request.GET.get("page"))
    shown = list(page.object_list)
    readers = {
        reader.lead_id: reader
        for reader in Reader.objects.filter(
            magazine_id=magazine_id, lead__in=[turn.lead_id for turn in shown]
        )
    }
    rows = [{"turn": turn, "lead": turn.lead, "reader": readers.get(turn.lead_id)} for turn in shown]
    context = {
        "magazine": story.magazine, "story": story, "state": state, "states": TurnState.choices, "page": page, "rows": rows,
        "now": timezone.now(),
    }  # fmt: skip
    return render(request, "mail/magazines/story_turns.html", context)
