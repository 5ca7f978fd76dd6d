"""Three campaigns with applicants: one that takes applications, one full with a waiting list, one on this very day.

People apply through campaigns.applications, so that seats, waiting lists and consent are real; only the moments lie in
the past. The last few are told by mail, which the demo's inbox then shows.
"""

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models.functions import Length

from campaigns.applications import apply, cancel, confirm
from campaigns.campaigns import change_state, save_campaign, set_members
from campaigns.check_in import check_in
from campaigns.consent_texts import set_consent_text
from campaigns.entry import Entry
from campaigns.form_items import ItemValues, add_item
from campaigns.models import (
    Application,
    ApplicationState,
    ApplicationWay,
    Campaign,
    CampaignState,
    CancelledBy,
    ConsentText,
    FormItem,
    ItemSource,
    KnownAddress,
    Place,
    QuestionType,
    SessionChoice,
)
from campaigns.sessions import save_session
from leads.models import DmPermission, Lead, LeadKind, Registration, SavedSearch
from leads.search import validate_condition
from mail.mail_kinds import mail_kind, save_settings
from mail.models import MailTemplate
from settings.models import User

SEED = 20261122
TOKYO = ZoneInfo("Asia/Tokyo")
TOLD = 3  # of each campaign: those who applied last get their mail
FOLLOW_UP = "申込後のご案内(事前資料)"  # the template of the campaign's step mail
CONSENT = (
    "ご入力いただいた個人情報は、本セミナーの運営と、当社製品・セミナーのご案内のために利用します。"
    "ご案内のメールは、いつでも配信停止できます。"
)
CONSENT_EN = "We use the data you enter to run this seminar and to inform you of our products and seminars. You can stop these mails at any time."


@dataclass(frozen=True)
class Plan:
    """What of a campaign is made up: who applies how, and how many."""

    values: dict[str, Any]
    sessions: Sequence[dict[str, Any]] = ()
    questions: Sequence[ItemValues] = ()
    applicants: int = 0
    days: int = 20  # over which they applied
    cancelled: int = 0
    unconfirmed: int = 0
    attended: int = 0
    members: Sequence[str] = ()
    mails: dict[str, dict[str, object]] = field(default_factory=dict)  # kind → mail settings


def make_campaigns(users: dict[str, User], *, now: datetime) -> list[Campaign]:
    dice = random.Random(SEED)
    people = _people(dice)
    campaigns = []
    for plan in _plans(now):
        campaign, consent = _make_campaign(plan, users, now=now)
        _make_applicants(plan, campaign, consent, dice, people, now=now)
        campaigns.append(campaign)
    _make_searches(campaigns[0], users)
    _make_templates(campaigns[0], users["campaign"])
    return campaigns


