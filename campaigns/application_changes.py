"""Changing an application: the lead's values, the answers, the sessions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from campaigns.answers import answer_text
from campaigns.application_audit import record_audit
from campaigns.entry import Entry, check_answers, chosen_sessions, entered_values
from campaigns.events import CHANGES, Event, Happening, announce
from campaigns.models import (
    Application,
    ApplicationSession,
    ApplicationState,
    ApplicationWay,
    Campaign,
    FormItem,
    ItemSource,
    Session,
)
from campaigns.refusals import ApplicationRefused
from campaigns.seats import check_session_seats, lock_application
from campaigns.texts import text_in
from campaigns.waiting_list import move_up
from leads.edit import change_lead
from leads.flags import Way
from leads.history import change_labels, values_in_words
from leads.models import DmPermission, LeadColumn
from settings.models import User
from smp.lib.deadlocks import again_after_deadlock

_LEAD_WAYS = {
    ApplicationWay.MY_PAGE: Way.MY_PAGE,
    ApplicationWay.PROXY: Way.ADMIN_EDIT,
    ApplicationWay.API: Way.API_APPLICATION_POST,
}
Changes = list[tuple[str, str, str]]  # (label, before, after) in the applicant's language


@again_after_deadlock
def change(
    application: Application,
    entry: Entry,
    *,
    way: str,
    now: datetime,
    user: User | None = None,
    ip: str | None = None,
    tell: bool = True,
) -> Application:
    """`entry.values` holds only what changes; answers and sessions are all there are (answers to retired questions stay).
    `way`: MY_PAGE, PROXY or API. On my page the address is not among the values: it has a confirmation of its own.
    Nothing different: nothing is written and nobody is told. ApplicationRefused, ValidationError as `apply`."""
    lead_way = _LEAD_WAYS[ApplicationWay(way)]
    values = entered_values(entry.values)
    if way == ApplicationWay.MY_PAGE:
        values.pop("email", None)
    with transaction.atomic():
        campaign, current = lock_application(application)
        if current.state == ApplicationState.CANCELLED:
            raise ApplicationRefused("cancelled")
        answers = check_answers(campaign, entry.answers)
        sessions = chosen_sessions(campaign, entry.session_ids, way=way)
        with translation.override(current.language):
            changes = _change_sessions(current, sessions)
            changes += _change_answers(campaign, current, answers)
            changes += _change_lead(current, values, way=lead_way, now=now, user=user, ip=ip)
        if not changes:
            return current
        if way == ApplicationWay.PROXY:
            listed = {label: [before, after] for label, before, after in changes}
            record_audit("application.change", current, user=user, ip=ip, now=now, changes=listed)
        if tell:
            lines = "\n".join(
                f"{label}: {before or '–'} → {after or '–'}" for label, before, after in changes
            )
            announce(
                Happening(
                    Event.CHANGED,
                    current.lead,
                    now,
                    campaign=campaign,
                    application=current,
                    values={CHANGES: lines},
                )
            )
        move_up(campaign, now=now)  # a session's seat may have become free
    return current


def _change_sessions(application: Application, wanted: list[Session]) -> Changes:
    before = list(application.sessions.all())
    if {one.pk for one in before} == {one.pk for one in wanted}:
        return []
    if application.state == ApplicationState.APPLIED:
        kept = {one.pk for one in before}
        check_session_seats([one for one in wanted if one.pk not in kept])
    application.chosen.exclude(session__in=wanted).delete()
    ApplicationSession.objects.bulk_create(
        (ApplicationSession(application=application, session=one) for one in wanted), ignore_conflicts=True
    )
    return [(_("Sessions"), _titles(before), _titles(wanted))]


def _titles(sessions: list[Session]) -> str:
    return " / ".join(text_in(one, "title") for one in sessions)


def _change_answers(campaign: Campaign, application: Application, answers: Mapping[str, Any]) -> Changes:
    items = FormItem.objects.filter(campaign=campaign, source=ItemSource.QUESTION)
    changes: Changes = []
    new = dict(application.answers)
    for item in items:
        if item.retired_at is not None and item.key not in answers:
            continue
        before, after = application.answers.get(item.key), answers.get(item.key)
        if after in (None, "", []):
            new.pop(item.key, None)
            after = None
        else:
            new[item.key] = after
        if before != after:
            words = [answer_text(item, one, application.language) for one in (before, after)]
            changes.append((text_in(item, "label"), words[0], words[1]))
    if changes:
        application.answers = new
        application.save(update_fields=["answers"])
    return changes


def _change_lead(
    application: Application,
    values: Mapping[str, Any],
    *,
    way: Way,
    now: datetime,
    user: User | None,
    ip: str | None,
) -> Changes:
    if not values:
        return []
    lead = application.lead
    values = dict(values)
    if values.get("dm_permission") == DmPermission.WANTED and lead.unsubscribed_at is not None:
        del values["dm_permission"]  # OPT-1: only by their own act of subscribing again
    fields = [name for name in values if name != "extra"] + [
        f"extra.{key}" for key in values.get("extra", {})
    ]
    before = values_in_words(lead, fields)
    lead = change_lead(
        lead, values, way=way, user=user, now=now, source=f"campaign {application.campaign_id}", ip=ip
    )
    after = values_in_words(lead, fields)
    application.lead = lead
    labels = change_labels(LeadColumn.objects.all() if values.get("extra") else ())
    changes = [(labels[name], before[name], after[name]) for name in fields if before[name] != after[name]]
    if changes:
        extra = dict(application.entered.get("extra", {})) | dict(values.get("extra", {}))
        application.entered = dict(application.entered) | values | ({"extra": extra} if extra else {})
        application.save(update_fields=["entered"])
    return changes
