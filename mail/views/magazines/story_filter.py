"""配信フィルタ of a story (MAG-7): the builder of 複合検索 with what the magazine knows of its readers, and the sentence that says
whom it reaches. Also the card on the story's page."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from leads.search.editor import EMPTY_BLOCK, editor_for, raw_condition, to_search
from mail.magazines.filters import (
    check_filter,
    describe_filter,
    filter_items,
    filter_sentence,
    has_filter,
)
from mail.models import Story, StoryState
from mail.refused import Refused
from mail.stories.story_filter import set_filter, why_not
from mail.views.magazines.story import in_menu, list_url
from settings.permissions import needs_edit, needs_view
from smp.lib.client_ip import client_ip


def _story(magazine_id: int, story_id: int) -> Story:
    """404 for one of another magazine, a deleted one, and in a magazine that was archived."""
    stories = Story.objects.select_related("magazine").exclude(state=StoryState.DELETED)
    return get_object_or_404(stories, pk=story_id, magazine=magazine_id, magazine__archived_at=None)


@needs_edit
def story_filter(request: HttpRequest, magazine_id: int, story_id: int) -> HttpResponse:
    """The builder. POST carries the form (add, remove, count, save, clear); only save and clear change the story."""
    story = _story(magazine_id, story_id)
    in_menu(request, story.kind)
    more = filter_items(magazine_id)
    if request.method != "POST":
        condition = story.filter if has_filter(story.filter) else {"match": "all", "blocks": [EMPTY_BLOCK]}
        return _page(request, story, condition, more)
    action = request.POST.get("action", "refresh")
    raw = raw_condition(request.POST, more=more)
    if action == "add":
        raw["blocks"].append(dict(EMPTY_BLOCK))
    elif action.startswith("remove-"):
        position = action.removeprefix("remove-")
        if position.isdecimal() and int(position) < len(raw["blocks"]):
            del raw["blocks"][int(position)]
    elif action in {"count", "save"}:
        return _counted_or_saved(request, story, raw, more, action)
    return _page(request, story, raw, more)


def _counted_or_saved(
    request: HttpRequest, story: Story, raw: dict[str, Any], more: dict[str, Any], action: str
) -> HttpResponse:
    now = timezone.now()
    try:
        clean = check_filter(to_search(raw), story.magazine_id)
        if action == "count":
            return _page(
                request, story, raw, more, counted=filter_sentence(clean, story.magazine_id, now=now)
            )
        set_filter(story, clean, user=request.user, now=now, ip=client_ip(request))
    except ValidationError as error:
        return _page(request, story, raw, more, error)
    except Refused as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, _("The delivery filter was saved."))
    return redirect(reverse("story", args=[story.magazine_id, story.pk]))


def _page(
    request: HttpRequest,
    story: Story,
    condition: Any,
    more: dict[str, Any],
    error: ValidationError | None = None,
    **context: Any,
) -> HttpResponse:
    partial = bool(request.htmx) and request.method == "POST"
    values = {
        "editor": editor_for(condition, error, more=more),
        "story": story,
        "magazine": story.magazine,
        "why_not": why_not(story),
        "list_url": list_url(story),
        **context,
    }
    template = "mail/magazines/story_filter_form.html" if partial else "mail/magazines/story_filter_edit.html"
    return render(request, template, values, status=422 if error and not partial else 200)


@needs_view
@require_GET
def story_filter_card(request: HttpRequest, magazine_id: int, story_id: int) -> HttpResponse:
    """The sentence with its number, loaded by the story's page after it stands: counting takes its time in a big magazine."""
    story = _story(magazine_id, story_id)
    try:
        text, wrong = filter_sentence(story.filter, magazine_id, now=timezone.now()), ""
    except ValidationError as error:  # it names an item that is gone
        text, wrong = describe_filter(story.filter), " ".join(error.messages)
    return render(request, "mail/magazines/story_filter_card.html", {"text": text, "wrong": wrong})
