"""A send job's life. Every change of state is here, and is a conditional UPDATE, so that two admins, two workers
or a double click change it once (RSV-5).

    draft → reserved → preparing → resolving → sending → done
                                              ⇄ paused      any of them → stopped;  reserved → deleted
    halted: cannot go on until somebody acts (`halt_reason`); 再開 tries again.

The start itself, waiting → resolving → sending, is mail/job_start.py.
What this module does not do: decide about single leads (mail/recipients/) or talk SMTP (mail/delivery/).
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from leads.models import DmPermission, Lead, SavedSearch
from leads.scope import leads_in, narrow_to
from leads.search import validate_condition
from mail.alignment import Alignment
from mail.click_count import still_fits
from mail.hints import hint
from mail.models.delivery import OPEN, Delivery, DeliveryState
from mail.models.send_job import FINISHED, RUNNING, WAITING, JobState, RecipientRule, SendJob, SendJobLead
from mail.models.template import MailForm, MailTemplate, Purpose
from mail.problems import Problem, alignment_of, alignment_problems
from mail.recipients.plan import plan_of
from mail.recipients.reasons import DECIDED_AT_START, Reason
from mail.recipients.resolve import expected_counts, resolve
from mail.refused import Refused as Refused
from mail.smtp.replies import DELIVERED
from mail.stories.problems import story_problems
from mail.template_check import check_template
from settings import audit
from settings.models import User

logger = logging.getLogger(__name__)

BY_USER_LIMIT = 500  # TGT-6
BIG = 20_000  # deliveries: a job of so many is counted by the tick, every ten seconds, not by every page
LOCKED_BEFORE_START = timedelta(minutes=30)  # RSV-2


@dataclass(frozen=True)
class JobCounts:
    """From the decision rows (TGT-12): in_scope = addressed + those left out at the decision."""

    in_scope: int
    addressed: int
    by_state: dict[str, int]
    by_reason: dict[str, int]

    @property
    def sent(self) -> int:
        return self.by_state.get(DeliveryState.SENT, 0)

    @property
    def open(self) -> int:
        return sum(self.by_state.get(state, 0) for state in (*OPEN, DeliveryState.RESERVED))


# ---- before the reservation -----------------------------------------------------------------------------------------


def create_draft(
    *,
    user: User | None,
    rule: str,
    template: MailTemplate | None = None,
    search: SavedSearch | None = None,
    condition: dict[str, Any] | None = None,
    lead_ids: Iterable[int] = (),
    campaign_id: int | None = None,
    token: uuid.UUID | None = None,
    **options: Any,
) -> SendJob:
    """A wizard run of a mode (APP-1). With a saved search its condition is copied (TGT-8); `lead_ids` are the ticked leads.

    Refused("too_many") over 500 ticked leads (TGT-6), ("other_mode") for a template or search of another mode. One token
    makes one row, however often it is posted.
    """
    _refuse_other_modes(campaign_id, template, search)
    with transaction.atomic():
        job, created = SendJob.objects.get_or_create(
            token=token or uuid.uuid4(),
            defaults={
                "rule": rule,
                "campaign_id": campaign_id,
                "template": template,
                "purpose": template.purpose if template else Purpose.ADVERTISING,
                "search": search,
                "search_name": search.name if search else "",
                "condition": search.condition if search else condition,
                "created_by": user,
                **options,
            },
        )
        if created and lead_ids:
            tick(job, lead_ids)
    return job


def _refuse_other_modes(
    campaign_id: int | None, template: MailTemplate | None, search: SavedSearch | None
) -> None:
    """APP-1: templates and searches are usable in the mode they were made in only."""
    if template is not None and of_other_mode(template, campaign_id):
        raise Refused("other_mode", other_template_text())
    if search is not None and search.campaign_id != campaign_id:
        raise Refused("other_mode", other_search_text())


def of_other_mode(template: MailTemplate, campaign_id: int | None) -> bool:
    """The text of a magazine's story is nobody else's."""
    return template.campaign_id != campaign_id or template.magazine_id is not None


def other_template_text() -> str:
    return _(
        "This template belongs to another mode. Choose one of this mode, or copy it into this campaign first."
    )


def other_search_text() -> str:
    return _("This search condition belongs to another mode. Choose one that was saved in this mode.")


def tick(job: SendJob, lead_ids: Iterable[int]) -> int:
    """Makes these the ticked leads of a draft, and the draft a by-user job (TGT-5); inside a campaign only applicants can
    be ticked. Returns how many there are."""
    with transaction.atomic():
        _locked(
            job,
            (JobState.DRAFT,),
            "only_draft",
            _("This mailing was already confirmed; it cannot be changed any more."),
        )
        existing = list(leads_in(job.campaign_id).filter(id__in=set(lead_ids)).values_list("id", flat=True))
        if len(existing) > BY_USER_LIMIT:
            raise Refused("too_many", too_many_text(len(existing)))
        job.ticked.all().delete()
        SendJobLead.objects.bulk_create(SendJobLead(job=job, lead_id=lead_id) for lead_id in sorted(existing))
        job.rule = RecipientRule.BY_USER
        job.save(update_fields=["rule"])
    return len(existing)


def too_many_text(count: int) -> str:
    """TGT-6: names the limit and points to 「検索条件指定」."""
    return _(
        "“By user” reaches at most %(limit)s leads, %(count)s are ticked. "
        "To send to more, choose “By search”."
    ) % {"limit": BY_USER_LIMIT, "count": count}


CHANGEABLE = {
    "rule", "template", "search", "search_name", "condition", "dm_permissions", "unwanted_confirmed", "include_sent",
    "scheduled_at", "count_clicks", "count_opens", "counted_urls",
}  # fmt: skip


def change_draft(job: SendJob, **values: Any) -> SendJob:
    """Changes a wizard run that is not confirmed yet; Refused("only_draft") afterwards (RSV-1)."""
    if unknown := set(values) - CHANGEABLE:
        raise TypeError(f"not changeable: {sorted(unknown)}")
    _refuse_other_modes(job.campaign_id, values.get("template"), values.get("search"))
    if "search" in values and values["search"] is not None:
        values.setdefault("search_name", values["search"].name)
        values.setdefault("condition", values["search"].condition)
    if values.get("template") is not None:
        values["purpose"] = values["template"].purpose
        if not _keeps_choice(job, values):
            values |= {"counted_urls": None, "known_urls": None, "count_opens": False}
    if not SendJob.objects.filter(pk=job.pk, state=JobState.DRAFT).update(**values):
        raise Refused("only_draft", _("This mailing was already confirmed; it cannot be changed any more."))
    job.refresh_from_db()
    return job


def _keeps_choice(job: SendJob, values: dict[str, Any]) -> bool:
    """A choice of URLs is dropped when another template holds other ones: it is made again on its page (TRK-1)."""
    template = values["template"]
    return (
        job.counted_urls is None
        or "counted_urls" in values
        or template.pk == job.template_id
        or still_fits(job, template)
    )


def delete_draft(job: SendJob) -> None:
    """Locked first: Django's delete goes by the ids it found, even if the run was confirmed since."""
    with transaction.atomic():
        if SendJob.objects.select_for_update(of=("self",)).filter(pk=job.pk, state=JobState.DRAFT).exists():
            SendJob.objects.filter(pk=job.pk).delete()


