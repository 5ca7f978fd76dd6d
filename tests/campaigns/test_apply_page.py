"""The public form: check, confirm, send (APP-2, APP-3 at the door, OPT-10, CHR-3, CHR-4)."""

import re
import uuid
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone
from django.utils.html import escape

from campaigns.consent_texts import set_consent_text
from campaigns.form_protection import SENDS_BY_ADDRESS
from campaigns.models import Application
from leads.models import ConsentRecord, DmPermission, Lead
from tests.campaigns.forms import add_question, campaign_with_form, filled, old_stamp, send
from tests.factories import make_application, make_lead, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_limits_from_other_tests():
    cache.clear()


@pytest.fixture
def campaign(db):
    return campaign_with_form()


def text(response):
    return response.content.decode()


def entries(response):
    """The hidden values of the confirmation page, as a browser would send them."""
    return re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', text(response))


def test_form_confirmation_and_application_without_javascript(client, campaign):
    """APP-2, OPT-10: with the consent text's version, the IP and the browser"""
    question = add_question(campaign, "multiple", "業種")
    shown = client.get("/e/dx/apply/")
    assert shown.status_code == 200
    assert "資料送付・各種情報案内を希望しますか" in text(shown)
    assert 'name="robots" content="noindex"' in text(shown)
    assert " checked" not in text(shown)
    assert Application.objects.count() == 0

    answers = {f"question_{question.pk}": ["a1", "a2"]}
    confirmation = client.post("/e/dx/apply/", filled(campaign, dm_permission="wanted", **answers))
    assert "お申し込みはまだ完了していません。" in text(confirmation)
    assert "製造、小売" in text(confirmation)
    assert Application.objects.count() == 0

    data = {}
    for name, value in entries(confirmation):
        data.setdefault(name, []).append(value)
    sent = client.post("/e/dx/apply/", {**data, "step": "send"}, headers={"user-agent": "Firefox"})
    assert (sent.status_code, sent["Location"]) == (302, "/e/dx/applied/?lang=ja")
    assert "お申し込みを受け付けました" in text(client.get(sent["Location"]))

    application = Application.objects.get()
    assert application.state == "applied"
    assert application.way == "form"
    assert application.answers == {question.key: ["a1", "a2"]}
    assert application.consent_text == campaign.consent_texts.get()
    assert (application.ip, application.user_agent) == ("127.0.0.1", "Firefox")
    assert application.language == "ja"
    lead = application.lead
    assert (lead.last_name, lead.first_name, lead.company) == ("髙橋", "𠮷男", "山手製作所㈱")
    assert lead.dm_permission == DmPermission.WANTED
    record = ConsentRecord.objects.get(lead=lead)
    assert (record.change, record.evidence, record.ip) == ("granted", "form", "127.0.0.1")
    assert "consent text v1" in record.source


def test_the_source_of_a_consent_is_said_in_words(client, campaign):
    """OPT-10, SYS-4: on the lead's page and in 操作履歴"""
    send(client, campaign, dm_permission="wanted")
    lead = Lead.objects.get()
    words = f"キャンペーン {campaign.pk}・同意文 v1"
    client.force_login(make_user())
    page = text(client.get(f"/leads/{lead.pk}/"))
    assert f"フォーム · {words}" in page
    assert page.count(words) == 3  # the consent's line, the history's and the timeline's
    assert words in text(client.get("/settings/audit/"))


def test_going_back_keeps_everything(client, campaign):
    """APP-2"""
    question = add_question(campaign, "long", "ご要望")
    response = client.post(
        "/e/dx/apply/",
        filled(campaign, step="back", page="confirm", **{f"question_{question.pk}": "一行目\n二行目"}),
    )
    for value in ("髙橋", "𠮷男", "山手製作所㈱", "yoshio@yamate.example.jp", "一行目\n二行目"):
        assert value in text(response)
    assert re.search(r'value="unwanted"[^>]* checked', text(response))
    assert "errorlist" not in text(response)


