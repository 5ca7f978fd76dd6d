"""A campaign's copy has its templates and mail settings, and shares nothing with it."""

from django.utils import timezone

from campaigns.campaigns import copy_campaign
from mail.models import MailSettings, MailTemplate, TemplateAttachment
from tests.factories import make_campaign, make_template, make_user


def test_templates_and_mail_settings_go_along(db):
    """「コピー」 of a campaign: contents and files; archived templates stay behind; the mails name the copies."""
    campaign, other = make_campaign(), make_campaign("別のセミナー")
    kept = make_template(
        "申込のお礼", campaign=campaign, purpose="notice", text_body="{{ 氏名 }} 様\n髙﨑𠮷①㈱😀"
    )
    TemplateAttachment.objects.create(
        template=kept, file_name="地図.pdf", content_type="application/pdf", size=3, content=b"pdf"
    )
    archived = make_template("古い案内", campaign=campaign, archived_at=timezone.now())
    make_template("別の案内", campaign=other)
    make_template("全キャンペーンの案内")
    for kind, template in (("applied", kept), ("reminder", archived), ("cancelled", None)):
        MailSettings.objects.create(
            kind=kind, campaign=campaign, template=template, enabled=kind != "reminder", from_name="事務局",
            options={"days_before": 3} if kind == "reminder" else {},
        )  # fmt: skip
    MailSettings.objects.create(kind="applied", campaign=other, from_name="別の事務局")
    copy = copy_campaign(campaign, user=make_user(), now=timezone.now())
    (template,) = MailTemplate.objects.filter(campaign=copy)
    assert (template.name, template.text_body, template.purpose) == (kept.name, kept.text_body, "notice")
    assert [(file.file_name, bytes(file.content)) for file in template.attachments.all()] == [
        ("地図.pdf", b"pdf")
    ]
    rows = MailSettings.objects.filter(campaign=copy).order_by("kind")
    assert [(row.kind, row.template_id, row.enabled, row.from_name, row.options) for row in rows] == [
        ("applied", template.pk, True, "事務局", {}),
        ("cancelled", None, True, "事務局", {}),
        ("reminder", None, False, "事務局", {"days_before": 3}),
    ]
    # The original has what it had.
    assert MailSettings.objects.get(campaign=campaign, kind="applied").template == kept
    assert MailTemplate.objects.filter(campaign=campaign).count() == 2
    assert MailTemplate.objects.filter(campaign=None).count() == 1