def _plans(now: datetime) -> tuple[Plan, ...]:
    today = now.astimezone(TOKYO).replace(hour=0, minute=0, second=0, microsecond=0)

    def at(days: int, hour: int, minute: int = 0) -> datetime:
        return today + timedelta(days=days, hours=hour, minutes=minute)

    industry = ItemValues(
        label="業種", label_en="Industry", required=True, type=QuestionType.SELECT,
        choices=[{"key": "", "label": label, "label_en": english} for label, english in (
            ("製造", "Manufacturing"), ("商社・卸売", "Trade"), ("情報サービス", "IT services"), ("その他", "Other"))],
    )  # fmt: skip
    interests = ItemValues(
        label="関心のあるテーマ(複数選択可)", label_en="Topics of interest", type=QuestionType.MULTIPLE,
        choices=[{"key": "", "label": label, "label_en": english} for label, english in (
            ("現場の見える化", "Visualising the shop floor"), ("生産計画", "Production planning"), ("予知保全", "Predictive maintenance"))],
    )  # fmt: skip
    wish = ItemValues(
        label="講師へのご質問", label_en="Questions to the speaker", type=QuestionType.LONG,
        help="当日の講演でお答えします。", help_en="Answered during the talk.",
    )  # fmt: skip
    return (
        Plan(
            {
                "name": "製造業DXセミナー 2026冬", "name_en": "Manufacturing DX Seminar, Winter 2026", "slug": "dx-2026-winter",
                "summary": "現場のデータを活かす、明日から始められる一歩を3社の事例でご紹介します。",
                "summary_en": "Three companies show the first steps that make use of shop-floor data.",
                "description": "人手不足と原材料高のなか、現場のデータをどう活かすか。\n\n中堅製造業3社の担当者が、うまくいったことも、いかなかったこともお話しします。\n講演後は、講演者との個別相談会を予定しています。\n\nアクセス: https://venue.example.jp/access",
                "organiser": "株式会社エスエムピー", "contact": "セミナー事務局 03-0000-0000 info@seminar.example.jp",
                "starts_at": at(24, 13, 30), "ends_at": at(24, 17), "place": Place.BOTH,
                "venue_name": "丸の内カンファレンスホール 5F", "venue_address": "東京都千代田区丸の内1-1-1",
                "venue_url": "https://venue.example.jp/access", "online_url": "https://live.example.jp/dx-2026-winter",
                "session_choice": SessionChoice.SEVERAL, "applications_until": at(23, 17), "capacity": 120,
                "staff_addresses": "seminar-staff@smp.example",
            },
            sessions=(
                {"title": "基調講演: 現場が動くDX", "title_en": "Keynote: DX that moves the shop floor", "speaker": "山手製作所 工場長 髙橋 𠮷男", "starts_at": at(24, 13, 40), "ends_at": at(24, 14, 40)},
                {"title": "事例: 町工場の予知保全", "title_en": "Case: predictive maintenance", "speaker": "㈱はまさき 濵﨑 一郎", "room": "ルームA", "starts_at": at(24, 15), "ends_at": at(24, 15, 50), "capacity": 40},
                {"title": "実習: データの見える化", "title_en": "Workshop: visualising data", "speaker": "エスエムピー 田中 結衣", "room": "ルームB", "starts_at": at(24, 16), "ends_at": at(24, 16, 50), "capacity": 20},
            ),
            questions=(industry, interests, wish), applicants=74, cancelled=6, members=("campaign",),
            mails={"reminder": {"enabled": True, "options": {"days_before": 1, "at": "10:00"}}},
        ),
        Plan(
            {
                "name": "はじめてのメールマーケティング実践講座", "name_en": "Mail marketing for beginners", "slug": "mail-marketing",
                "summary": "配信停止と到達率を正しく知り、読まれるメールを自分の手で作る2時間です。",
                "description": "少人数の実習形式です。ノートパソコンをお持ちください。",
                "organiser": "株式会社エスエムピー", "contact": "セミナー事務局 info@seminar.example.jp",
                "starts_at": at(9, 15), "ends_at": at(9, 17), "place": Place.VENUE, "venue_name": "エスエムピー本社 セミナールーム",
                "venue_address": "東京都千代田区丸の内1-1-1", "capacity": 30, "confirm_address": True,
                "staff_addresses": "seminar-staff@smp.example",
            },
            questions=(ItemValues(label="配信しているメールの通数(月)", type=QuestionType.NUMBER),),
            applicants=44, cancelled=3, unconfirmed=4, members=("campaign",),
        ),
        Plan(
            {
                "name": "本日開催 AI活用カンファレンス", "name_en": "AI Conference today", "slug": "ai-today",
                "summary": "受付・チェックインをお試しいただける、本日開催のカンファレンスです。",
                "organiser": "株式会社エスエムピー", "starts_at": at(0, 8), "ends_at": at(1, 0), "place": Place.VENUE,
                "venue_name": "東京国際展示ホール 西1", "venue_address": "東京都江東区有明3-1-1", "capacity": 80,
                "known_address": KnownAddress.MERGE,
            },
            applicants=58, days=30, cancelled=5, attended=21,
        ),
    )  # fmt: skip


def _people(dice: random.Random) -> list[Lead]:
    """Visitors who could have applied, each in one campaign at most, in the order of the dice."""
    found = (
        Lead.objects.existing()
        .filter(
            kind=LeadKind.VISITOR, registration=Registration.FULL, email_valid=True, email_malformed=False
        )
        .filter(email__endswith=".example.jp")
        .exclude(email="")
        .annotate(length=Length("email"))
        .order_by("-pk")[:1500]
    )
    people = list({lead.email_norm: lead for lead in found}.values())
    dice.shuffle(people)
    return people


def _make_campaign(
    plan: Plan, users: dict[str, User], *, now: datetime
) -> tuple[Campaign, ConsentText | None]:
    admin, made = users["admin"], now - timedelta(days=plan.days + 5)
    campaign = save_campaign(plan.values, user=admin, now=made)
    for session in plan.sessions:
        save_session(campaign, session, user=admin, now=made)
    for question in plan.questions:
        add_item(campaign, ItemSource.QUESTION, values=question, user=admin, now=made)
    consent = set_consent_text(campaign, CONSENT, CONSENT_EN, user=admin, now=made)
    if plan.members:
        set_members(campaign, [users[name] for name in plan.members], user=admin, now=made)
    for key, values in plan.mails.items():
        kind = mail_kind(key, campaign.pk)
        assert kind is not None, key
        save_settings(kind, values, user=admin, campaign_id=campaign.pk)
    change_state(campaign, CampaignState.OPEN, user=admin, now=made)
    return Campaign.objects.get(pk=campaign.pk), consent