def test_double_click_reload_and_back_and_submit_make_one_application(client, campaign):
    """APP-2: the drawn form's token makes it one"""
    stamp = old_stamp(campaign)
    first = send(client, campaign, stamp=stamp)
    again = send(client, campaign, stamp=stamp, company="別の会社")
    assert (first.status_code, first["Location"]) == (again.status_code, again["Location"])
    assert Application.objects.count() == 1
    assert Lead.objects.get().company == "山手製作所㈱"


def test_a_double_click_on_the_last_seat_ends_where_the_first_did(client):
    """APP-2, APP-6: nobody who has just got the last seat reads that there is none"""
    campaign = campaign_with_form(capacity=1, waiting_list=False)
    stamp = old_stamp(campaign)
    first, again = send(client, campaign, stamp=stamp), send(client, campaign, stamp=stamp)
    assert (first.status_code, again.status_code) == (302, 302)
    assert first["Location"] == again["Location"]
    assert Application.objects.get().state == "applied"
    somebody_else = send(client, campaign, email="late@yamate.example.jp")
    assert somebody_else.status_code == 200
    assert "満席" in text(somebody_else)


def test_a_new_form_with_the_same_address_makes_no_second_application(client, campaign):
    """APP-3: at most one live application per lead and campaign"""
    first, second = send(client, campaign), send(client, campaign)
    assert first["Location"] == second["Location"]
    assert Application.objects.count() == Lead.objects.count() == 1


@pytest.mark.parametrize("rule", ["add", "merge", "new"])
@pytest.mark.parametrize("confirm_address", [False, True])
def test_the_pages_say_the_same_for_known_and_unknown_addresses(client, rule, confirm_address):
    """APP-3, OPT-1: nobody learns from the form who is known, has applied, or unsubscribed"""
    campaign = campaign_with_form(known_address=rule, confirm_address=confirm_address)
    make_lead("known@yamate.example.jp")
    make_lead("stopped@yamate.example.jp", unsubscribed_at=timezone.now())
    make_application(campaign, make_lead("applied@yamate.example.jp"))

    def walk(address):
        cache.clear()
        stamp = old_stamp(campaign)
        pages = [
            client.post("/e/dx/apply/", filled(campaign, email=address, stamp=stamp, dm_permission="wanted")),
            send(client, campaign, email=address, stamp=stamp, dm_permission="wanted"),
            client.get("/e/dx/applied/"),
        ]
        return [
            (page.status_code, page.get("Location"), without_secrets(text(page), address, stamp))
            for page in pages
        ]

    def without_secrets(page, address, stamp):
        page = re.sub(r'csrfmiddlewaretoken" value="[^"]+"', "", page)
        return page.replace(address, "ADDRESS").replace(stamp, "STAMP")

    unknown = walk("unknown@yamate.example.jp")
    assert [status for status, _location, _page in unknown] == [200, 302, 200]
    for name in ("known", "stopped", "applied"):
        assert walk(f"{name}@yamate.example.jp") == unknown, name


def test_a_full_campaign_answers_the_same_to_who_has_a_seat(client):
    """APP-6: refused before anybody looks who it is"""
    campaign = campaign_with_form(capacity=1, waiting_list=False)
    make_application(campaign, make_lead("seated@yamate.example.jp"))
    for address in ("seated@yamate.example.jp", "new@yamate.example.jp"):
        response = send(client, campaign, email=address)
        assert response.status_code == 200
        assert "満席となりました" in text(response)
    assert Application.objects.count() == 1


def test_the_waiting_list_is_announced_before_applying(client):
    """APP-6"""
    campaign = campaign_with_form(capacity=1)
    make_application(campaign)
    assert "キャンセル待ちで受け付けています" in text(client.get("/e/dx/apply/"))
    assert send(client, campaign).status_code == 302
    assert Application.objects.latest("id").state == "waiting"


