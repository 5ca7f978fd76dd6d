"""「号外」: the issues of a magazine, the confirmation that sends one at once, and reservations."""

import uuid
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from mail.forms.magazines.stories import ReserveForm
from mail.magazines import filters
from mail.models import SendJob, Story
from mail.models.send_job import JobState
from mail.models.story import StoryKind
from mail.recipients.plan import story_plan
from mail.recipients.reasons import DECIDED_AT_START, NOT_OF_READERS
from mail.recipients.resolve import expected_counts, expected_page
from mail.refused import Refused
from mail.send_jobs import displayed_state
from mail.stories import starts
from mail.stories.content import problems
from mail.stories.history import counts_of, reservations_of
from mail.stories.lists import jobs_of_issues, listed
from mail.views.expected import PAGE, offset_of, page_number, rows_context
from mail.views.magazines.inside import magazine_of
from mail.views.magazines.story import (
    build,
    editable_story,
    in_menu,
    list_url,
    others_of,
    preview_reader,
    story_of,
)
from settings.permissions import needs_edit, needs_view
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip


@needs_view
@require_GET
def story_extras(request: HttpRequest, magazine_id: int) -> HttpResponse:
    magazine = magazine_of(magazine_id)
    now = timezone.now()
    page = Paginator(listed(magazine, StoryKind.EXTRA), rows_per_page()).get_page(request.GET.get("page"))
    issues = list(page.object_list)
    jobs = jobs_of_issues(issues)
    counts = counts_of(jobs.values())
    rows = [
        {
            "story": issue,
            "job": job,
            "state": displayed_state(job, now) if job else "",
            "sent": counts[job.pk].sent if job else 0,
        }
        for issue in issues
        for job in [_shown_job(jobs.get(issue.pk))]
    ]
    reserved = [{"job": job, "state": displayed_state(job, now)} for job in reservations_of(magazine)]
    return render(
        request,
        "mail/magazines/extras.html",
        {"magazine": magazine, "page": page, "rows": rows, "reserved": reserved},
    )


def _shown_job(job: SendJob | None) -> SendJob | None:
    """A deleted reservation leaves a draft."""
    return job if job is not None and job.state != JobState.DELETED else None


def open_job(story: Story) -> SendJob | None:
    """The reservation or sending of an issue, if it has one."""
    return _shown_job(jobs_of_issues([story]).get(story.pk))


@needs_edit
@require_http_methods(["GET", "POST"])
def extra_confirm(request: HttpRequest, magazine_id: int, story_id: int) -> HttpResponse:
    """「以上の内容で即時配信してもよろしいですか?」, or a day and a time. RSV-5: one job per page shown, and one per issue."""
    issue = _issue(magazine_id, story_id)
    if job := open_job(issue):  # a reload, a double click, or the other administrator was first
        return redirect("magazine_job", magazine_id, job.pk)
    now = timezone.now()
    form = ReserveForm(request.POST if request.POST.get("go") == "reserve" else None, now=now)
    if request.method == "POST":
        done = _confirmed(request, issue, form)
        if done is not None:
            return done
    try:
        counts = expected_counts(story_plan(issue, now=now), now=now)
    except ValidationError as invalid:  # the filter names something that is gone
        messages.error(request, " ".join(invalid.messages))
        return redirect("story", magazine_id, issue.pk)
    reader, why = preview_reader(request, issue.magazine)
    mail, refusal = build(issue, reader, now)
    found, aligned = problems(issue), others_of(issue, now)
    return render(
        request,
        "mail/magazines/extra_confirm.html",
        {
            "story": issue, "magazine": issue.magazine, "form": form, "counts": counts, "funnel": funnel(counts),
            "token": _token(request), "seen": fingerprint(issue), "reader": reader, "why": why, "mail": mail, "refusal": refusal,
            "problems": found, "aligned": aligned, "refused": any(one.severity == "error" for one in [*found, *aligned]),
            "filter_words": filters.describe_filter(issue.filter), "attachments": issue.template.attachments.defer("content"),
        },
    )  # fmt: skip


def _issue(magazine_id: int, story_id: int) -> Story:
    issue = editable_story(magazine_id, story_id)
    if issue.kind != StoryKind.EXTRA:
        raise Http404
    return issue


def _token(request: HttpRequest) -> uuid.UUID:
    """Kept when the page is shown again with a mistake: it is still the same confirmation."""
    try:
        return uuid.UUID(request.POST.get("token", ""))
    except ValueError:
        return uuid.uuid4()


def fingerprint(issue: Story) -> str:
    """What the confirmation showed. Somebody who changes it meanwhile is noticed."""
    return f"{issue.updated_at.timestamp()}-{issue.template.updated_at.timestamp()}-{issue.magazine.updated_at.timestamp()}"


def _confirmed(request: HttpRequest, issue: Story, form: ReserveForm) -> HttpResponse | None:
    """Where to go on; None to show the page again."""
    go, now = request.POST.get("go"), timezone.now()
    given = {"user": request.user, "now": now, "token": _token(request), "ip": client_ip(request)}
    if go not in {"now", "reserve"} or (go == "reserve" and not form.is_valid()):
        return None
    if request.POST.get("seen") != fingerprint(issue):
        text = _("The issue was changed meanwhile, here or by somebody else. Look at it again, then confirm.")
        messages.error(request, text)
        return redirect("extra_confirm", issue.magazine_id, issue.pk)
    try:
        if go == "reserve":
            job = starts.reserve(issue, form.at, **given)
            messages.success(request, _("Reserved. The readers are decided at that time."))
        else:
            job = starts.send_now(issue, **given)
            messages.success(request, _("The delivery has started."))
    except Refused as refused:
        if refused.code == "already" and (known := open_job(issue)):
            return redirect("magazine_job", issue.magazine_id, known.pk)
        messages.error(request, refused.message)
        return None
    return redirect("magazine_job", issue.magazine_id, job.pk)


def funnel(counts: Any) -> list[dict[str, Any]]:
    """Who is left out, in EXC-1's order."""
    return [
        {"reason": reason.value, "label": reason.label, "count": number}
        for reason in DECIDED_AT_START
        if (number := counts.by_reason.get(reason))
    ]


@needs_view
@require_GET
def story_expected(request: HttpRequest, magazine_id: int, story_id: int) -> HttpResponse:
    """The readers behind one number of the dry run: `?who=` in_scope, addressed, or a reason (EXC-6)."""
    shown = story_of(magazine_id, story_id)
    who = request.GET.get("who", "addressed")
    labels = {"in_scope": _("Readers in question"), "addressed": _("Expected to be sent")} | {
        reason.value: str(reason.label) for reason in DECIDED_AT_START if reason not in NOT_OF_READERS
    }
    if who not in labels:
        raise Http404
    number, now = page_number(request), timezone.now()
    reason = None if who == "in_scope" else "" if who == "addressed" else who
    try:
        found = expected_page(
            story_plan(shown, now=now), reason, now=now, limit=PAGE, offset=offset_of(number)
        )
    except ValidationError as invalid:  # the filter names something that is gone
        messages.error(request, " ".join(invalid.messages))
        return redirect("story", magazine_id, shown.pk)
    if number > 1 and not found.rows:  # the list became shorter since
        return redirect(f"{request.path}?who={who}")
    in_menu(request, shown.kind)
    context = {"story": shown, "magazine": shown.magazine, "who": who, "label": labels[who], "labels": labels}
    context["list_url"] = list_url(shown)
    return render(request, "mail/magazines/story_expected.html", context | rows_context(found, number))
