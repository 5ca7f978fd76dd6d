"""The merge fields of campaigns and applications, and those that only automatic mails fill. Values: campaigns/merge_values.py."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import events
from campaigns.merge_values import about_leads, texts_of
from campaigns.tickets import dummy_ticket_url
from leads.models import Lead
from mail.links import NOBODY, my_page_url
from mail.merge_fields import MergeField, Text, Values, register_merge_field

LEAD_URL = "リード詳細URL"  # of mails to staff
EVENT = "お知らせの種類"  # of mails to staff: 申込受付 …
APPLICANT = "申込者メールアドレス"  # in a mail to staff メールアドレス is that of the reader
NUMBER = "件数"  # of mails to staff that tell of many at once
TICKET_URL = "受講票URL"
MY_PAGE_URL = "マイページURL"


def _values(name: str) -> Values:
    def of_leads(leads: Iterable[Lead], now: datetime, campaign_id: int | None) -> Mapping[int, str]:
        abouts = about_leads(leads, now=now, campaign_id=campaign_id)
        return dict(zip(abouts, (texts[name] for texts in texts_of(abouts.values(), [name])), strict=True))

    return of_leads


def _address(leads: Iterable[Lead], now: datetime) -> Mapping[int, str]:
    return {lead.pk: lead.email for lead in leads}


def _my_page(leads: Iterable[Lead], now: datetime) -> Mapping[int, str]:
    """WEB-1: it says who follows it. Of the mail nothing is said: a value is the same in all mails to the lead."""
    return {lead.pk: my_page_url(lead.pk, NOBODY) for lead in leads}


def _nothing(leads: Iterable[Lead], now: datetime) -> Mapping[int, str]:
    return {}


def _only_in_the_real_mail() -> str:
    return _("(stands in the real mail)")


def register_application_fields() -> None:
    """From AppConfig.ready()."""
    campaign, application, automatic = (
        gettext_lazy("Campaign"),
        gettext_lazy("Application"),
        gettext_lazy("Automatic mails only"),
    )
    rows: tuple[tuple[str, Text, Text, tuple[str, ...]], ...] = (
        ("キャンペーン名", gettext_lazy("Campaign name"), campaign, ("campaign_name",)),
        ("開催日", gettext_lazy("Day it is held"), campaign, ("campaign_date",)),
        ("開催時間", gettext_lazy("Time it is held"), campaign, ("campaign_time",)),
        ("会場名", gettext_lazy("Venue"), campaign, ("venue_name",)),
        ("会場住所", gettext_lazy("Address of the venue"), campaign, ("venue_address",)),
        ("会場URL", gettext_lazy("Map or way to the venue (URL)"), campaign, ("venue_url",)),
        ("キャンペーンURL", gettext_lazy("Public page of the campaign (URL)"), campaign, ("campaign_url",)),
        ("主催者名", gettext_lazy("Organiser"), campaign, ("organiser",)),
        ("問い合わせ先", gettext_lazy("Contact of the campaign"), campaign, ("contact",)),
        ("申込番号", gettext_lazy("Application number"), application, ("application_number",)),
        ("申込状況", gettext_lazy("State of the application"), application, ("application_state",)),
        ("申込日", gettext_lazy("Day of the application"), application, ("application_date",)),
        ("選択セッション", gettext_lazy("Sessions chosen"), application, ("chosen_sessions",)),
        ("申込内容", gettext_lazy("Questions and answers"), application, ("application_answers",)),
        ("オンラインURL", gettext_lazy("Online URL (only with a seat)"), application, ("online_url",)),
        (TICKET_URL, gettext_lazy("Ticket URL (only with a seat)"), application,
         ("受講票", "申込データ_最新受講票", "ticket_url")),
        ("有効期限", gettext_lazy("Until when the ticket URL is valid"), application, ("ticket_valid_until",)),
    )  # fmt: skip
    for name, label, group, aliases in rows:
        in_test = dummy_ticket_url if name == TICKET_URL else None  # TEST-5
        register_merge_field(
            MergeField(name, label, group, _values(name), aliases, of_campaign=True, in_test=in_test)
        )
    register_merge_field(
        MergeField(
            MY_PAGE_URL,
            gettext_lazy("My page (URL)"),
            application,
            _my_page,
            ("my_page_url",),
            in_test=lambda: my_page_url(NOBODY, NOBODY),
        )
    )
    register_merge_field(
        MergeField(
            APPLICANT,
            gettext_lazy("E-mail address of the applicant"),
            application,
            _address,
            ("applicant_email",),
        )
    )
    for name, label, alias in (
        (events.CONFIRM_URL, gettext_lazy("URL that confirms the address"), "confirm_url"),
        (events.LOGIN_URL, gettext_lazy("Login link of my page"), "login_url"),
        (events.PASSWORD_URL, gettext_lazy("URL where a new password is set"), "password_url"),
        (events.CHANGES, gettext_lazy("What was changed"), "changes"),
        (EVENT, gettext_lazy("What happened (to staff)"), "event"),
        (NUMBER, gettext_lazy("How many (to staff)"), "number"),
        (LEAD_URL, gettext_lazy("The lead's page for staff (URL)"), "lead_page_url"),
    ):
        register_merge_field(
            MergeField(name, label, automatic, _nothing, (alias,), in_test=_only_in_the_real_mail)
        )
