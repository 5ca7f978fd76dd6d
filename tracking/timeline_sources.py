"""Where the timeline of a lead comes from: one query a source, beside those for names.

What belongs to a lead goes along when leads are merged (mail/lead_merge.py, tracking/lead_merge.py).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy

from campaigns.models import Application
from leads.models import ConsentRecord
from mail.mail_kinds import kind_label
from mail.models import CountedUrl, Delivery, StepWait
from mail.models.delivery import DeliveryState
from mail.models.step_mail import WaitState
from mail.modes import shown_in
from mail.recipients.explain import explain_delivery
from mail.recipients.explain_magazines import starts_of
from mail.recipients.explain_steps import waits_of
from mail.recipients.reasons import Reason
from smp.lib.mode import url_in
from tracking.models import HitKind, Identification, MailHit, PageView, Verdict
from tracking.timeline_entries import Asked, Entry, Place

SAME_MOMENT = timedelta(minutes=1)
_COLOURS = {
    DeliveryState.SENT: "ok",
    DeliveryState.ERROR: "bad",
    DeliveryState.UNKNOWN: "unknown",
    DeliveryState.EXCLUDED: "",
}


def _mails(asked: Asked, order: int) -> Iterable[Entry]:
    rows = shown_in(asked.campaign_id, Delivery.objects.filter(lead_id=asked.lead_id)).select_related(
        "job", "template"
    )
    rows = rows.defer("merge_values", "template__html_body", "template__text_body")
    found = asked.page(rows.annotate(at=Coalesce(F("sent_at"), F("decided_at"))), order)
    waits, starts = waits_of(found), starts_of(found)
    for row in found:
        title = row.subject or (row.template.name if row.template else kind_label(row.mail_kind))
        yield Entry(
            Place(row.at, order, row.pk), "mail", str(title), url_in(asked.campaign_id, "delivery", row.pk),
            str(row.get_state_display()), _COLOURS.get(row.state, "run"), [explain_delivery(row, wait=waits.get(row.pk), start=starts.get(row.pk)).sentence],
        )  # fmt: skip


def _hits_of(kind: HitKind) -> Callable[[Asked, int], Iterable[Entry]]:
    def entries(asked: Asked, order: int) -> Iterable[Entry]:
        rows = shown_in(asked.campaign_id, MailHit.objects.filter(lead_id=asked.lead_id, kind=kind))
        found = asked.page(rows if asked.machines else rows.filter(verdict=Verdict.PERSON), order)
        subjects = dict(
            Delivery.objects.filter(pk__in={hit.delivery_id for hit in found}).values_list("pk", "subject")
        )
        ids = {hit.url_id for hit in found if hit.url_id}
        urls: dict[int, CountedUrl] = CountedUrl.objects.in_bulk(ids) if kind == HitKind.CLICK else {}
        for hit in found:
            link = urls.get(hit.url_id or 0)
            yield Entry(
                Place(hit.at, order, hit.pk), str(kind), link.name if link else subjects.get(hit.delivery_id, "") or "–",
                url_in(asked.campaign_id, "delivery", hit.delivery_id), str(kind.label), "run",
                [line for line in ((link.url, subjects.get(hit.delivery_id, "")) if link else ()) if line],
                hit.verdict, hit.evidence,
            )  # fmt: skip

    return entries


def _views(asked: Asked, order: int) -> Iterable[Entry]:
    rows = PageView.objects.filter(lead_id=asked.lead_id)
    for view in asked.page(rows if asked.machines else rows.filter(verdict=Verdict.PERSON), order):
        details = [view.url] if view.title else []
        if view.linked_at:
            details.append(_("Seen before we knew who it was; linked later."))
        yield Entry(
            Place(view.at, order, view.pk), "view", view.title or view.url, tag=pgettext("timeline", "Page view"), tag_class="run",
            details=details, verdict=view.verdict, evidence=view.evidence,
        )  # fmt: skip


def _identified(asked: Asked, order: int) -> Iterable[Entry]:
    for one in asked.page(Identification.objects.filter(lead_id=asked.lead_id), order):
        if one.linked:
            details = [_("%(n)s earlier page views were linked.") % {"n": one.views}] if one.views else []
        else:
            details = [_("The browser belongs to another lead already, so nothing was linked.")]
        yield Entry(
            Place(one.at, order, one.pk), "identified", str(one.get_how_display()),
            url_in(None, "delivery", one.delivery_id) if one.delivery_id else "", pgettext("timeline", "Identified"), "", details,
        )  # fmt: skip


def _applications(asked: Asked, order: int) -> Iterable[Entry]:
    """A lead has few applications, each with several moments."""
    rows = shown_in(asked.campaign_id, Application.objects.filter(lead_id=asked.lead_id)).select_related(
        "campaign"
    )
    for one in rows.order_by("-pk")[:200]:
        moments = [
            (one.created_at, pgettext("timeline", "Application form sent"), "run"),
            (one.confirmed_at, pgettext("timeline", "Address confirmed"), "run"),
            (one.waiting_since, pgettext("timeline", "On the waiting list"), "warn"),
            (one.applied_at, pgettext("timeline", "Applied"), "ok"),
            (one.cancelled_at, pgettext("timeline", "Cancelled"), "bad"),
            (one.attended_at, pgettext("timeline", "Attended"), "ok"),
        ]
        if one.applied_at and one.applied_at - one.created_at < SAME_MOMENT:
            moments = moments[1:]
        for part, (at, label, colour) in enumerate(moments):
            if at:
                yield Entry(
                    Place(at, order, one.pk, part), "application", one.campaign.name,
                    url_in(one.campaign_id, "application", one.pk), label, colour,
                    [str(one.get_way_display())] if label == moments[0][1] else [],
                )  # fmt: skip


def _waits(asked: Asked, order: int) -> Iterable[Entry]:
    rows = StepWait.objects.filter(lead_id=asked.lead_id).select_related("step_mail")
    if asked.campaign_id is not None:
        rows = rows.filter(step_mail__campaign_id=asked.campaign_id)
    colours = {WaitState.WAITING: "run", WaitState.DECIDED: "ok", WaitState.STOPPED: ""}
    for wait in asked.page(rows, order, "origin_at"):
        details = [wait.origin_text] if wait.origin_text else []
        if wait.state == WaitState.WAITING:
            details.append(_("Due at %(at)s") % {"at": f"{timezone.localtime(wait.due_at):%Y-%m-%d %H:%M}"})
        elif wait.reason:
            details.append(str(Reason(wait.reason).label) if wait.reason in Reason.values else wait.reason)
        yield Entry(
            Place(wait.origin_at, order, wait.pk), "step", wait.step_mail.name,
            url_in(asked.campaign_id, "delivery", wait.delivery_id) if wait.delivery_id else _step_page(wait),
            str(wait.get_state_display()), colours.get(wait.state, ""), details,
        )  # fmt: skip


def _step_page(wait: StepWait) -> str:
    """In the mode the step mail belongs to."""
    return url_in(wait.step_mail.campaign_id, "step_mail", wait.step_mail_id)


def _consents(asked: Asked, order: int) -> Iterable[Entry]:
    colours = {ConsentRecord.Change.GRANTED: "ok", ConsentRecord.Change.REFUSED: "warn"}
    for one in asked.page(ConsentRecord.objects.filter(lead_id=asked.lead_id).select_related("user"), order):
        details = [one.source_words] if asked.campaign_id is None and one.source else []
        yield Entry(
            Place(one.at, order, one.pk), "consent", str(one.get_evidence_display()), "", str(one.get_change_display()),
            colours.get(one.change, "bad"), details,
        )  # fmt: skip


@dataclass(frozen=True)
class Source:
    label: Promise
    entries: Callable[[Asked, int], Iterable[Entry]]


# In this order at the same moment, the last on top.
SOURCES: dict[str, Source] = {
    "step": Source(gettext_lazy("Waits of step mails"), _waits),
    "application": Source(gettext_lazy("Applications and attendance"), _applications),
    "consent": Source(gettext_lazy("Consent changes"), _consents),
    "mail": Source(pgettext_lazy("timeline", "Mails"), _mails),
    "open": Source(pgettext_lazy("timeline", "Opens"), _hits_of(HitKind.OPEN)),
    "click": Source(pgettext_lazy("timeline", "Clicks"), _hits_of(HitKind.CLICK)),
    "view": Source(pgettext_lazy("timeline", "Page views"), _views),
    "identified": Source(pgettext_lazy("timeline", "Identified"), _identified),
}
