"""A campaign with a form, and somebody who fills it in."""

from datetime import timedelta
from urllib.parse import urlencode

from django.utils import timezone

from campaigns.consent_texts import current_consent_text, set_consent_text
from campaigns.form_items import ItemValues, add_item, ensure_default_items
from campaigns.form_protection import new_stamp
from tests.factories import make_campaign

TEXT = "個人情報は、本セミナーの運営のために利用します。"


def campaign_with_form(slug="dx", *, consent=TEXT, **values):
    values.setdefault("name_en", "Manufacturing DX Seminar 2026")
    values.setdefault("organiser", "山手セミナー事務局")
    campaign = make_campaign(slug=slug, **values)
    ensure_default_items(campaign)
    if consent:
        set_consent_text(
            campaign, consent, "We use your data to run this seminar.", user=None, now=timezone.now()
        )
    return campaign


def add_question(campaign, type="text", label="ご質問", **values):
    values.setdefault("choices", [{"label": "製造", "label_en": "Manufacturing"}, {"label": "小売"}])
    return add_item(
        campaign,
        "question",
        values=ItemValues(label=label, type=type, **values),
        user=None,
        now=timezone.now(),
    )


def old_stamp(campaign, seconds=60):
    return new_stamp(campaign, now=timezone.now() - timedelta(seconds=seconds))


def filled(campaign, **changes):
    """What somebody entered on the form, drawn a minute ago; None leaves a field out."""
    agreed_to = current_consent_text(campaign)
    data = {
        "consent_version": str(agreed_to.version) if agreed_to else None,
        "stamp": old_stamp(campaign),
        "page": "form",
        "last_name": "髙橋",
        "first_name": "𠮷男",
        "company": "山手製作所㈱",
        "email": "yoshio@yamate.example.jp",
        "dm_permission": "unwanted",
        "consent": "on",
        "step": "check",
        **changes,
    }
    return {name: value for name, value in data.items() if value is not None}


def send(client, campaign, query=None, **changes):
    """The press on 「申し込む」 of the confirmation page."""
    path = f"/e/{campaign.slug}/apply/"
    return client.post(
        f"{path}?{urlencode(query)}" if query else path,
        filled(campaign, **{"page": "confirm", "step": "send", **changes}),
    )
