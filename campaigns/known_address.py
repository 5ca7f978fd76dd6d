"""APP-3: who is meant by an application, and what of it is written to whom.

    ADD    the application goes to the lead we know; its values stay, empty ones are filled (additional application)
    MERGE  the new values replace the lead's, blank ones never clear; the lead keeps its id (automatic merge)
    NEW    always a new lead

Whoever fills in a public form has proved nothing about an address that is known already. So an anonymous form changes no
consent of a known lead, in neither direction, until the address is confirmed by mail; what was entered stays in
Application.entered. Nobody's 配信停止 is ever lifted (OPT-1).
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Case, IntegerField, Value, When
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from campaigns.models import ApplicationWay, Campaign, ConsentText, KnownAddress
from leads.address import normalise_email
from leads.consent import add_record, change_for
from leads.edit import change_lead, create_lead
from leads.flags import Way
from leads.models import ConsentRecord, DmPermission, Lead, LeadQuerySet, Registration
from leads.one_at_a_time import wait_for_the_same
from settings.models import User
from settings.system_settings import Setting, get_setting, register_setting

MERGE_KEY = "merge_key"
_SOURCE = re.compile(r"campaign (?P<campaign>\d+)(?:, consent text v(?P<version>\d+))?")
_CHOICES = frozenset({"kind", "language"})


class MergeKey(models.TextChoices):
    EMAIL = "email", _("E-mail address")
    EMAIL_NAME = "email_name", _("E-mail address and name")
    NAME_PHONE = "name_phone", _("Name and phone")
    NAME_COMPANY = "name_company", pgettext_lazy("merge key", "Name and company")


def register_merge_key() -> None:
    """From AppConfig.ready()."""
    register_setting(
        Setting(
            MERGE_KEY,
            _("Key by which merging finds duplicate leads"),
            str,
            MergeKey.EMAIL.value,
            section=_("Leads"),
            choices=MergeKey.choices,
            help=_(
                "For applications to campaigns with automatic merge. With a key without the e-mail address an application can "
                "change the address of a lead; have it confirmed by mail in such campaigns."
            ),
        )
    )


@dataclass(frozen=True)
class Origin:
    """Where values come from: `rule` is Campaign.known_address, "" for a lead that was identified otherwise (my page, chosen
    by staff)."""

    campaign: Campaign
    rule: str
    way: str  # ApplicationWay
    now: datetime
    consent_text: ConsentText | None = None
    user: User | None = None
    ip: str | None = None
    stated: str = ""  # Entry.evidence

    @property
    def lead_way(self) -> Way:
        """By which of the nine ways (FLAG-3) the lead is written."""
        if self.way == ApplicationWay.API:
            return Way.API_APPLICATION_POST
        if self.way == ApplicationWay.CSV:
            return Way.CSV_APPLICATION
        return Way.AUTO_MERGE if self.rule == KnownAddress.MERGE else Way.APPLICATION

    @property
    def evidence(self) -> str:
        if self.stated and self.way == ApplicationWay.PROXY:
            return self.stated
        kinds = {
            ApplicationWay.PROXY: ConsentRecord.Evidence.ADMIN,
            ApplicationWay.MY_PAGE: ConsentRecord.Evidence.MY_PAGE,
        }
        return kinds.get(ApplicationWay(self.way), ConsentRecord.Evidence.FORM)

    @property
    def source(self) -> str:
        """OPT-10: campaign and consent text, as it stands in the consent record; `source_in_words` says it."""
        version = f", consent text v{self.consent_text.version}" if self.consent_text else ""
        return f"campaign {self.campaign.pk}{version}"


def source_in_words(source: str) -> str:
    """「キャンペーン 3・同意文 v2」; any other source as it is."""
    found = _SOURCE.fullmatch(source)
    if found is None:
        return source
    words = gettext("Campaign %(id)s") % {"id": found["campaign"]}
    if found["version"]:
        words += "・" + gettext("Consent text v%(version)s") % {"version": found["version"]}
    return words


def make_lead(values: Mapping[str, Any], origin: Origin, *, confirmed: bool) -> Lead:
    """Silence is no consent: where nobody asked, DM許可 is 希望しない (OPT-10)."""
    registration = Registration.FULL if confirmed else Registration.PROVISIONAL
    return create_lead(
        {"dm_permission": DmPermission.UNWANTED.value} | dict(values) | {"registration": registration.value},
        way=origin.lead_way, user=origin.user, now=origin.now, source=origin.source, evidence=origin.evidence,
        ip=origin.ip,
    )  # fmt: skip


def write_unconfirmed(lead: Lead, values: Mapping[str, Any], origin: Origin) -> Lead:
    """Replaces the values of a lead that an application made whose address nobody has confirmed yet."""
    given = {"dm_permission": DmPermission.UNWANTED.value} | dict(values)
    if lead.unsubscribed_at is not None:
        del given["dm_permission"]
    return change_lead(
        lead, given, way=origin.lead_way, now=origin.now, source=origin.source, evidence=origin.evidence, ip=origin.ip
    )  # fmt: skip


def write_to_known(
    lead: Lead, values: Mapping[str, Any], origin: Origin, *, proved: bool, registration: str = ""
) -> Lead:
    """Writes what the rule lets through to a lead we know (locked), and returns it. `proved`: the person, or staff, stands
    for the values; only then consent is taken over, and given again it is recorded again."""
    given = values_for_known(lead, values, rule=origin.rule, proved=proved)
    if registration:
        given["registration"] = registration
    said, before = given.get("dm_permission"), lead.dm_permission
    if given:
        lead = change_lead(
            lead, given, way=origin.lead_way, user=origin.user, now=origin.now, source=origin.source,
            evidence=origin.evidence, ip=origin.ip,
        )  # fmt: skip
    if said and said == before:
        add_record(
            lead, change_for(said), evidence=origin.evidence, source=origin.source, user=origin.user, ip=origin.ip,
            now=origin.now,
        )  # fmt: skip
    return lead


def find_known(rule: str, values: Mapping[str, Any]) -> Lead | None:
    """The lead meant by the values, locked; None makes a new one. Of several the fully registered ones first, then the
    newest. Two applications with the same new address wait for each other here, so that the second finds the lead of
    the first. Call it under the campaign's lock."""
    if rule == KnownAddress.NEW:
        return None
    norm = normalise_email(str(values.get("email") or ""))
    key = str(get_setting(MERGE_KEY)) if rule == KnownAddress.MERGE else MergeKey.EMAIL.value
    if norm:
        wait_for_the_same("email", norm)
    leads = _with_key(key, norm, values)
    if leads is None:
        return None
    full_first = Case(
        When(registration=Registration.FULL, then=Value(0)), default=Value(1), output_field=IntegerField()
    )
    for lead in leads.order_by(full_first, "-id")[:100]:
        if key == MergeKey.NAME_PHONE and _digits(lead.phone) != _digits(values.get("phone")):
            continue
        return Lead.objects.select_for_update().filter(pk=lead.pk, deleted_at=None).first()
    return None