def test_full_width_addresses_are_normalised_visibly(client, campaign):
    """CHR-4"""
    response = client.post("/e/dx/apply/", filled(campaign, email="　ｙｏｓｈｉｏ＠yamate.example.jp "))
    assert "<dd>yoshio@yamate.example.jp" in text(response)
    assert "全角文字を半角に" in text(response)


def test_a_typo_is_proposed_and_corrected_by_one_click_only(client, campaign):
    """CHR-4"""
    data = filled(campaign, email="yoshio@gamil.com")
    response = client.post("/e/dx/apply/", data)
    assert "もしかして:" in text(response)
    assert 'name="email_suggestion" value="yoshio@gmail.com"' in text(response)
    assert ("email", "yoshio@gamil.com") in entries(response)

    corrected = client.post(
        "/e/dx/apply/", {**data, "page": "confirm", "email_suggestion": "yoshio@gmail.com"}
    )
    assert "お申し込みはまだ完了していません。" in text(corrected)
    assert ("email", "yoshio@gmail.com") in entries(corrected)

    assert send(client, campaign, email="yoshio@gamil.com").status_code == 302
    assert Lead.objects.get().email == "yoshio@gamil.com"


def test_an_ideographic_dot_is_refused_with_its_correction(client, campaign):
    """CHR-4"""
    response = client.post("/e/dx/apply/", filled(campaign, email="yoshio@yamate。example.jp"))
    assert "お申し込みはまだ" not in text(response)
    assert 'value="yoshio@yamate.example.jp" formnovalidate' in text(response)


@pytest.mark.parametrize("address", ["a..b.@docomo.ne.jp", ".abc@ezweb.ne.jp"])
def test_old_carrier_addresses_are_accepted(client, campaign, address):
    """CHR-3"""
    assert send(client, campaign, email=address).status_code == 302
    assert Lead.objects.get().email == address


@pytest.mark.parametrize(
    "address",
    ["a..b@example.jp", "yoshio", "", "a@b@c.jp", "x" * 400 + "@example.jp", "a\r\nBcc: b@example.jp"],
)
def test_what_is_no_address_is_refused_with_what_to_do(client, campaign, address):
    """CHR-3: the exception is the carriers' alone"""
    response = send(client, campaign, email=address)
    assert response.status_code == 200
    assert 'id="field_email"' in text(response)
    assert "errorlist" in text(response)
    assert Application.objects.count() == 0


@pytest.mark.parametrize(
    "name", ["髙﨑𠮷①㈱😀", "<script>alert(1)</script>", "か\u3099", "' OR 1=1 --", "{{ 7 }}", "=1+1"]
)
def test_hostile_names_are_kept_as_they_are_and_shown_escaped(client, campaign, name):
    """CHR-6: NFC, nothing else is changed"""
    response = client.post("/e/dx/apply/", filled(campaign, last_name=name))
    stored = "が" if name == "か\u3099" else name
    assert f"<dd>{escape(stored)}" in text(response)
    assert "<script>alert" not in text(response)
    assert send(client, campaign, last_name=name).status_code == 302
    assert Lead.objects.get().last_name == stored


@pytest.mark.parametrize(
    "changes",
    [
        {"last_name": "髙\0橋"}, {"company": "山手\r\nBcc: x@example.jp"}, {"first_name": "長" * 101},
        {"last_name": ""}, {"dm_permission": ""}, {"dm_permission": "maybe"}, {"consent": None}, {"phone": "1" * 51},
    ],
)  # fmt: skip
def test_what_cannot_be_stored_is_marked_and_nothing_is_written(client, campaign, changes):
    """APP-2, OPT-10"""
    response = send(client, campaign, **changes)
    assert response.status_code == 200
    assert "errorlist" in text(response)
    assert f'id="field_{next(iter(changes))}"' in text(response)
    assert Application.objects.count() == Lead.objects.count() == 0


