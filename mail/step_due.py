"""What of the step mails is due (STEP-5, STEP-6, TGT-12): waits whose time has come → deliveries, each with its decision.

The tick calls `decide_due`. One statement over the index of what waits finds which step mails have something due, whatever else
waits. Then batches, each in a transaction of its own that holds its waits: a process that dies leaves them as they were, and two
ticks at once never have the same. After an outage the oldest go first; what does not fit into this tick goes into the next.

First what only step mails ask: too late, application cancelled, the condition as it is saved now. Then the one statement of
every mailing (mail/recipients/). EXC-3 is the wizard's: two leads with one address have an origin each.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils.translation import gettext as _

from campaigns.merge_values import NAMES, About, texts_of
from campaigns.models import Application, ApplicationState
from leads.models import Lead
from leads.search import leads_matching
from mail.alerts import alert_admins
from mail.alignment import Alignment
from mail.automatic import storable
from mail.click_count import with_counting
from mail.hints import hint
from mail.merge_fields import canonical_names
from mail.message import Skeleton, snapshot_content, store_snapshot
from mail.models import Delivery, StepMail, StepState, StepWait, TemplateSnapshot, WaitState
from mail.models.delivery import DeliveryKind, DeliveryState
from mail.models.send_job import RecipientRule
from mail.models.template import Purpose
from mail.problems import alignment_of
from mail.recipients.plan import Plan
from mail.recipients.reasons import Reason
from mail.recipients.resolve import DueWait, resolve_waits
from mail.step_mail import problems
from mail.step_settings import LATE_HOURS
from settings import audit
from settings.system_settings import get_setting

logger = logging.getLogger(__name__)

LIMIT = 2_000  # waits a tick
BATCH = 500
ROUNDS = 20  # a lead with more waits of one step mail in a batch goes on in the next tick

# `due_at` of the oldest tells whose turn it is first.
DUE = """
SELECT step.id FROM mail_stepmail step CROSS JOIN LATERAL (
    SELECT due_at FROM mail_stepwait wait
     WHERE wait.step_mail_id = step.id AND wait.state = 'waiting' AND wait.due_at <= %(now)s
     ORDER BY wait.due_at LIMIT 1) oldest
 WHERE step.state = 'active'
 ORDER BY oldest.due_at, step.id
