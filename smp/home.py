"""The first page after the login, and the search box (NAV-3)."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from settings.permissions import both_modes, needs_login
from smp.lib.finder import LIMIT, clean_question, find
from smp.lib.home import CARDS, cards_for, quick_actions_for
from smp.lib.mode import campaign_of


@both_modes
@needs_login
def home(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    wide: list[dict[str, Any]] = []
    narrow: list[dict[str, Any]] = []
    for card in cards_for(request.user, campaign_of(request)):
        content = card.context(request, now)
        if content is not None:
            (wide if card.wide else narrow).append(
                {"key": card.key, "template": card.template, "content": content}
            )
    actions = [
        {"label": action.label, "url": reverse(action.url_name)}
        for action in quick_actions_for(request.user, campaign_of(request))
    ]
    return render(request, "home.html", {"wide": wide, "cards": narrow, "actions": actions, "today": now})


@both_modes
@needs_login
def home_card(request: HttpRequest, key: str) -> HttpResponse:
    """One card anew, for those that move. 286 ends htmx's polling once there is nothing left to watch."""
    card = CARDS.get(key)
    if card is None or card not in cards_for(request.user, campaign_of(request)):
        raise Http404
    content = card.context(request, timezone.now())
    if content is None:
        return HttpResponse("", status=286)
    return render(request, card.template, {"content": content})


@both_modes
@needs_login
def search_everything(request: HttpRequest) -> HttpResponse:
    """NAV-3. With htmx only the results, as suggestions under the box."""
    question = clean_question(request.GET.get("q", ""))
    found = [
        {"label": finder.label, "results": results, "more": finder.more if len(results) == LIMIT else ""}
        for finder, results in find(request.user, question, campaign_of(request))
    ]
    template = "search_suggestions.html" if getattr(request, "htmx", False) else "search_everything.html"
    return render(request, template, {"question": question, "found": found})
