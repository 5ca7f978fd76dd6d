"""TEST-1..4, TEST-6: sending a template to oneself, with the data of one real lead and links that stop nobody.

A test mail is a Delivery without a job and without a lead, so it can never count as "already sent", change a lead's
valid flag or unsubscribe anybody; `related_id` remembers whose data were merged.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Subquery
from django.utils.translation import gettext as _

from campaigns.models import LIVE, Application, ApplicationState, CancelledBy
from leads.address import check_email, normalise_email
from leads.models import DmPermission, Lead, LeadKind, LeadQuerySet, Registration
from leads.scope import leads_in
from mail.hints import hint
from mail.merge_fields import test_values, values_for
from mail.message import Skeleton, as_test, snapshot_content, store_snapshot
from mail.models.delivery import Delivery, DeliveryKind, DeliveryState
from mail.models.template import MailTemplate
from settings import audit
from settings.models import User

ADDRESSES_MAX = 10


class TestRefused(ValueError):
    """A test mail that cannot be sent; str() says why, in the active language."""

    __test__ = False


def fitting_leads(campaign_id: int | None = None) -> LeadQuerySet:
    """TEST-2: valid address, DM許可 希望する, visitor, full registration, not cancelled, newest registration first; of a
    campaign its applicants only."""
    leads = (
        leads_in(campaign_id)
        .filter(
            email_malformed=False,
            email_valid=True,
            dm_permission=DmPermission.WANTED,
            kind=LeadKind.VISITOR,
            registration=Registration.FULL,
        )
        .exclude(email="")
        .order_by("-created_at", "-id")
    )
    return _not_cancelled(leads, campaign_id)


def _not_cancelled(leads: LeadQuerySet, campaign_id: int | None) -> LeadQuerySet:
    """「申込をキャンセルしていない」. In a campaign: the application for it lives (whoever cancelled and applied again has
    one). Among all campaigns: the newest application is not a cancelled one; who never applied has cancelled nothing.
    What ended in a merge (APP-5) was nobody's cancelling."""
    applications = Application.objects.filter(lead=OuterRef("pk"))
    if campaign_id is not None:
        return leads.filter(Exists(applications.filter(campaign_id=campaign_id, state__in=LIVE)))
    newest = applications.exclude(cancelled_by=CancelledBy.MERGED).order_by("-id").values("state")[:1]
    return leads.annotate(newest_application=Subquery(newest)).filter(
        Q(newest_application=None) | ~Q(newest_application=ApplicationState.CANCELLED)
    )


def test_lead(ticked_ids: Sequence[int] = (), *, campaign_id: int | None = None) -> tuple[Lead | None, str]:
    """(the lead whose data are merged, why this one). TEST-3: of ticked leads the one that registered last, whatever
    its flags; TEST-4: None and the reason when nobody fits. Inside a campaign always an applicant of it."""
    if ticked_ids:
        lead = leads_in(campaign_id).filter(pk__in=ticked_ids).order_by("-created_at", "-id").first()
        if lead:
            return lead, _("The lead you ticked is used (of several, the one that registered last).")
    lead = fitting_leads(campaign_id).first()
    if lead and campaign_id is not None:
        return lead, _(
            "The applicant that registered last is used, of those who have not cancelled, have a valid address and want mail."
        )
    if lead:
        return lead, _("The lead that registered last is used, of those with a valid address who want mail.")
    if campaign_id is not None:
        return None, _(
            "No applicant fits (not cancelled, valid address, wants mail, visitor, full registration), so merge fields stay blank in the test mail."
        )
    return None, _(
        "No lead fits (valid address, wants mail, visitor, full registration, newest application not cancelled), so merge fields stay blank in the test mail."
    )


test_lead.__test__ = False  # type: ignore[attr-defined]  # the name is the field's, not pytest's


def split_test_addresses(text: str) -> list[str]:
    """Addresses separated by commas, spaces or lines, each once. TestRefused names the wrong one."""
    addresses: dict[str, str] = {}
    for word in text.replace(",", " ").replace(";", " ").replace("、", " ").replace("，", " ").split():
        check = check_email(word)
        if check.malformed or not check.address:
            raise TestRefused(f"{word}: {check.text}")
        addresses.setdefault(normalise_email(check.address), check.address)
    if not addresses:
        raise TestRefused(_("Enter the address the test mail goes to."))
    if len(addresses) > ADDRESSES_MAX:
        raise TestRefused(_("At most %(limit)s addresses.") % {"limit": ADDRESSES_MAX})
    return list(addresses.values())


def send_test(
    template: MailTemplate,
    *,
    addresses: Iterable[str],
    user: User | None,
    now: datetime,
    ticked_ids: Sequence[int] = (),
    ip: str | None = None,
) -> list[Delivery]:
    """Queues one test mail per address and returns the deliveries, in the template's mode (APP-1). TestRefused when the
    template cannot be merged."""
    return send_content(
        snapshot_content(template),
        addresses=addresses,
        user=user,
        now=now,
        campaign_id=template.campaign_id,
        template=template,
        action="template.test_send",
        label=template.name,
        ticked_ids=ticked_ids,
        ip=ip,
    )


def send_content(
    content: dict[str, Any],
    *,
    addresses: Iterable[str],
    user: User | None,
    now: datetime,
    campaign_id: int | None,
    template: MailTemplate | None,
    action: str,
    label: str,
    mail_kind: str = "",
    ticked_ids: Sequence[int] = (),
    merge: Callable[[Skeleton, Lead | None], dict[str, str]] | None = None,
    ip: str | None = None,
) -> list[Delivery]:
    """The same for a mail that need not be a template's. `action` and `label` are for the audit log; `merge` gives the
    values, if not `merge_values`."""
    lead, _why = test_lead(ticked_ids, campaign_id=campaign_id)
    content = as_test(content)
    addresses = list(addresses)
    try:
        skeleton = Skeleton(content)
        if merge is None:
            values = merge_values(skeleton, lead, now=now, campaign_id=campaign_id)
        else:
            values = merge(skeleton, lead)
        # Built once here, so that a mistake is said on the screen and not in the history.
        skeleton.build(values, delivery_id=0, lead_id=None, sent_at=now, address=addresses[0])
    except ValueError as error:
        raise TestRefused(str(error)) from error
    with transaction.atomic():
        snapshot = store_snapshot(content)
        deliveries = Delivery.objects.bulk_create(
            Delivery(
                kind=DeliveryKind.TEST,
                mail_kind=mail_kind,
                campaign_id=campaign_id,
                template=template,
                state=DeliveryState.QUEUED,
                decided_at=now,
                next_at=now,
                address=address,
                snapshot=snapshot,
                merge_values=values,
                related_id=lead.pk if lead else None,
            )
            for address in addresses
        )
        detail = {"addresses": addresses, "merge_data_of_lead": lead.pk if lead else None}
        audit.record(action, user=user, target=template, target_label=label, detail=detail, ip=ip)
        transaction.on_commit(lambda: hint("mail.tasks.deliver_job"))
    return deliveries


def merge_values(
    skeleton: Skeleton, lead: Lead | None, *, now: datetime, campaign_id: int | None
) -> dict[str, str]:
    """The lead's values for the names the mail uses; TEST-4: nothing, and so blanks, without a lead; TEST-5: never
    anybody's ticket."""
    values = (
        values_for(
            [lead], now=now, names=skeleton.names, campaign_id=campaign_id, magazine_id=skeleton.magazine_id
        )[lead.pk]
        if lead
        else {}
    )
    return values | test_values(skeleton.names)
