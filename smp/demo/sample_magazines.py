"""Two magazines (MAG): 3,000 readers in every state, step and loop stories that have run for days, extra issues sent, reserved
and being written. The starts are real ones, decided by the product at moments of the past; only what the receivers answered
is made up."""

import random
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from leads.models import ConsentRecord, Lead, LeadKind
from mail import job_start
from mail.magazines import blacklist, failures
from mail.magazines.magazines import new_magazine, save_magazine
from mail.magazines.readers import leave
from mail.models import (
    Magazine,
    Reader,
    ReaderChange,
    ReaderItem,
    ReaderState,
    ReaderWay,
    SendJob,
    Story,
    StoryKind,
)
from mail.models.delivery import DeliveryState
from mail.models.send_job import WAITING, JobState
from mail.recipients.reasons import Reason
from mail.stories import starts, stories
from mail.stories.turns import plan_turns
from settings.models import AuditEntry, User
from smp.demo import people
from smp.demo.sample_tracking import make_hits

SEED = 20261124
TOKYO = ZoneInfo("Asia/Tokyo")
FIRST, SECOND = 2400, 800  # readers; fewer where there are fewer leads
DAYS = 7  # how long the stories have run
OLDEST_START = 24  # days
SITE = "https://seminar.example.jp"


class Results:
    """What sample_data.py knows of receivers' answers, handed over because it stands above this module."""

    def __init__(self, make: Any, *, trouble: Any, refused: Any) -> None:
        self.make, self.trouble, self.refused = make, trouble, refused


