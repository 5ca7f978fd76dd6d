"""Changes of a story that concern readers: start, pause, go on, move, delete, other times. Each on a page that says what will
happen to how many (mail/stories/stories.py `preview`) and asks where there is a choice; done by POST."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_http_methods

from mail.models import Story
from mail.models.story import StoryKind, StoryState
from mail.refused import Refused
from mail.stories import stories as domain
from mail.stories.lists import listed
from mail.stories.outlook_words import sentences
from mail.templates import Conflict
from mail.views.magazines.story import editable_story, in_menu, list_url, story_of, timing_form
from settings.permissions import needs_edit
from smp.lib.client_ip import client_ip
from smp.lib.once import once

CHANGES = ("start", "pause", "go_on", "delete", "up", "down")


def _titles() -> dict[str, tuple[str, str, str]]:
    """{change: (title, button, what is said when it is done)}"""
    return {
        "start": (_("Start the story"), _("Start"), _("The story is running.")),
        "pause": (_("Pause the story"), _("Pause"), pgettext("done", "The story is paused.")),
        "go_on": (_("Let the story go on"), _("Go on"), _("The story goes on.")),
        "delete": (_("Delete the story"), _("Delete"), _("The story was deleted.")),
        "up": (_("Move the story up"), _("Move"), _("The order was changed.")),
        "down": (_("Move the story down"), _("Move"), _("The order was changed.")),
    }


@needs_edit
@require_http_methods(["GET", "POST"])
@once
def story_change(request: HttpRequest, magazine_id: int, story_id: int, change: str) -> HttpResponse:
    if change not in CHANGES:
        raise Http404
    story = editable_story(magazine_id, story_id)
    now = timezone.now()
    title, button, done = _titles()[change]
    chosen = _chosen(request)
    if request.method == "POST":
        try:
            act = _act(story, change, chosen=chosen, now=now)
            changed = act(user=request.user, ip=client_ip(request))
        except Refused as refused:
            messages.error(request, refused.message)
            return redirect("story", magazine_id, story.pk)
        if changed:
            messages.success(request, done)
        return _back(story, change)
    try:
        act = _act(story, change, chosen="skip" if change != "go_on" else "send", now=now)
        look = domain.preview(story, partial(act, user=None), now=now)
    except (Refused, ValidationError) as refused:
        said = refused.message if isinstance(refused, Refused) else " ".join(refused.messages)
        messages.error(request, said)
        return redirect("story", magazine_id, story.pk)
    in_menu(request, story.kind)
    context = {
        "story": story, "magazine": story.magazine, "change": change, "title": title, "button": button,
        "sentences": sentences(story, change, look), "look": look, "choices": _choices(change, look), "list_url": list_url(story),
    }  # fmt: skip
    return render(request, "mail/magazines/story_change.html", context)


def _chosen(request: HttpRequest) -> str:
    chosen = request.POST.get("choice", "")
    return chosen if chosen in {"skip", "send"} else ""


def _act(story: Story, change: str, *, chosen: str, now: datetime) -> Callable[..., bool]:
    """The change, to be called with `user` (and `ip`)."""
    if change == "start":
        return partial(domain.start_running, story, passed="send" if chosen == "send" else "skip", now=now)
    if change == "pause":
        return partial(domain.pause, story, now=now)
    if change == "go_on":
        return partial(domain.go_on, story, overdue="skip" if chosen == "skip" else "send", now=now)
    if change == "delete":
        return partial(domain.delete, story, now=now)
    if story.kind != StoryKind.STEP:
        raise Http404
    order = [one.pk for one in listed(story.magazine, StoryKind.STEP)]
    place = order.index(story.pk) + (0 if change == "up" else 2)
    return partial(domain.move, story, place, passed="send" if chosen == "send" else "skip", now=now)


def _choices(change: str, look: domain.Outlook) -> list[dict[str, Any]]:
    """What has to be decided about readers whose place or time is over; nothing where there is nobody."""
    if change in {"start", "up", "down"} and look.passed:
        n = {"n": look.passed}
        return [
            {
                "value": "skip", "ticked": True,
                "label": _("Do not send it to the %(n)s readers who have passed this place") % n,
                "help": _("They are ahead in the series. It stays as it is for them."),
            },
            {
                "value": "send", "ticked": False, "label": _("Send it to them too, as their next mail") % n,
                "help": _("They get it although they already had later stories."),
            },
        ]  # fmt: skip
    if change == "go_on" and look.overdue:
        n = {"n": look.overdue}
        return [
            {
                "value": "send", "ticked": True,
                "label": _("Send it to the %(n)s readers whose time was over meanwhile") % n,
                "help": _("They get it at the next start, and the stories that follow after it."),
            },
            {
                "value": "skip", "ticked": False, "label": _("Skip it for them"),
                "help": _("They do not get this story and go on with the next one."),
            },
        ]  # fmt: skip
    return []


def _back(story: Story, change: str) -> HttpResponseRedirect:
    if change in {"up", "down", "delete"}:
        return HttpResponseRedirect(list_url(story))
    return redirect("story", story.magazine_id, story.pk)


@needs_edit
@require_http_methods(["GET", "POST"])
@once
def story_timing(request: HttpRequest, magazine_id: int, story_id: int) -> HttpResponse:
    """Other times. Of a draft they are saved; of a story in operation a second page says first whom it concerns."""
    story = editable_story(magazine_id, story_id)
    form = timing_form(story, request.POST or None)
    if form is None:
        raise Http404
    now = timezone.now()
    confirmed = request.POST.get("confirmed") == "1" or story.state == StoryState.DRAFT
    if request.method == "POST" and form.is_valid():
        save = partial(domain.save_story, form.values(), story=story, now=now)
        try:
            if confirmed:
                save(user=request.user, ip=client_ip(request))
                messages.success(request, _("The times were saved."))
                return redirect("story", magazine_id, story.pk)
            look = domain.preview(story, partial(save, user=None), now=now)
        except ValidationError as invalid:
            for field, errors in invalid.message_dict.items():
                form.add_error(field if field in form.fields else None, errors)
        except (Refused, Conflict) as refused:
            form.add_error(None, str(refused))
        else:
            return _timing_outlook(request, story_of(magazine_id, story_id), look)
    in_menu(request, story.kind)
    context = {"story": story, "magazine": story.magazine, "form": form, "list_url": list_url(story)}
    return render(request, "mail/magazines/story_timing.html", context)


def _timing_outlook(request: HttpRequest, story: Story, look: domain.Outlook) -> HttpResponse:
    in_menu(request, story.kind)
    sent = [
        (name, value)
        for name, values in request.POST.lists()
        if name not in {"csrfmiddlewaretoken", "confirmed"}
        for value in values
    ]
    context = {
        "story": story, "magazine": story.magazine, "change": "timing", "title": _("Change when"), "button": _("Save"),
        "sentences": sentences(story, "timing", look), "look": look, "choices": [], "hidden": [*sent, ("confirmed", "1")],
        "list_url": list_url(story),
    }  # fmt: skip
    return render(request, "mail/magazines/story_change.html", context)
