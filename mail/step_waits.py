"""What starts a step mail's wait (STEP-2..4): an application inside a campaign, a view of a tracked page among all campaigns.

One origin starts one wait of a step mail, however often it is told. The condition is asked here for the first time; who does
not match gets a row too, stopped with that reason, so that "why not" has an answer. mail/step_due.py asks again when it is due.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, connection, transaction

from campaigns.events import Event, Happening
from leads.search import leads_matching
from mail.models import StepMail, StepOrigin, StepState, WaitState
from mail.recipients.reasons import Reason
from mail.step_settings import BEFORE_KNOWN
from mail.url_patterns import matches
from settings.system_settings import get_setting

logger = logging.getLogger(__name__)

# A full application: at once, or when its address is confirmed; with a seat or on the waiting list. Who moves up from there
# starts what did not match before.
_ORIGINS = (Event.RECEIVED, Event.WAITING, Event.MOVED_UP)


@dataclass(frozen=True)
class Viewed:
    """A view of a tracked page by a person. `before_known`: it was linked to the lead later, by an identification."""

    lead_id: int
    url: str
    at: datetime
    key: str  # of the view, for ever: its uid
    before_known: bool = False


@dataclass(frozen=True)
class _Origin:
    lead_id: int
    key: str
    at: datetime
    due_at: datetime
    application_id: int | None = None
    text: str = ""


def on_happened(sender: object, happenings: list[Happening], **kwargs: object) -> None:
    """The receiver of campaigns.events.happened."""
    applied(happenings)


def applied(happenings: Iterable[Happening]) -> int:
    """Starts the waits of these applications, in the transaction that makes them true; how many waits were written. As many
    queries for a thousand as for one. Nobody's application ever fails for a step mail."""
    origins: dict[int, list[Happening]] = {}
    for one in happenings:
        if one.event in _ORIGINS and one.application is not None:
            origins.setdefault(one.application.campaign_id, []).append(one)
    if not origins:
        return 0
    steps = _active(origin=StepOrigin.APPLICATION, campaign__in=list(origins))
    return sum(_applied(step, origins[step.campaign_id or 0]) for step in steps)


def _applied(step: StepMail, happenings: Sequence[Happening]) -> int:
    found = []
    for one in happenings:
        application = one.application
        assert application is not None
        # Who applies twice is told again, but applied once, and then.
        at = application.applied_at or application.waiting_since or one.now
        if step.active_since and at >= step.active_since:
            due = at + timedelta(minutes=step.wait_minutes)
            found.append(_Origin(one.lead.pk, str(application.pk), at, due, application.pk))
    return _write(step, found, now=happenings[0].now)


def viewed(views: Iterable[Viewed], *, now: datetime) -> int:
    """Starts the waits of these views; how many were written. STEP-4: views from before the lead was known start none, or
    all of them, as the system setting says; their wait counts from the view too, but they are never due before now."""
    views = list(views)
    if any(one.before_known for one in views) and not get_setting(BEFORE_KNOWN):
        views = [one for one in views if not one.before_known]
    if not views:
        return 0
    with transaction.atomic():
        return sum(_viewed(step, views, now=now) for step in _active(origin=StepOrigin.PAGE_VIEW))


def _viewed(step: StepMail, views: Sequence[Viewed], *, now: datetime) -> int:
    found = []
    for one in views:
        if step.active_since and one.at >= step.active_since and _meant(step, one.url):
            due = one.at + timedelta(minutes=step.wait_minutes)
            due = max(due, now) if one.before_known else due
            found.append(_Origin(one.lead_id, one.key, one.at, due, text=one.url.replace("\0", "")[:1000]))
    return _write(step, found, now=now)


def _meant(step: StepMail, url: str) -> bool:
    try:
        return matches(step.url_pattern, url)
    except ValidationError:  # the rules of patterns became stricter
        logger.exception("the URL of step mail %s cannot be used", step.pk)
        return False


def _active(**which: Any) -> list[StepMail]:
    """Locked against a change of state until this transaction ends: otherwise a wait could be written for a step mail that is
    deleted at this moment, and would stay for ever. Origins do not wait for one another (FOR SHARE)."""
    which |= {"state": StepState.ACTIVE}
    ids = list(StepMail.objects.filter(**which).order_by("pk").values_list("pk", flat=True))
    if not ids:
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT id FROM mail_stepmail WHERE id = ANY(%s) ORDER BY id FOR SHARE", [ids])
    return list(StepMail.objects.filter(pk__in=ids, **which).select_related("search").order_by("pk"))


# Who did not match when applying and matches when moving up from the waiting list starts now: the same origin at a later
# time. Anything else is the same told again.
_INSERT = """
INSERT INTO mail_stepwait (step_mail_id, lead_id, origin_key, application_id, origin_at, origin_text, due_at, state, reason, decided_at)
SELECT %(step)s, lead_id, origin_key, application_id, origin_at, origin_text, due_at, state, reason,
       CASE WHEN state = 'stopped' THEN %(now)s::timestamptz END
FROM unnest(%(leads)s::bigint[], %(keys)s::text[], %(applications)s::bigint[], %(ats)s::timestamptz[], %(texts)s::text[],
            %(dues)s::timestamptz[], %(states)s::text[], %(reasons)s::text[])
    AS origin (lead_id, origin_key, application_id, origin_at, origin_text, due_at, state, reason)
ON CONFLICT (step_mail_id, origin_key) DO UPDATE
    SET state = 'waiting', reason = '', decided_at = NULL, origin_at = excluded.origin_at, due_at = excluded.due_at
    WHERE mail_stepwait.state = 'stopped' AND mail_stepwait.reason = 'condition' AND excluded.state = 'waiting'
          AND excluded.origin_at > mail_stepwait.origin_at
"""


def _write(step: StepMail, origins: Sequence[_Origin], *, now: datetime) -> int:
    # One key once in a statement.
    origins = list({one.key: one for one in origins}.values())
    if not origins:
        return 0
    matching = _matching(step, {one.lead_id for one in origins}, now=now)
    start = [one.lead_id in matching for one in origins]
    values: dict[str, Any] = {
        "step": step.pk,
        "now": now,
        "leads": [one.lead_id for one in origins],
        "keys": [one.key for one in origins],
        "applications": [one.application_id for one in origins],
        "ats": [one.at for one in origins],
        "texts": [one.text for one in origins],
        "dues": [one.due_at for one in origins],
        "states": [str(WaitState.WAITING if yes else WaitState.STOPPED) for yes in start],
        "reasons": ["" if yes else str(Reason.CONDITION) for yes in start],
    }
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)
        return int(cursor.rowcount)


def _matching(step: StepMail, lead_ids: set[int], *, now: datetime) -> set[int]:
    """Which of them match the condition as it is saved now (STEP-2). Where it cannot be asked, everybody waits: it is asked
    again when they are due, and until then somebody can mend it."""
    try:
        if step.search is None:
            raise ValidationError("no condition")
        with transaction.atomic():
            leads = leads_matching(step.search.condition, now=now, campaign_id=step.campaign_id)
            return set(leads.filter(pk__in=lead_ids).values_list("pk", flat=True))
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("the condition of step mail %s cannot be asked", step.pk)
        return lead_ids
