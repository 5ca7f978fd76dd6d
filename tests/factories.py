"""Named people and things for tests: one call, sensible values, everything overridable."""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from campaigns.models import Application, Campaign
from leads.models import DmPermission, Lead
from mail.message import take_snapshot
from mail.models import CountedUrl, Delivery, MailTemplate, SendJob
from settings.models import Role, User
from tracking.models import MailHit

PASSWORD = "correct-horse-battery"


def make_user(username: str = "misaki", *, role: str = Role.PRIVILEGED, **values: Any) -> User:
    values.setdefault(
        "name", {"misaki": "佐藤 美咲", "kenta": "鈴木 健太", "yui": "田中 結衣"}.get(username, username)
    )
    return User.objects.create_user(username, f"{username}@example.jp", PASSWORD, role=role, **values)


def make_lead(email: str = "yoshio@yamate.example.jp", **values: Any) -> Lead:
    """A mailable lead written straight to the table; email_norm is derived as EXC-4 says for plain addresses."""
    values.setdefault("last_name", "髙橋")
    values.setdefault("first_name", "𠮷男")
    values.setdefault("email_norm", email.strip().lower())
    if values.get("unsubscribed_at"):
        values.setdefault("dm_permission", DmPermission.UNWANTED)
    values.setdefault("created_at", timezone.now())
    return Lead.objects.create(email=email, **values)


LEGAL_FOOTER = (
    "\n--\n送信者: 株式会社エスエムピー セミナー事務局\n住所: 東京都千代田区丸の内1-1-1\n"
    "お問い合わせ: info@seminar.example.jp\n配信停止はこちら: {{ 配信停止URL }}\n"
)


def make_template(name: str = "製造業DXセミナー ご案内", **values: Any) -> MailTemplate:
    values.setdefault("subject", "{{ 姓 }}様へ 製造業DXセミナーのご案内")
    values.setdefault("form", "text")
    values.setdefault("text_body", "{{ 氏名 }} 様\n\nいつもお世話になっております。\n" + LEGAL_FOOTER)
    values.setdefault("from_address", "info@seminar.example.jp")
    values.setdefault("from_name", "SMPセミナー事務局")
    return MailTemplate.objects.create(name=name, **values)


def make_job(template: MailTemplate | None = None, **values: Any) -> SendJob:
    values.setdefault("rule", "by_search")
    values.setdefault("condition", {"match": "all", "blocks": []})
    template = template or make_template()
    values.setdefault("purpose", template.purpose)
    return SendJob.objects.create(template=template, **values)


def make_sending_job(*addresses: str, template: MailTemplate | None = None, **values: Any) -> SendJob:
    """A job in state sending with one queued delivery for a new lead of each address, as mail.job_start.run leaves it."""
    template = template or make_template(purpose=values.get("purpose", "advertising"))
    values.setdefault("snapshot", take_snapshot(template))
    job = make_job(template, state="sending", started_at=timezone.now(), **values)
    for address in addresses:
        make_delivery(make_lead(address), job=job)
    return job


def make_delivery(lead: Lead | None, *, job: SendJob | None = None, **values: Any) -> Delivery:
    values.setdefault("state", "queued")
    values.setdefault("decided_at", timezone.now())
    values.setdefault("address", lead.email if lead else "")
    if values["state"] in {"queued", "deferred"}:
        values.setdefault("next_at", timezone.now())
    return Delivery.objects.create(job=job, lead=lead, template=job.template if job else None, **values)


def make_campaign(name: str = "製造業DXセミナー 2026", **values: Any) -> Campaign:
    """An open campaign in a month's time, written straight to the table."""
    start = timezone.now() + timedelta(days=30)
    values.setdefault("slug", f"seminar-{Campaign.objects.count() + 1}")
    values.setdefault("state", "open")
    values.setdefault("starts_at", start)
    values.setdefault("ends_at", start + timedelta(hours=2))
    values.setdefault("venue_name", "東京国際フォーラム ホールB5")
    members = values.pop("members", [])
    campaign = Campaign.objects.create(name=name, **values)
    campaign.members.set(members)
    return campaign


def make_application(
    campaign: Campaign, lead: Lead | None = None, *, state: str = "applied", **values: Any
) -> Application:
    now = timezone.now()
    lead = lead or make_lead(f"applicant{Lead.objects.count() + 1}@yamate.example.jp")
    values.setdefault("way", "form")
    moments = {"applied": "applied_at", "waiting": "waiting_since", "cancelled": "cancelled_at"}
    if state in moments:
        values.setdefault(moments[state], now)
    return Application.objects.create(campaign=campaign, lead=lead, state=state, **values)


def make_hit(delivery: Delivery, kind: str = "open", **values: Any) -> MailHit:
    """An open or click of a mail, by a person unless told otherwise, written straight to the table."""
    values.setdefault("at", timezone.now())
    for name in ("lead_id", "job_id", "step_mail_id", "campaign_id"):
        values.setdefault(name, getattr(delivery, name))
    return MailHit.objects.create(uid=uuid4(), kind=kind, delivery_id=delivery.pk, **values)


def make_counted_url(url: str = "https://shop.example.jp/", name: str = "資料", **values: Any) -> CountedUrl:
    digest = hashlib.sha256(url.encode()).hexdigest()
    return CountedUrl.objects.create(url=url, digest=digest, name=name, **values)
