"""One story: its page with checks and preview, the editor, the test send, the copy. What is said and done to its running is in
changes.py."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from leads.address import normalise_email
from mail.address_fields import AddressFieldError
from mail.forms.magazines.stories import LoopTimingForm, StepTimingForm, StoryContentForm
from mail.forms.templates import TestSendForm
from mail.merge_fields import merge_fields
from mail.merging import TemplateError
from mail.message import BuiltMail, MergeProblem, Skeleton, as_test
from mail.models import Magazine, Reader, ReaderState, SendJob, Story, TemplateAttachment
from mail.models.send_job import WAITING, JobState
from mail.models.story import StoryKind, StoryState
from mail.problems import Problem
from mail.refused import Refused
from mail.stories import history
from mail.stories import stories as domain
from mail.stories.content import countable, problems, snapshot_of
from mail.stories.lists import coming_starts, numbers_of, readers_by_day
from mail.stories.problems import story_problems
from mail.stories.words import timing_text
from mail.templates import AttachmentRefused, Conflict, body_fields
from mail.test_send import TestRefused, merge_values, send_content
from mail.views.delivery_views import DEAD_LINKS
from mail.views.magazines.history import rows_of as history_rows
from mail.views.magazines.inside import magazine_in_use
from mail.views.templates import PREVIEW_POLICY, headers_of, picker
from settings.permissions import needs_edit, needs_view
from smp.lib.client_ip import client_ip
from smp.lib.once import once

SHOWN = 5
LISTS = {StoryKind.STEP: "story_steps", StoryKind.LOOP: "story_loops", StoryKind.EXTRA: "story_extras"}


def story_of(magazine_id: int, story_id: int) -> Story:
    """404 for a story of another magazine."""
    stories = Story.objects.select_related("magazine", "template", "date_item", "created_by")
    return get_object_or_404(stories, pk=story_id, magazine_id=magazine_id)


def editable_story(magazine_id: int, story_id: int) -> Story:
    """404 also for one that was deleted, and in a magazine that was archived."""
    story = story_of(magazine_id, story_id)
    if story.state == StoryState.DELETED or story.magazine.archived_at:
        raise Http404
    return story


def in_menu(request: HttpRequest, kind: str) -> None:
    """The menu marks the list of the story's kind (smp/navigation.py)."""
    request.menu_page = LISTS[StoryKind(kind)]


def list_url(story: Story) -> str:
    return reverse(LISTS[StoryKind(story.kind)], args=[story.magazine_id])


@needs_view
@require_GET
def story(request: HttpRequest, magazine_id: int, story_id: int) -> HttpResponse:
    shown = story_of(magazine_id, story_id)
    in_menu(request, shown.kind)
    return render(request, "mail/magazines/story.html", story_context(request, shown))


def story_context(request: HttpRequest, shown: Story) -> dict[str, Any]:
    now = timezone.now()
    reader, why = preview_reader(request, shown.magazine)
    mail, refusal = build(shown, reader, now)
    found = problems(shown)
    aligned = others_of(shown, now)
    return {
        "story": shown,
        "magazine": shown.magazine,
        "timing": timing_text(shown),
        "problems": found,
        "aligned": aligned,
        "refused": any(one.severity == "error" for one in [*found, *aligned]),
        "reader": reader,
        "why": why,
        "mail": mail,
        "refusal": refusal,
        "headers": headers_of(mail) if mail else [],
        "shown_bodies": body_fields(shown.template.form),
        "attachments": shown.template.attachments.defer("content"),
        "countable": list(countable(shown)) if shown.count_clicks else [],
        "list_url": list_url(shown),
        "may_change": may_change(request, shown),
    } | _standing(shown, now)


def others_of(shown: Story, now: datetime) -> list[Problem]:
    """What stands in its way besides its text: the sender's domain (RATE-5), its filter, its date item."""
    return [one for one in story_problems(shown, now=now) if not one.code.startswith("template_")]


def may_change(request: HttpRequest, shown: Story) -> bool:
    return bool(
        request.user.may_edit and shown.magazine.archived_at is None and shown.state != StoryState.DELETED
    )


def _standing(shown: Story, now: datetime) -> dict[str, Any]:
    """Where it stands: numbers, newest starts, the next ones."""
    started = list(history.starts_of(shown.magazine).filter(story=shown)[:SHOWN])
    job = next((job for job in started if job.state != JobState.DELETED), None)
    context: dict[str, Any] = {
        "numbers": numbers_of([shown])[shown.pk],
        "job": job,
        "waiting_job": job if job is not None and job.state in WAITING and job.scheduled_at else None,
        "acts": actions(shown, job),
    }
    if shown.kind != StoryKind.EXTRA:
        context["starts"] = history_rows(started)
    if shown.kind == StoryKind.LOOP:
        context["coming"] = coming_starts(shown, now=now)
        by_day = readers_by_day(shown, now=now)
        context["by_day"] = by_day
        if by_day:
            context |= {
                "today": by_day[0][1],
                "tomorrow": by_day[1][1],
                "week": sum(number for _day, number in by_day),
            }
    return context


