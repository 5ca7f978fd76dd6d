"""申込フォーム in the admin, and proxy registration (APP-2, OPT-10, SYS-1)."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns.form_items import items_of
from campaigns.models import Application
from leads.models import ConsentRecord, Lead, LeadColumn
from leads.scope import leads_in
from settings.models import Role
from tests.campaigns.forms import add_question, campaign_with_form, filled
from tests.factories import make_application, make_campaign, make_lead, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


@pytest.fixture
def campaign(db):
    return campaign_with_form()


def at(campaign, path=""):
    return f"/c/{campaign.pk}/campaigns/{path}"


def text(response):
    return response.content.decode()


def test_the_builder_without_javascript(client, misaki, campaign):
    """APP-2"""
    shown = text(client.get(at(campaign, "form/")))
    assert "資料送付・各種情報案内を希望しますか" in shown
    column = LeadColumn.objects.create(label="業界", type="text")
    for what in ("lead:prefecture", f"column:{column.pk}"):
        added = client.post(at(campaign, "form/add/"), {"what": what})
        assert client.get(added["Location"]).status_code == 200
    question = {
        "type": "choice", "label": "職種", "label_en": "Job", "help": "", "help_en": "", "required": "on",
        "more_choices": "営業 | Sales\n開発\n\n",
    }  # fmt: skip
    assert client.post(at(campaign, "form/new/"), question)["Location"] == at(campaign, "form/")
    item = campaign.form_items.get(label="職種")
    assert item.choices == [
        {"key": "a1", "label": "営業", "label_en": "Sales"},
        {"key": "a2", "label": "開発", "label_en": ""},
    ]
    changed = {
        "label": "職種", "position_a1": "2", "label_a1": "営業", "label_en_a1": "Sales", "offered_a1": "on",
        "position_a2": "1", "label_a2": "開発・研究", "label_en_a2": "", "more_choices": "その他",
    }  # fmt: skip
    assert client.post(at(campaign, f"form/{item.pk}/"), changed).status_code == 302
    item.refresh_from_db()
    assert [(c["key"], c["label"], c.get("retired")) for c in item.choices] == [
        ("a2", "開発・研究", True), ("a1", "営業", None), ("a3", "その他", None),
    ]  # fmt: skip
    assert client.post(at(campaign, f"form/{item.pk}/move/"), {"to": "up"}).status_code == 302
    assert items_of(campaign)[-2].pk == item.pk
    assert "取り下げますか" in text(client.get(at(campaign, f"form/{item.pk}/retire/")))
    assert item.pk in [row.pk for row in items_of(campaign)]
    client.post(at(campaign, f"form/{item.pk}/retire/"), {"confirmed": "1"})
    assert item.pk not in [row.pk for row in items_of(campaign)]
    assert "取り下げた質問" in text(client.get(at(campaign, "form/")))
    client.post(at(campaign, f"form/{item.pk}/restore/"))
    assert items_of(campaign)[-1].pk == item.pk


def test_mistakes_are_shown_beside_the_field(client, misaki, campaign):
    response = client.post(
        at(campaign, "form/new/"), {"type": "choice", "label": "職種", "more_choices": "A\nA"}
    )
    assert "同じ文言の選択肢が2つあります。" in text(response)
    response = client.post(at(campaign, "form/new/"), {"type": "text", "label": ""})
    assert "errorlist" in text(response)
    assert client.post(at(campaign, "form/add/"), {"what": "lead:kind"}, follow=True).status_code == 200
    assert not campaign.form_items.filter(field="kind").exists()


def test_the_preview_is_the_real_form_in_both_languages(client, misaki, campaign):
    """SYS-4"""
    add_question(campaign, "choice", "業種", label_en="Your industry")
    japanese, english = (
        text(client.get(at(campaign, f"form/preview/?form_language={language}"))) for language in ("ja", "en")
    )
    assert "業種" in japanese
    assert "Your industry" in english
    assert "<form" not in japanese
    assert 'type="button" disabled' in japanese


def test_the_consent_text_has_versions(client, misaki, campaign):
    """OPT-10"""
    make_application(campaign, consent_text=campaign.consent_texts.get())
    client.post(at(campaign, "form/consent/"), {"text": "新しい文", "text_en": ""})
    shown = text(client.get(at(campaign, "form/consent/")))
    assert "第2版" in shown
    assert "申込 1件" in shown
    assert campaign.consent_texts.get(version=2).created_by == misaki


def test_items_of_another_campaign_do_not_exist_here(client, misaki, campaign):
    """SYS-1"""
    other = campaign_with_form("other")
    question = add_question(other)
    for path in ("", "move/", "retire/", "restore/"):
        url = at(campaign, f"form/{question.pk}/{path}")
        assert client.post(url, {"label": "x", "to": "up"}).status_code == 404
    question.refresh_from_db()
    assert (question.label, question.retired_at) == ("ご質問", None)


def test_yui_reads_and_changes_nothing(client, campaign):
    """SYS-1"""
    client.force_login(make_user("yui", role=Role.VIEWER))
    shown = text(client.get(at(campaign, "form/")))
    assert "取り下げ" not in shown
    assert client.post(at(campaign, "form/add/"), {"what": "lead:address"}).status_code == 403
    assert client.get(at(campaign, "proxy/apply/")).status_code == 403


def test_the_list_has_the_same_queries_for_three_more_items(client, misaki, campaign):
    client.get(at(campaign, "form/"))
    with CaptureQueriesContext(connection) as before:
        client.get(at(campaign, "form/"))
    for number in range(3):
        LeadColumn.objects.create(label=f"項目{number}", type="text")
        add_question(campaign, label=f"質問{number}")
    with CaptureQueriesContext(connection) as after:
        client.get(at(campaign, "form/"))
    assert len(after) == len(before)


# ---- 代理登録
def proxy(campaign, **changes):
    """What staff enter; no consent, which is the attendee's to give."""
    form = {"token": str(uuid.uuid4()), "stamp": None, "step": None, "page": None, "consent": None}
    return filled(campaign, **{**form, **changes})