def test_an_answer_that_was_never_offered_is_refused(client, campaign):
    question = add_question(campaign, "choice", "業種", required=True)
    for answer in ("a9", "<b>", "", "a1,a2"):
        assert send(client, campaign, **{f"question_{question.pk}": answer}).status_code == 200
    assert send(client, campaign, **{f"question_{question.pk}": "a2"}).status_code == 302
    assert Application.objects.get().answers == {question.key: ["a2"]}


def test_fields_the_form_does_not_have_change_nothing(client, campaign):
    """FLAG-5, OPT-2: kind, registration, the valid flag and the opt-out are nobody's to enter"""
    stray = {
        "kind": "staff",
        "registration": "provisional",
        "email_valid": "0",
        "note": "x",
        "unsubscribed_at": "1",
        "id": "1",
    }
    assert send(client, campaign, **stray).status_code == 302
    lead = Lead.objects.get()
    assert (lead.kind, lead.registration, lead.email_valid, lead.note) == ("visitor", "full", True, "")


def test_opt_10_nobody_agrees_to_a_text_they_have_not_seen(client, campaign):
    """OPT-10: it was changed while the form was open"""
    seen = filled(campaign, page="confirm", step="send")
    set_consent_text(campaign, "新しい同意文", user=None, now=timezone.now())
    response = client.post("/e/dx/apply/", seen)
    assert "もう一度お読みください" in text(response)
    assert "新しい同意文" in text(response)
    assert Application.objects.count() == 0
    assert 'name="consent_version" value="2"' in text(response)
    assert not re.search(r'name="consent"[^>]* checked', text(response))
    assert send(client, campaign).status_code == 302
    assert Application.objects.get().consent_text.version == 2


# ---- floods and robots
def test_the_trap_stops_robots_and_tells_people_what_to_do(client, campaign):
    response = client.post("/e/dx/apply/", filled(campaign, homepage="http://spam.example"))
    assert "もう一度送信してください" in text(response)
    assert "髙橋" in text(response)
    assert "spam.example" not in text(response)


def test_a_form_sent_at_once_is_asked_for_again(client, campaign):
    stamp = old_stamp(campaign, seconds=0)
    response = client.post("/e/dx/apply/", filled(campaign, stamp=stamp))
    assert "もう一度ご確認のうえ" in text(response)
    assert f'name="stamp" value="{stamp}"' in text(response)


@pytest.mark.parametrize("kind", ["old", "forged", "missing", "of another campaign", "garbage"])
def test_a_form_that_is_too_old_or_not_ours_is_drawn_anew_with_its_values(client, campaign, kind):
    stamp = {
        "old": old_stamp(campaign, seconds=13 * 3600),
        "forged": old_stamp(campaign)[:-3] + "abc",
        "missing": None,
        "of another campaign": old_stamp(campaign_with_form("other")),
        "garbage": "\0:髙" * 50,
    }[kind]
    response = send(client, campaign, stamp=stamp)
    assert response.status_code == 200
    assert "時間が経過しました" in text(response)
    assert "髙橋" in text(response)
    fresh = re.search(r'name="stamp" value="([^"]+)"', text(response))[1]
    assert fresh != stamp
    assert Application.objects.count() == 0


def test_too_many_applications_with_one_address_wait_whoever_it_is(client, campaign):
    """The limit of one address is the same, known or not"""
    make_lead("known@yamate.example.jp")
    for address in ("known@yamate.example.jp", "new@yamate.example.jp"):
        for _time in range(SENDS_BY_ADDRESS[0]):
            assert send(client, campaign, email=address).status_code == 302
        response = send(client, campaign, email=address)
        assert response.status_code == 429
        assert "分後にもう一度送信してください" in text(response)
        assert "髙橋" in text(response)