def _with_key(key: str, norm: str, values: Mapping[str, Any]) -> LeadQuerySet | None:
    """The leads with the same key, None when it cannot tell (a part of it was left blank: then the address decides)."""
    name = {part: values.get(part) or "" for part in ("last_name", "first_name")}
    leads = Lead.objects.existing()
    if all(name.values()):
        if key == MergeKey.NAME_PHONE and _digits(values.get("phone")):
            return leads.filter(**name).exclude(phone="")
        if key == MergeKey.NAME_COMPANY and values.get("company"):
            return leads.filter(company=values["company"], **name)
        if key == MergeKey.EMAIL_NAME and norm:
            return leads.filter(email_norm=norm, **name)
    return leads.filter(email_norm=norm) if norm else None


def _digits(text: Any) -> str:
    return "".join(filter(str.isdecimal, unicodedata.normalize("NFKC", str(text or ""))))


def values_for_known(lead: Lead, values: Mapping[str, Any], *, rule: str, proved: bool) -> dict[str, Any]:
    """What of the entered values is written to a lead we know. `rule` "": all of them."""
    given = {name: value for name, value in values.items() if name not in ("extra", "dm_permission")}
    extra = dict(values.get("extra", {}))
    if rule == KnownAddress.ADD:
        given = {n: v for n, v in given.items() if v and n not in _CHOICES and getattr(lead, n) == ""}
        extra = {key: value for key, value in extra.items() if value is not None and key not in lead.extra}
    elif rule:
        given = {n: v for n, v in given.items() if v}
        extra = {key: value for key, value in extra.items() if value is not None}
    elif not given.get("email"):
        given.pop("email", None)  # nobody loses their address by leaving it out
    if extra:
        given["extra"] = extra
    permission = values.get("dm_permission")
    lifted = permission == DmPermission.WANTED and lead.unsubscribed_at is not None
    if permission and proved and not lifted:
        given["dm_permission"] = permission
    return given
