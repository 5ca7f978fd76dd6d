"""TKT-1..3, TEST-5: /t/<token> as attendees, mail scanners and browsers open it."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import time_machine
import zxingcpp
from django.test import Client
from PIL import Image, ImageDraw

from campaigns import notices, tickets
from campaigns.models import Application, Session
from settings.system_settings import set_setting
from smp.lib.machines import SCANNERS
from tests.campaigns.test_tickets import token_of
from tests.factories import make_application, make_campaign, make_lead

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 16, 1, 0, tzinfo=UTC)
NOT_YOURS = "お客様がお申込されている情報ではないため、受講票を表示できません。"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1"
)


@pytest.fixture
def person():
    return Client(headers={"user-agent": CHROME})


@pytest.fixture
def switch(monkeypatch):
    """「受講票URL再発行通知」 as mail answers for it."""
    state = {"on": True}
    monkeypatch.setattr(notices, "_answers", [lambda event, campaign: state["on"]])
    return state


@pytest.fixture
def application():
    campaign = make_campaign(
        starts_at=datetime(2026, 11, 24, 1, 0, tzinfo=UTC),
        ends_at=datetime(2026, 11, 24, 3, 0, tzinfo=UTC),
        place="both",
        online_url="https://meet.example.jp/secret-room",
        organiser="山手精密株式会社",
    )
    Session.objects.create(campaign=campaign, title="基調講演 <b>", title_en="Keynote", position=1)
    lead = make_lead("yoshio@yamate.example.jp", company="山手精密㈱😀")
    return make_application(campaign, lead, code="ABCDEFGH")


def path_of(application, now=NOW):
    return f"/t/{token_of(tickets.ticket_url(application, now=now))}"


def test_the_ticket(person, application):
    """TKT-1, TKT-4: what stands on it, and that nobody keeps it"""
    with time_machine.travel(NOW + timedelta(days=7), tick=False):
        response = person.get(path_of(application))
    page = response.content.decode()
    for text in ("製造業DXセミナー 2026", "髙橋 𠮷男 様", "山手精密㈱😀", "ABCD-EFGH", "2026-11-23 10:00",
                 "11月24日(火)", "10:00–12:00", "東京国際フォーラム ホールB5", "https://meet.example.jp/secret-room",
                 "基調講演 &lt;b&gt;", "山手精密株式会社"):  # fmt: skip
        assert text in page, text
    assert "<b>基調講演 <b>" not in page
    assert "no-store" in response["Cache-Control"] and "private" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "no-referrer"
    assert "noindex" in response["X-Robots-Tag"]
    assert "style=" not in page and "onclick" not in page


def test_the_qr_code_holds_the_code(person, application):
    """TKT-4: scanners type what it holds. The SVG of the page is drawn, line by line as it says, and read."""
    with time_machine.travel(NOW, tick=False):
        page = person.get(path_of(application)).content.decode()
    svg = re.search(r'<svg [^>]*viewBox="0 0 (\d+) \d+"[^>]*>.*?</svg>', page, re.DOTALL)
    picture = Image.new("L", (int(svg.group(1)),) * 2, 255)
    draw, x, y = ImageDraw.Draw(picture), 0, 0.5
    for command, numbers in re.findall(
        r"([Mmh])([-\d. ]+)", re.search(r' d="([^"]+)"', svg.group()).group(1)
    ):
        if command == "h":
            draw.line([(x, int(y)), (x + int(numbers) - 1, int(y))], 0)
            x += int(numbers)
        else:
            dx, dy = map(float, numbers.split())
            x, y = (int(dx), dy) if command == "M" else (x + int(dx), y + dy)
    picture = picture.resize((picture.width * 6,) * 2)
    assert [found.text for found in zxingcpp.read_barcodes(picture)] == ["ABCDEFGH"]


def test_the_language_is_that_of_the_application_until_another_is_chosen(person, application):
    """TKT-1"""
    Application.objects.update(language="en")
    with time_machine.travel(NOW, tick=False):
        path = path_of(application)
        assert "Admission ticket" in person.get(path).content.decode()
        assert "受講票" in person.get(path + "?lang=ja").content.decode()
        assert "受講票" in person.get(path).content.decode()  # by the cookie


def test_the_link_of_a_test_mail(person):
    """TEST-5"""
    response = person.get("/t/test")
    assert response.status_code == 200
    assert NOT_YOURS in response.content.decode()


@pytest.mark.parametrize("state", ["cancelled", "waiting", "provisional"])
def test_without_a_seat_there_is_no_ticket(person, application, state, told, switch):
    """TKT-1, TEST-5: neither a page nor a mail, however old the address is"""
    Application.objects.update(state=state)
    for late in (timedelta(), timedelta(days=30)):
        with time_machine.travel(NOW + late, tick=False):
            for call in (person.get, person.post):
                for suffix in ("", "/sent", "/calendar.ics"):
                    if call == person.post and suffix:
                        continue
                    response = call(path_of(application, NOW) + suffix)
                    assert response.status_code == 404
                    assert NOT_YOURS in response.content.decode()
                    assert "髙橋" not in response.content.decode()
    assert told == []


@pytest.mark.parametrize("token", ["nothing", "1.aaaa.1", "<script>", "%00", "é" * 300, "a" * 3000])
def test_an_address_not_made_here(person, token):
    """TEST-5"""
    response = person.get("/t/" + token)
    assert response.status_code == 404
    assert NOT_YOURS in response.content.decode()


# ---- TKT-2


@pytest.fixture
def expired(application):
    with time_machine.travel(NOW + timedelta(days=8), tick=False):
        yield path_of(application, NOW)


def test_a_person_who_opens_an_expired_address_gets_a_fresh_one(person, expired, application, told, switch):
    """TKT-2"""
    response = person.get(expired)
    page = response.content.decode()
    assert response.status_code == 200
    assert "y•••@yamate.example.jp" in page and "yoshio@" not in page
    assert "ABCD-EFGH" not in page and "secret-room" not in page
    assert len(told) == 1
    fresh = told[0].values["受講票URL"]
    assert not tickets.read_ticket(token_of(fresh), now=NOW + timedelta(days=15)).expired


def test_the_second_after_the_last_one(person, application, told, switch):
    """TKT-1, TKT-2"""
    path = path_of(application)
    with time_machine.travel(NOW + timedelta(days=7), tick=False):
        assert "ABCD-EFGH" in person.get(path).content.decode()
        assert told == []
    with time_machine.travel(NOW + timedelta(days=7, seconds=1), tick=False):
        assert "ABCD-EFGH" not in person.get(path).content.decode()
        assert len(told) == 1


def test_a_changed_setting_does_not_shorten_what_a_mail_promised(person, application, told, switch):
    """TKT-1, TKT-2"""
    path = path_of(application)
    set_setting("ticket_url_days", 2, user=None)
    with time_machine.travel(NOW + timedelta(days=3), tick=False):
        assert "ABCD-EFGH" in person.get(path).content.decode()
        assert "ABCD-EFGH" not in person.get(path_of(application, NOW)).content.decode()
    assert len(told) == 1 and told[0].values["有効期限"] == "2026-11-21 10:00"


def test_where_the_notice_is_off_only_the_button_sends(person, expired, told, switch):
    """TKT-2, TKT-3"""
    switch["on"] = False
    page = person.get(expired).content.decode()
    assert "受講票URLを再送する" in page and "•••" not in page
    assert told == []
    response = person.post(expired)
    assert response.status_code == 302 and response["Location"] == f"{expired}/sent"
    assert [happening.asked for happening in told] == [True]


def test_the_answer_to_the_button_is_the_same_whether_a_mail_went_or_not(person, expired, told, switch):
    """TKT-3"""
    answers = set()
    for _number in range(4):
        posted = person.post(expired)
        answers.add((posted.status_code, posted["Location"], person.get(posted["Location"]).content))
    assert len(answers) == 1
    assert len(told) == 1


def test_the_button_works_without_cookies_and_without_an_origin(expired, told, switch):
    """TKT-3: Referrer-Policy no-referrer makes browsers send Origin: null"""
    strict = Client(enforce_csrf_checks=True, headers={"user-agent": CHROME, "origin": "null"})
    assert strict.post(expired).status_code == 302
    assert len(told) == 1


# ---- TKT-3


def test_restored_tabs_bring_at_most_one_mail_a_day(person, application, told, switch):
    """TKT-3: the same page restored thirty times in three days"""
    path = path_of(application)
    start = NOW + timedelta(days=8)
    for number in range(30):
        with time_machine.travel(start + timedelta(hours=2.4 * number), tick=False):
            assert person.get(path).status_code == 200
    sent = [happening.now for happening in told]
    assert len(sent) == 3
    assert all(later - earlier >= timedelta(hours=24) for earlier, later in pairwise(sent))


def test_head_sends_nothing(person, expired, told, switch):
    """TKT-3"""
    assert person.head(expired).status_code == 200
    assert told == []


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-purpose": "prefetch"},
        {"sec-purpose": "prefetch;prerender"},
        {"purpose": "prefetch"},
        {"x-purpose": "preview"},
        {"x-moz": "prefetch"},
        {"sec-fetch-dest": "empty", "sec-fetch-mode": "cors"},
        {"sec-fetch-dest": "iframe", "sec-fetch-mode": "navigate"},
        {"sec-fetch-dest": "image", "sec-fetch-mode": "no-cors"},
    ],
)
def test_what_browsers_fetch_ahead_sends_nothing(person, expired, told, switch, headers):
    """TKT-3"""
    page = person.get(expired, headers=headers).content.decode()
    assert "受講票URLを再送する" in page
    assert told == []


BOTS = [
    "", " ",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
    "facebookexternalhit/1.1;line-poker/1.0", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Twitterbot/1.0", "TelegramBot (like TwitterBot)", "WhatsApp/2.23", "SkypeUriPreview Preview/0.5",
    "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17 Safari/605.1.15 (Applebot/0.1)",
    "Mozilla/5.0 Hatena::Bookmark", "Yahoo Link Preview",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    *(f"Mozilla/5.0 ({word.title()}/2.0)" for word in SCANNERS),
]  # fmt: skip


def test_no_known_bot_gets_a_mail_sent(person, expired, told, switch):
    """TKT-3: crawlers, previews of chats, scanners of mail systems"""
    for agent in BOTS:
        response = person.get(expired, headers={"user-agent": agent})
        assert "受講票URLを再送する" in response.content.decode(), agent
    assert told == []


@pytest.mark.parametrize("headers", [
    {"user-agent": CHROME, "sec-fetch-dest": "document", "sec-fetch-mode": "navigate", "sec-fetch-user": "?1"},
    {"user-agent": SAFARI},
    {"user-agent": "Mozilla/5.0 (Linux; Android 14; SO-51D) AppleWebKit/537.36 Chrome/129.0.0.0 Mobile Safari/537.36 Line/14.16.1"},
    {"user-agent": "髙橋のブラウザ" * 1000},
])  # fmt: skip
def test_browsers_of_people_are_no_bots(person, expired, told, switch, headers):
    """TKT-2"""
    person.get(expired, headers=headers)
    assert len(told) == 1


# ---- the calendar


def test_the_calendar_file(person, application):
    """TKT-4 beside the ticket: RFC 5545, folded, escaped, CRLF"""
    campaign = application.campaign
    campaign.name = "製造業DX; セミナー, 2026\\秋 " + "髙﨑𠮷①㈱😀" * 12
    campaign.venue_address = "東京都千代田区\r\nBEGIN:VEVENT\r\nUID:evil"
    campaign.save()
    with time_machine.travel(NOW, tick=False):
        response = person.get(path_of(application) + "/calendar.ics")
    assert response["Content-Type"].startswith("text/calendar")
    assert "no-store" in response["Cache-Control"]
    raw = response.content
    lines = raw.split(b"\r\n")
    assert lines.pop() == b"" and b"\n" not in b"".join(lines)
    assert max(len(line) for line in lines) <= 75
    for line in lines:
        line.decode()  # no character is cut in two
    unfolded = re.sub("\r\n[ \t]", "", raw.decode()).split("\r\n")
    assert unfolded.count("BEGIN:VEVENT") == 1 and "UID:evil" not in unfolded
    assert "DTSTART:20261124T010000Z" in unfolded and "DTEND:20261124T030000Z" in unfolded
    summary = next(line for line in unfolded if line.startswith("SUMMARY:"))
    assert summary == "SUMMARY:製造業DX\\; セミナー\\, 2026\\\\秋 " + "髙﨑𠮷①㈱😀" * 12
    description = next(line for line in unfolded if line.startswith("DESCRIPTION:"))
    assert (
        description
        == "DESCRIPTION:受講票コード: ABCD-EFGH\\nhttps://meet.example.jp/secret-room\\n基調講演 <b>"
    )


def test_no_calendar_without_a_time_or_with_an_expired_address(person, application):
    """TKT-1"""
    with time_machine.travel(NOW + timedelta(days=8), tick=False):
        assert person.get(path_of(application, NOW) + "/calendar.ics").status_code == 404
    application.campaign.starts_at = None
    application.campaign.save()
    with time_machine.travel(NOW, tick=False):
        assert person.get(path_of(application) + "/calendar.ics").status_code == 404
        assert "calendar.ics" not in person.get(path_of(application)).content.decode()
