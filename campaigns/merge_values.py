"""What mails can say of a campaign and of an application (merge fields, mail/application_fields.py), as texts.

    abouts = about_leads(leads, now=now, campaign_id=campaign.pk)         {lead id: About}, one or two queries
    texts = texts_of(abouts.values(), ["キャンペーン名", "申込番号"])        one dict an About; a query more for some names

An empty text where there is nothing to say: no application, no venue, no seat.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Case, IntegerField, Value, When
from django.utils import timezone, translation

from campaigns.answers import answer_rows
from campaigns.form_items import label_of
from campaigns.models import (
    Application,
    ApplicationSession,
    ApplicationState,
    Campaign,
    FormItem,
    ItemSource,
    Session,
)
from campaigns.texts import text_in
from campaigns.tickets import days_valid, expiry, expiry_text, ticket_url
from leads.models import Lead
from settings.system_settings import get_setting
from smp.lib.days import day_in


@dataclass(frozen=True)
class About:
    """Of what a mail speaks. Without an application only the campaign's own values are known."""

    campaign: Campaign | None
    application: Application | None
    language: str
    now: datetime

    @property
    def seated(self) -> Application | None:
        """The application if it has a seat: only then there is a ticket, and the online URL is told."""
        application = self.application
        return application if application and application.state == ApplicationState.APPLIED else None


def about_leads(leads: Iterable[Lead], *, now: datetime, campaign_id: int | None) -> dict[int, About]:
    """In a campaign: each lead's live application for it, or the newest cancelled one. In all campaigns: each lead's
    newest live application."""
    leads = list(leads)
    found = Application.objects.filter(lead__in=[lead.pk for lead in leads])
    if campaign_id is None:
        found = found.exclude(state=ApplicationState.CANCELLED)
    else:
        found = found.filter(campaign_id=campaign_id)
    last = Case(
        When(state=ApplicationState.CANCELLED, then=Value(1)), default=Value(0), output_field=IntegerField()
    )
    # DISTINCT ON: one row a lead, whatever it applied for before.
    newest = (
        found.order_by("lead_id", last, "-id").distinct("lead_id").select_related("campaign").defer("entered")
    )
    by_lead = {application.lead_id: application for application in newest}
    alone = None
    if campaign_id is not None and len(by_lead) < len(leads):
        alone = Campaign.objects.filter(pk=campaign_id).first()
    return {
        lead.pk: _about(by_lead[lead.pk], now)
        if lead.pk in by_lead
        else About(alone, None, lead.language, now)
        for lead in leads
    }


def _about(application: Application, now: datetime) -> About:
    return About(application.campaign, application, application.language, now)


def texts_of(abouts: Iterable[About], names: Iterable[str]) -> list[dict[str, str]]:
    """{name: text} for each, in their order; names that are not among NAMES are left out."""
    abouts = list(abouts)
    columns = {name: _COLUMNS[name](abouts) for name in names if name in _COLUMNS}
    return [{name: column[number] for name, column in columns.items()} for number in range(len(abouts))]


# ---- one value each --------------------------------------------------------------------------------------------------


def _days(one: About) -> str:
    campaign = one.campaign
    if campaign is None or campaign.starts_at is None:
        return ""
    first = day_in(campaign.starts_at, one.language)
    last = day_in(campaign.ends_at, one.language) if campaign.ends_at else first
    return first if first == last else f"{first}{_to(one.language)}{last}"


def _times(one: About) -> str:
    return span_text(one.campaign, one.language) if one.campaign else ""


def span_text(thing: Campaign | Session, language: str) -> str:
    """14:00〜16:00 · 14:00 - 16:00 (Japan time)"""
    if thing.starts_at is None:
        return ""
    first = f"{timezone.localtime(thing.starts_at):%H:%M}"
    last = f"{timezone.localtime(thing.ends_at):%H:%M}" if thing.ends_at else ""
    if language == "en":
        return f"{first} - {last} (Japan time)" if last else f"{first} (Japan time)"
    return f"{first}〜{last}"


def _to(language: str) -> str:
    return " - " if language == "en" else "〜"


def _of_campaign(read: Callable[[Campaign, str], str]) -> Callable[[About], str]:
    return lambda one: read(one.campaign, one.language) if one.campaign else ""


def _of_application(read: Callable[[Application, str], str]) -> Callable[[About], str]:
    return lambda one: read(one.application, one.language) if one.application else ""


