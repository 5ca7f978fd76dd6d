"""The mails that are sent by themselves when something happens to an application or a my page (APP-4, TKT-2, NAV-2).

campaigns.events.announce → one delivery of kind `automatic` a mail, in the same transaction: rolled back, nobody is told;
committed, the mail is a row that the engine sends like any other. Every lead gets its row, mailed or not (TGT-12).

They are business notices: neither 配信停止 nor DM許可 stops them, and they carry no List-Unsubscribe.
"""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import translation

from campaigns.events import Event, Happening
from campaigns.merge_values import NAMES, About, texts_of
from campaigns.models import Application, Campaign
from leads.address import check_email, normalise_email
from leads.models import Lead, Registration
from mail.application_fields import EVENT, LEAD_URL, MY_PAGE_URL, NUMBER
from mail.automatic_kinds import SECRET, STAFF, TO_PROVISIONAL
from mail.automatic_texts import standard_content
from mail.hints import hint
from mail.links import NOBODY, my_page_url
from mail.mail_kinds import InForce, in_force, mail_kind_of
from mail.merge_fields import ADDRESS, canonical_names, values_for
from mail.message import Skeleton, snapshot_content, store_snapshot
from mail.models.delivery import Delivery, DeliveryKind, DeliveryState
from mail.models.template import MailTemplate, Purpose, TemplateSnapshot
from mail.recipients.reasons import Reason
from smp.lib.mode import url_in

logger = logging.getLogger(__name__)

STAFF_EACH = 20  # more of one kind announced at once (a CSV file): one mail tells staff how many
_BATCH = 1000
_STAFF_LANGUAGE = "ja"


@dataclass(frozen=True)
class Mail:
    """What one group of people gets: the text as it is now, and the merge fields it uses."""

    template: MailTemplate | None
    snapshot: TemplateSnapshot
    names: dict[str, str]  # as written → the field's own name, of registered fields
    others: list[str]  # the users' own columns


def on_happened(sender: object, happenings: list[Happening], **kwargs: object) -> None:
    """The receiver of campaigns.events.happened."""
    write_mails([one for one in happenings if one.tell])


def write_mails(happenings: Sequence[Happening]) -> list[Delivery]:
    """Decides and stores every mail of these happenings. The number of queries depends on the number of kinds, campaigns
    and languages among them, not on the number of people."""
    with transaction.atomic():
        happenings = _not_reminded_yet(happenings)
        campaigns = {happening.campaign.pk if happening.campaign else None for happening in happenings}
        keys = {happening.event.value for happening in happenings}
        keys |= {key + STAFF for key in keys if mail_kind_of(key + STAFF)}
        book = in_force(keys, campaigns)
        rows = [*_to_leads(happenings, book), *_to_staff(happenings, book)]
        Delivery.objects.bulk_create(rows, batch_size=_BATCH)
        if any(row.state == DeliveryState.QUEUED for row in rows):
            transaction.on_commit(lambda: hint("mail.tasks.deliver_job"))
    return rows


def _not_reminded_yet(happenings: Sequence[Happening]) -> list[Happening]:
    """A reminder goes out once per application, however many processes announce it: they wait for one another here."""
    asked = sorted(
        {one.application.pk for one in happenings if one.event == Event.REMINDER and one.application}
    )
    if not asked:
        return list(happenings)
    locked = Application.objects.select_for_update(no_key=True).filter(pk__in=asked).order_by("pk")
    list(locked.values_list("pk", flat=True))
    told = set(
        Delivery.objects.filter(application_id__in=asked, mail_kind=Event.REMINDER).values_list(
            "application_id", flat=True
        )
    )
    kept = []
    for one in happenings:
        if one.event == Event.REMINDER and one.application:
            if one.application.pk in told:
                continue
            told.add(one.application.pk)
        kept.append(one)
    return kept


# ---- to leads --------------------------------------------------------------------------------------------------------

Book = dict[tuple[str, int | None], InForce]


def _to_leads(happenings: Iterable[Happening], book: Book) -> list[Delivery]:
    groups: dict[tuple[str, int | None, str], list[Happening]] = {}
    for one in happenings:
        key = (one.event.value, one.campaign.pk if one.campaign else None, _language(one))
        groups.setdefault(key, []).append(one)
    return [
        row for (key, campaign, language), some in groups.items()
        for row in _group(some, book[key, campaign], language)
    ]  # fmt: skip