def _make_applicants(
    plan: Plan,
    campaign: Campaign,
    consent: ConsentText | None,
    dice: random.Random,
    people: list[Lead],
    *,
    now: datetime,
) -> None:
    questions = list(campaign.form_items.filter(source=ItemSource.QUESTION))
    sessions = list(campaign.sessions.values_list("pk", flat=True))
    # Unconfirmed ones last a day (campaigns.applications.cancel_unconfirmed).
    spans = [(3600.0, 72_000.0)] * plan.unconfirmed + [(72_000.0, plan.days * 86_400.0)] * (
        plan.applicants - plan.unconfirmed
    )
    moments = sorted(now - timedelta(seconds=dice.uniform(*span)) for span in spans)
    applications: list[Application] = []
    for place, at in enumerate(moments):
        lead = people.pop()
        entry = Entry(
            _values(lead), _answers(questions, dice), _chosen(campaign, sessions, dice), lead.language
        )
        told = place >= plan.applicants - plan.unconfirmed - TOLD
        applied = apply(
            campaign, entry, way=ApplicationWay.FORM, now=at, token=uuid.UUID(int=dice.getrandbits(128)), ip="192.0.2.7",
            consent_text=consent, tell=told,
        )  # fmt: skip
        application = applied.application
        waits = place >= plan.applicants - plan.unconfirmed
        if application.state == ApplicationState.PROVISIONAL and not waits:
            application = confirm(application, now=at + timedelta(minutes=7), tell=told)
        applications.append(application)
    seated = [one for one in applications if one.state == ApplicationState.APPLIED]
    dice.shuffle(seated)
    for application in seated[: plan.cancelled]:
        assert application.applied_at is not None
        later = application.applied_at + timedelta(minutes=dice.randrange(5, 60))
        cancel(application, by=CancelledBy.LEAD, now=later, tell=False)
    for application in seated[plan.cancelled : plan.cancelled + plan.attended]:
        arrived = now - timedelta(minutes=dice.randrange(1, 50))
        check_in(
            campaign,
            application.code,
            scan=uuid.UUID(int=dice.getrandbits(128)),
            at=arrived,
            user=None,
            now=now,
        )


def _values(lead: Lead) -> dict[str, Any]:
    names = ("last_name", "first_name", "company", "department", "job_title", "email", "phone")
    values = {name: getattr(lead, name) for name in names if getattr(lead, name)}
    return values | {"dm_permission": DmPermission.WANTED}


def _answers(questions: Sequence[FormItem], dice: random.Random) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for question in questions:
        keys = [choice["key"] for choice in question.choices]
        if question.type == QuestionType.SELECT:
            answers[question.key] = [dice.choice(keys)]
        elif question.type == QuestionType.MULTIPLE:
            answers[question.key] = sorted(dice.sample(keys, dice.randint(1, 2)), key=keys.index)
        elif question.type == QuestionType.NUMBER:
            answers[question.key] = dice.choice([1, 2, 4, 8, 20])
        elif dice.random() < 0.2:
            answers[question.key] = dice.choice(
                [
                    "導入までの期間を教えてください。",
                    "小さな工場でも効果はありますか?",
                    "①費用 ②体制 について伺いたいです😀",
                ]
            )
    return answers


def _chosen(campaign: Campaign, sessions: Sequence[int], dice: random.Random) -> Sequence[int]:
    """Everybody hears the first; the small ones are chosen seldom enough to stay free."""
    if campaign.session_choice == SessionChoice.NONE:
        return ()
    return [sessions[0], *(pk for pk in sessions[1:] if dice.random() < 0.2)]


def _make_searches(campaign: Campaign, users: dict[str, User]) -> None:
    condition = {
        "match": "all",
        "blocks": [{"item": f"campaign.{campaign.pk}.state", "operator": "is", "values": ["applied"]}],
    }
    SavedSearch.objects.create(
        name="DXセミナー 申込者(キャンセルを除く)", owner=users["campaign"], shared=True, campaign_id=campaign.pk,
        condition=validate_condition(condition, campaign_id=campaign.pk),
    )  # fmt: skip


def _make_templates(campaign: Campaign, user: User) -> None:
    MailTemplate.objects.create(
        name="前日のご案内", campaign=campaign, purpose="notice", form="text", subject="【明日開催】{{ キャンペーン名 }}",
        from_address="info@seminar.example.jp", from_name="SMPセミナー事務局", created_by=user, updated_by=user,
        text_body=(
            "{{ 氏名 }} 様\n\n{{ キャンペーン名 }} の開催が近づいてまいりました。\n\n日時: {{ 開催日 }} {{ 開催時間 }}\n会場: {{ 会場名 }}\n"
            "受講票: {{ 受講票URL }}\n\n当日は受講票の二次元コードを受付でご提示ください。\nお気をつけてお越しください。\n\n"
            "--\n株式会社エスエムピー セミナー事務局\n"
        ),
    )  # fmt: skip
    MailTemplate.objects.create(
        name=FOLLOW_UP, campaign=campaign, purpose="notice", form="text", subject="【事前資料】{{ キャンペーン名 }}",
        from_address="info@seminar.example.jp", from_name="SMPセミナー事務局", created_by=user, updated_by=user,
        text_body=(
            "{{ 氏名 }} 様\n\n{{ キャンペーン名 }} にお申し込みいただき、ありがとうございます。\n"
            "当日までにご覧いただける資料をご用意しました。\n\nhttps://seminar.example.jp/dx2026w/reader\n\n"
            "日時: {{ 開催日 }} {{ 開催時間 }}\n受講票: {{ 受講票URL }}\n\n--\n株式会社エスエムピー セミナー事務局\n"
        ),
    )  # fmt: skip