def fingerprint(job: SendJob) -> str:
    """What a draft would send, to whom and when, in a few characters: the confirmation page carries it."""
    said = [
        job.rule, job.template_id, job.condition, sorted(job.dm_permissions), job.include_sent,
        job.scheduled_at.isoformat() if job.scheduled_at else None,
        list(job.ticked.order_by("lead_id").values_list("lead_id", flat=True))
        if job.rule == RecipientRule.BY_USER
        else None,
        [job.count_opens, job.counted_urls] if job.count_clicks else None,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def problems(job: SendJob, *, now: datetime, aligned: Alignment | None = None) -> list[Problem]:
    """What stands between this job and its sending, worst first. Used by the wizard, the command and the start.

    Inside a transaction hand over what `sender_alignment` said before it: asking DNS takes seconds.
    """
    if job.story is not None:
        return story_problems(job.story, now=now, aligned=aligned)
    found: list[Problem] = []
    if job.template is None:
        return [Problem("no_template", _("Choose a template."))]
    if job.template.archived_at:
        found.append(Problem("archived", _("The template was archived. Choose another one, or restore it.")))
    if of_other_mode(job.template, job.campaign_id):
        found.append(Problem("other_mode", other_template_text()))
    if job.search is not None and job.search.campaign_id != job.campaign_id:
        found.append(Problem("other_mode", other_search_text()))
    for problem in check_template(job.template):
        found.append(
            Problem(f"template_{problem.field}", f"{problem.label}: {problem.text}", problem.severity)
        )
    found += alignment_problems(job.template, aligned, now=now)
    if not job.dm_permissions:
        found.append(Problem("no_dm_permission", _("Tick at least one value of DM permission.")))
    if DmPermission.UNWANTED in job.dm_permissions and job.template.purpose == Purpose.ADVERTISING:
        found.append(Problem("unwanted_advertising", unwanted_text()))
    if job.rule == RecipientRule.BY_USER:
        if job.state == JobState.DRAFT:
            ticked = job.ticked.count()
            if not ticked:
                found.append(Problem("nobody", _("Tick at least one lead.")))
            if ticked > BY_USER_LIMIT:
                found.append(Problem("too_many", too_many_text(ticked)))
            if others := _not_applicants(job):
                found.append(Problem("not_applicants", not_applicants_text(others)))
    elif job.condition is None:
        found.append(Problem("no_condition", _("Choose a search condition.")))
    else:
        try:
            validate_condition(job.condition, campaign_id=job.campaign_id)
        except ValidationError as error:  # it names something that is gone
            found.append(Problem("condition", " ".join(error.messages)))
    found += _counting_problems(job)
    if job.state == JobState.DRAFT and job.scheduled_at and job.scheduled_at <= now:
        found.append(Problem("past", _("The time of the reservation is over. Choose a time in the future.")))
    return sorted(found, key=lambda problem: problem.severity != "error")


def _counting_problems(job: SendJob) -> list[Problem]:
    """TRK-1, TRK-2. A start is never refused for them: what cannot be counted by then is not counted."""
    if not job.count_clicks or job.state != JobState.DRAFT or job.template is None:
        return []
    if job.counted_urls is None:
        return [Problem("no_url_choice", _("Choose which URLs are counted, or do not count clicks."))]
    if job.count_opens and job.template.form == MailForm.TEXT:
        return [
            Problem("opens_of_text", _("The template is text now: opens will not be measured."), "warning")
        ]
    return []


def _not_applicants(job: SendJob) -> list[int]:
    """Ticked leads that do not belong to the job's campaign (any more: a merge moves applications)."""
    if job.campaign_id is None:
        return []
    applicants = narrow_to(Lead.objects.all(), job.campaign_id)
    others = job.ticked.exclude(lead_id__in=applicants.values("pk"))
    return list(others.order_by("lead_id").values_list("lead_id", flat=True))


def not_applicants_text(lead_ids: list[int]) -> str:
    shown = ", ".join(str(lead_id) for lead_id in lead_ids[:10]) + (" …" if len(lead_ids) > 10 else "")
    return _(
        "These ticked leads are not applicants of this campaign: %(ids)s. Go back to the list of people and on again: "
        "they are left out then."
    ) % {"ids": shown}


def sender_alignment(job: SendJob, *, now: datetime) -> Alignment | None:
    """RATE-5: whether SPF or DKIM vouches for the sender; may ask DNS, for seconds. None without a template.
    Without SMP_REQUIRE_ALIGNMENT and a DNS of one's own (development) only what is stored counts."""
    if job.story is not None:
        return alignment_of(job.story.magazine.from_address, now=now)
    return None if job.template is None else alignment_of(job.template.from_address, now=now)


def unwanted_text() -> str:
    """OPT-4: why 希望しない cannot be ticked for advertising."""
    return _(
        "This template is advertising: the law on specified electronic mail does not allow sending it to people who "
        "do not want mail. Only a business notice may be sent to them."
    )


def confirm(job: SendJob, *, user: User | None, now: datetime, ip: str | None = None, seen: str = "") -> bool:
    """The wizard's last click. True the first time; False when this run was confirmed before (RSV-5).

    Refused when something is wrong (the first error of `problems`), or when refusers would be mailed without the
    second confirmation (OPT-4), or when the draft is not what the page showed any more (`seen`, its fingerprint).
    A by-user job is decided here (TGT-2), a by-search job at its start (TGT-3).
    """
    aligned = sender_alignment(job, now=now)  # before the row is locked
    with transaction.atomic():
        job = SendJob.objects.select_for_update(of=("self",)).select_related("template").get(pk=job.pk)
        if job.state != JobState.DRAFT:
            return False
        if seen and seen != fingerprint(job):
            raise Refused(
                "changed",
                _(
                    "This mailing was changed in another window or by somebody else. Nothing was sent. "
                    "Check what is shown now, then confirm again."
                ),
            )
        for problem in problems(job, now=now, aligned=aligned):
            if problem.severity == "error":
                raise Refused(problem.code, problem.text)
        assert job.template is not None
        unwanted = DmPermission.UNWANTED in job.dm_permissions
        if unwanted and not job.unwanted_confirmed:
            raise Refused(
                "unwanted_not_confirmed", _("Confirm that people who do not want mail will be mailed.")
            )
        job.purpose = job.template.purpose
        job.reserved_at = now
        job.state = JobState.RESERVED if job.scheduled_at else JobState.PREPARING
        if job.rule == RecipientRule.BY_USER:
            plan = plan_of(job)
            resolve(job, plan, now=now, state=DeliveryState.RESERVED)
            job.skip_duplicates = plan.skip_duplicates
            job.decided_at = now
        job.save()
        detail: dict[str, Any] = {
            "rule": job.rule,
            "at": job.scheduled_at.isoformat() if job.scheduled_at else None,
        }
        if unwanted:
            detail["refusers"] = _refusers(job, now=now)
        audit.record(
            "job.reserve" if job.scheduled_at else "job.send",
            user=user,
            target=job,
            target_label=job_label(job),
            detail=detail,
            ip=ip,
        )
        if not job.scheduled_at:
            transaction.on_commit(lambda: hint("mail.tasks.run_job", job.pk))
    return True


def job_label(job: SendJob) -> str:
    """How 操作履歴 calls a job: by what it sends."""
    if job.story is not None:
        return job.story.name
    return job.template.name if job.template is not None else str(job.pk)


def _refusers(job: SendJob, *, now: datetime) -> int:
    """How many people who do not want mail this job would address now."""
    if job.rule == RecipientRule.BY_USER:
        return job.deliveries.filter(reason="", dm_permission=DmPermission.UNWANTED).count()
    return refusers_expected(job, now=now)


def refusers_expected(job: SendJob, *, now: datetime) -> int:
    """OPT-4: shown with the second confirmation."""
    plan = plan_of(job)
    everyone = expected_counts(plan, now=now).addressed
    willing = replace(plan, dm_permissions=(DmPermission.WANTED.value,))
    if DmPermission.WANTED not in plan.dm_permissions:
        return everyone
    return everyone - expected_counts(willing, now=now).addressed


# ---- between reservation and start ----------------------------------------------------------------------------------


def displayed_state(job: SendJob, now: datetime) -> JobState:
    """送信予約 becomes 送信準備 thirty minutes before its time, to the second, whether or not the tick ran (RSV-2)."""
    if job.state == JobState.RESERVED and job.scheduled_at and job.scheduled_at <= now + LOCKED_BEFORE_START:
        return JobState.PREPARING
    return JobState(job.state)


def may_delete(job: SendJob, now: datetime) -> tuple[bool, str]:
    """RSV-2: whether the reservation can be deleted, and the reason why not."""
    state = displayed_state(job, now)
    if state == JobState.RESERVED:
        return True, ""
    if state == JobState.PREPARING:
        return False, _(
            "Within 30 minutes of its time a reservation is in preparation and cannot be deleted any more. "
            "The emergency stop still stops what was not handed over."
        )
    return False, _("Only a reservation that has not started can be deleted.")


def delete_reservation(job: SendJob, *, user: User | None, now: datetime, ip: str | None = None) -> None:
    """RSV-2. Its decision rows stay and say so."""
    with transaction.atomic():
        deleted = SendJob.objects.filter(
            pk=job.pk, state=JobState.RESERVED, scheduled_at__gt=now + LOCKED_BEFORE_START
        ).update(state=JobState.DELETED, finished_at=now)
        job.refresh_from_db()
        if not deleted:
            raise Refused("not_deletable", may_delete(job, now)[1])
        job.deliveries.filter(state=DeliveryState.RESERVED).update(
            state=DeliveryState.EXCLUDED, reason=Reason.RESERVATION_DELETED, decided_at=now
        )
        audit.record("job.delete", user=user, target=job, target_label=job_label(job), ip=ip)
    count(job)


# ---- while it runs --------------------------------------------------------------------------------------------------


def pause(job: SendJob, *, user: User | None, now: datetime, ip: str | None = None) -> None:
    """RSV-3: nothing more is handed over until 再開; nothing is lost or repeated."""
    _change_state(
        job, (JobState.SENDING,), JobState.PAUSED, _("Only a mailing that is being sent can be paused.")
    )
    audit.record("job.pause", user=user, target=job, target_label=job_label(job), ip=ip)


def resume(job: SendJob, *, user: User | None, now: datetime, ip: str | None = None) -> None:
    """RSV-3. A halted job is checked again from where it stood."""
    job.refresh_from_db()
    to = JobState.SENDING if job.state == JobState.PAUSED or job.snapshot_id else JobState.PREPARING
    _change_state(
        job, (JobState.PAUSED, JobState.HALTED), to, _("Only a paused or halted mailing can be resumed.")
    )
    audit.record("job.resume", user=user, target=job, target_label=job_label(job), ip=ip)
    transaction.on_commit(
        lambda: hint("mail.tasks.deliver_job" if to == JobState.SENDING else "mail.tasks.run_job", job.pk)
    )


def stop(job: SendJob, *, user: User | None, now: datetime, ip: str | None = None) -> int:
    """RSV-3 「緊急停止」: whatever was not handed over yet is not sent. Returns how many mails that were.

    Mails in a worker's hands are refused at the intent (mail/delivery/intent.py) and recorded there.
    """
    with transaction.atomic():
        _change_state(
            job, (*WAITING, *RUNNING, JobState.PAUSED, JobState.HALTED), JobState.STOPPED,
            _("This mailing is over; there is nothing left to stop."), finished_at=now,
        )  # fmt: skip
        stopped = settle_stopped(now=now, job_id=job.pk)
        audit.record(
            "job.stop",
            user=user,
            target=job,
            target_label=job_label(job),
            detail={"not_sent": stopped},
            ip=ip,
        )
    count(job)
    return stopped


# A mail of which the lead's own copy was taken already was handed over: only its copies to others are left out.
_SETTLE_STOPPED = """
WITH settled AS (
    UPDATE mail_delivery d
       SET state = CASE WHEN d.accepted = '{}' THEN 'excluded' WHEN d.failed_address <> '' THEN 'error' ELSE 'sent' END,
           reason = CASE WHEN d.accepted = '{}' THEN 'stopped' ELSE d.reason END,
           decided_at = CASE WHEN d.accepted = '{}' THEN %(now)s ELSE d.decided_at END,
           code = CASE WHEN d.accepted <> '{}' AND d.failed_address = '' THEN %(delivered)s ELSE d.code END,
           result_at = CASE WHEN d.accepted = '{}' THEN d.result_at ELSE %(now)s END,
           next_at = NULL
      FROM mail_sendjob j
     WHERE j.id = d.job_id AND j.state = 'stopped' AND (%(job)s IS NULL OR j.id = %(job)s)
       AND d.state IN ('queued', 'deferred', 'reserved')
    RETURNING d.id, d.state, d.code
), noted AS (
    INSERT INTO mail_deliveryevent (delivery_id, at, what, code, enhanced_status, text)
    SELECT id, %(now)s, state, code, '', %(copies)s FROM settled WHERE state <> 'excluded'
)
SELECT count(*) FILTER (WHERE state = 'excluded') FROM settled
"""


def settle_stopped(*, now: datetime, job_id: int | None = None) -> int:
    """Mails of stopped jobs that wait (or came back from a dead worker) end as 除外. Returns how many."""
    values = {
        "now": now,
        "job": job_id,
        "delivered": DELIVERED,
        "copies": _("The mailing was stopped: the copies that still waited were not sent."),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE_STOPPED, values)
        return int(cursor.fetchone()[0])


def finish_if_empty(job_id: int, *, now: datetime) -> bool:
    """sending → done as soon as no delivery of the job is open any more."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE mail_sendjob SET state = 'done', finished_at = %(now)s
            WHERE id = %(job)s AND state = 'sending' AND NOT EXISTS (
                SELECT FROM mail_delivery WHERE job_id = %(job)s
                AND state IN ('queued', 'deferred', 'claimed', 'handing_over'))
            """,
            {"job": job_id, "now": now},
        )
        finished = bool(cursor.rowcount)
    if finished:
        count(SendJob.objects.get(pk=job_id))
    return finished