def _group(happenings: list[Happening], held: InForce, language: str) -> list[Delivery]:
    """The rows of one kind, campaign and language."""
    rows = [_row(one, held) for one in happenings]
    mailed = [
        (one, row) for one, row in zip(happenings, rows, strict=True) if row.state != DeliveryState.EXCLUDED
    ]
    if mailed:
        mail = prepare(held, language)
        texts = _application_texts([one for one, _row in mailed], mail)
        for (one, row), values in zip(mailed, texts, strict=True):
            row.snapshot, row.template = mail.snapshot, mail.template
            row.given_values = values | _given(one, mail) | _my_page(one, mail)
    return rows


def _row(one: Happening, held: InForce) -> Delivery:
    reason = _reason(one, held)
    lead = one.lead
    return Delivery(
        kind=DeliveryKind.AUTOMATIC,
        mail_kind=one.event.value,
        campaign_id=one.campaign.pk if one.campaign else None,
        application_id=one.application.pk if one.application else None,
        lead=lead,
        template=held.template,
        state=DeliveryState.EXCLUDED if reason else DeliveryState.QUEUED,
        reason=reason,
        decided_at=one.now,
        next_at=None if reason else one.now,
        address=one.address or lead.email,
        dm_permission=lead.dm_permission,
        email_valid=lead.email_valid,
        registration=lead.registration,
        unsubscribed_at=lead.unsubscribed_at,
    )


def _reason(one: Happening, held: InForce) -> str:
    """EXC-1, as far as it holds for a business notice (DECIDED_AT_ONCE); "" when it is sent. The valid flag speaks of the
    lead's own address only."""
    lead = one.lead
    if lead.deleted_at is not None:
        return Reason.DELETED.value
    if one.address:
        if check_email(one.address).malformed:
            return Reason.MALFORMED_ADDRESS.value
    elif not lead.email_norm:
        return Reason.NO_ADDRESS.value
    elif lead.email_malformed:
        return Reason.MALFORMED_ADDRESS.value
    elif not lead.email_valid:
        return Reason.INVALID_ADDRESS.value
    if lead.registration == Registration.PROVISIONAL and one.event not in TO_PROVISIONAL:
        return Reason.PROVISIONAL.value
    if not held.enabled and not one.asked:
        return Reason.AUTOMATIC_OFF.value
    return ""


# ---- to staff --------------------------------------------------------------------------------------------------------


def _to_staff(happenings: Iterable[Happening], book: Book) -> list[Delivery]:
    """One mail an address. Who gets none because it is OFF has no row: staff are nobody's lead."""
    groups: dict[tuple[str, int], list[Happening]] = {}
    for one in happenings:
        if one.campaign and one.campaign.staff_addresses.strip():
            groups.setdefault((one.event.value + STAFF, one.campaign.pk), []).append(one)
    rows: list[Delivery] = []
    for key, some in groups.items():
        if key in book and book[key].enabled:
            rows += _staff_group(some, book[key])
    return rows


def _staff_group(happenings: list[Happening], held: InForce) -> list[Delivery]:
    first = happenings[0]
    assert first.campaign is not None
    summary = len(happenings) > STAFF_EACH
    mail = prepare(held, _STAFF_LANGUAGE, summary=summary)
    told = [first] if summary else happenings
    texts = _application_texts(told, mail, language=_STAFF_LANGUAGE)
    lead_names = [name for name, field in mail.names.items() if field not in NAMES] + mail.others
    of_leads = values_for([one.lead for one in told], now=first.now, names=lead_names)
    with translation.override(_STAFF_LANGUAGE):
        event_name = str(Event(first.event).label)
    rows = []
    for one, values in zip(told, texts, strict=True):
        own = {
            EVENT: event_name,
            NUMBER: str(len(happenings)),
            LEAD_URL: _lead_url(first.campaign, None if summary else one.lead),
        }
        values = (
            of_leads[one.lead.pk]
            | values
            | _given(one, mail)
            | {k: own[f] for k, f in mail.names.items() if f in own}
        )
        for address in _staff_addresses(first.campaign):
            bad = check_email(address).malformed
            rows.append(
                Delivery(
                    kind=DeliveryKind.AUTOMATIC,
                    mail_kind=held.kind.key,
                    campaign_id=first.campaign.pk,
                    application_id=None if summary or one.application is None else one.application.pk,
                    template=mail.template,
                    state=DeliveryState.EXCLUDED if bad else DeliveryState.QUEUED,
                    reason=Reason.MALFORMED_ADDRESS.value if bad else "",
                    decided_at=one.now,
                    next_at=None if bad else one.now,
                    address=address[:320],
                    snapshot=mail.snapshot,
                    given_values=values,
                )
            )
    return rows


