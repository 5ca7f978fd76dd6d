"""「なぜ届いた/届かなかったのか」 (EXC-6): one sentence for a lead and a job, with the data behind it.

The sentence comes from the stored decision row (TGT-12); without a row it says why there is none.
"""

from dataclasses import dataclass, field
from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from leads.models import DmPermission, Lead, Registration
from leads.scope import narrow_to
from mail.mail_kinds import kind_label
from mail.models.delivery import Delivery, DeliveryKind, DeliveryState
from mail.models.magazine import ReaderState
from mail.models.send_job import FINISHED, JobState, RecipientRule, SendJob
from mail.models.step_mail import StepMail, StepWait
from mail.recipients.explain_magazines import Started, outside_of, start_lines, starts_of
from mail.recipients.explain_steps import moment, never_started, origin_lines, wait_sentence, waits_of
from mail.recipients.plan import plan_of
from mail.recipients.reasons import Reason
from mail.recipients.resolve import expected_decision
from mail.smtp.replies import describe_code


@dataclass(frozen=True)
class Explanation:
    """`decision` is addressed, excluded, or none (the lead was not in scope, or nothing is decided yet)."""

    decision: str
    reason: (
        str  # a Reason, or "" when addressed; not_in_scope, not_decided, would_be_addressed … without a row
    )
    sentence: str
    evidence: list[str] = field(default_factory=list)
    decided_at: datetime | None = None
    values: dict[str, object] = field(default_factory=dict)
    state: str = ""
    delivery_id: int | None = None


def explain(job: SendJob, lead: Lead, *, now: datetime) -> Explanation:
    """Why this lead was mailed by this job, or not."""
    delivery = Delivery.objects.filter(job=job, lead=lead).select_related("job").first()
    return explain_delivery(delivery) if delivery else _without_row(job, lead, now=now)


def explain_step(step: StepMail, lead: Lead, *, now: datetime) -> Explanation:
    """Why this lead was mailed by this step mail, or not, or not yet: its newest origin."""
    wait = (
        StepWait.objects.filter(step_mail=step, lead=lead).select_related("step_mail").order_by("-pk").first()
    )
    if wait is None:
        sentence, lines = never_started(step, lead, now=now)
        return Explanation("none", "not_started", sentence, lines)
    delivery = Delivery.objects.filter(pk=wait.delivery_id).first() if wait.delivery_id else None
    return explain_delivery(delivery, wait=wait) if delivery else explain_wait(wait)


def explain_wait(wait: StepWait) -> Explanation:
    """A wait that has no delivery: it waits, or never came to a decision."""
    reason = wait.reason or "waiting"
    return Explanation(
        "none", reason, wait_sentence(wait), origin_lines(wait), wait.decided_at, state=wait.state
    )


def explain_delivery(
    delivery: Delivery, *, wait: StepWait | None = None, start: Started | None = None
) -> Explanation:
    """The stored decision of one delivery in words, and what became of it. No query when `job` is loaded, and of a step mail
    its `wait` (explain_steps.waits_of), of magazine mail its `start` (explain_magazines.starts_of)."""
    if wait is None:
        wait = waits_of([delivery]).get(delivery.pk)
    if start is None:
        start = starts_of([delivery]).get(delivery.pk)
    values: dict[str, object] = {
        "address": delivery.address,
        "dm_permission": delivery.dm_permission,
        "email_valid": delivery.email_valid,
        "registration": delivery.registration,
        "unsubscribed_at": delivery.unsubscribed_at.isoformat() if delivery.unsubscribed_at else None,
        "related_id": delivery.related_id,
    }
    if delivery.kind == DeliveryKind.MAGAZINE:
        values["reader_state"] = delivery.reader_state
    return Explanation(
        decision="excluded" if delivery.state == DeliveryState.EXCLUDED else "addressed",
        reason=delivery.reason,
        sentence=_reason_sentence(delivery)
        if delivery.state == DeliveryState.EXCLUDED
        else _result_sentence(delivery),
        evidence=[
            *(origin_lines(wait) if wait else []),
            *(start_lines(start, delivery) if start else []),
            *_evidence(delivery),
        ],
        decided_at=delivery.decided_at,
        values=values,
        state=delivery.state,
        delivery_id=delivery.pk,
    )