def make_magazines(user: User, results: Results, *, now: datetime) -> list[Magazine]:
    dice = random.Random(SEED)
    weekly = _weekly(user, now)
    items = _items(weekly)
    people_of = Lead.objects.existing().filter(kind=LeadKind.VISITOR, email_malformed=False).exclude(email="")
    # These are two failures from the valid flag's end (FLAG-1): their third shall be somebody's to watch.
    people_of = people_of.exclude(email_norm__endswith="@unknown.example")
    leads = list(people_of.order_by("pk"))
    dice.shuffle(leads)
    first = min(FIRST, len(leads) * 3 // 5)
    new, both = first // 16, first // 10
    _readers(dice, weekly, leads[new:first], items, now)
    _issues(dice, weekly, user, results, now)
    _series(dice, weekly, leads[:new], items, user, results, now)
    letter = _letter(user, now)
    # Some read both, each with a state of its own.
    _readers(dice, letter, leads[first - both : first - both + SECOND], [], now)
    _letter_stories(dice, letter, user, results, now)
    sent = SendJob.objects.filter(magazine__in=[weekly, letter], state=JobState.DONE, count_clicks=True)
    make_hits(dice, list(sent.select_related("snapshot").order_by("pk")), now=now)
    return [weekly, letter]


# ---- magazines, items, readers ---------------------------------------------------------------------------------------


def _weekly(user: User, now: datetime) -> Magazine:
    footer = new_magazine()
    values = {
        "name": "週刊 製造業DX", "description": "毎週お届けする、製造現場のデジタル化の事例とセミナー情報",
        "from_name": "製造業DX編集部", "from_address": "magazine@seminar.example.jp", "empty_mail": True,
        "footer_text": footer.footer_text, "footer_html": footer.footer_html, "stop_temporary": 1,
    }  # fmt: skip
    return save_magazine(values, user=user, now=now - timedelta(days=150))


def _letter(user: User, now: datetime) -> Magazine:
    footer = new_magazine()
    values = {
        "name": "つながる工場 ユーザー通信", "description": "製品をお使いの方へ。更新のお知らせと使い方のヒント",
        "from_name": "つながる工場サポート", "from_address": "support@seminar.example.jp", "leave_does": "remove",
        "footer_text": footer.footer_text, "footer_html": footer.footer_html,
    }  # fmt: skip
    return save_magazine(values, user=user, now=now - timedelta(days=90))


def _items(magazine: Magazine) -> list[ReaderItem]:
    types = ReaderItem.Type
    kinds: Sequence[tuple[str, str, list[str], bool]] = (
        ("業種", types.CHOICE, people.INDUSTRIES, True),
        ("誕生日", types.DATE, [], True),
        ("契約期限", types.DATE, [], False),
        ("関心のあるテーマ", types.TEXT, [], True),
    )
    return [
        ReaderItem.objects.create(
            magazine=magazine, label=label, type=kind, choices=choices, on_form=on_form, position=position
        )
        for position, (label, kind, choices, on_form) in enumerate(kinds, start=1)
    ]


def _readers(
    dice: random.Random, magazine: Magazine, leads: Sequence[Lead], items: Sequence[ReaderItem], now: datetime
) -> None:
    """As registrations of the last months left them: with evidence (OPT-10), and some who left since (MAG-2)."""
    rows, changes, left = [], [], []
    for number, lead in enumerate(leads):
        at = now - timedelta(days=dice.uniform(OLDEST_START + 1, 140))
        reader = _reader(dice, magazine, lead, at, items, now)
        changes.append(_registered(reader))
        if number % 29 == 7:
            until = now - timedelta(days=OLDEST_START)
            reader.state, reader.state_at = ReaderState.STOPPED, at + (until - at) * dice.uniform(0.2, 0.9)
            by = dice.choice((ReaderWay.ONE_CLICK, ReaderWay.FORM, ReaderWay.ADMIN))
            changes.append(
                _change(
                    reader,
                    ReaderChange.What.STATE,
                    reader.state_at,
                    by,
                    ReaderState.DELIVERABLE,
                    reader.state,
                )
            )
            left.append((lead.email_norm, by != ReaderWay.ADMIN, reader.state_at))
        rows.append(reader)
    Reader.objects.bulk_create(rows, batch_size=1000)
    ReaderChange.objects.bulk_create(changes, batch_size=2000)
    for norm, own_act, at in left:
        blacklist.put(magazine, [norm], own_act=own_act, now=at)
    with connection.cursor() as cursor:  # this transaction is the first that sees them
        cursor.execute("ANALYZE mail_reader")


def _reader(
    dice: random.Random,
    magazine: Magazine,
    lead: Lead,
    at: datetime,
    items: Sequence[ReaderItem],
    now: datetime,
) -> Reader:
    ways = (ReaderWay.FORM, ReaderWay.IMPORT, ReaderWay.EMPTY_MAIL, ReaderWay.ADMIN)
    way = dice.choices(ways, (45, 45, 7, 3))[0]
    return Reader(
        magazine=magazine, lead=lead, way=way, registered_at=at, state_at=at, updated_at=at,
        values=_values(dice, items, now),
    )  # fmt: skip


def _registered(reader: Reader) -> ReaderChange:
    return _change(
        reader, ReaderChange.What.REGISTERED, reader.registered_at, reader.way, "", ReaderState.DELIVERABLE
    )


def _change(reader: Reader, what: str, at: datetime, way: str, before: str, after: str) -> ReaderChange:
    evidence = {
        ReaderWay.FORM: ConsentRecord.Evidence.FORM, ReaderWay.EMPTY_MAIL: ConsentRecord.Evidence.FORM,
        ReaderWay.IMPORT: ConsentRecord.Evidence.CARD, ReaderWay.ONE_CLICK: ConsentRecord.Evidence.ONE_CLICK,
    }.get(ReaderWay(way), ConsentRecord.Evidence.ADMIN)  # fmt: skip
    if after == ReaderState.STOPPED and way == ReaderWay.FORM:
        evidence = ConsentRecord.Evidence.OPT_OUT_FORM
    source = "展示会名刺 2026秋.csv" if way == ReaderWay.IMPORT else ""
    ip = "198.51.100.7" if way in {ReaderWay.FORM, ReaderWay.ONE_CLICK} else None
    return ReaderChange(
        magazine=reader.magazine, lead=reader.lead, what=what, at=at, way=way, before=before, after=after, evidence=evidence,
        source=source, ip=ip,
    )  # fmt: skip


def _values(dice: random.Random, items: Sequence[ReaderItem], now: datetime) -> dict[str, Any]:
    if not items:
        return {}
    industry, birthday, contract, theme = items
    values: dict[str, Any] = {industry.key: dice.choice(people.INDUSTRIES)}
    if dice.random() < 0.7:
        born = date(1958, 1, 1) + timedelta(days=dice.randrange(16_000))
        values[birthday.key] = born.isoformat()
    if dice.random() < 0.4:
        values[contract.key] = (now + timedelta(days=dice.randint(-60, 400))).date().isoformat()
    if dice.random() < 0.5:
        values[theme.key] = "、".join(dice.sample(people.PRODUCTS, dice.randint(1, 2)))
    return values


# ---- stories ---------------------------------------------------------------------------------------------------------


def _story(magazine: Magazine, kind: str, name: str, lines: Sequence[str], *, user: User, now: datetime, **values: Any) -> Story:  # fmt: skip
    """A draft with a text of its own; the footer is the magazine's."""
    url = f"{SITE}/articles/"
    text = "{{ 氏名 }} 様\n\n" + "\n\n".join(lines) + f"\n\n▼ 続きを読む\n{url}\n"
    content = {
        "subject": f"【{magazine.name}】{name}", "form": "multipart", "charset": "utf-8", "text_body": text,
        "html_body": _page(name, lines, url),
    }  # fmt: skip
    what = {"name": name, "count_clicks": True, "count_opens": True, **values}
    return stories.save_story(
        what, story=Story(magazine=magazine, kind=kind), content=content, user=user, now=now
    )


def _page(title: str, lines: Sequence[str], url: str) -> str:
    body = "".join(f'<p style="margin:0 0 16px">{line}</p>' for line in lines)
    return f"""<!doctype html>
<html lang="ja"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body style="margin:0 auto;padding:24px;max-width:600px;font-family:'Hiragino Kaku Gothic ProN','Noto Sans JP',Meiryo,sans-serif;color:#1c2430;line-height:1.9">
<h1 style="font-size:22px;border-bottom:3px solid #1f5fbf;padding-bottom:8px">{title}</h1>
<p style="margin:0 0 16px">{{{{ 氏名 }}}} 様</p>
{body}
<p style="margin:24px 0"><a href="{url}" style="background:#1f5fbf;color:#fff;padding:12px 28px;border-radius:6px;text-decoration:none">続きを読む</a></p>
</body></html>"""


def _sent(
    dice: random.Random, story: Story, user: User, results: Results, at: datetime, **kinds: Any
) -> SendJob:
    """An extra issue that went out at that time."""
    job = starts.send_now(story, user=user, now=at, token=uuid.UUID(int=dice.getrandbits(128)))
    for row in (
        job.deliveries.filter(state=DeliveryState.QUEUED).select_related("lead").order_by("lead_id")[70:73]
    ):
        # OPT-6: they left between the start and the hand-over.
        leave(
            story.magazine,
            row.lead,
            way=ReaderWay.ONE_CLICK,
            now=at + timedelta(seconds=30),
            ip="198.51.100.7",
        )
        row.state, row.reason, row.next_at = DeliveryState.EXCLUDED, Reason.READER_LEFT_LATE, None
        row.save(update_fields=["state", "reason", "next_at"])
    _answer(dice, job, results, at, **kinds)
    return job


def _answer(dice: random.Random, job: SendJob, results: Results, at: datetime, **kinds: Any) -> None:
    results.make(dice, job, now=at, **kinds)
    failed = job.deliveries.filter(state=DeliveryState.ERROR).order_by("pk")
    # As the signal of the engine and of the bounces would have had them counted (MAG-3).
    failures.count(list(failed.values_list("pk", flat=True)), now=at + timedelta(hours=1))
    SendJob.objects.filter(pk=job.pk).update(created_at=at - timedelta(minutes=6))
    AuditEntry.objects.filter(target_type="story", target_id=str(job.story_id)).update(at=at)


def _issues(dice: random.Random, magazine: Magazine, user: User, results: Results, now: datetime) -> None:
    """Three sent, with a receiver's outage in the second, after which a threshold was made stricter (MAG-5); one is
    reserved, one being written."""
    texts = (
        ("第12号 図面のない部品をどう残すか", 24, ["現場の知恵を、次の世代へ。三次元測定と手描き図面の組み合わせ方を紹介します。"]),
        ("第13号 止まらない工場のつくり方", 17, ["予知保全の第一歩は、止まった理由を書き残すことでした。3社の記録簿を見せていただきました。"]),
        ("第14号 紙の日報をやめた日", 9, ["日報を電子帳票に変えて半年。変わったのは、集計の時間ではなく、朝礼の中身でした。"]),
    )  # fmt: skip
    domains = Counter(
        norm.rpartition("@")[2] for norm in magazine.readers.values_list("lead__email_norm", flat=True)
    )
    company = next(name for name, _count in domains.most_common() if "-" in name)  # no mailbox provider
    for number, (name, days, lines) in enumerate(texts):
        at = _at(now, days_ago=days, hour=14)
        story = _story(magazine, StoryKind.EXTRA, name, lines, user=user, now=at - timedelta(hours=3))
        answers = ({company: results.refused}, {"shared.example.jp": results.trouble}, {})[number]
        _sent(dice, story, user, results, at, plain=number == 1, special=answers)
        if number == 1:
            save_magazine({"stop_refused": 1}, magazine=magazine, user=user, now=at + timedelta(days=1))
    soon = _story(
        magazine, StoryKind.EXTRA, "第15号 冬の省エネ特集", ["電力の見える化から始める、工場の省エネ。補助金の締め切りもまとめました。"],
        user=user, now=now - timedelta(hours=5),
    )  # fmt: skip
    token = uuid.UUID(int=dice.getrandbits(128))
    starts.reserve(soon, _at(now, days_ago=-3, hour=14), user=user, now=now, token=token)
    _story(
        magazine,
        StoryKind.EXTRA,
        "第16号 (執筆中)",
        ["来年の展望を、編集部で座談会にします。"],
        user=user,
        now=now - timedelta(hours=1),
    )


def _series(
    dice: random.Random,
    magazine: Magazine,
    coming: Sequence[Lead],
    items: Sequence[ReaderItem],
    user: User,
    results: Results,
    now: datetime,
) -> None:
    """Step stories for who registered in the last days, and loops: their starts day by day, as the tick makes them."""
    began = _at(now, days_ago=DAYS, hour=0)
    ten, nine = time(10), time(9)
    contract = f"reader.{magazine.pk}.item.{items[2].pk}"
    plans: Sequence[tuple[str, str, str, dict[str, Any]]] = (
        (StoryKind.STEP, "第1話 はじめまして", "ご登録ありがとうございます。この連載では、製造業のデジタル化を5分で読める長さでお届けします。",
         {"base": "registration", "wait_days": 0, "wait_hours": 1}),
        (StoryKind.STEP, "第2話 まず測ってみる", "カメラ1台と表計算だけで始めた、町工場の見える化を紹介します。",
         {"base": "registration", "wait_days": 2, "at_time": ten}),
        (StoryKind.STEP, "第3話 データを現場に返す", "集めたデータは、現場の人が見て初めて役に立ちます。",
         {"base": "previous", "wait_days": 3, "at_time": ten}),
        (StoryKind.STEP, "第4話 次の一歩", "無料の個別相談会をご用意しています。",
         {"base": "previous", "wait_days": 14, "at_time": ten}),
        (StoryKind.LOOP, "お誕生日のご挨拶", "お誕生日おめでとうございます。電子書籍を1冊プレゼントします。",
         {"rule": "yearly", "date_item": items[1], "at_time": nine}),
        (StoryKind.LOOP, "毎月15日 セミナー予定表", "来月のセミナー予定をまとめてお送りします。",
         {"rule": "monthly", "day_of_month": 15, "at_time": ten}),
        (StoryKind.LOOP, "契約更新のご案内(30日前)", "ご契約の更新時期が近づきました。",
         {"rule": "on_date", "date_item": items[2], "date_offset": -30, "at_time": ten,
          "filter": {"match": "all", "blocks": [{"item": contract, "operator": "not_empty", "values": []}]}}),
        (StoryKind.LOOP, "週末のひとこと", "今週の現場から、写真を1枚。", {"rule": "weekly", "weekdays": [4], "at_time": time(17)}),
    )  # fmt: skip
    made = [
        _story(magazine, kind, name, [text], user=user, now=began, **values)
        for kind, name, text, values in plans
    ]
    for story in made:
        stories.start_running(story, user=user, now=began)
    stories.pause(made[-1], user=user, now=began + timedelta(hours=1))
    register_at = sorted(now - timedelta(days=dice.uniform(0, DAYS)) for _lead in coming)
    waiting = [
        _reader(dice, magazine, lead, at, items, now) for lead, at in zip(coming, register_at, strict=True)
    ]
    for moment in [*_ticks(began, now), now]:
        arrived = [reader for reader in waiting if reader.registered_at <= moment]
        waiting = waiting[len(arrived) :]
        Reader.objects.bulk_create(arrived)
        ReaderChange.objects.bulk_create(map(_registered, arrived))
        plan_turns(magazine.pk, lead_ids=[reader.lead_id for reader in arrived], now=moment)
        if moment < now:
            _run_due(dice, magazine, results, moment)
    lately = Reader.objects.filter(magazine=magazine, state=ReaderState.DELIVERABLE).select_related("lead")
    for number, reader in enumerate(lately.order_by("pk")[300:312]):
        way = (ReaderWay.ONE_CLICK, ReaderWay.FORM, ReaderWay.ONE_CLICK)[number % 3]
        leave(magazine, reader.lead, way=way, now=now - timedelta(hours=3 + 11 * number), ip="198.51.100.7")


def _ticks(began: datetime, now: datetime) -> Iterator[datetime]:
    """Three looks a day are enough for stories of 9, 10 and 17 o'clock; the last one still before now."""
    day = began
    while day < now:
        for hour in (9, 10, 18):
            moment = _at(day, days_ago=0, hour=hour) + timedelta(minutes=1)
            if began < moment < now:
                yield moment
        day += timedelta(days=1)


def _run_due(dice: random.Random, magazine: Magazine, results: Results, moment: datetime) -> None:
    starts.start_due(moment)
    due = SendJob.objects.filter(magazine=magazine, state__in=WAITING, scheduled_at=None).order_by("pk")
    for job in due:
        job_start.run(job.pk, now=moment)
        _answer(dice, job, results, moment, plain=True)


def _letter_stories(
    dice: random.Random, magazine: Magazine, user: User, results: Results, now: datetime
) -> None:
    at = _at(now, days_ago=6, hour=11)
    issue = _story(
        magazine, StoryKind.EXTRA, "バージョン8.2のお知らせ", ["在庫画面が見やすくなりました。新しい絞り込みの使い方をご紹介します。"],
        user=user, now=at - timedelta(hours=1), filter={"match": "all", "blocks": [
            {"item": "lead.prefecture", "operator": "is", "values": ["東京都", "神奈川県", "埼玉県", "千葉県", "愛知県", "大阪府"]}]},
    )  # fmt: skip
    _sent(dice, issue, user, results, at)
    hint = _story(
        magazine, StoryKind.LOOP, "月末の使い方ヒント", ["締めの作業が楽になる、集計のコツを1つ。"], user=user, now=at,
        rule="month_end", at_time=time(16),
    )  # fmt: skip
    stories.start_running(hint, user=user, now=now)


def _at(now: datetime, *, days_ago: int, hour: int) -> datetime:
    day = now.astimezone(TOKYO) - timedelta(days=days_ago)
    return day.replace(hour=hour, minute=0, second=0, microsecond=0)


def states(magazine: Magazine) -> Mapping[str, int]:
    """{state: readers}, for the tests."""
    return {
        state: Reader.objects.filter(magazine=magazine, state=state).count() for state in ReaderState.values
    }
