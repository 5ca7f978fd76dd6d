"""The lead page's 「なぜ届いた・届かなかったのか」 (EXC-6): every mail of one lead, one sentence each.

By-user reservations are among them: their decision rows exist from the reservation on (TGT-2).
"""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from leads.models import Lead
from leads.panels import Panel, register_panel
from mail.magazines.overview import memberships
from mail.mail_kinds import kind_label
from mail.models import Delivery, StepWait, WaitState
from mail.models.delivery import DeliveryState
from mail.modes import shown_in
from mail.recipients.explain import explain_delivery, explain_wait
from mail.recipients.explain_magazines import starts_of
from mail.recipients.explain_steps import waits_of
from smp.lib.mode import BOTH, campaign_of

SHOWN = 20


def why_panel(request: HttpRequest, lead: Lead) -> dict[str, Any]:
    """Three queries, with magazine mail five, however many mails; inside a campaign its own only (APP-1). Those still to come stand on top, then the newest."""
    campaign_id = campaign_of(request)
    rows = list(
        shown_in(campaign_id, Delivery.objects.filter(lead=lead))
        .select_related("job", "template")
        .defer("merge_values", "template__html_body", "template__text_body")
        .order_by("-id")[: SHOWN + 1]
    )
    waits, starts = waits_of(rows), starts_of(rows)
    mails: list[dict[str, Any]] = [
        {
            "delivery": row,
            "at": _time(row),
            "title": row.subject or (row.template.name if row.template else kind_label(row.mail_kind)),
            "explanation": explain_delivery(row, wait=waits.get(row.pk), start=starts.get(row.pk)),
        }
        for row in rows[:SHOWN]
    ]
    # Step mails that wait for their time, or never came to a decision.
    undecided = (
        StepWait.objects.filter(lead=lead, delivery_id=None).select_related("step_mail").order_by("-pk")
    )
    if campaign_id is not None:
        undecided = undecided.filter(step_mail__campaign=campaign_id)
    mails += [
        {"delivery": None, "wait": wait, "at": wait.decided_at or wait.due_at, "title": wait.step_mail.name,
         "explanation": explain_wait(wait)}
        for wait in undecided[:SHOWN]
    ]  # fmt: skip
    mails.sort(key=lambda mail: (not _is_to_come(mail), -mail["at"].timestamp()))
    return {"mails": mails, "more": len(rows) > SHOWN}


def _is_to_come(mail: dict[str, Any]) -> bool:
    if mail["delivery"] is None:
        return bool(mail["wait"].state == WaitState.WAITING)
    return bool(mail["delivery"].state == DeliveryState.RESERVED)


def _time(row: Delivery) -> Any:
    if row.state == DeliveryState.RESERVED and row.job and row.job.scheduled_at:
        return row.job.scheduled_at
    return row.sent_at or row.decided_at


def magazines_panel(request: HttpRequest, lead: Lead) -> dict[str, Any]:
    """「メールマガジン」: which magazines this lead reads, in which state (MAG-1). One query."""
    return {"readers": list(memberships(lead))}


def register_why_panel() -> None:
    """Called by MailConfig.ready()."""
    register_panel(
        Panel("why", _("Why it arrived, or not"), "mail/lead_panel.html", why_panel, position=10, modes=BOTH)
    )
    register_panel(
        Panel(
            "magazines", _("Mail magazines"), "mail/magazines/lead_panel.html", magazines_panel, position=60
        )
    )