"""


def decide_due(now: datetime, *, limit: int = LIMIT) -> int:
    """Decides what is due, at most `limit` waits; how many. A step mail that cannot go is left with its waits and says why;
    it keeps none of the others."""
    decided = 0
    steps = _steps_due(now)
    served: dict[int, set[int]] = {step_id: set() for step_id in steps}
    while steps and decided < limit:
        again = []
        for step_id in steps:
            if decided >= limit:
                break
            size, before = min(BATCH, limit - decided), len(served[step_id])
            done = _decide_apart(step_id, now, size, served[step_id])
            decided += done
            if done == size or len(served[step_id]) > before:
                again.append(step_id)
        steps = again
    return decided


def _steps_due(now: datetime) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(DUE, {"now": now})
        return [row[0] for row in cursor.fetchall()]


def _decide_apart(step_id: int, now: datetime, limit: int, served: set[int]) -> int:
    """A mistake in one step mail is logged, shown, and tried again in two seconds; it never keeps back the others."""
    try:
        return decide_some(step_id, now, limit=limit, served=served)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        step = StepMail.objects.filter(pk=step_id).first()
        text = _("The mails that are due could not be decided. Ask your operator to read the log.")
        if step is not None and _show_trouble(step, text, now=now):
            logger.exception("step mail %s could not be decided", step_id)
        return 0


def decide_some(step_id: int, now: datetime, *, limit: int, served: set[int] | None = None) -> int:
    """One batch of one step mail; how many waits were decided. `served`: leads that had ROUNDS of them in this tick. What
    else waits for them waits for the next one, so that a single visitor with thousands keeps nobody else back."""
    decided = 0
    served = set() if served is None else served
    steps = StepMail.objects.select_related("template", "search", "campaign", "created_by")
    step = steps.filter(pk=step_id, state=StepState.ACTIVE).first()
    if step is None:
        return 0
    aligned = _alignment(step, now=now)
    with transaction.atomic():
        waits = _held(step_id, now, limit, served)
        # Read only now: whoever stops or deletes it comes before these waits were held, or waits for this transaction.
        step = steps.filter(pk=step_id, state=StepState.ACTIVE).first()
        if step is None or not waits:
            return 0
        found = problems(step, now=now, aligned=aligned)
        trouble = next((one.text for one in found if one.severity == "error"), "")
        if not trouble:
            decided = _decide(step, waits, served, now=now)
    if trouble or step.trouble:
        _show_trouble(step, trouble, now=now)
    return decided


def _alignment(step: StepMail, *, now: datetime) -> Alignment:
    """RATE-5, before the transaction: it may ask DNS. A notice goes out all the same, so nobody is asked about one."""
    template = step.template
    if template is None or template.purpose != Purpose.ADVERTISING or not settings.REQUIRE_ALIGNMENT:
        return Alignment(template.from_address if template else "", True, "")
    return alignment_of(template.from_address, now=now)


def _held(step_id: int, now: datetime, limit: int, served: set[int]) -> list[StepWait]:
    waits = StepWait.objects.filter(step_mail=step_id, state=WaitState.WAITING, due_at__lte=now)
    if served:
        waits = waits.exclude(lead_id__in=served)
    return list(
        waits.order_by("due_at", "pk").select_for_update(of=("self",), no_key=True, skip_locked=True)[:limit]
    )


def _decide(step: StepMail, waits: Sequence[StepWait], served: set[int], *, now: datetime) -> int:
    """Inside the transaction that holds the waits; how many were decided."""
    leads = Lead.objects.in_bulk({wait.lead_id for wait in waits})
    applications = Application.objects.select_related("campaign").in_bulk(
        {wait.application_id for wait in waits if wait.application_id}
    )
    matching, hours = _matching(step, leads, now=now), get_setting(LATE_HOURS)
    before = now - timedelta(hours=hours) if hours else None
    refused: list[tuple[StepWait, Reason]] = []
    asked: list[StepWait] = []
    for wait in waits:
        lead = leads.get(wait.lead_id)
        application = applications.get(wait.application_id or 0)
        if reason := _reason(wait, lead, application, wait.lead_id in matching, before):
            refused.append((wait, reason))
        else:
            asked.append(wait)
    _exclude(step, refused, leads, now=now)
    decided, queued = len(refused), 0
    if asked:
        snapshot = snapshot_of(step)
        names = canonical_names(Skeleton(snapshot.content).names)
        for some in _rounds(asked, served):
            due = _with_values(some, applications, names, now=now)
            queued += resolve_waits(
                _plan(step, due), due, step_mail_id=step.pk, snapshot_id=snapshot.pk, now=now
            )
            decided += len(due)
    if queued:
        transaction.on_commit(lambda: hint("mail.tasks.deliver_job"))
    return decided


def _reason(
    wait: StepWait, lead: Lead | None, application: Application | None, matches: bool, before: datetime | None
) -> Reason | None:
    """DECIDED_AT_STEP, in that order. What was due before `before` is too late."""
    if lead is None or lead.deleted_at is not None:
        return Reason.DELETED
    if before and wait.due_at < before:
        return Reason.TOO_LATE
    if wait.application_id and (application is None or application.state == ApplicationState.CANCELLED):
        return Reason.APPLICATION_CANCELLED
    return None if matches else Reason.CONDITION


def _matching(step: StepMail, lead_ids: Iterable[int], *, now: datetime) -> set[int]:
    """STEP-2, STEP-6: by the search as it is saved now, in the campaign's scope."""
    if step.search is None:
        raise ValidationError("no condition")  # `problems` said so before
    leads = leads_matching(step.search.condition, now=now, campaign_id=step.campaign_id)
    return set(leads.filter(pk__in=list(lead_ids)).values_list("pk", flat=True))


def _plan(step: StepMail, waits: Sequence[DueWait]) -> Plan:
    assert step.template is not None
    return Plan(
        rule=RecipientRule.BY_USER,
        template_id=step.template_id,
        purpose=step.template.purpose,
        campaign_id=step.campaign_id,
        lead_ids=tuple(wait.lead_id for wait in waits),
        dm_permissions=tuple(step.dm_permissions),
        include_sent=step.include_sent,
        skip_duplicates=False,
    )


