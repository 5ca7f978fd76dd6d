"""「なぜ届いた/届かなかったのか」 (EXC-6) of step mails: what was the origin, and why a wait never came to a decision."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from leads.models import Lead
from leads.scope import narrow_to
from leads.search import leads_matching
from mail.models.delivery import Delivery, DeliveryKind
from mail.models.step_mail import StepMail, StepOrigin, StepState, StepWait, WaitState
from mail.recipients.reasons import Reason


def moment(value: datetime | None) -> str:
    """2026-11-24 10:00:03 in the display time zone."""
    return date_format(timezone.localtime(value), "Y-m-d H:i:s") if value else "–"


def waits_of(deliveries: Iterable[Delivery]) -> dict[int, StepWait]:
    """{delivery id: its wait, with its step mail}, in one query, or none."""
    steps = [row for row in deliveries if row.kind == DeliveryKind.STEP]
    if not steps:
        return {}
    # By lead: that index is there, and a lead has few.
    found = StepWait.objects.filter(
        lead__in={row.lead_id for row in steps}, delivery_id__in=[row.pk for row in steps]
    ).select_related("step_mail")
    return {wait.delivery_id: wait for wait in found if wait.delivery_id}


def origin_lines(wait: StepWait) -> list[str]:
    """Which step mail, what started it and when, and how long it waited."""
    values = {"name": wait.step_mail.name, "id": wait.step_mail_id, "at": moment(wait.origin_at)}
    if wait.step_mail.origin == StepOrigin.APPLICATION:
        origin = _("Step mail “%(name)s” (%(id)s), started by the application of %(at)s.") % values
    else:
        values["url"] = wait.origin_text
        origin = _("Step mail “%(name)s” (%(id)s), started by the view of %(url)s at %(at)s.") % values
    due = {"due": moment(wait.due_at), "wait": wait_text(wait.due_at - wait.origin_at)}
    return [origin, _("Due at %(due)s, %(wait)s after its origin.") % due]


def wait_text(wait: timedelta) -> str:
    """3日 1時間, in whole minutes."""
    minutes = int(wait.total_seconds() // 60)
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    parts = [
        text % {"n": number}
        for number, text in (
            (days, ngettext("%(n)s day", "%(n)s days", days)),
            (hours, ngettext("%(n)s hour", "%(n)s hours", hours)),
            (minutes, ngettext("%(n)s minute", "%(n)s minutes", minutes)),
        )
        if number
    ]
    return " ".join(parts) or _("at once")


def wait_sentence(wait: StepWait) -> str:
    """Of a wait that has no delivery."""
    if wait.state == WaitState.WAITING:
        if wait.step_mail.state == StepState.STOPPED:
            return _("Waits: the step mail is stopped. It was due at %(at)s, or will be.") % {
                "at": moment(wait.due_at)
            }
        if wait.step_mail.trouble:
            return _("Waits: the step mail cannot go on: %(why)s") % {"why": wait.step_mail.trouble}
        return _("Waits until %(at)s; then it is decided.") % {"at": moment(wait.due_at)}
    if wait.reason == Reason.CONDITION:
        return _("Not sent: the lead did not match the step mail's condition at its origin (%(at)s).") % {
            "at": moment(wait.decided_at)
        }
    return _("Not sent: the step mail was deleted before its time (%(at)s).") % {
        "at": moment(wait.decided_at)
    }


def never_started(step: StepMail, lead: Lead, *, now: datetime) -> tuple[str, list[str]]:
    """Why there is no wait at all: a sentence, and what is known."""
    if step.state == StepState.DRAFT or step.active_since is None:
        return _("Nothing is decided: this step mail was never put into operation."), []
    lines = [
        _("In operation since %(at)s; what happened before does not count.")
        % {"at": moment(step.active_since)}
    ]
    if not narrow_to(Lead.objects.filter(pk=lead.pk), step.campaign_id).exists():
        return _("Not in scope: the lead has not applied for “%(campaign)s”, whose step mail this is.") % {
            "campaign": step.campaign
        }, lines
    if step.search is not None:
        try:
            leads = leads_matching(step.search.condition, now=now, campaign_id=step.campaign_id)
            matches = leads.filter(pk=lead.pk).exists()
        except ValidationError as gone:  # the condition names something that was deleted since
            lines += gone.messages
        else:
            lines.append(
                _("With today's data the lead matches the condition.")
                if matches
                else _("With today's data it does not match either.")
            )
    if step.origin == StepOrigin.APPLICATION:
        return _("Not started: the lead did not apply while the step mail was in operation."), lines
    return _(
        "Not started: no view of %(url)s by this lead was recorded while the step mail was in operation."
    ) % {"url": step.url_pattern}, lines