def actions(shown: Story, job: SendJob | None) -> list[dict[str, Any]]:
    """What can be done with the story as it is: [{"label", "url", "style", "post"}]."""
    ids = [shown.magazine_id, shown.pk]

    def act(label: str, name: str, *more: str, style: str = "", post: bool = False) -> dict[str, Any]:
        return {"label": label, "url": reverse(name, args=[*ids, *more]), "style": style, "post": post}

    found = [act(_("Copy"), "story_copy", post=True), act(_("Test send"), "story_test_send")]
    found.append(act(_("Edit"), "story_edit"))
    if shown.kind == StoryKind.EXTRA:
        if job is None:
            found.append(act(_("Send or reserve"), "extra_confirm", style="main"))
            found.append(act(_("Delete"), "story_change", "delete", style="danger"))
        return found
    found.append(act(_("Change when"), "story_timing"))
    if shown.state == StoryState.DRAFT:
        found.append(act(pgettext("story", "Start"), "story_change", "start", style="main"))
    elif shown.state == StoryState.RUNNING:
        found.append(act(_("Pause"), "story_change", "pause"))
    elif shown.state == StoryState.PAUSED:
        found.append(act(pgettext("story", "Go on"), "story_change", "go_on", style="main"))
    found.append(act(_("Delete"), "story_change", "delete", style="danger"))
    return found


@needs_view
@require_GET
def story_html(request: HttpRequest, magazine_id: int, story_id: int) -> HttpResponse:
    """The merged HTML alone, for the sandboxed frame of the preview."""
    shown = story_of(magazine_id, story_id)
    reader, _why = preview_reader(request, shown.magazine)
    mail, _refusal = build(shown, reader, timezone.now())
    response = HttpResponse(mail.html + DEAD_LINKS if mail else "", content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = PREVIEW_POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


def preview_reader(request: HttpRequest, magazine: Magazine) -> tuple[Reader | None, str]:
    """(the reader named by `reader`: a lead's ID, an address or a name; otherwise the newest deliverable one; why this one)."""
    readers = Reader.objects.filter(magazine=magazine).select_related("lead")
    newest = readers.filter(state=ReaderState.DELIVERABLE, lead__deleted_at=None).order_by("-pk").first()
    words = request.GET.get("reader", "").replace("\0", "").strip()[:200]
    if not words:
        if newest is None:
            return None, _("This magazine has no deliverable reader yet, so merge fields stay blank.")
        return newest, _("The deliverable reader who registered last.")
    number = words.lstrip("#")
    named = Q(lead__email_norm=normalise_email(words)) | Q(lead__last_name=words) | Q(lead__company=words)
    parts = words.replace("\u3000", " ").split(" ", 1)
    if len(parts) == 2:
        named |= Q(lead__last_name=parts[0], lead__first_name=parts[1])
    if number.isascii() and number.isdigit() and len(number) < 18:
        named |= Q(lead_id=int(number))
    if chosen := readers.filter(named).order_by("-pk").first():
        return chosen, _("The reader you chose.")
    return newest, _("No reader of this magazine was found for “%(words)s”.") % {"words": words}


def build(shown: Story, reader: Reader | None, now: datetime) -> tuple[BuiltMail | None, str]:
    """(the mail as it would be sent now, "") or (None, why it cannot be made)."""
    content = snapshot_of(shown) | {"attachments": []}
    address = None
    if reader is None:
        content, address = as_test(content) | {"subject": content["subject"]}, "test@example.com"
    lead = reader.lead if reader else None
    try:
        skeleton = Skeleton(content)
        values = merge_values(skeleton, lead, now=now, campaign_id=None)
        return skeleton.build(
            values, delivery_id=0, lead_id=lead.pk if lead else None, sent_at=now, address=address
        ), ""
    except (TemplateError, AddressFieldError, MergeProblem) as error:
        return None, str(error)


@needs_edit
@require_http_methods(["GET", "POST"])
@once
def story_new(request: HttpRequest, magazine_id: int, kind: str) -> HttpResponse:
    """A draft: nothing goes out until it is started, sent or reserved on a page of its own."""
    if kind not in StoryKind.values:
        raise Http404
    magazine = magazine_in_use(magazine_id)
    made = Story(magazine=magazine, kind=kind)
    form = StoryContentForm(request.POST or None, request.FILES or None, story=made)
    first = not magazine.stories.filter(kind=StoryKind.STEP).exclude(state=StoryState.DELETED).exists()
    timing = timing_form(made, request.POST or None, first=first)
    if request.method == "POST" and form.is_valid() and (timing is None or timing.is_valid()):
        values = form.values() | (timing.values() if timing else {})
        if _saved(request, made, form, values):
            messages.success(request, _("Saved as a draft. Nothing is sent yet."))
            return redirect("story", magazine.pk, made.pk)
    return _editor(request, made, form, timing)


def timing_form(
    shown: Story, data: Any = None, *, first: bool = False
) -> StepTimingForm | LoopTimingForm | None:
    if shown.kind == StoryKind.STEP:
        return StepTimingForm(data, story=shown, first=first)
    return LoopTimingForm(data, story=shown) if shown.kind == StoryKind.LOOP else None


@needs_edit
@require_http_methods(["GET", "POST"])
@once
def story_edit(request: HttpRequest, magazine_id: int, story_id: int) -> HttpResponse:
    edited = editable_story(magazine_id, story_id)
    form = StoryContentForm(request.POST or None, request.FILES or None, story=edited)
    if request.method == "POST" and form.is_valid() and _saved(request, edited, form, form.values()):
        messages.success(request, _("The story was saved."))
        return redirect("story", magazine_id, edited.pk)
    return _editor(request, edited, form, None)


def _saved(request: HttpRequest, edited: Story, form: StoryContentForm, values: dict[str, Any]) -> bool:
    """False with the reason in the form."""
    try:
        stored = domain.save_story(
            values,
            story=edited,
            content=form.content(),
            files=form.new_files,
            removed=form.removed_ids,
            seen_at=form.cleaned_data["seen_at"],
            user=request.user,
            now=timezone.now(),
            ip=client_ip(request),
        )
    except Conflict as conflict:
        form.add_error(None, str(conflict))
        form.data = form.data.copy()  # saving once more is the way to overwrite, after looking
        form.data["seen_at"] = Story.objects.get(pk=edited.pk).updated_at.isoformat()
        return False
    except AttachmentRefused as refused:
        form.add_error("files", str(refused))
        return False
    except ValidationError as invalid:
        for field, errors in invalid.message_dict.items():
            field = "story_name" if field == "name" else field
            form.add_error(field if field in form.fields else None, errors)
        return False
    except Refused as refused:
        form.add_error(None, refused.message)
        return False
    edited.pk = stored.pk
    return True


def _editor(request: HttpRequest, edited: Story, form: StoryContentForm, timing: Any) -> HttpResponse:
    in_menu(request, edited.kind)
    context = {
        "form": form,
        "timing": timing,
        "story": edited,
        "magazine": edited.magazine,
        "groups": picker(merge_fields(edited.magazine_id)),
        "list_url": list_url(edited),
    }
    return render(request, "mail/magazines/story_edit.html", context)


@needs_edit
@require_POST
@once
def story_copy(request: HttpRequest, magazine_id: int, story_id: int) -> HttpResponse:
    """A draft with the same text, filter and times; of an extra issue a new issue."""
    magazine_in_use(magazine_id)
    copied = domain.copy_story(
        story_of(magazine_id, story_id), user=request.user, now=timezone.now(), ip=client_ip(request)
    )
    messages.success(request, _("This is a copy. It is a draft: nothing is sent yet."))
    return redirect("story_edit", magazine_id, copied.pk)


@needs_view
@require_GET
def story_attachment(
    request: HttpRequest, magazine_id: int, story_id: int, attachment_id: int
) -> HttpResponse:
    """Downloads a file; never shown inside this site, whatever it says it is."""
    template = story_of(magazine_id, story_id).template
    file = get_object_or_404(TemplateAttachment, pk=attachment_id, template=template)
    response = HttpResponse(bytes(file.content), content_type="application/octet-stream")
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(file.file_name, safe='')}"
    return response