def _staff_addresses(campaign: Campaign) -> list[str]:
    """However they were written down: a wrong separator never keeps anybody from applying."""
    once: dict[str, str] = {}
    for item in re.split(r"[\s,;，、；]+", campaign.staff_addresses):
        if item:
            once.setdefault(normalise_email(item), item)
    return list(once.values())


def _lead_url(campaign: Campaign, lead: Lead | None) -> str:
    path = url_in(campaign.pk, "lead", lead.pk) if lead else url_in(campaign.pk, "leads")
    return f"{settings.BASE_URL}{path}"


# ---- text and values -------------------------------------------------------------------------------------------------


def prepare(held: InForce, language: str, *, summary: bool = False) -> Mail:
    """The text that is sent now. A template that cannot be merged any more never keeps anybody from applying: the text of
    the product is sent instead."""
    candidates: list[tuple[MailTemplate | None, Callable[[], dict[str, Any]]]] = [
        (None, lambda: content_of(held, language, standard=True, summary=summary)),
        (None, lambda: content_of(held, language, standard=True, summary=summary, sender=system_sender())),
    ]
    if held.template and not summary:
        candidates.insert(0, (held.template, lambda: content_of(held, language)))
    for template, content in candidates:
        try:
            made = content()
            used = Skeleton(made).names
        except ValueError:
            logger.exception("the text of the automatic mail %s cannot be used", held.kind.key)
            continue
        names = canonical_names(used)
        return Mail(template, store_snapshot(made), names, [name for name in used if name not in names])
    raise AssertionError("the product's own text can always be merged")


def content_of(
    held: InForce,
    language: str,
    *,
    standard: bool = False,
    summary: bool = False,
    sender: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The mail as a snapshot's content: of the template that was chosen, or (`standard`, or none was) of the product."""
    if held.template and not standard:
        content = snapshot_content(held.template) | {
            name: value for name, value in held.own_sender.items() if value
        }
    else:
        sender = sender or {name: held.sender[name] or fallback for name, fallback in system_sender().items()}
        content = standard_content(held.kind, language, sender, summary=summary)
    if held.kind.key in SECRET:
        content |= {"to": "{{ " + ADDRESS + " }}", "cc": "", "bcc": ""}
    return content | {"purpose": Purpose.NOTICE.value}


def system_sender() -> dict[str, str]:
    """The last fallback of NAV-2."""
    return {
        "from_address": f"noreply@{settings.MAIL_DOMAIN}",
        "from_name": "{{ 主催者名 }}",
        "cc": "",
        "bcc": "",
        "reply_to": "",
        "errors_to": "",
    }


def _language(one: Happening) -> str:
    return one.application.language if one.application else one.lead.language


def _application_texts(
    happenings: Sequence[Happening], mail: Mail, *, language: str | None = None
) -> list[dict[str, str]]:
    """What the text says of the very application it is about, by the names it is written with."""
    abouts = [About(one.campaign, one.application, language or _language(one), one.now) for one in happenings]
    wanted = {written: name for written, name in mail.names.items() if name in NAMES}
    return [
        {written: storable(texts[name]) for written, name in wanted.items()}
        for texts in texts_of(abouts, set(wanted.values()))
    ]


def _given(one: Happening, mail: Mail) -> dict[str, str]:
    """Happening.values, under the names the text is written with."""
    given = {name: storable(value) for name, value in one.values.items()}
    return given | {written: given[name] for written, name in mail.names.items() if name in given}


def _my_page(one: Happening, mail: Mail) -> dict[str, str]:
    """WEB-1: in the lead's own mail the link to my page says who follows it. A mail to another address than the lead's, and
    those to staff, hold the plain one."""
    if one.address:
        return {}
    return {
        written: my_page_url(one.lead.pk, NOBODY)
        for written, name in mail.names.items()
        if name == MY_PAGE_URL
    }


def storable(text: str) -> str:
    """PostgreSQL's JSON holds neither NUL nor lone surrogates."""
    return str(text).replace("\0", "").encode("utf-8", "replace").decode("utf-8")