def test_an_office_behind_one_address_is_not_stopped(client, campaign):
    for number in range(30):
        assert send(client, campaign, email=f"person{number}@yamate.example.jp").status_code == 302
    assert Application.objects.count() == 30


def test_a_huge_body_is_refused_with_what_to_do(client, campaign):
    response = send(client, campaign, company="あ" * 100_000)
    assert response.status_code == 413
    assert "短くして" in text(response)


def test_csrf_is_checked(campaign):
    from django.test import Client

    assert send(Client(enforce_csrf_checks=True), campaign).status_code == 403


# ---- languages
def test_the_form_is_complete_in_english(client, campaign):
    """SYS-4"""
    add_question(campaign, "choice", "業種", label_en="Your industry", required=True)
    shown = text(client.get("/e/dx/apply/?lang=en"))
    assert '<html lang="en"' in shown
    for words in (
        "Manufacturing DX Seminar 2026",
        "Last name",
        "Your industry",
        "Manufacturing",
        "小売",
        "We use your data",
    ):
        assert words in shown
    response = send(client, campaign, {"lang": "en"}, last_name="")
    assert "Fill this in." in text(response)
    question = campaign.form_items.get(source="question")
    sent = send(client, campaign, {"lang": "en"}, **{f"question_{question.pk}": "a1"})
    assert sent["Location"] == "/e/dx/applied/?lang=en"
    application = Application.objects.get()
    assert application.language == application.lead.language == "en"
    assert "We have received your application" in text(client.get(sent["Location"]))


def test_the_other_language_keeps_the_page_and_what_was_entered(client, campaign):
    """SYS-4"""
    form = client.post("/e/dx/apply/", {**filled(campaign, step=None, company=None), "lang": "en"})
    assert '<html lang="en"' in text(form)
    assert 'value="髙橋"' in text(form)
    assert "errorlist" not in text(form)
    confirmation = client.post("/e/dx/apply/", {**filled(campaign, step=None, page="confirm"), "lang": "en"})
    assert "Your application is not sent yet." in text(confirmation)
    assert client.get("/e/dx/").headers["Content-Language"] == "en"  # the cookie keeps it


# ---- sessions
def test_a_full_session_is_shown_and_cannot_be_chosen(client):
    """APP-6"""
    campaign = campaign_with_form(session_choice="several")
    start = campaign.starts_at
    keynote = campaign.sessions.create(
        title="基調講演", starts_at=start, ends_at=start + timedelta(minutes=50)
    )
    workshop = campaign.sessions.create(title="ワークショップ", capacity=1, position=1)
    make_application(campaign).sessions.add(workshop)
    shown = text(client.get("/e/dx/apply/"))
    assert "ワークショップ【満席】" in shown
    assert re.search(rf'value="{workshop.pk}"[^>]* disabled', shown)
    assert "このセッションは満席です" in text(send(client, campaign, sessions=[keynote.pk, workshop.pk]))
    assert "1つ以上選択してください" in text(send(client, campaign))
    foreign = campaign_with_form("other").sessions.create(title="よその講演")
    assert send(client, campaign, sessions=[foreign.pk]).status_code == 200
    assert send(client, campaign, sessions=[keynote.pk]).status_code == 302
    assert list(Application.objects.latest("id").sessions.all()) == [keynote]


def test_the_number_of_queries_does_not_grow_with_the_form(client, campaign, django_assert_max_num_queries):
    def queries():
        with django_assert_max_num_queries(20) as counted:
            client.get("/e/dx/apply/")
        return len(counted)

    before = queries()
    for number in range(5):
        add_question(campaign, "choice", f"質問{number}")
    assert queries() == before


def test_the_token_of_another_campaigns_form_is_not_taken(client, campaign):
    other = campaign_with_form("other")
    stamp = old_stamp(other)
    assert send(client, other, stamp=stamp).status_code == 302
    assert send(client, campaign, stamp=stamp).status_code == 200
    assert uuid.UUID(str(Application.objects.get().token))
