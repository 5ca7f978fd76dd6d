"""TKT-4: 「会場受付」 as its forms and its script use it."""

import json
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from campaigns.door_codes import door_codes, hashed
from campaigns.models import Application, ApplicationSession, CheckIn, Session
from settings.models import Role
from tests.campaigns.test_qr_reading import HOSTILE, picture
from tests.factories import make_application, make_campaign, make_lead, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def kenta(client):
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    client.force_login(kenta)
    cache.clear()
    return kenta


@pytest.fixture
def campaign(kenta):
    return make_campaign(members=[kenta])


@pytest.fixture
def application(campaign):
    lead = make_lead(company="山手精密㈱", last_name_kana="タカハシ")
    return make_application(campaign, lead)


@pytest.fixture
def other(kenta):
    """Of a campaign that is not Kenta's."""
    return make_application(make_campaign("担当外"), make_lead("secret@other.example.jp", last_name="秘密"))


def url(campaign, rest=""):
    return f"/c/{campaign.pk}/campaigns/check-in/{rest}"


def outcome(response):
    """The big box: its class, and its words."""
    page = response.content.decode()
    box = re.search(r'<div class="outcome([^"]*)".*?</div>', page, re.DOTALL)
    return box.group(1).strip(), re.sub(r"<[^>]+>", " ", box.group()).split()


def send(client, campaign, *scans):
    response = client.post(
        url(campaign, "scans/"), json.dumps({"scans": scans}), content_type="application/json"
    )
    assert response.status_code == 200
    return response.json()["results"]


def a_scan(text, **values):
    return {"scan": str(uuid4()), "text": text, "at": timezone.now().isoformat(), "session": None} | values


# ---- without the script


def test_typed_or_by_a_scanner_that_types(client, campaign, application):
    """TKT-4"""
    page = client.get(url(campaign)).content.decode()
    number = re.search(r'name="scan" value="([^"]+)"', page).group(1)
    typed = {"text": f"{application.code[:4]}-{application.code[4:]}", "scan": number, "session": ""}
    for _reloaded in range(2):
        response = client.post(url(campaign), typed, follow=True)
        assert response.redirect_chain[0][1] == 302
        assert outcome(response) == ("ok", ["受付しました", "髙橋", "𠮷男", "山手精密㈱"])
    assert CheckIn.objects.count() == 1
    response = client.post(url(campaign), {**typed, "scan": str(uuid4())}, follow=True)
    assert outcome(response)[0] == "already"
    assert "既に受付済みです" in outcome(response)[1]


@pytest.mark.parametrize(
    ("text", "result", "words"),
    [
        ("", "empty", "必ず入力してください"),
        ("ABC", "malformed", "IDの形式が正しくありません"),
        ("<script>alert(1)</script>", "malformed", "IDの形式が正しくありません"),
        ("L999999999", "unknown", "ユーザー未登録です"),
    ],
)
def test_what_the_page_says(client, campaign, application, text, result, words):
    """TKT-4"""
    assert outcome(client.post(url(campaign), {"text": text}, follow=True)) == (result, [words])


def test_somebody_on_the_waiting_list(client, campaign):
    """TKT-4"""
    waiting = make_application(campaign, state="waiting")
    response = client.post(url(campaign), {"text": waiting.code}, follow=True)
    assert outcome(response)[0] == "not_applied"
    assert {"事前登録がされていません", "髙橋", "キャンセル待ち"} <= set(outcome(response)[1])


def test_a_made_up_address_claims_no_check_in(client, campaign, application, other):
    """TKT-4: 受付しました stands only where it is true"""
    for query in (
        f"result=ok&application={application.pk}",
        f"result=ok&application={application.pk}&scan={uuid4()}",
        "result=ok", "result=nonsense", "result=ok&application=x&scan=y",
    ):  # fmt: skip
        assert "受付しました</b>" not in client.get(url(campaign, f"?{query}")).content.decode()
    page = client.get(url(campaign, f"?result=already&application={other.pk}")).content.decode()
    assert "秘密" not in page


def test_a_photo_of_the_ticket(client, campaign, application):
    """TKT-4"""
    photo = SimpleUploadedFile("photo.jpg", picture(application.code, form="JPEG", mode="RGB"))
    response = client.post(url(campaign, "photo/"), {"picture": photo, "scan": str(uuid4())}, follow=True)
    assert outcome(response)[0] == "ok"


@pytest.mark.parametrize("data", [b"", *HOSTILE.values()], ids=["empty", *HOSTILE])
def test_a_photo_that_is_none(client, campaign, application, data):
    """TKT-4"""
    values = {"picture": SimpleUploadedFile("photo.jpg", data)} if data else {}
    response = client.post(url(campaign, "photo/"), values, follow=True)
    assert outcome(response)[0] == "no_code"
    response = client.post(
        url(campaign, "frame/"), {"picture": SimpleUploadedFile("photo.jpg", data)} if data else {}
    )
    assert response.status_code == 400 and response.json()["text"] is None