@needs_edit
@require_http_methods(["GET", "POST"])
@once
def story_test_send(request: HttpRequest, magazine_id: int, story_id: int) -> HttpResponse:
    """TEST-1..6: the composed mail, with the data of a reader, to the administrator."""
    shown = editable_story(magazine_id, story_id)
    reader, why = preview_reader(request, shown.magazine)
    now = timezone.now()
    form = TestSendForm(request.POST or None, initial={"addresses": request.user.email})
    if request.method == "POST" and form.is_valid():

        def merge(skeleton: Skeleton, _lead: Any) -> dict[str, str]:
            lead = reader.lead if reader else None
            return merge_values(skeleton, lead, now=now, campaign_id=None)

        try:
            sent = send_content(
                snapshot_of(shown),
                addresses=form.cleaned_data["addresses"],
                user=request.user,
                now=now,
                campaign_id=None,
                template=shown.template,
                action="story.test_send",
                label=shown.name,
                ticked_ids=[reader.lead_id] if reader else (),
                merge=merge,
                ip=client_ip(request),
            )
        except TestRefused as refused:
            form.add_error(None, str(refused))
        else:
            where = ", ".join(delivery.address for delivery in sent)
            messages.success(request, _("The test mail is on its way to %(where)s.") % {"where": where})
            return redirect("story", magazine_id, shown.pk)
    in_menu(request, shown.kind)
    context = {"story": shown, "magazine": shown.magazine, "form": form, "reader": reader, "why": why}
    context["list_url"] = list_url(shown)
    return render(request, "mail/magazines/story_test_send.html", context)
