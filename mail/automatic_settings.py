"""NAV-2 「メール設定」 of automatic mails: which template may be chosen, the text of the product as a template, the test send."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.events import CONFIRM_URL, LOGIN_URL, PASSWORD_URL, Event
from campaigns.merge_values import NAMES, about_leads, texts_of
from campaigns.models import Campaign
from leads.models import Lead
from mail.application_fields import TICKET_URL
from mail.automatic import content_of
from mail.automatic_kinds import SECRETS, is_secret
from mail.mail_kinds import InForce, MailKind, in_force, is_usable, save_settings
from mail.merge_fields import canonical_names, test_values
from mail.merging import TemplateError, used_names
from mail.message import BuiltMail, Skeleton
from mail.models.delivery import Delivery
from mail.models.template import MailTemplate, Purpose
from mail.template_check import bodies, check_template
from mail.templates import FIELDS, save_template
from mail.test_send import merge_values, send_content
from settings.models import User

# What a mail is about: without it, it is of no use.
_MUST_HOLD = {
    Event.CONFIRM.value: CONFIRM_URL,
    Event.MY_PAGE_LOGIN.value: LOGIN_URL,
    Event.MY_PAGE_PASSWORD.value: PASSWORD_URL,
    Event.ADDRESS_CONFIRM.value: CONFIRM_URL,
    Event.TICKET_REISSUED.value: TICKET_URL,
}


class TemplateRefused(ValueError):
    """A template that cannot be used for an automatic mail; str() says why, in the active language."""


def held_for(kind: MailKind, campaign_id: int | None) -> InForce:
    return in_force([kind.key], [campaign_id])[kind.key, campaign_id]


def check_choice(kind: MailKind, template: MailTemplate) -> None:
    """TemplateRefused unless the template may be sent as this mail."""
    if template.purpose != Purpose.NOTICE:
        raise TemplateRefused(
            _(
                "“%(name)s” is advertising. Automatic mails also go to people who want none, so only a business notice can be chosen."
            )
            % {"name": template.name}
        )
    if not is_usable(template):
        raise TemplateRefused(_("“%(name)s” is archived.") % {"name": template.name})
    for problem in check_template(template):
        if problem.severity == "error":
            raise TemplateRefused(
                _("“%(name)s” has to be corrected first: %(problem)s")
                % {"name": template.name, "problem": problem.text}
            )
    needed = _MUST_HOLD.get(kind.key)
    try:
        used = set().union(
            *(canonical_names(used_names(getattr(template, body))).values() for body in bodies(template))
        )
        if needed and needed not in used:
            raise TemplateRefused(
                _("“%(name)s” lacks {{ %(field)s }}, which this mail is about.")
                % {"name": template.name, "field": needed}
            )
        if is_secret(kind.key) and SECRETS & set(used_names(template.subject)):
            raise TemplateRefused(
                _("The subject of “%(name)s” holds a link that only the recipient may see.")
                % {"name": template.name}
            )
    except TemplateError as error:
        raise TemplateRefused(str(error)) from error


def template_from_standard(
    kind: MailKind,
    *,
    campaign: Campaign | None,
    language: str,
    user: User | None,
    now: datetime,
    ip: str | None = None,
) -> MailTemplate:
    """A template with the text that is sent now by itself, chosen for this mail at once, to be edited."""
    campaign_id = campaign.pk if campaign else None
    content = content_of(held_for(kind, campaign_id), language, standard=True)
    with transaction.atomic():
        template = save_template(
            MailTemplate(
                campaign=campaign,
                **{field: content[field] for field in FIELDS if field != "name"},
                name=str(kind.label)[:200],
            ),
            user=user,
            ip=ip,
        )
        save_settings(kind, {"template": template}, user=user, campaign_id=campaign_id, ip=ip)
    return template


@dataclass(frozen=True)
class Preview:
    language: str
    subject: str
    mail: BuiltMail | None
    refusal: str


def previews(
    held: InForce, lead: Lead | None, *, campaign_id: int | None, languages: Iterable[str], now: datetime
) -> list[Preview]:
    """The mail as a test would show it; of a template once, of the text of the product in each language."""
    found = []
    for language in [""] if held.template else languages:
        content = content_of(held, language) | {"attachments": []}
        try:
            skeleton = Skeleton(content | {"test": True})
            values = _test_values(skeleton, lead, language=language, campaign_id=campaign_id, now=now)
            mail = skeleton.build(
                values,
                delivery_id=0,
                lead_id=None,
                sent_at=now,
                address=(lead and lead.email) or "test@example.com",
            )
            found.append(Preview(language, mail.subject, mail, ""))
        except ValueError as error:
            found.append(Preview(language, content["subject"], None, str(error)))
    return found


def send_test_of(
    kind: MailKind,
    *,
    campaign_id: int | None,
    language: str,
    addresses: Iterable[str],
    user: User | None,
    now: datetime,
    ip: str | None = None,
) -> list[Delivery]:
    """TEST-1 for an automatic mail as it would go out now. TestRefused when it cannot be merged."""
    held = held_for(kind, campaign_id)
    return send_content(
        content_of(held, language),
        addresses=addresses,
        user=user,
        now=now,
        campaign_id=campaign_id,
        template=held.template,
        merge=lambda skeleton, lead: _test_values(
            skeleton, lead, language="" if held.template else language, campaign_id=campaign_id, now=now
        ),
        mail_kind=kind.key,
        action="mail_settings.test_send",
        label=str(kind.label),
        ip=ip,
    )


def _test_values(
    skeleton: Skeleton, lead: Lead | None, *, language: str, campaign_id: int | None, now: datetime
) -> dict[str, str]:
    """The test lead's values; what is said of the application in the language of the text, not in the lead's."""
    values = merge_values(skeleton, lead, now=now, campaign_id=campaign_id)
    names = {written: name for written, name in canonical_names(skeleton.names).items() if name in NAMES}
    if lead is not None and language:
        abouts = about_leads([lead], now=now, campaign_id=campaign_id)
        (texts,) = texts_of([replace(abouts[lead.pk], language=language)], set(names.values()))
        values |= {written: texts[name] for written, name in names.items()}
    return values | test_values(skeleton.names)