# ---- numbers --------------------------------------------------------------------------------------------------------


def counts_now(job: SendJob) -> JobCounts:
    """TGT-9, TGT-12: counted from the rows, one query. Writes nothing: for pages."""
    by_state: dict[str, int] = {}
    by_reason: dict[str, int] = {}
    rows = Delivery.objects.filter(job=job).order_by().values_list("state", "reason").annotate(n=Count("*"))
    for state, reason, number in rows:
        by_state[state] = by_state.get(state, 0) + number
        if reason:
            by_reason[reason] = by_reason.get(reason, 0) + number
    return JobCounts(
        in_scope=sum(by_state.values()),
        addressed=sum(by_state.values()) - sum(by_reason.get(reason, 0) for reason in DECIDED_AT_START),
        by_state=by_state,
        by_reason=by_reason,
    )


def shown_counts(job: SendJob) -> JobCounts:
    """For pages that are asked for every two seconds: as the tick last counted a big job (at most ten seconds ago while
    it runs, and right once it is over), without a query; any other job is counted now."""
    stored = stored_counts(job)
    kept = job.state == JobState.SENDING or (job.state in FINISHED and "stale" not in job.counts)
    return stored if kept and stored.in_scope >= BIG else counts_now(job)


def count(job: SendJob) -> JobCounts:
    """`counts_now`, kept on the job for the lists. A finished job that still has mails in a worker's hands stays
    `stale`: the tick counts it again. What marked it stale while we counted is not overwritten."""
    job.refresh_from_db(fields=["state", "counts"])
    before = job.counts
    counts = counts_now(job)
    stored: dict[str, Any] = {
        "in_scope": counts.in_scope,
        "addressed": counts.addressed,
        "state": counts.by_state,
        "reason": counts.by_reason,
    }
    if job.state in FINISHED and counts.open:
        stored["stale"] = True
    if before != stored and SendJob.objects.filter(pk=job.pk, counts=before).update(counts=stored):
        job.counts = stored
    return counts