def test_found_by_name(client, campaign, application, other):
    """TKT-4: people without a ticket"""
    make_application(campaign, make_lead("yui@yamate.example.jp", last_name="田中"), state="waiting")
    for typed in ("高橋", "たかはし", "山手精密 髙橋", "ＹＯＳＨＩＯ@"):
        page = client.get(url(campaign), {"q": typed}).content.decode()
        assert f'value="{application.code}"' in page and "田中" not in page, typed
    page = client.get(url(campaign), {"q": "yamate"}).content.decode()
    assert "田中" in page and "キャンセル待ち" in page and page.count('name="text" value=') == 1
    for typed in ("秘密", "%", "_", "\0", "x" * 5000):
        page = client.get(url(campaign), {"q": typed}).content.decode()
        assert "該当する申込者はいません。" in page or typed == "\0"
        assert "secret@" not in page
    client.post(url(campaign), {"text": application.code})
    page = client.get(url(campaign), {"q": "高橋"}).content.decode()
    assert f'value="{application.code}"' not in page


def test_taken_back(client, campaign, application, other, kenta):
    """TKT-4"""
    client.post(url(campaign), {"text": application.code})
    made = CheckIn.objects.get()
    theirs = CheckIn.objects.create(application=other)
    assert client.post(url(campaign, f"{theirs.pk}/undo/")).status_code == 404
    assert client.get(url(campaign, f"{made.pk}/undo/")).status_code == 405
    assert client.post(url(campaign, f"{made.pk}/undo/"), follow=True).status_code == 200
    application.refresh_from_db()
    assert application.attended_at is None
    theirs.refresh_from_db()
    assert theirs.undone_at is None


def test_the_live_numbers(client, campaign, application, other):
    """TKT-4"""
    make_application(campaign)
    page = client.get(url(campaign, "live/")).content.decode()
    assert re.findall(r"<b>(\d+)</b></a><span>(\w+)", page) == [("0", "来場"), ("2", "申込")]
    client.post(url(campaign), {"text": application.code})
    page = client.get(url(campaign, "live/")).content.decode()
    assert re.findall(r"<b>(\d+)</b></a><span>(\w+)", page) == [("1", "来場"), ("2", "申込")]
    assert "髙橋" in page and "秘密" not in page
    for number, link in zip((1, 2), re.findall(r'href="([^"]+)"><b>', page), strict=True):
        assert client.get(link.replace("&amp;", "&")).context["page_obj"].paginator.count == number


def test_as_many_queries_for_three_as_for_one(client, campaign, django_assert_num_queries):
    """One list, the same number of queries"""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    counted = []
    for _round in range(2):
        for _more in range(1 if not counted else 2):
            one = make_application(
                campaign, make_lead(f"a{CheckIn.objects.count()}@yamate.example.jp", company="山手")
            )
            client.post(url(campaign), {"text": one.code})
        with CaptureQueriesContext(
            connection,
        ) as seen:
            client.get(url(campaign), {"q": "髙橋"})
        counted.append(len(seen))
    assert counted[0] == counted[1]


def test_the_door_of_a_session(client, campaign, application):
    """TKT-4"""
    campaign.session_choice = "several"
    campaign.save()
    keynote = Session.objects.create(campaign=campaign, title="基調講演")
    ApplicationSession.objects.create(application=application, session=keynote)
    response = client.post(url(campaign), {"text": application.code, "session": keynote.pk}, follow=True)
    assert outcome(response) == ("ok", ["受付しました", "髙橋", "𠮷男", "山手精密㈱", "基調講演"])
    assert f"session={keynote.pk}" in response.redirect_chain[0][0]
    foreign = Session.objects.create(campaign=make_campaign("別"), title="別")
    for wrong in (foreign.pk, "x", "99999999999999999999999"):
        response = client.post(url(campaign), {"text": application.code, "session": wrong}, follow=True)
        assert outcome(response) == ("no_session", ["選択したサブキャンペーンは存在しません"])
    assert CheckIn.objects.count() == 1


# ---- what the script asks


def test_scans_of_a_phone_are_answered_one_by_one(client, campaign, application, other):
    """TKT-4: offline for an hour, then sent together, twice"""
    an_hour_ago = timezone.now() - timedelta(hours=1)
    scans = [
        a_scan(application.code, at=an_hour_ago.isoformat()), a_scan(application.code), a_scan("???"), a_scan(other.code),
        a_scan("L999999999"), a_scan(""),
    ]  # fmt: skip
    for again in range(2):
        results = send(client, campaign, *scans)
        assert [one["scan"] for one in results] == [one["scan"] for one in scans]
        assert [(one["result"], one["message"]) for one in results] == [
            ("ok", "受付しました"), ("already", "既に受付済みです"), ("malformed", "IDの形式が正しくありません"),
            ("not_applied", "事前登録がされていません"), ("unknown", "ユーザー未登録です"), ("empty", "必ず入力してください"),
        ], again  # fmt: skip
        assert results[0]["name"] == "髙橋 𠮷男"
        assert "name" not in results[3]
    assert CheckIn.objects.get().at == an_hour_ago


