"""What the screens ask about step mails. Nothing here changes anything."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from campaigns.models import Application, ApplicationState
from leads.models import DmPermission, Lead
from leads.search import leads_matching
from mail.models import Delivery, StepMail, StepState, StepWait, WaitState
from mail.modes import shown_in, usable_in
from mail.recipients.explain import Explanation, explain_delivery, explain_step, explain_wait
from mail.recipients.reasons import Reason
from mail.step_mail import StepCounts, counts
from settings.models import User

EXPLAINED = 10
LOADED = ("template", "search", "campaign", "created_by")


def listed_steps(campaign_id: int | None) -> QuerySet[StepMail]:
    """Every step mail that was put into operation once: of a campaign its own, among all campaigns all of them (APP-1)."""
    return shown_in(campaign_id, StepMail.objects.exclude(state=StepState.DRAFT)).select_related(*LOADED)


def drafts_of(user: User, campaign_id: int | None) -> QuerySet[StepMail]:
    """Those being set up in this mode: one's own; a privileged administrator's may be anybody's."""
    drafts = usable_in(campaign_id, StepMail.objects.filter(state=StepState.DRAFT)).select_related(*LOADED)
    return drafts if user.may_administer else drafts.filter(created_by=user)


def text_q(words: str) -> Q:
    """The list's search by text: id, name, template, condition, page."""
    found = Q()
    for word in words.replace("\0", "").split()[:5]:
        one = (
            Q(name__icontains=word)
            | Q(template__name__icontains=word)
            | Q(search__name__icontains=word)
            | Q(url_pattern__icontains=word)
        )
        if word.isascii() and word.isdigit() and len(word) < 19:
            one |= Q(pk=int(word))
        found &= one
    return found


def waits_of(step: StepMail, *, state: str = "", reason: str = "") -> QuerySet[StepWait]:
    """The origins of a step mail in one state: those that wait by their due time, the others newest first."""
    waits = step.waits.select_related("lead")
    if state:
        waits = waits.filter(state=state)
    if reason:
        waits = waits.filter(reason=reason)
    return waits.order_by("due_at", "pk") if state == WaitState.WAITING else waits.order_by("-pk")


def decisions_of(step: StepMail, *, limit: int) -> list[Delivery]:
    """The newest mails it decided about, sent or not."""
    return list(
        Delivery.objects.filter(step_mail_id=step.pk)
        .select_related("lead")
        .defer("merge_values", "reply")
        .order_by("-pk")[:limit]
    )


def explanations_of(step: StepMail, lead: Lead, *, now: datetime) -> list[Explanation]:
    """「この人は?」 (EXC-6): one sentence for each of the lead's origins, newest first; why there is none."""
    waits = list(step.waits.filter(lead=lead).select_related("step_mail").order_by("-pk")[:EXPLAINED])
    if not waits:
        return [explain_step(step, lead, now=now)]
    deliveries = Delivery.objects.select_related("job").in_bulk(
        [wait.delivery_id for wait in waits if wait.delivery_id]
    )
    return [
        explain_delivery(deliveries[wait.delivery_id], wait=wait)
        if wait.delivery_id in deliveries
        else explain_wait(wait)
        for wait in waits
    ]


def applications_before(step: StepMail) -> int:
    """People who have applied already: for them nothing is sent (only origins from the start on count)."""
    if step.campaign_id is None:
        return 0
    states = (ApplicationState.APPLIED, ApplicationState.WAITING)
    return Application.objects.filter(campaign_id=step.campaign_id, state__in=states).count()


def matching_now(step: StepMail, *, now: datetime) -> tuple[int, int]:
    """How many leads match its condition now, and how many of them do not want mail. ValidationError when the condition
    names something that is gone."""
    condition: Any = step.search.condition if step.search else None
    if condition is None:
        return 0, 0
    leads = leads_matching(condition, now=now, campaign_id=step.campaign_id)
    return leads.count(), leads.filter(dm_permission=DmPermission.UNWANTED).count()


@dataclass(frozen=True)
class ReasonCount:
    reason: str
    label: Any
    count: int


@dataclass(frozen=True)
class Numbers:
    """What became of a step mail's origins, with the reasons of those that were left out when due and of those that ended
    before, each in the order of EXC-1."""

    counts: StepCounts
    excluded: list[ReasonCount]
    stopped: list[ReasonCount]


def numbers_of(steps: Sequence[StepMail]) -> dict[int, Numbers]:
    """By step mail's id; as many queries for one as for a page of them."""
    return {
        step_id: Numbers(found, _reasons(found.excluded_by_reason), _reasons(found.stopped_by_reason))
        for step_id, found in counts(steps).items()
    }


_ORDER = {reason.value: place for place, reason in enumerate(Reason)}


def _reasons(found: dict[str, int]) -> list[ReasonCount]:
    known = sorted(found.items(), key=lambda item: _ORDER.get(item[0], len(_ORDER)))
    return [
        ReasonCount(reason, Reason(reason).label if reason in _ORDER else reason, number)
        for reason, number in known
        if number
    ]


def fingerprint(step: StepMail) -> str:
    """What it would send, to whom and when, in a few characters: the confirmation page carries it."""
    said = [
        step.name, step.url_pattern, step.search_id, step.template_id, step.wait_minutes, sorted(step.dm_permissions),
        step.include_sent, step.count_clicks, step.count_opens, step.counted_urls,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