def count_again_soon(job_id: int) -> None:
    """A result that comes after a job's end (a bounce): the numbers kept on the job are out of date from now on. The
    tick counts once for however many. Call it before the delivery is changed, in the same transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE mail_sendjob SET counts = counts || '{"stale": true}'
            WHERE id = %s AND state IN ('done', 'stopped', 'deleted') AND NOT counts ? 'stale'
            """,
            [job_id],
        )


def jobs_to_count() -> QuerySet[SendJob]:
    """For the tick: jobs whose numbers move, and finished ones whose kept numbers are out of date."""
    return SendJob.objects.filter(Q(state=JobState.SENDING) | Q(counts__stale=True))


def stored_counts(job: SendJob) -> JobCounts:
    """The numbers as last counted, without a query: for lists."""
    stored = job.counts or {}
    return JobCounts(
        stored.get("in_scope", 0),
        stored.get("addressed", 0),
        stored.get("state", {}),
        stored.get("reason", {}),
    )


# ---- helpers --------------------------------------------------------------------------------------------------------


def _locked(job: SendJob, states: tuple[JobState, ...], code: str, message: str) -> None:
    """Locks the row and refreshes `job`; Refused when it is in another state."""
    if not SendJob.objects.select_for_update().filter(pk=job.pk, state__in=states).exists():
        raise Refused(code, message)
    job.refresh_from_db()


def _change_state(
    job: SendJob, states: Iterable[JobState], to: JobState, message: str, **values: Any
) -> None:
    if not SendJob.objects.filter(pk=job.pk, state__in=list(states)).update(state=to, **values):
        raise Refused("wrong_state", message)
    job.refresh_from_db()
