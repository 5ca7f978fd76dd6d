"""Two campaigns and the all-campaign mode, each with the same things in it, and kenta who administers the first only."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from campaigns.models import Campaign
from leads.models import Lead, SavedSearch
from leads.search import EVERYONE
from mail.message import take_snapshot
from mail.models import (
    CountedUrl,
    Delivery,
    MailTemplate,
    ReturnedMail,
    SendJob,
    SendJobLead,
    StepMail,
    TemplateAttachment,
)
from tests.factories import (
    make_application,
    make_campaign,
    make_delivery,
    make_job,
    make_lead,
    make_template,
    make_user,
)


@dataclass
class Things:
    """Everything of mail/ that a mode can hold. `mark` stands in each name, so that a leak is seen in any page."""

    mark: str
    campaign: Campaign | None
    lead: Lead
    template: MailTemplate
    attachment: TemplateAttachment
    search: SavedSearch
    draft: SendJob
    job: SendJob
    reserved: SendJob
    delivery: Delivery
    single: Delivery
    step: StepMail
    counted_url: CountedUrl

    @property
    def path(self) -> str:
        return f"/c/{self.campaign.pk}" if self.campaign else ""


def make_things(mark: str, campaign: Campaign | None, user: Any, address: str) -> Things:
    lead = make_lead(address, last_name=mark, first_name="太郎", company=f"{mark}商事")
    if campaign:
        make_application(campaign, lead)
    template = make_template(f"{mark}のご案内", subject=f"{mark}の件名", form="multipart", html_body=f"<p>{mark}</p>",
        campaign=campaign,
    )  # fmt: skip
    attachment = TemplateAttachment.objects.create(
        template=template, file_name=f"{mark}.pdf", content_type="application/pdf", size=1, content=b"x"
    )
    search = SavedSearch.objects.create(
        name=f"{mark}の条件", condition=EVERYONE, owner=user, shared=True,
        campaign_id=campaign and campaign.pk,
    )  # fmt: skip
    common: dict[str, Any] = {"campaign": campaign, "created_by": user, "search_name": search.name}
    url = f"https://{mark}.example.jp/"
    counted_url = CountedUrl.objects.create(
        campaign=campaign, url=url, digest=hashlib.sha256(url.encode()).hexdigest(), name=f"{mark}のリンク"
    )
    draft = make_job(template, search=search, count_clicks=True, **common)
    snapshot = take_snapshot(template)
    job = make_job(
        template, state="sending", started_at=timezone.now(), decided_at=timezone.now(), snapshot=snapshot, **common,
    )  # fmt: skip
    reserved = make_job(
        template, rule="by_user", state="reserved", scheduled_at=timezone.now() + timedelta(days=2),
        **common | {"condition": None},
    )  # fmt: skip
    SendJobLead.objects.create(job=reserved, lead=lead)
    sent: dict[str, Any] = {
        "state": "sent", "sent_at": timezone.now(), "subject": f"{mark}の件名", "snapshot": snapshot,
        "merge_values": {"姓": mark, "氏名": mark, "メールアドレス": lead.email, "配信停止URL": "https://x.example/u/x"}, "campaign_id": campaign and campaign.pk,
    }  # fmt: skip
    delivery = make_delivery(lead, job=job, **sent)
    single = make_delivery(lead, kind="single", original_id=delivery.pk, **sent)
    ReturnedMail.objects.create(
        digest=mark, kind="failure", delivery_id=delivery.pk, lead_id=lead.pk, job_id=job.pk,
        recipients=[{"address": lead.email, "action": "failed", "status": "5.1.1", "diagnostic": f"{mark} unknown"}],
    )  # fmt: skip
    step = StepMail.objects.create(
        name=f"{mark}のステップ", campaign=campaign, origin="application" if campaign else "page_view", template=template,
        search=search, state="active", active_since=timezone.now(),
    )  # fmt: skip
    return Things(
        mark, campaign, lead, template, attachment, search, draft, job, reserved, delivery, single, step,
        counted_url,
    )  # fmt: skip


def make_scene() -> dict[str, Things]:
    """`ours` is kenta's campaign; `theirs` another one; `blue` the all-campaign mode."""
    kenta, misaki = make_user("kenta", role="campaign"), make_user("misaki")
    ours = make_campaign("担当のセミナー", members=[kenta])
    theirs = make_campaign("担当外のセミナー")
    return {
        "ours": make_things("ミカン", ours, kenta, "mikan@example.jp"),
        "theirs": make_things("リンゴ", theirs, misaki, "ringo@example.jp"),
        "blue": make_things("ブドウ", None, misaki, "budou@example.jp"),
    }