def test_app_2_staff_apply_on_the_page_for_attendees(client, misaki, campaign):
    """APP-2: 来場側詳細WEBページ(代理登録利用可) with 「申込」; then the lead stands in the list"""
    shown = text(client.get(at(campaign, "proxy/")))
    assert "来場側詳細WEBページ(代理登録利用可)" in shown
    assert f'href="{at(campaign, "proxy/apply/")}">申込</a>' in shown
    data = proxy(campaign)
    first = client.post(at(campaign, "proxy/apply/"), data)
    lead = Lead.objects.get()
    assert client.post(at(campaign, "proxy/apply/"), data)["Location"] == first["Location"]  # a double click
    application = Application.objects.get()
    assert first["Location"] == at(campaign, f"applications/{application.pk}/")
    assert "申込を登録しました。" in text(client.get(first["Location"]))
    assert (application.way, application.created_by, application.consent_text) == ("proxy", misaki, None)
    assert list(leads_in(campaign.pk)) == [lead]


def test_opt_10_staff_say_on_what_they_enter_consent(client, misaki, campaign):
    """OPT-10"""
    data = proxy(campaign, dm_permission="wanted", consent="on")
    assert "何をもとに登録するか" in text(client.post(at(campaign, "proxy/apply/"), data))
    assert client.post(at(campaign, "proxy/apply/"), {**data, "evidence": "card"}).status_code == 302
    record = ConsentRecord.objects.get()
    assert (record.change, record.evidence, record.user) == ("granted", "card", misaki)
    assert Application.objects.get().consent_text == campaign.consent_texts.get()
    forged = proxy(campaign, email="b@yamate.example.jp", dm_permission="wanted", evidence="one_click")
    assert client.post(at(campaign, "proxy/apply/"), forged).status_code == 200


def test_staff_apply_for_a_lead_that_exists(client, misaki, campaign):
    """APP-2"""
    lead = make_lead("hanako@yamate.example.jp", last_name="花子", phone="03-1111-2222")
    found = text(client.get(at(campaign, "proxy/apply/"), {"q": "花子"}))
    assert f"?lead={lead.pk}" in found
    shown = text(client.get(at(campaign, "proxy/apply/"), {"lead": lead.pk}))
    assert 'value="hanako@yamate.example.jp"' in shown
    data = proxy(campaign, email="hanako@yamate.example.jp", last_name="花子", company="新しい会社")
    assert client.post(at(campaign, f"proxy/apply/?lead={lead.pk}"), data).status_code == 302
    lead.refresh_from_db()
    assert (lead.company, lead.phone) == ("新しい会社", "03-1111-2222")
    assert Application.objects.get().lead == lead
    for wrong in ("999999999", "x", "9" * 40):
        assert client.get(at(campaign, f"proxy/apply/?lead={wrong}")).status_code == 404


def test_kenta_finds_the_applicants_of_his_own_campaigns_only(client, campaign):
    """SYS-1"""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    campaign.members.add(kenta)
    mine, others = make_lead("mine@yamate.example.jp"), make_lead("others@yamate.example.jp")
    make_application(campaign, mine)
    make_application(make_campaign("担当外"), others)
    client.force_login(kenta)
    found = text(client.get(at(campaign, "proxy/apply/"), {"q": "yamate.example.jp"}))
    assert "mine@" in found
    assert "others@" not in found
    assert client.get(at(campaign, f"proxy/apply/?lead={others.pk}")).status_code == 404
    response = client.post(at(campaign, f"proxy/apply/?lead={others.pk}"), proxy(campaign))
    assert response.status_code == 404
    assert Application.objects.filter(lead=others).count() == 1


def test_staff_may_register_after_the_end_of_the_period(client, misaki):
    campaign = campaign_with_form(applications_until=timezone.now() - timedelta(days=1))
    assert client.get("/e/dx/apply/").status_code == 200
    assert client.post(at(campaign, "proxy/apply/"), proxy(campaign)).status_code == 302
    assert Application.objects.count() == 1
