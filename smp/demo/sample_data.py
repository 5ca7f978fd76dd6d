"""About 5,000 leads with the traps of real address lists, and mailings of the last weeks; the same every time.

Leads are written in bulk; mailings go through mail.send_jobs, so that their decisions are real ones. Only what the
receiving servers answered is made up here.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import Jsonb
from psycopg2.extras import execute_values

from campaigns.models import Application
from leads import consent
from leads.address import check_email
from leads.edit import delete_lead
from leads.models import ConsentRecord, DmPermission, Lead, LeadColumn, LeadKind, Registration, SavedSearch
from leads.search import EVERYONE, validate_condition
from mail import job_start, send_jobs
from mail.bounces.cause import cause_of, is_hard
from mail.delivery.failures import recount
from mail.merge_fields import values_for
from mail.message import MergeProblem, Skeleton
from mail.models import (
    Delivery,
    DeliveryEvent,
    JobDomain,
    Magazine,
    MailSettings,
    MailTemplate,
    Reader,
    ReturnedKind,
    ReturnedMail,
    ReturnedSource,
    SendingDomain,
    SendJob,
)
from mail.models.delivery import Cause, DeliveryState
from mail.models.send_job import RecipientRule
from mail.recipients.reasons import Reason
from mail.smtp.replies import NO_ROUTE, SWITCH_OFF_AT_ONCE
from settings.models import AuditEntry, Role, User
from settings.system_settings import set_setting
from smp.demo import mails, people
from smp.demo.sample_campaigns import make_campaigns
from smp.demo.sample_magazines import Results, make_magazines
from smp.demo.sample_returned import NEEDED, return_some
from smp.demo.sample_speed import make_speed
from smp.demo.sample_tracking import counting, make_step_mails, make_tracking, site_address
from smp.demo.zones import BUSY, make_sending_domains

PASSWORD = "demo-demo-demo"
USERS = (
    ("admin", "佐藤 美咲", Role.PRIVILEGED),
    ("campaign", "鈴木 健太", Role.CAMPAIGN),
    ("viewer", "田中 結衣", Role.VIEWER),
)
LEADS = 5000
NEWEST = 60  # of them registered in the last weeks, after the mailings
SEED = 20261121
TOKYO = ZoneInfo("Asia/Tokyo")
KANTO = ["東京都", "神奈川県", "埼玉県", "千葉県", "茨城県", "栃木県", "群馬県"]

ODD_LEADS: tuple[dict[str, Any], ...] = (
    {"last_name": "髙﨑", "first_name": "𠮷男", "last_name_kana": "タカサキ", "first_name_kana": "ヨシオ", "email": "yoshio.takasaki@yamate-works.example.jp"},
    {"last_name": "濵﨑", "first_name": "①郎", "last_name_kana": "ハマサキ", "first_name_kana": "イチロウ", "company": "㈱はまさき", "email": "hamasaki@hamasaki.example.jp"},
    {"last_name": "O'Brien", "first_name": "Seán 😀", "language": "en", "company": "O'Brien & Sons, Ltd.", "email": "sean@obrien.example.com"},
    {"last_name": "携帯", "first_name": "太郎", "email": "a..b.@docomo.ne.jp"},
    {"last_name": "携帯", "first_name": "花子", "email": ".hanako@ezweb.ne.jp"},
    {"last_name": "国際", "first_name": "次郎", "email": "jiro@日本語.example"},
    {"last_name": "全角", "first_name": "三郎", "email": "ｓａｂｕｒｏ@yamate-works.example.jp"},
    {"last_name": "大文字", "first_name": "四郎", "email": "Shiro.OMOJI@Yamate-Works.Example.JP"},
)  # fmt: skip
MALFORMED = (
    "sato.example.jp", "suzuki@", "@example.jp", "tanaka@@example.jp", "ito @example.jp", "a..b@example.jp", "kato@example",
    "yamada@example.jp、yamada2@example.jp", "nakamura@-example.jp", "ｎｇ＠", "“ogawa”@example.jp", "mori@exa_mple.jp",
)  # fmt: skip
TRICKS = (("unknown.example", 8), ("full.example", 10), ("later.example", 6))
BUSY_LEADS = 4
BLOCKING = "shared.example.jp"  # the receiver that takes no more of one mailing


@dataclass(frozen=True)
class Outcome:
    """What a receiving server answered: state and ERR-2 code, in how many of a thousand mails."""

    state: DeliveryState
    code: int | None
    status: str
    reply: str
    per_mille: float = 0
    attempts: int = 1


SENT = Outcome(DeliveryState.SENT, 40000, "2.0.0", "250 2.0.0 Ok: queued as {queue}")
UNKNOWN_USER = Outcome(
    DeliveryState.ERROR, 42550, "5.1.1", "550 5.1.1 <{address}>: Recipient address rejected: User unknown", 9
)
EXHAUSTED = Outcome(DeliveryState.ERROR, 41606, "4.2.2", "452 4.2.2 <{address}>: Mailbox full", 3, 48)
CAME_BACK = Outcome(
    DeliveryState.ERROR, 90000, "5.1.1", "550 5.1.1 User unknown (moved to another company)", 3
)
OUTCOMES = (
    UNKNOWN_USER,
    EXHAUSTED,
    CAME_BACK,
    Outcome(
        DeliveryState.ERROR, 42554, "5.7.1", "554 5.7.1 Service unavailable; message blocked by policy", 4
    ),
    Outcome(DeliveryState.ERROR, 42553, "5.1.3", "553 5.1.3 <{address}>: Invalid mailbox name", 1),
    Outcome(DeliveryState.ERROR, 42552, "5.2.3", "552 5.2.3 Message size exceeds fixed limit", 1),
    Outcome(DeliveryState.ERROR, 41605, "", "example: no mail exchanger answered", 1),
    Outcome(DeliveryState.SENT, 40001, "", "no answer after the data; taken as delivered", 1),
    Outcome(DeliveryState.UNKNOWN, None, "", "connection lost after the final dot", 1),
)
BLOCKED = Outcome(
    DeliveryState.ERROR, 42554, "5.7.1", "554 5.7.1 Service unavailable; client [192.0.2.25] blocked using dnsbl.example"
)  # fmt: skip
TROUBLE = Outcome(
    DeliveryState.ERROR, 41606, "4.3.2", "451 4.3.2 Service temporarily unavailable", attempts=48
)
REFUSED = Outcome(DeliveryState.ERROR, 42550, "5.7.1", "550 5.7.1 Message rejected as spam by content filter")
BY_DOMAIN = {"unknown.example": UNKNOWN_USER, "full.example": EXHAUSTED, "later.example": CAME_BACK}


def is_empty() -> bool:
    return not User.objects.exists() and not Lead.objects.exists()


def nobody_can_log_in() -> bool:
    return not User.objects.exists()


@transaction.atomic
def add_sending_domains(*, now: datetime) -> None:
    """For sample data of an older version: without a sending domain the demo would refuse advertising."""
    admin = User.objects.filter(role=Role.PRIVILEGED).order_by("id").first()
    if admin is not None and not SendingDomain.objects.exists():
        make_sending_domains(admin, now=now)


@transaction.atomic
def load(*, now: datetime, leads: int = LEADS) -> dict[str, int]:
    """Fills an empty database; returns how many of what there are. About ten seconds for 5,000 leads."""
    dice = random.Random(SEED)
    users = make_users()
    make_mail_settings()
    make_sending_domains(users["admin"], now=now)
    make_speed(users["admin"], now=now)
    columns = make_columns()
    newest = min(NEWEST, leads // 10)
    past = list(make_leads(dice, leads - newest, columns, now - timedelta(days=40), timedelta(days=3 * 365)))
    write_leads(past, dice, users["admin"])
    templates = make_templates(users["admin"])
    searches = make_searches(users, columns)
    counted = make_mailings(dice, users, templates, searches, now=now)
    write_leads(
        list(make_leads(dice, newest, columns, now - timedelta(hours=2), timedelta(days=30), plain=True)),
        dice,
        users["admin"],
    )
    start_running_job(dice, users["admin"], templates["fair"], searches["関東の来場者"], now=now)
    start_braked_job(dice, users["admin"], templates["magazine"], now=now)
    reserve_jobs(users["admin"], templates, searches, now=now)
    campaigns = make_campaigns(users, now=now)
    make_tracking(counted, now=now)
    make_step_mails(users["admin"], campaigns[0], templates, searches, now=now)
    make_magazines(users["admin"], Results(make_results, trouble=TROUBLE, refused=REFUSED), now=now)
    return {
        "campaigns": len(campaigns), "applications": Application.objects.count(),
        "leads": Lead.objects.count(), "searches": len(searches), "templates": len(templates),
        "magazines": Magazine.objects.count(), "readers": Reader.objects.count(),
        "jobs": SendJob.objects.count(), "deliveries": Delivery.objects.count(),
    }  # fmt: skip


# ---- people -----------------------------------------------------------------------------------------------------


def make_users() -> dict[str, User]:
    password = make_password(PASSWORD)
    return {
        username: User.objects.create(
            username=username, name=name, role=role, email=f"{username}@smp.example", password=password
        )
        for username, name, role in USERS
    }


def make_mail_settings() -> None:
    MailSettings.objects.update_or_create(
        kind="template",
        defaults={
            "from_address": "info@seminar.example.jp",
            "from_name": "SMPセミナー事務局",
            "reply_to": "info@seminar.example.jp",
        },
    )
    # LAW-1: new templates start with these lines.
    for key, value in {
        "legal_name": "株式会社エスエムピー セミナー事務局",
        "legal_address": "〒100-0005 東京都千代田区丸の内1-1-1",
        "legal_contact": "info@seminar.example.jp / 03-0000-0000",
    }.items():
        set_setting(key, value, user=None)


def make_columns() -> dict[str, LeadColumn]:
    types = LeadColumn.Type
    kinds = (
        ("業種", types.CHOICE, people.INDUSTRIES),
        ("従業員数", types.NUMBER, []),
        ("最終来場日", types.DATE, []),
        ("興味のある製品", types.TEXT, []),
    )
    return {
        label: LeadColumn.objects.create(label=label, type=kind, choices=choices, position=position)
        for position, (label, kind, choices) in enumerate(kinds, start=1)
    }


def make_leads(
    dice: random.Random,
    count: int,
    columns: dict[str, LeadColumn],
    newest: datetime,
    span: timedelta,
    *,
    plain: bool = False,
) -> Iterator[Lead]:
    """Leads in the order of their registration. `plain`: without traps."""
    last_names, first_names = people.triples(people.LAST_NAMES), people.triples(people.FIRST_NAMES)
    heads, tails = people.triples(people.COMPANY_HEADS), people.triples(people.COMPANY_TAILS)
    odd = iter([] if plain else odd_values(count))
    times = sorted(newest - span * dice.random() ** 1.6 for _number in range(count))
    for number, created_at in enumerate(times):
        last, first = dice.choice(last_names), dice.choice(first_names)
        head, tail = dice.choice(heads), dice.choice(tails)
        prefecture, city, code, _weight = dice.choices(people.PLACES, [place[3] for place in people.PLACES])[
            0
        ]
        domain = f"{head[1]}-{tail[1]}.example.jp"
        values: dict[str, Any] = {
            "last_name": last[0], "first_name": first[0], "last_name_kana": last[1], "first_name_kana": first[1],
            "company": dice.choice(("株式会社{}", "{}株式会社", "株式会社{}")).format(head[0] + tail[0]),
            "department": dice.choice(people.DEPARTMENTS), "job_title": dice.choice(people.TITLES),
            "postal_code": f"{code}-{dice.randrange(10_000):04}", "prefecture": prefecture,
            "address": f"{city}{dice.randint(1, 8)}-{dice.randint(1, 20)}-{dice.randint(1, 15)}",
            "phone": f"0{dice.randint(3, 9)}-0000-{dice.randrange(10_000):04}",
            "email": f"{first[2]}.{last[2]}{number if number % 3 else ''}@{domain}",
        }  # fmt: skip
        if not plain:
            values |= dice.choices(({}, {"dm_permission": DmPermission.UNWANTED}), (94, 6))[0]
        values |= next(odd, {}) if number % 7 == 3 else {}
        visited = created_at + timedelta(days=dice.randint(0, 200))
        yield lead_of(
            values,
            created_at,
            {
                columns["業種"].key: tail[2],
                columns["従業員数"].key: int(10 ** dice.uniform(1, 4)),
                columns["最終来場日"].key: min(visited, newest).astimezone(TOKYO).date().isoformat()
                if dice.random() < 0.6
                else None,
                columns["興味のある製品"].key: "、".join(dice.sample(people.PRODUCTS, dice.randint(0, 3)))
                or None,
            },
        )


def odd_values(count: int) -> Iterator[dict[str, Any]]:
    """The traps, one lead each, for a list of `count` leads; smaller lists get fewer of each."""
    share = min(1.0, count / (LEADS - NEWEST))
    some = lambda number: range(max(1, round(number * share)))  # noqa: E731
    yield from ODD_LEADS
    yield from ({"email": address} for address in MALFORMED)
    for domain, number in TRICKS:
        yield from ({"email": f"user{index}@{domain}"} for index in some(number))
    yield from (
        {"email": f"user{index}@{BUSY}", "prefecture": KANTO[0], "dm_permission": DmPermission.WANTED}
        for index in some(BUSY_LEADS)
    )
    yield from (
        {"email": f"{('info', 'seminar', 'dx')[index % 3]}{index // 6}@shared.example.jp"}
        for index in some(60)
    )
    yield from ({"email": ""} for _index in some(80))
    yield from ({"email_valid": False, "email_failures": 3} for _index in some(140))
    yield from ({"registration": Registration.PROVISIONAL} for _index in some(110))
    yield from ({"unsubscribed": True} for _index in some(90))
    yield from (
        {"kind": LeadKind.SPEAKER, "company": "東都大学", "department": "工学部", "job_title": "教授"}
        for _index in some(25)
    )
    yield from (
        {"kind": LeadKind.STAFF, "company": "株式会社エスエムピー", "department": "セミナー事務局"}
        for _index in some(12)
    )
    yield from (
        {
            "language": "en",
            "last_name": "Smith",
            "first_name": "Alex",
            "last_name_kana": "",
            "first_name_kana": "",
        }
        for _index in some(40)
    )


def lead_of(values: dict[str, Any], created_at: datetime, extra: dict[str, Any]) -> Lead:
    """The row as leads/edit.py would write it."""
    values = dict(values)
    email = check_email(values.pop("email"))
    if values.pop("unsubscribed", False):
        values |= {"unsubscribed_at": created_at + timedelta(days=30), "dm_permission": DmPermission.UNWANTED}
    return Lead(
        **values, email=email.address, email_norm=email.norm, email_malformed=email.malformed, email_since=created_at,
        created_at=created_at, updated_at=created_at, extra={key: value for key, value in extra.items() if value is not None},
    )  # fmt: skip


def write_leads(leads: Sequence[Lead], dice: random.Random, admin: User) -> None:
    """With the consent history that fits (OPT-10)."""
    evidence = ConsentRecord.Evidence
    written = Lead.objects.bulk_create(leads, batch_size=1000)
    records = []
    for lead in written:
        way = dice.choices((evidence.FORM, evidence.IMPORT, evidence.CARD, evidence.TRADE), (50, 25, 20, 5))[
            0
        ]
        refused = lead.dm_permission == DmPermission.UNWANTED and not lead.unsubscribed_at
        records.append(
            ConsentRecord(
                lead=lead, at=lead.created_at, evidence=way, user=admin if way == evidence.IMPORT else None,
                change=ConsentRecord.Change.REFUSED if refused else ConsentRecord.Change.GRANTED,
                source={evidence.FORM: "セミナー申込フォーム", evidence.IMPORT: "leads-import.csv"}.get(way, ""),
                ip=f"192.0.2.{dice.randint(1, 254)}" if way == evidence.FORM else None,
            )
        )  # fmt: skip
        if lead.unsubscribed_at:
            records.append(
                ConsentRecord(
                    lead=lead, at=lead.unsubscribed_at, evidence=dice.choice((evidence.OPT_OUT_FORM, evidence.ONE_CLICK)),
                    change=ConsentRecord.Change.UNSUBSCRIBED, ip=f"192.0.2.{dice.randint(1, 254)}",
                )
            )  # fmt: skip
    ConsentRecord.objects.bulk_create(records, batch_size=2000)


# ---- searches and templates ----------------------------------------------------------------------------------------


def make_searches(users: dict[str, User], columns: dict[str, LeadColumn]) -> dict[str, SavedSearch]:
    def block(item: str, operator: str, *values: str) -> dict[str, Any]:
        return {"item": item, "operator": operator, "values": list(values)}

    industry, staff = f"column.{columns['業種'].pk}", f"column.{columns['従業員数'].pk}"
    visited = f"column.{columns['最終来場日'].pk}"
    kanto = block("lead.prefecture", "is", *KANTO)
    wanted: tuple[tuple[str, str, bool, dict[str, Any]], ...] = (
        ("全リード", "admin", True, EVERYONE),
        ("関東の来場者", "campaign", True, {"match": "all", "blocks": [kanto, block("lead.kind", "is", "visitor")]}),
        (
            "製造業・従業員100名以上", "campaign", True,
            {"match": "all", "blocks": [block(industry, "is", "製造"), block(staff, "ge", "100")]},
        ),
        (
            "決裁者(関東または愛知)", "campaign", True,
            {
                "match": "expression", "expression": "(1 OR 2) AND 3 AND NOT 4",
                "blocks": [kanto, block("lead.prefecture", "is", "愛知県"), block("lead.job_title", "contains", "部長", "取締役", "工場長"),
                           block("lead.email_valid", "is", "no")],
            },
        ),
        ("最近来場した方", "viewer", False, {"match": "all", "blocks": [block(visited, "within_days", "180")]}),
        ("不達が続いている方", "admin", False, {"match": "all", "blocks": [block("lead.email_failures", "ge", "2")]}),
        ("同じアドレスの方", "admin", False, {"match": "all", "blocks": [block("lead.address_shared", "is", "yes")]}),
    )  # fmt: skip
    return {
        name: SavedSearch.objects.create(
            name=name, owner=users[owner], shared=shared, condition=validate_condition(condition)
        )
        for name, owner, shared, condition in wanted
    }


def make_templates(user: User) -> dict[str, MailTemplate]:
    return {
        key: MailTemplate.objects.create(
            **{"from_address": "info@seminar.example.jp", "from_name": "SMPセミナー事務局", "reply_to": "info@seminar.example.jp"}
            | {field: text.replace(mails.SITE, site_address()) for field, text in values.items()},
            created_by=user, updated_by=user,
        )
        for key, values in mails.TEMPLATES.items()
    }  # fmt: skip


# ---- mailings ---------------------------------------------------------------------------------------------------


def make_mailings(
    dice: random.Random,
    users: dict[str, User],
    templates: dict[str, MailTemplate],
    searches: dict[str, SavedSearch],
    *,
    now: datetime,
) -> list[SendJob]:
    """The past: a first mailing by user, the big one by search with every kind of result, a stopped and a deleted one, and
    one about the products. Returns those whose opens and clicks are counted."""
    campaign = users["admin"]
    tricky = list(Lead.objects.filter(email_norm__endswith="@unknown.example").values_list("id", flat=True))
    chosen = list(
        Lead.objects.filter(kind=LeadKind.VISITOR).order_by("id").values_list("id", flat=True)[:180]
    )

    first = at_ten(now, days_ago=34)
    with_deleted = [*tricky, *chosen]
    by_user = draft(
        campaign, templates["seminar"], first, lead_ids=with_deleted, **counting(templates["seminar"])
    )
    gone = Lead.objects.filter(id=chosen[-1]).get()
    send_jobs.confirm(by_user, user=campaign, now=first)
    delete_lead(gone, user=campaign, now=first)
    job_start.run(by_user.pk, now=first)
    make_results(dice, by_user, now=first, plain=True)

    second = at_ten(now, days_ago=20)
    everyone = draft(
        campaign, templates["seminar"], second, search=searches["全リード"], **counting(templates["seminar"])
    )
    send_jobs.confirm(everyone, user=campaign, now=second)
    job_start.run(everyone.pk, now=second)
    waiting = list(
        everyone.deliveries.filter(state=DeliveryState.QUEUED)
        .order_by("lead_id")
        .values_list("id", "lead_id")[100:106]
    )
    late, unmade = waiting[:4], waiting[4:]
    exclude(late, Reason.UNSUBSCRIBED_LATE)
    exclude(unmade, Reason.MERGED_ADDRESS)
    make_results(dice, everyone, now=second)
    left = (
        everyone.deliveries.filter(state=DeliveryState.SENT)
        .order_by("lead_id")
        .values_list("lead_id", flat=True)[500:508]
    )
    for lead in Lead.objects.filter(id__in=[*left, *(lead_id for _id, lead_id in late if lead_id)]):
        consent.unsubscribe(
            lead, evidence=ConsentRecord.Evidence.ONE_CLICK, source="製造業DXセミナー 2026冬 ご案内", ip="192.0.2.7",
            now=second + timedelta(hours=dice.randint(1, 60)),
        )  # fmt: skip

    return_some(
        list(everyone.deliveries.filter(state=DeliveryState.SENT).order_by("id")[600 : 600 + NEEDED]),
        sent_at=second,
    )

    third = at_ten(now, days_ago=12)
    stopped = draft(campaign, templates["tour"], third, search=searches["製造業・従業員100名以上"])
    send_jobs.confirm(stopped, user=campaign, now=third)
    job_start.run(stopped.pk, now=third)
    make_results(dice, stopped, now=third, limit=140)
    send_jobs.stop(stopped, user=users["admin"], now=third + timedelta(minutes=2))

    fourth = at_ten(now, days_ago=5)
    deleted = draft(
        campaign,
        templates["magazine"],
        fourth,
        lead_ids=chosen[20:80],
        scheduled_at=fourth + timedelta(days=3),
    )
    send_jobs.confirm(deleted, user=campaign, now=fourth)
    send_jobs.delete_reservation(deleted, user=campaign, now=fourth + timedelta(hours=1))

    fifth = at_ten(now, days_ago=8)
    tricks = "|".join(domain for domain, _count in TRICKS)
    people = Lead.objects.filter(kind=LeadKind.VISITOR).exclude(email_norm__regex=f"@({tricks})$")
    products = draft(
        campaign, templates["products"], fifth, lead_ids=list(people.order_by("-id").values_list("id", flat=True)[:480]),
        **counting(templates["products"]),
    )  # fmt: skip
    send_jobs.confirm(products, user=campaign, now=fifth)
    job_start.run(products.pk, now=fifth)
    make_results(dice, products, now=fifth, plain=True)
    times = (
        (by_user, first),
        (everyone, second),
        (stopped, third),
        (deleted, fourth),
        (products, fifth),
    )
    for job, when in times:
        SendJob.objects.filter(pk=job.pk).update(created_at=when - timedelta(minutes=8))
        AuditEntry.objects.filter(target_type="sendjob", target_id=str(job.pk)).update(at=when)
    return [by_user, everyone, products]


def start_running_job(
    dice: random.Random, user: User, template: MailTemplate, search: SavedSearch, *, now: datetime
) -> None:
    """A third is out; the rest is due little by little, so that the progress can be watched for ten minutes."""
    started = now - timedelta(minutes=4)
    job = draft(user, template, started, search=search)
    send_jobs.confirm(job, user=user, now=started)
    job_start.run(job.pk, now=started)
    waiting = job.deliveries.filter(state=DeliveryState.QUEUED).count()
    busy = list(job.deliveries.filter(address__endswith=f"@{BUSY}").values_list("id", flat=True))
    job.deliveries.filter(pk__in=busy, state=DeliveryState.QUEUED).update(state=DeliveryState.DEFERRED)
    make_results(dice, job, now=started, limit=waiting // 3, plain=True)
    job.deliveries.filter(pk__in=busy, state=DeliveryState.DEFERRED).update(state=DeliveryState.QUEUED)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE mail_delivery d SET next_at = %s + n.number * interval '0.4 seconds'
            FROM (SELECT id, row_number() OVER (ORDER BY address NOT LIKE %s, id) AS number FROM mail_delivery
                  WHERE job_id = %s AND state = 'queued') n
            WHERE d.id = n.id
            """,
            [now + timedelta(seconds=20), f"%@{BUSY}", job.pk],
        )


