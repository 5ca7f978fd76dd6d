"""What came back from the sample mailings, and who looked at the demo's site: opens and clicks of people and machines, page
views of known and unknown visitors, two step mails in operation (TRK, WEB, STEP).

Facts are made up and judged by the real rules (tracking/judge.py), as hits are that come in.
"""

import math
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings

from campaigns.models import Application, ApplicationState, Campaign
from leads.models import SavedSearch
from mail import step_mail
from mail.counted_links import find_urls
from mail.message import snapshot_content
from mail.models import Delivery, MailTemplate, SendJob, StepWait
from mail.models.delivery import DeliveryState
from settings.models import User
from smp.demo.sample_campaigns import FOLLOW_UP
from smp.demo.site import HOST
from tracking.judge import Facts, judge
from tracking.models import HitKind, Identification, IdentifiedBy, MailHit, PageView, TrackedSite, Visitor

SEED = 20261123
KNOWN, UNKNOWN = 60, 45  # visitors of the site
OPENED, CLICKED = 0.34, 0.27  # of those who got it, of those who opened it

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
ANDROID = "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
EDGE = CHROME + " Edg/131.0.0.0"
OUTLOOK = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Win64; x64; Trident/7.0; Microsoft Outlook 16.0.17928)"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
BROWSERS = ((CHROME, 40), (EDGE, 25), (IPHONE, 25), (ANDROID, 10))
READERS = ((OUTLOOK, 40), (GMAIL, 20), (CHROME, 15), (EDGE, 10), (IPHONE, 15))
APPLE_PRIVACY = ("Mozilla/5.0", "17.57.144.1")
SCANNER = "Mozilla/5.0 (compatible; Barracuda Sentinel (EE))"
PAGES = (("", 30), ("products/", 45), ("price/", 25))
TITLES = {"": "つながる工場のエスエムピー", "products/": "製品紹介 つながる工場シリーズ", "price/": "料金"}


def site_address() -> str:
    """Of the demo's site: the product's port under the other host name."""
    base = urlsplit(settings.BASE_URL)
    return f"{base.scheme}://{HOST}{f':{base.port}' if base.port else ''}/demo-site/"


def counting(template: MailTemplate) -> dict[str, Any]:
    """「Emailクリックカウント」 使用する, with every URL that can be counted and the open rate (TRK-1)."""
    found = [url for url in find_urls(snapshot_content(template)) if url.countable]
    return {
        "count_clicks": True, "count_opens": template.form != "text",
        "counted_urls": [{"url": url.url, "name": url.label or url.url} for url in found],
    }  # fmt: skip


def make_tracking(jobs: Sequence[SendJob], *, now: datetime) -> None:
    dice = random.Random(SEED)
    make_hits(dice, jobs, now=now)
    _make_views(dice, jobs[-1], now)


def make_hits(dice: random.Random, jobs: Sequence[SendJob], *, now: datetime) -> None:
    """Opens and clicks of the mails of these jobs."""
    for job in jobs:
        job.refresh_from_db()
        hits = [hit for delivery in _mails(job) for hit in _hits(dice, job, delivery, now)]
        MailHit.objects.bulk_create(hits, batch_size=2000)


def _mails(job: SendJob) -> Sequence[Delivery]:
    return list(job.deliveries.filter(state=DeliveryState.SENT, sent_at__isnull=False).order_by("-lead_id"))


def _hits(dice: random.Random, job: SendJob, delivery: Delivery, now: datetime) -> Iterator[MailHit]:
    """What one mail set off, the newest of it still before `now`."""
    assert delivery.sent_at is not None and job.snapshot is not None
    urls = list(job.snapshot.content.get("counted", {}).values())
    opens = bool(job.snapshot.content.get("opens"))

    def hit(
        kind: str, after: float, agent: str, ip: str, *, url: int | None = None, **hints: str
    ) -> Iterator[MailHit]:
        at = delivery.sent_at + timedelta(seconds=after)
        if at < now:
            verdict = judge(Facts(kind, at, int(after), ip, agent, hints))
            yield MailHit(
                uid=UUID(int=dice.getrandbits(128)), kind=kind, at=at, agent=agent, ip=ip, hints=hints, url_id=url,
                delivery_id=delivery.pk, lead_id=delivery.lead_id, job_id=job.pk, seconds=int(after),
                verdict=verdict.verdict, evidence=verdict.evidence,
            )  # fmt: skip

    if dice.random() < 0.1 and opens:
        yield from hit(HitKind.OPEN, dice.uniform(5, 4000), *APPLE_PRIVACY)
    if dice.random() < 0.02:
        for url in urls:
            yield from hit(HitKind.CLICK, dice.uniform(1, 3), SCANNER, _address(dice), url=url, method="HEAD")
    if dice.random() > OPENED:
        return
    after = math.exp(dice.gauss(9.2, 1.6))  # half of them within three hours
    ip = _address(dice)
    if opens:
        for _again in range(dice.choice((1, 1, 1, 2, 3))):
            yield from hit(HitKind.OPEN, after, _one(dice, READERS), ip, dest="image")
            after += dice.uniform(30, 90_000)
    if urls and dice.random() < CLICKED:
        url = dice.choices(urls, range(len(urls), 0, -1))[0]
        yield from hit(
            HitKind.CLICK, after + dice.uniform(5, 120), _one(dice, BROWSERS), ip, url=url, dest="document"
        )