def _reason_sentence(delivery: Delivery) -> str:
    at = moment(delivery.decided_at)
    related = delivery.related_id
    match delivery.reason:
        case Reason.DELETED:
            return _("Not sent: the lead had been deleted when the mailing started (%(at)s).") % {"at": at}
        case Reason.NO_ADDRESS:
            return _("Not sent: the lead had no e-mail address at %(at)s.") % {"at": at}
        case Reason.MALFORMED_ADDRESS:
            return _("Not sent: “%(address)s” is no e-mail address mail can be sent to.") % {
                "address": delivery.address
            }
        case Reason.UNSUBSCRIBED:
            return _("Not sent: the recipient had unsubscribed on %(when)s.") % {
                "when": moment(delivery.unsubscribed_at)
            }
        case Reason.INVALID_ADDRESS:
            return _(
                "Not sent: the valid flag of the address was off at %(at)s, after failed deliveries."
            ) % {"at": at}
        case Reason.PROVISIONAL:
            return _(
                "Not sent: the registration was provisional at %(at)s, the address was not confirmed."
            ) % {"at": at}
        case Reason.READER_STOPPED:
            return _(
                "Not sent: the reader was stopped in this magazine when the delivery started (%(at)s)."
            ) % {"at": at}
        case Reason.READER_ERROR_STOPPED:
            return _(
                "Not sent: the reader was stopped by errors in this magazine when the delivery started (%(at)s)."
            ) % {"at": at}
        case Reason.FILTER:
            return _(
                "Not sent: the reader did not match the delivery filter when the delivery started (%(at)s)."
            ) % {"at": at}
        case Reason.READER_LEFT_LATE:
            return _(
                "Not sent: the reader left the magazine after the delivery had started, before the mail was handed over (%(at)s)."
            ) % {"at": at}
        case Reason.DM_PERMISSION:
            return _(
                "Not sent: DM permission was “%(value)s” at %(at)s, and this mailing did not include it."
            ) % {
                "value": _label(DmPermission, delivery.dm_permission),
                "at": at,
            }
        case Reason.ALREADY_SENT:
            return _("Not sent: this lead had already been sent this template (mail %(id)s).") % {
                "id": related
            }
        case Reason.DUPLICATE:
            return _("Not sent: lead %(id)s has the same address and is newer, so that one was chosen.") % {
                "id": related
            }
        case Reason.AUTOMATIC_OFF:
            return _("Not sent: this automatic mail was switched off in the mail settings at %(at)s.") % {
                "at": at
            }
        case Reason.CONDITION:
            return _("Not sent: the lead did not match the step mail's condition at %(at)s.") % {"at": at}
        case Reason.APPLICATION_CANCELLED:
            return _("Not sent: the application had been cancelled when the step mail was due (%(at)s).") % {
                "at": at
            }
        case Reason.STEP_DELETED:
            return _("Not sent: the step mail was deleted before this mail was handed over (%(at)s).") % {
                "at": at
            }
        case Reason.TOO_LATE:
            return _(
                "Not sent: the step mail was due long ago when it could be decided (%(at)s), after an outage or a pause."
            ) % {"at": at}
        case Reason.UNSUBSCRIBED_LATE:
            return _("Not sent: the recipient unsubscribed before the mail was handed over (%(at)s).") % {
                "at": at
            }
        case Reason.MERGED_ADDRESS:
            return _("Not sent: a merge field gave something that is no e-mail address: %(text)s") % {
                "text": delivery.reply
            }
        case Reason.STOPPED:
            return _(
                "Not sent: an administrator stopped the mailing before this mail was handed over (%(at)s)."
            ) % {"at": at}
        case Reason.RESERVATION_DELETED:
            return _("Not sent: the reservation was deleted before its time (%(at)s).") % {"at": at}
    return _("Not sent: %(reason)s") % {"reason": delivery.get_reason_display()}


def _result_sentence(delivery: Delivery) -> str:
    match delivery.state:
        case DeliveryState.RESERVED:
            return _("Will be sent: fixed at the reservation, waits for its time.")
        case DeliveryState.QUEUED | DeliveryState.CLAIMED | DeliveryState.HANDING_OVER:
            if delivery.job and delivery.job.state == JobState.PAUSED:
                return _("Will be sent: waits, because the mailing is paused.")
            return _("Will be sent: it is on its way out.")
        case DeliveryState.DEFERRED:
            return _("Will be tried again at %(at)s: the receiving side could not take it yet.") % {
                "at": moment(delivery.next_at)
            }
        case DeliveryState.SENT:
            return _("Sent: %(host)s took the mail at %(at)s.") % {
                "host": delivery.remote_host or _("the mail server"),
                "at": moment(delivery.result_at or delivery.sent_at),
            }
        case DeliveryState.UNKNOWN:
            return _(
                "Outcome unknown: the mail was handed over, but the answer was lost. It is not sent again by itself."
            )
    if delivery.failed_address and delivery.failed_address != delivery.address:
        return _("Failed: %(address)s, another address of this mail, was refused.") % {
            "address": delivery.failed_address
        }
    return _("Failed (%(code)s): %(text)s") % {"text": describe_code(delivery.code), "code": delivery.code}