def start_braked_job(dice: random.Random, user: User, template: MailTemplate, *, now: datetime) -> None:
    """One receiver blocks our address: the rest of this mailing to it waits for somebody to look (RATE-2)."""
    started = now - timedelta(minutes=25)
    there = Lead.objects.filter(kind=LeadKind.VISITOR, email_norm__endswith=f"@{BLOCKING}").order_by("id")
    others = Lead.objects.filter(kind=LeadKind.VISITOR).exclude(pk__in=there).order_by("id")[200:230]
    ids = [lead.pk for lead in (*there, *others)]
    job = draft(user, template, started, lead_ids=ids)
    send_jobs.confirm(job, user=user, now=started)
    job_start.run(job.pk, now=started)
    mails = job.deliveries.filter(state=DeliveryState.QUEUED).order_by("id")
    waiting = list(mails.filter(address__endswith=f"@{BLOCKING}").values_list("id", flat=True))
    held = waiting[len(waiting) * 2 // 3 :]
    mails.filter(pk__in=held).update(state=DeliveryState.DEFERRED)  # out of the way for a moment
    make_results(dice, job, now=started, plain=True, special={BLOCKING: BLOCKED})
    job.deliveries.filter(pk__in=held).update(state=DeliveryState.QUEUED, next_at=now)
    refused = len(waiting) - len(held)
    JobDomain.objects.create(
        job=job, domain=BLOCKING, failed=refused, ours=refused, braked_at=started + timedelta(seconds=8),
        reply=BLOCKED.reply,
    )  # fmt: skip


def reserve_jobs(
    user: User, templates: dict[str, MailTemplate], searches: dict[str, SavedSearch], *, now: datetime
) -> None:
    ten = at_ten(now, days_ago=-1)
    job = draft(user, templates["magazine"], now, search=searches["決裁者(関東または愛知)"], scheduled_at=ten)
    send_jobs.confirm(job, user=user, now=now)
    guests = Lead.objects.filter(kind=LeadKind.SPEAKER).values_list("id", flat=True)[:20]
    invited = draft(user, templates["tour"], now, lead_ids=list(guests), scheduled_at=ten + timedelta(days=2))
    send_jobs.confirm(invited, user=user, now=now)


def draft(
    user: User, template: MailTemplate, now: datetime, *, lead_ids: Sequence[int] = (), **options: Any
) -> SendJob:
    rule = RecipientRule.BY_USER if lead_ids else RecipientRule.BY_SEARCH
    return send_jobs.create_draft(user=user, rule=rule, template=template, lead_ids=lead_ids, **options)


def at_ten(now: datetime, *, days_ago: int) -> datetime:
    return (now.astimezone(TOKYO) - timedelta(days=days_ago)).replace(
        hour=10, minute=0, second=0, microsecond=0
    )


def exclude(rows: Sequence[tuple[int, int | None]], reason: Reason) -> None:
    Delivery.objects.filter(id__in=[delivery_id for delivery_id, _lead in rows]).update(
        state=DeliveryState.EXCLUDED, reason=reason, next_at=None
    )


def make_results(
    dice: random.Random,
    job: SendJob,
    *,
    now: datetime,
    limit: int | None = None,
    plain: bool = False,
    special: Mapping[str, Outcome] | None = None,
) -> None:
    """Gives the waiting mails of a job the results that mail/delivery/ would have written, ten a second.

    `plain`: only the domains with a trick fail, and those of `special`. `limit`: the first so many; the others stay as
    they are. In the order of the leads, newest first, because that of the rows is the planner's: the same data must
    give the same story.
    """
    job.refresh_from_db()
    assert job.snapshot is not None
    skeleton = Skeleton(job.snapshot.content)
    waiting = job.deliveries.filter(state=DeliveryState.QUEUED).select_related("lead").order_by("-lead_id")
    rows = list(waiting if limit is None else waiting[:limit])
    values = values_for(
        [row.lead for row in rows if row.lead],
        now=now,
        names=skeleton.names,
        magazine_id=skeleton.magazine_id,
    )
    updates, events, returned, failed, at_once = [], [], [], [], set()
    for number, row in enumerate(rows):
        assert row.lead is not None
        sent_at = now + timedelta(seconds=2 + number / 10)
        outcome = outcome_for(dice, row.address, plain=plain, special=special or {})
        host = f"mx1.{row.address.rpartition('@')[2]}".lower()
        reply = outcome.reply.format(address=row.address, queue=f"{row.pk:08X}")
        try:
            subject = skeleton.build(
                values[row.lead.pk], delivery_id=row.pk, lead_id=row.lead.pk, sent_at=sent_at
            ).subject
        except MergeProblem:
            exclude([(row.pk, row.lead.pk)], Reason.MERGED_ADDRESS)
            continue
        result_at = sent_at + {90000: timedelta(hours=3), 41606: timedelta(hours=24)}.get(
            outcome.code or 0, timedelta(seconds=1)
        )
        handed_over = outcome.state != DeliveryState.ERROR or outcome.code == 90000
        updates.append(
            (
                row.pk, outcome.state.value, outcome.code, outcome.status, reply, host, outcome.attempts, sent_at,
                sent_at if handed_over else None, result_at, subject, Jsonb(values[row.lead.pk]),
                row.address if outcome.state == DeliveryState.ERROR else "", cause_for(outcome, reply),
            )
        )  # fmt: skip
        if outcome is CAME_BACK:
            returned.append(returned_report(row, outcome, reply, result_at))
        events += events_of(row, outcome, reply, sent_at, result_at)
        if outcome.state == DeliveryState.ERROR:
            failed.append(row.lead.pk)
            if outcome.code in SWITCH_OFF_AT_ONCE:
                at_once.add(row.lead.pk)
    with connection.cursor() as cursor:
        execute_values(
            cursor.cursor,
            f"""
            UPDATE mail_delivery d SET state = v.state, code = v.code, enhanced_status = v.status, reply = v.reply,
                remote_host = v.host, attempts = v.attempts, first_attempt_at = v.first_at, sent_at = v.sent_at,
                result_at = v.result_at, subject = v.subject, merge_values = v.merge_values, failed_address = v.failed, cause = v.cause,
                snapshot_id = {job.snapshot.pk:d}, next_at = NULL
            FROM (VALUES %s) AS v (id, state, code, status, reply, host, attempts, first_at, sent_at, result_at, subject,
                merge_values, failed, cause)
            WHERE d.id = v.id
            """,
            updates,
            template="(%s, %s, %s::int, %s, %s, %s, %s::smallint, %s::timestamptz, %s::timestamptz, %s::timestamptz, %s, %s::jsonb, %s, %s)",
            page_size=1000,
        )
    DeliveryEvent.objects.bulk_create(events, batch_size=2000)
    ReturnedMail.objects.bulk_create(returned)
    recount(failed, now=now, switch_off=at_once)
    send_jobs.finish_if_empty(job.pk, now=now + timedelta(seconds=len(rows) / 10 + 5))
    send_jobs.count(job)


def cause_for(outcome: Outcome, reply: str) -> str:
    """ERR-5, as mail/delivery/ and mail/bounces/ would have found it."""
    if outcome.state != DeliveryState.ERROR:
        return ""
    if outcome.code == NO_ROUTE:
        return Cause.NO_HOST
    stage = "report" if outcome is CAME_BACK else "rcpt"
    return cause_of(int(reply[:3]), outcome.status, reply, stage=stage)


def returned_report(row: Delivery, outcome: Outcome, reply: str, at: datetime) -> ReturnedMail:
    """The line of 「不達・返信の受信履歴」 of a mail that came back."""
    cause = cause_for(outcome, reply)
    return ReturnedMail(
        at=at, digest=f"sample data {row.pk}", kind=ReturnedKind.FAILURE, source=ReturnedSource.LISTENER,
        delivery_id=row.pk, lead_id=row.lead_id, job_id=row.job_id, cause=cause, hard=is_hard(cause), changed=True,
        recipients=[
            {
                "address": row.address, "action": "failed", "status": outcome.status, "diagnostic": reply,
                "cause": str(cause), "hard": is_hard(cause),
            }
        ],
    )  # fmt: skip


def outcome_for(dice: random.Random, address: str, *, plain: bool, special: Mapping[str, Outcome]) -> Outcome:
    domain = address.rpartition("@")[2].lower()
    if trick := special.get(domain) or BY_DOMAIN.get(domain):
        return trick
    if plain:
        return SENT
    drawn = dice.uniform(0, 1000)
    for outcome in OUTCOMES:
        drawn -= outcome.per_mille
        if drawn < 0:
            return outcome
    return SENT


def events_of(
    row: Delivery, outcome: Outcome, reply: str, sent_at: datetime, result_at: datetime
) -> list[DeliveryEvent]:
    def event(what: str, at: datetime, code: int | None, text: str, status: str = "") -> DeliveryEvent:
        return DeliveryEvent(delivery=row, at=at, what=what, code=code, enhanced_status=status, text=text)

    if outcome is CAME_BACK:
        return [
            event(
                "sent",
                sent_at + timedelta(seconds=1),
                40000,
                f"250 2.0.0 Ok: queued as {row.pk:08X}",
                "2.0.0",
            ),
            event("bounced", result_at, outcome.code, reply, outcome.status),
        ]
    deferred = [
        event("deferred", sent_at + timedelta(minutes=30 * number), 42452, reply, outcome.status)
        for number in range(min(outcome.attempts - 1, 3))
    ]
    return [*deferred, event(outcome.state.value, result_at, outcome.code, reply, outcome.status)]