def _one(dice: random.Random, weighted: Sequence[tuple[str, int]]) -> str:
    return dice.choices([text for text, _weight in weighted], [weight for _text, weight in weighted])[0]


def _address(dice: random.Random) -> str:
    return str(IPv4Address(int(IPv4Address("198.51.100.0")) + dice.randrange(256)))


# ---- the site -------------------------------------------------------------------------------------------------------


def _make_views(dice: random.Random, job: SendJob, now: datetime) -> None:
    """Visitors who came by a mail's link are known (WEB-1); of some, earlier views were linked then."""
    address = site_address()
    site = TrackedSite.objects.create(
        name="株式会社エスエムピー(デモサイト)", domain=urlsplit(address).netloc, subdomains=False,
        key=f"demo{dice.getrandbits(40):010x}", consent_required=False,
    )  # fmt: skip
    clicks = list(
        MailHit.objects.filter(job_id=job.pk, kind=HitKind.CLICK, verdict="person").order_by("at")[:KNOWN]
    )
    views, identified = [], []
    for click in [*clicks, *[None] * UNKNOWN]:
        first = click.at if click else now - timedelta(minutes=dice.randint(30, 40_000))
        began = first - timedelta(days=dice.randint(1, 9)) if dice.random() < 0.3 else first
        visitor = Visitor.objects.create(
            uid=UUID(int=dice.getrandbits(128)), first_seen_at=began, last_seen_at=first,
            lead_id=click.lead_id if click else None, linked_at=click.at if click else None,
        )  # fmt: skip
        agent, ip = (click.agent, click.ip) if click else (_one(dice, BROWSERS), _address(dice))
        before = (
            [began + timedelta(minutes=3 * step) for step in range(dice.randint(1, 3))]
            if began < first
            else []
        )
        after = [first + timedelta(seconds=2 + 70 * step) for step in range(dice.randint(1, 4))]
        for at in [moment for moment in (*before, *after) if moment < now]:
            page = _one(dice, PAGES)
            views.append(
                PageView(
                    uid=UUID(int=dice.getrandbits(128)),
                    visitor=visitor,
                    site=site,
                    at=at,
                    url=address + page,
                    title=TITLES[page],
                    agent=agent,
                    ip=ip,
                    lead_id=visitor.lead_id,
                    linked_at=first if click and at < first else None,
                )
            )
        if click:
            identified.append(
                Identification(
                    visitor=visitor,
                    lead_id=click.lead_id,
                    at=click.at,
                    how=IdentifiedBy.CLICK,
                    linked=True,
                    delivery_id=click.delivery_id,
                    views=len(before),
                )
            )
    PageView.objects.bulk_create(sorted(views, key=lambda view: view.at))
    Identification.objects.bulk_create(identified)


# ---- step mails -----------------------------------------------------------------------------------------------------


def make_step_mails(
    user: User,
    campaign: Campaign,
    templates: dict[str, MailTemplate],
    searches: dict[str, SavedSearch],
    *,
    now: datetime,
) -> None:
    """One in each mode (STEP-3). The campaign's has people who wait: those who applied in the last days."""
    of_campaign = SavedSearch.objects.filter(campaign_id=campaign.pk, shared=True).order_by("pk").first()
    follow_up = MailTemplate.objects.get(campaign=campaign, name=FOLLOW_UP)
    step = step_mail.create_draft(
        user=user, name="申込3日後のご案内", campaign_id=campaign.pk, search=of_campaign, template=follow_up,
        wait_minutes=3 * 24 * 60,
    )  # fmt: skip
    step_mail.start(step, user=user, now=now - timedelta(days=10))
    recent = Application.objects.filter(
        campaign=campaign, applied_at__gt=now - timedelta(days=3), state=ApplicationState.APPLIED
    )
    StepWait.objects.bulk_create(
        StepWait(
            step_mail=step, lead_id=application.lead_id, origin_key=str(application.pk),
            application_id=application.pk, origin_at=application.applied_at,
            due_at=application.applied_at + timedelta(days=3),
        )
        for application in recent
    )  # fmt: skip
    price = step_mail.create_draft(
        user=user, name="料金ページをご覧の方へ", search=searches["全リード"], template=templates["products"],
        url_pattern=f"{site_address()}price/", wait_minutes=60,
    )  # fmt: skip
    step_mail.start(price, user=user, now=now - timedelta(days=1))