def _evidence(delivery: Delivery) -> list[str]:
    lines = []
    if delivery.kind == DeliveryKind.AUTOMATIC:
        kind = {"kind": kind_label(delivery.mail_kind)}
        if delivery.lead_id:
            lines.append(
                _("Sent by itself as “%(kind)s”: a business notice, which opting out does not stop.") % kind
            )
        else:
            lines.append(_("Sent by itself to the campaign's staff as “%(kind)s”.") % kind)
    if delivery.kind == DeliveryKind.TEST:
        lines.append(_("A test mail: it never counts as already sent."))
    elif delivery.kind == DeliveryKind.MAGAZINE:
        lines.append(
            _(
                "At the decision (%(at)s): reader %(state)s · valid flag %(valid)s · %(registration)s · %(address)s"
            )
            % _values_then(delivery)
        )
    elif delivery.dm_permission:
        lines.append(
            _(
                "At the decision (%(at)s): DM permission %(dm)s · valid flag %(valid)s · %(registration)s · %(address)s"
            )
            % _values_then(delivery)
        )
    if (
        delivery.job
        and delivery.job.rule == RecipientRule.BY_USER
        and delivery.state != DeliveryState.EXCLUDED
    ):
        lines.append(_("Chosen by hand: decided at the reservation; later changes of the lead do not count."))
    if delivery.reply and delivery.state in {DeliveryState.SENT, DeliveryState.ERROR, DeliveryState.DEFERRED}:
        lines.append(_("The receiving server said: %(reply)s") % {"reply": delivery.reply})
    return lines


def _values_then(delivery: Delivery) -> dict[str, str]:
    return {
        "at": moment(delivery.decided_at),
        "dm": _label(DmPermission, delivery.dm_permission),
        "state": _label(ReaderState, delivery.reader_state) or "–",
        "valid": _("on") if delivery.email_valid else _("off"),
        "registration": _label(Registration, delivery.registration),
        "address": delivery.address or _("no address"),
    }


def _without_row(job: SendJob, lead: Lead, *, now: datetime) -> Explanation:
    if job.state == JobState.DRAFT:
        return Explanation("none", "not_decided", _("Nothing is decided yet: this mailing is a draft."))
    if not narrow_to(Lead.objects.filter(pk=lead.pk), job.campaign_id).exists():
        return Explanation(
            "none", "not_in_scope", _("Not in scope: the lead has not applied for “%(campaign)s”, whose mailing this is.")
            % {"campaign": job.campaign},
        )  # fmt: skip
    if job.story is not None and job.decided_at is not None:
        sentence, lines = outside_of(job, lead)
        return Explanation("none", "not_in_scope", sentence, lines, job.decided_at)
    if job.rule == RecipientRule.BY_USER:
        return Explanation(
            "none", "not_in_scope", _("Not in scope: the lead was not ticked when the mailing was confirmed."),
            [_("Chosen by hand: %(n)s leads.") % {"n": job.ticked.count()}], job.decided_at,
        )  # fmt: skip
    if job.decided_at is None:
        if job.state in FINISHED:
            return Explanation(
                "none", "not_decided", _("Not sent: the mailing was ended before its recipients were decided."),
                [], job.finished_at,
            )  # fmt: skip
        if job.story is not None:
            return Explanation(
                "none", "not_decided",
                _("Not decided yet: who gets it is decided when the delivery starts (%(at)s).")
                % {"at": moment(job.scheduled_at or job.occurrence_at)},
                [_("As things are now: %(outlook)s.") % {"outlook": _outlook(job, lead, now=now)}],
            )  # fmt: skip
        return Explanation(
            "none", "not_decided",
            _("Not decided yet: the search runs again when the mailing starts (%(at)s).") % {"at": moment(job.scheduled_at)},
            [_("As things are now: %(outlook)s.") % {"outlook": _outlook(job, lead, now=now)}],
        )  # fmt: skip
    evidence = [_("Search condition: %(name)s") % {"name": job.search_name or _("(without a name)")}]
    if lead.created_at > job.decided_at:
        evidence.append(_("The lead was registered later, at %(at)s.") % {"at": moment(lead.created_at)})
    elif lead.deleted_at:
        evidence.append(_("The lead was deleted at %(at)s.") % {"at": moment(lead.deleted_at)})
    else:
        try:
            matches = expected_decision(plan_of(job), lead.pk, now=now) is not None
            evidence.append(
                _("With today's data the lead matches the condition; it did not then.")
                if matches
                else _("With today's data it does not match either.")
            )
        except ValidationError as gone:  # the condition names something that was deleted since
            evidence.extend(gone.messages)
        evidence.append(_("The lead was last changed at %(at)s.") % {"at": moment(lead.updated_at)})
    return Explanation(
        "none", "not_in_scope",
        _("Not in scope: the lead did not match the search condition when the mailing started (%(at)s).")
        % {"at": moment(job.decided_at)},
        evidence, job.decided_at,
    )  # fmt: skip


def _outlook(job: SendJob, lead: Lead, *, now: datetime) -> str:
    """What the start would decide if it were now."""
    try:
        expected = expected_decision(plan_of(job), lead.pk, now=now)
    except ValidationError as gone:
        return " ".join(gone.messages)
    if expected is None and job.story is not None:
        return _("the lead is not among the readers of this start")
    if expected is None:
        return _("the lead does not match the search condition")
    return str(Reason(expected).label) if expected else _("the lead would be mailed")


def _label(choices: type[DmPermission] | type[ReaderState] | type[Registration], value: str) -> str:
    return str(choices(value).label) if value in choices.values else value