def _rounds(waits: Sequence[StepWait], served: set[int]) -> list[list[StepWait]]:
    """Each lead once in a round, its oldest first: the second decision about a lead sees the first (STEP-5). Leads with more
    than ROUNDS go to `served`."""
    rounds: list[list[StepWait]] = []
    times: dict[int, int] = {}
    for wait in waits:
        place = times.get(wait.lead_id, 0)
        times[wait.lead_id] = place + 1
        if place < ROUNDS:
            if place == len(rounds):
                rounds.append([])
            rounds[place].append(wait)
        else:
            served.add(wait.lead_id)
    return rounds


def snapshot_of(step: StepMail) -> TemplateSnapshot:
    """The template as it is when the mail is due (RSV-4), with what the step mail counts of it (TRK-5: found by URL)."""
    assert step.template is not None
    content, _changes = with_counting(
        snapshot_content(step.template), step, campaign_id=step.campaign_id, user=step.created_by
    )
    return store_snapshot(content)


def _with_values(
    waits: Sequence[StepWait], applications: dict[int, Application], names: dict[str, str], *, now: datetime
) -> list[DueWait]:
    """What the text says of a campaign and an application it says of the very application that was the origin. `names`: as
    written → the field's own name."""
    names = {written: name for written, name in names.items() if name in NAMES}
    given: dict[int, dict[str, str]] = {}
    origins = [wait for wait in waits if wait.application_id in applications]
    if names and origins:
        abouts = [
            About(one.campaign, one, one.language, now)
            for one in (applications[wait.application_id or 0] for wait in origins)
        ]
        texts = texts_of(abouts, set(names.values()))
        given = {
            wait.pk: {written: storable(said[name]) for written, name in names.items()}
            for wait, said in zip(origins, texts, strict=True)
        }
    return [DueWait(wait.pk, wait.lead_id, wait.application_id, given.get(wait.pk, {})) for wait in waits]


def _exclude(
    step: StepMail, refused: Sequence[tuple[StepWait, Reason]], leads: dict[int, Lead], *, now: datetime
) -> None:
    """Decision rows as every other, with the lead's values at this moment."""
    rows = []
    for wait, reason in refused:
        lead = leads.get(wait.lead_id)
        rows.append(
            Delivery(
                kind=DeliveryKind.STEP,
                step_mail_id=step.pk,
                lead_id=wait.lead_id,
                campaign_id=step.campaign_id,
                application_id=wait.application_id,
                template_id=step.template_id,
                state=DeliveryState.EXCLUDED,
                reason=reason,
                decided_at=now,
                address=lead.email if lead else "",
                dm_permission=lead.dm_permission if lead else "",
                email_valid=lead.email_valid if lead else True,
                registration=lead.registration if lead else "",
                unsubscribed_at=lead.unsubscribed_at if lead else None,
            )
        )
    Delivery.objects.bulk_create(rows)
    for (wait, _why), row in zip(refused, rows, strict=True):
        wait.state, wait.decided_at, wait.delivery_id = WaitState.DECIDED, now, row.pk
    StepWait.objects.bulk_update([wait for wait, _why in refused], ["state", "decided_at", "delivery_id"])


def _show_trouble(step: StepMail, text: str, *, now: datetime) -> bool:
    """Once each time it changes: on its page, in the audit log, and to the administrators. Whether it did."""
    changed = bool(StepMail.objects.filter(pk=step.pk).exclude(trouble=text).update(trouble=text))
    if not changed or not text:
        return changed
    logger.warning("step mail %s is held up: %s", step.pk, text)
    audit.record(
        "step_mail.trouble", user=None, target=step, detail={"reason": text}, campaign_id=step.campaign_id
    )

    def subject() -> str:
        return _("Step mail held up: %(name)s") % {"name": step.name}

    def body() -> str:
        return _(
            "Mails of the step mail “%(name)s” are due and cannot be sent:\n\n%(reason)s\n\nThey wait until this is mended: "
            "open Mail → Step mails. What is overdue for too long by then is not sent."
        ) % {"name": step.name, "reason": text}

    alert_admins(subject, body, key=f"step mail {step.pk}", now=now)
    return True