@pytest.mark.parametrize(
    "one",
    [
        None, 5, "text", [], {}, {"scan": "x"}, {"scan": str(uuid4()), "text": None}, {"scan": 5, "text": "ABC"},
        {"scan": str(uuid4()), "text": {"a": 1}}, {"scan": str(uuid4()), "text": "\0"},
        {"scan": str(uuid4()), "text": "x" * 100_000, "at": "yesterday", "session": {"id": 1}},
    ],
)  # fmt: skip
def test_whatever_a_phone_has_kept_it_can_let_go_of(client, campaign, application, one):
    """TKT-4: one broken scan holds up no other"""
    results = send(client, campaign, one, a_scan(application.code))
    assert [answer["result"] for answer in results] == ["malformed", "ok"]


@pytest.mark.parametrize(
    "at", [None, 5, "", "now", "2026-13-45T99:99:99Z", "2026-11-24T10:00:00", "9999-12-31T23:59:59+14:00"]
)
def test_a_time_that_is_none_is_now(client, campaign, application, at):
    """TKT-4"""
    before = timezone.now()
    assert send(client, campaign, a_scan(application.code, at=at))[0]["result"] == "ok"
    assert before <= CheckIn.objects.get().at <= timezone.now()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"scans": 5}',
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({"scans": [{}] * 101}).encode(),
    ],
)
def test_what_is_no_list_of_scans(client, campaign, body):
    """TKT-4"""
    response = client.post(url(campaign, "scans/"), body, content_type="application/json")
    assert response.status_code == 400


def test_a_frame_of_the_camera(client, campaign, application):
    """TKT-4: for phones that cannot read codes themselves; looking is not yet a check-in"""
    frame = SimpleUploadedFile("frame.jpg", picture(application.code, form="JPEG", mode="RGB", scale=6))
    response = client.post(url(campaign, "frame/"), {"picture": frame})
    assert response.json() == {"text": application.code}
    assert not CheckIn.objects.exists()


def test_frames_are_not_read_without_end(client, campaign, monkeypatch):
    """TKT-4"""
    monkeypatch.setattr("campaigns.views.check_in.PICTURES", {"limit": 2, "seconds": 3600})
    answers = [
        client.post(url(campaign, "frame/"), {"picture": SimpleUploadedFile("a.png", picture())}).status_code
        for _number in range(3)
    ]
    assert answers == [200, 200, 429]


def test_the_list_of_a_phone_names_nobody(client, campaign, application, other):
    """TKT-4"""
    came = make_application(campaign)
    client.post(url(campaign), {"text": came.code})
    waiting = make_application(campaign, state="waiting")
    response = client.get(url(campaign, "codes/"))
    assert "no-store" in response["Cache-Control"]
    found = response.json()
    assert found["codes"] == {
        hashed(found["salt"], application.code): "a",
        hashed(found["salt"], came.code): "d",
        hashed(found["salt"], waiting.code): "n",
    }
    for secret in (application.code, "髙橋", "yamate", str(other.code)):
        assert secret not in response.content.decode()
    assert door_codes(other.campaign)["salt"] != found["salt"]


def test_what_a_phone_holds_of_the_page_names_nobody(client, campaign, application):
    """TKT-4: the page that opens without a network"""
    client.post(url(campaign), {"text": application.code})
    assert "髙橋" in client.get(url(campaign)).content.decode()
    page = client.get(
        url(campaign), {"bare": 1, "q": "髙橋", "result": "already", "application": application.pk}
    )
    for secret in ("髙橋", "山手精密", "yamate", application.code):
        assert secret not in page.content.decode()
    worker = client.get(url(campaign, "worker.js"))
    assert worker["Content-Type"].startswith("text/javascript") and b"bare=1" in worker.content


def test_the_list_of_a_session(campaign):
    """TKT-4"""
    campaign.session_choice = "one"
    campaign.save()
    keynote = Session.objects.create(campaign=campaign, title="基調講演")
    chose, chose_not = make_application(campaign), make_application(campaign)
    ApplicationSession.objects.create(application=chose, session=keynote)
    found = door_codes(campaign, keynote)
    assert found["codes"] == {
        hashed(found["salt"], chose.code): "a",
        hashed(found["salt"], chose_not.code): "n",
    }


# ---- who may


def test_only_inside_ones_own_campaign(client, campaign, other):
    """APP-1, SYS-1"""
    for rest in ("", "scans/", "codes/", "live/", "frame/", "photo/"):
        assert client.post(url(other.campaign, rest), {"text": other.code}).status_code == 403
        assert client.get(url(other.campaign, rest)).status_code == 403
    assert client.get("/campaigns/check-in/").status_code == 404
    assert not CheckIn.objects.exists()


def test_a_viewer_checks_nobody_in(client, application):
    """SYS-1"""
    client.force_login(make_user("yui", role=Role.VIEWER))
    assert client.post(url(application.campaign), {"text": application.code}).status_code == 403
    assert Application.objects.filter(attended_at=None).count() == 1


def test_the_menu_leads_there(client, campaign):
    """NAV-1"""
    page = client.get(f"/c/{campaign.pk}/campaigns/overview/").content.decode()
    assert f'href="{url(campaign)}"' in page and "会場受付" in page
