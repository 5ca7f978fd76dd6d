"""キャンペーン設定: making, changing, copying a campaign, its state, its administrators and its sessions."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from campaigns.campaigns import (
    CampaignChanged,
    change_state,
    copy_campaign,
    overbooked,
    save_campaign,
    set_members,
)
from campaigns.forms.campaigns import CampaignForm, MembersForm, SessionForm
from campaigns.models import Campaign, Session
from campaigns.seats import seats, session_seats
from campaigns.sessions import delete_session, move_session, save_session, why_not_deleted
from settings.permissions import campaign_mode, needs_administer, needs_edit, needs_view
from smp.lib.client_ip import client_ip
from smp.lib.mode import url_in
from smp.lib.once import once


@needs_administer
@once
def campaign_new(request: HttpRequest) -> HttpResponse:
    form = CampaignForm(request.POST if request.method == "POST" else None, campaign=Campaign())
    if form.is_bound and form.is_valid():
        try:
            made = save_campaign(form.values(), user=request.user, now=timezone.now(), ip=client_ip(request))
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            messages.success(request, _("The campaign was made. It is in preparation until you publish it."))
            return redirect(url_in(made.pk, "campaign"))
    return render(request, "campaigns/campaign_edit.html", {"form": form, "new": True})


@needs_administer
@require_POST
@once
def campaign_copy(request: HttpRequest, pk: int) -> HttpResponse:
    copy = copy_campaign(
        get_object_or_404(Campaign, pk=pk), user=request.user, now=timezone.now(), ip=client_ip(request)
    )
    messages.success(
        request,
        _("The campaign was copied, without its applications. Its dates are those of the original: correct them before you publish it."),
    )  # fmt: skip
    return redirect(url_in(copy.pk, "campaign_settings"))


@campaign_mode
@needs_edit
def campaign_settings(request: HttpRequest) -> HttpResponse:
    campaign = request.campaign
    form = CampaignForm(request.POST if request.method == "POST" else None, campaign=campaign)
    if form.is_bound and form.is_valid():
        try:
            saved = save_campaign(
                form.values(), campaign=campaign, user=request.user, now=timezone.now(), ip=client_ip(request),
                seen_at=form.moment_seen(),
            )  # fmt: skip
        except ValidationError as problem:
            form.add_problems(problem)
        except CampaignChanged as changed:
            form.add_error(None, str(changed))
            form.data = form.data.copy()
            form.data["seen_at"] = Campaign.objects.get(pk=campaign.pk).updated_at.isoformat()
        else:
            messages.success(request, _("The settings were saved."))
            if beyond := overbooked(saved.capacity, seats(saved)):
                messages.warning(
                    request,
                    _("%(count)s more people have a seat than the capacity allows. They keep their seats; nobody moves up before.")
                    % {"count": f"{beyond:,}"},
                )  # fmt: skip
            return redirect("campaign_settings")
    return render(request, "campaigns/campaign_edit.html", {"form": form, "campaign": campaign, "new": False})


@campaign_mode
@needs_edit
@require_POST
def campaign_state(request: HttpRequest) -> HttpResponse:
    wanted = request.POST.get("state", "")
    try:
        changed = change_state(
            request.campaign, wanted, user=request.user, now=timezone.now(), ip=client_ip(request)
        )
    except ValidationError as problem:
        for reason in problem.messages:
            messages.error(request, reason)
    else:
        messages.success(
            request, _("The campaign is now: %(state)s") % {"state": changed.get_state_display()}
        )
    return redirect("campaign")


@campaign_mode
@needs_administer
def campaign_members(request: HttpRequest) -> HttpResponse:
    form = MembersForm(request.POST if request.method == "POST" else None, campaign=request.campaign)
    if form.is_bound and form.is_valid():
        set_members(
            request.campaign,
            form.cleaned_data["members"],
            user=request.user,
            now=timezone.now(),
            ip=client_ip(request),
        )
        messages.success(request, _("The campaign administrators were saved."))
        return redirect("campaign_members")
    return render(request, "campaigns/campaign_members.html", {"form": form, "campaign": request.campaign})


# ---- sessions
@campaign_mode
@needs_view
def sessions(request: HttpRequest) -> HttpResponse:
    rows = list(request.campaign.sessions.all())
    taken = session_seats(rows)
    lines = [(session, taken[session.pk]) for session in rows]
    return render(request, "campaigns/sessions.html", {"lines": lines, "campaign": request.campaign})


def _session(request: HttpRequest, pk: int) -> Session:
    session: Session = get_object_or_404(Session, campaign=request.campaign, pk=pk)
    return session


def _edit_session(request: HttpRequest, session: Session) -> HttpResponse:
    form = SessionForm(request.POST if request.method == "POST" else None, session=session)
    if form.is_bound and form.is_valid():
        try:
            save_session(
                request.campaign, form.values(), session=session if session.pk else None,
                user=request.user, now=timezone.now(), ip=client_ip(request),
            )  # fmt: skip
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            messages.success(request, _("The session was saved."))
            return redirect("sessions")
    context: dict[str, Any] = {"form": form, "session": session, "kept": ""}
    if session.pk:
        context["kept"] = why_not_deleted(session)
    return render(request, "campaigns/session_edit.html", context)


@campaign_mode
@needs_edit
@once
def session_new(request: HttpRequest) -> HttpResponse:
    return _edit_session(request, Session())


@campaign_mode
@needs_edit
def session_edit(request: HttpRequest, pk: int) -> HttpResponse:
    return _edit_session(request, _session(request, pk))


@campaign_mode
@needs_edit
@require_POST
def session_move(request: HttpRequest, pk: int) -> HttpResponse:
    up = request.POST.get("direction") != "down"
    move_session(_session(request, pk), up=up, user=request.user, now=timezone.now(), ip=client_ip(request))
    return redirect("sessions")


@campaign_mode
@needs_edit
@require_POST
def session_delete(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        delete_session(_session(request, pk), user=request.user, now=timezone.now(), ip=client_ip(request))
    except ValidationError as problem:
        messages.error(request, problem.messages[0])
        return redirect("session_edit", pk)
    messages.success(request, _("The session was deleted."))
    return redirect("sessions")