def _state(application: Application, language: str) -> str:
    with translation.override(language):
        return str(ApplicationState(application.state).label)


def _venue(campaign: Campaign, field: str) -> str:
    return str(getattr(campaign, field)) if campaign.at_venue else ""


def _online(one: About) -> str:
    campaign = one.campaign
    return campaign.online_url if campaign and one.seated and campaign.online else ""


_ONE: dict[str, Callable[[About], str]] = {
    "キャンペーン名": _of_campaign(lambda campaign, language: text_in(campaign, "name", language)),
    "開催日": _days,
    "開催時間": _times,
    "会場名": _of_campaign(lambda campaign, _language: _venue(campaign, "venue_name")),
    "会場住所": _of_campaign(lambda campaign, _language: _venue(campaign, "venue_address")),
    "会場URL": _of_campaign(lambda campaign, _language: _venue(campaign, "venue_url")),
    "キャンペーンURL": _of_campaign(lambda campaign, _language: f"{settings.BASE_URL}/e/{campaign.slug}/"),
    "オンラインURL": _online,
    "申込番号": _of_application(lambda application, _language: application.code),
    "申込状況": _of_application(_state),
    "申込日": _of_application(lambda application, language: day_in(application.created_at, language)),
    "マイページURL": lambda _one: f"{settings.BASE_URL}/my/",
}


# ---- those that need something for all of them at once ---------------------------------------------------------------


def _tickets(abouts: Sequence[About]) -> list[str]:
    days = days_valid()
    return [
        ticket_url(one.seated, now=one.now, days=days) if one.seated and _has_ticket(one) else ""
        for one in abouts
    ]


def _ticket_ends(abouts: Sequence[About]) -> list[str]:
    days = days_valid()
    return [
        expiry_text(expiry(now=one.now, days=days)) if one.seated and _has_ticket(one) else ""
        for one in abouts
    ]


def _has_ticket(one: About) -> bool:
    return one.campaign is not None and one.campaign.ticket


def _sessions(abouts: Sequence[About]) -> list[str]:
    """One line a session: 基調講演 14:00〜15:00"""
    chosen = ApplicationSession.objects.filter(
        application__in=[one.application for one in abouts if one.application]
    )
    by_application: dict[int, list[Session]] = {}
    for row in chosen.select_related("session").order_by(
        "session__position", "session__starts_at", "session_id"
    ):
        by_application.setdefault(row.application_id, []).append(row.session)
    return [
        "\n".join(
            f"{text_in(session, 'title', one.language)} {span_text(session, one.language)}".strip()
            for session in by_application.get(one.application.pk if one.application else 0, [])
        )
        for one in abouts
    ]


def _answers(abouts: Sequence[About]) -> list[str]:
    """One line a question: 業種: 製造"""
    campaigns = {
        one.campaign.pk for one in abouts if one.campaign and one.application and one.application.answers
    }
    questions: dict[int, list[FormItem]] = {}
    if campaigns:
        found = FormItem.objects.filter(campaign__in=campaigns, source=ItemSource.QUESTION)
        for item in found.order_by("position", "pk"):
            questions.setdefault(item.campaign_id, []).append(item)
    return [
        "\n".join(
            f"{label_of(item, one.language)}: {text}"
            for item, text in answer_rows(
                questions.get(one.campaign.pk, []), one.application.answers, one.language
            )
        )
        if one.campaign and one.application
        else ""
        for one in abouts
    ]


def _own_or_setting(field: str, setting: str) -> Callable[[Sequence[About]], list[str]]:
    """The campaign's; where it names none, that of the system settings (mail/registered_settings.py)."""

    def column(abouts: Sequence[About]) -> list[str]:
        own = [str(getattr(one.campaign, field)) if one.campaign else "" for one in abouts]
        fallback = "" if all(own) else " ".join(get_setting(setting).split())
        return [text or fallback for text in own]

    return column


def _each(read: Callable[[About], str]) -> Callable[[Sequence[About]], list[str]]:
    return lambda abouts: [read(one) for one in abouts]


_COLUMNS: dict[str, Callable[[Sequence[About]], list[str]]] = {
    **{name: _each(read) for name, read in _ONE.items()},
    "主催者名": _own_or_setting("organiser", "legal_name"),
    "問い合わせ先": _own_or_setting("contact", "legal_contact"),
    "選択セッション": _sessions,
    "申込内容": _answers,
    "受講票URL": _tickets,
    "有効期限": _ticket_ends,
}
NAMES = frozenset(_COLUMNS)
