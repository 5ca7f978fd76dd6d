"""TRK-4: person or machine, by agents as they are really sent."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from tracking import bursts
from tracking.agents import hints_of, read_address
from tracking.judge import EVIDENCE, MACHINE, PERSON, RULES, Facts, judge

AT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1"
)
APPLE_MAIL = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
OUTLOOK = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; .NET4.0C; .NET4.0E; Microsoft Outlook 16.0.5290; ms-office; MSOffice 16)"
THUNDERBIRD = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0"
CUBOT = "Mozilla/5.0 (Linux; Android 9; CUBOT_X18_Plus) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.91 Mobile Safari/537.36"
LINE = IPHONE + " Line/14.19.0"
EDGE_OF_2015 = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
YAHOO = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"
DOCUMENT = {"dest": "document", "mode": "navigate", "accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
IMAGE = {"dest": "image", "mode": "no-cors", "accept": "image/avif,image/webp,*/*"}


def facts(kind="open", agent=CHROME, seconds=3600, ip="203.0.113.7", burst=1, **hints):
    return Facts(kind, AT, seconds, ip, agent, hints, burst)


@pytest.mark.parametrize(("kind", "agent", "evidence"), [
    ("open", CHROME, []), ("click", CHROME, []), ("view", CHROME, []),
    ("open", IPHONE, []), ("click", IPHONE, []), ("open", APPLE_MAIL, []), ("open", OUTLOOK, []),
    ("open", THUNDERBIRD, []), ("click", CUBOT, []), ("click", LINE, []),
    ("open", EDGE_OF_2015, []), ("click", EDGE_OF_2015, []),
    ("open", "okhttp/4.9.3", []), ("open", "Dalvik/2.1.0 (Linux; U; Android 13; Pixel 6)", []),
    ("open", "MobileMail/8620 CFNetwork/1410 Darwin/22.6.0", []),
    ("open", GMAIL, ["via_google"]), ("open", YAHOO, ["via_yahoo"]),
])  # fmt: skip
def test_people(kind, agent, evidence):
    """TRK-4: mail programs, browsers and phones; a proxied open of Gmail or Yahoo is a person's"""
    judgement = judge(facts(kind, agent))
    assert (judgement.verdict, judgement.evidence) == (PERSON, evidence)


@pytest.mark.parametrize(("kind", "agent", "evidence"), [
    ("open", "Mozilla/5.0", ["apple_privacy"]), ("click", "Mozilla/5.0", ["bare_agent"]),
    ("view", " Mozilla/4.0 ", ["bare_agent"]),
    ("open", EDGE_OF_2015 + " Mozilla/5.0", ["gmail_ahead"]),
    ("click", GMAIL, ["proxy_page"]), ("click", YAHOO, ["proxy_page"]), ("view", GMAIL, ["proxy_page"]),
    ("open", "", ["no_agent"]), ("click", " \t", ["no_agent"]), ("view", "", ["no_agent"]),
    ("click", "Mozilla/5.0 (compatible; Barracuda Sentinel (EE))", ["scanner"]),
    ("click", "Mozilla/5.0 Mimecast/1.0", ["scanner"]),
    ("click", "Mozilla/5.0 (compatible; Proofpoint URL Defense)", ["scanner"]),
    ("click", "Microsoft Office Existence Discovery", ["scanner"]),
    ("click", "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5", ["scanner"]),
    ("click", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", ["scanner"]),
    ("click", "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", ["scanner"]),
    ("click", "facebookexternalhit/1.1;line-poker/1.0", ["scanner"]),
    ("view", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", ["scanner"]),
    ("open", "Mozilla/5.0 (compatible; YandexImages/3.0; +http://yandex.com/bots)", ["scanner"]),
    ("click", "curl/8.5.0", ["library"]), ("open", "python-requests/2.31.0", ["library"]),
    ("click", "Go-http-client/1.1", ["library"]), ("click", "Java/17.0.2", ["scanner", "library"]),
    ("click", "Wget/1.21.3", ["library"]), ("open", "node", ["library"]),
    ("click", "okhttp/4.9.3", ["app_library"]), ("click", "SomeApp/1 CFNetwork/1410 Darwin/22.6.0", ["app_library"]),
    ("click", CHROME.replace("Chrome/", "HeadlessChrome/"), ["headless"]),
])  # fmt: skip
def test_machines_by_their_agent(kind, agent, evidence):
    """TRK-4: privacy proxies, scanners, previews, libraries"""
    judgement = judge(facts(kind, agent))
    assert (judgement.verdict, judgement.evidence) == (MACHINE, evidence)


@pytest.mark.parametrize(("kind", "hints", "evidence"), [
    ("click", DOCUMENT, []), ("open", IMAGE, []), ("click", {"accept": "text/html"}, []), ("click", {}, []),
    ("view", {"dest": "empty", "mode": "cors", "accept": "*/*", "method": "POST"}, []),
    ("click", {"method": "HEAD"}, ["head"]), ("open", {"method": "HEAD"}, ["head"]),
    ("click", {"purpose": "prefetch"}, ["prefetch"]), ("view", {"purpose": "prerender"}, ["prefetch"]),
    ("click", {**DOCUMENT, "dest": "image"}, ["not_a_page"]), ("click", {"mode": "no-cors"}, ["not_a_page"]),
    ("click", {"accept": "*/*"}, ["not_a_page"]), ("click", {"accept": "image/webp"}, ["not_a_page"]),
    ("click", {"accept": "application/xhtml+xml"}, []),
    ("click", {"method": ["HEAD"], "dest": None, "accept": 5}, []),
])  # fmt: skip
def test_how_it_was_asked(kind, hints, evidence):
    """TRK-4: HEAD, fetching ahead, and links that were fetched but not opened"""
    judgement = judge(facts(kind, **hints))
    assert (judgement.verdict, judgement.evidence) == (MACHINE if evidence else PERSON, evidence)


@pytest.mark.parametrize(("kind", "ip", "evidence"), [
    ("open", "17.58.97.12", ["apple_network"]), ("click", "17.58.97.12", []),
    ("open", "::ffff:17.58.97.12", ["apple_network"]), ("open", "18.0.0.1", []),
    ("click", "66.249.66.1", ["crawler_network"]), ("view", "66.249.66.1", ["crawler_network"]),
    ("open", "66.249.66.1", []), ("click", "66.249.84.1", []),
    ("click", None, []), ("click", "", []), ("click", "nonsense", []), ("open", "2001:db8::1", []),
])  # fmt: skip
def test_networks(kind, ip, evidence):
    """TRK-4: only what is published of whose they are"""
    judgement = judge(facts(kind, ip=ip))
    assert (judgement.verdict, judgement.evidence) == (MACHINE if evidence else PERSON, evidence)


@pytest.mark.parametrize(("kind", "seconds", "too_soon"), [
    ("open", 0, True), ("open", 1, False), ("open", -1, True), ("open", -30, True), ("open", -31, False),
    ("click", 2, True), ("click", 3, False), ("click", -30, True), ("click", -86400, False),
    ("click", None, False), ("view", None, False), ("view", 0, False),
])  # fmt: skip
def test_too_soon_after_the_hand_over(kind, seconds, too_soon):
    """TRK-4: nobody reads within the second; scanners look while they take the mail. An earlier attempt says nothing"""
    judgement = judge(facts(kind, seconds=seconds))
    assert judgement.evidence == (["too_soon"] if too_soon else [])
    assert judgement.verdict == (MACHINE if too_soon else PERSON)


def test_gmail_at_the_second_of_the_hand_over_was_not_a_person():
    """TRK-4: the proxy alone makes nobody a machine, the time does; both are said"""
    judgement = judge(facts(agent=GMAIL, seconds=0))
    assert (judgement.verdict, judgement.evidence) == (MACHINE, ["too_soon", "via_google"])


def test_a_burst_of_clicks():
    """TRK-4: several links of a mail at the same time"""
    assert judge(facts("click", burst=2)).verdict == PERSON
    assert judge(facts("click", burst=3)).evidence == ["burst"]
    assert judge(facts("open", burst=3)).verdict == PERSON


def test_bursts_are_counted_per_mail_and_link():
    """TRK-4: different links of one mail within two seconds, from whatever address"""

    def click(delivery, url, seconds):
        return bursts.Click(delivery, url, AT + timedelta(seconds=seconds))

    assert bursts.counts([]) == []
    clicks = [click(1, 12, 1), click(1, 10, 0), click(1, 11, 0.5), click(2, 10, 0), click(1, 13, 60)]
    assert bursts.counts(clicks) == [3, 3, 3, 1, 1]
    assert bursts.counts([click(1, 10, 0)] * 4) == [1, 1, 1, 1]
    # One after the other, by hand: the first and the last remain a person's.
    assert bursts.counts([click(1, 10, 0), click(1, 11, 1.4), click(1, 12, 2.8)]) == [2, 3, 2]


def test_bursts_agree_with_the_plain_way_of_counting():
    """TRK-4"""
    random.seed(4)
    for _ in range(200):
        clicks = [
            bursts.Click(
                random.randrange(2), random.randrange(4), AT + timedelta(seconds=random.randrange(12))
            )
            for _ in range(random.randrange(15))
        ]
        plain = [
            len({
                other.url_id for other in clicks
                if other.delivery_id == one.delivery_id and abs((other.at - one.at).total_seconds()) <= 2
            })
            for one in clicks
        ]  # fmt: skip
        assert bursts.counts(clicks) == plain


HOSTILE = [
    "\0", "\r\nSet-Cookie: a=b", "髙﨑𠮷①㈱😀", "\ud800", "<script>", "Mozilla/5.0 " + "(" * 5000, "a" * 100_000, "%s%n{}", "\x85" * 500,
    "Mozilla/5.0 " + "Chrome/42.0.2311.135 " * 2000,
]  # fmt: skip


@pytest.mark.parametrize("kind", ["open", "click", "view"])
def test_nothing_that_is_sent_breaks_it(kind):
    """TRK-4: never raises, and says the same again"""
    random.seed(5)
    texts = HOSTILE + ["".join(chr(random.randrange(0x3000)) for _ in range(60)) for _ in range(100)]
    for text in texts:
        asked = facts(
            kind, agent=text, ip=text, seconds=None, dest=text, accept=text, method=text, purpose=text
        )
        assert judge(asked) == judge(asked)
        assert judge(asked).verdict == MACHINE  # it says that it fetches ahead
        assert read_address(text) is None


def test_hints_of_a_request():
    """TRK-4: how it was asked, short and clean, nothing kept of what was not said"""
    said = {"Sec-Purpose": "Prefetch;Prerender", "Sec-Fetch-Dest": "image\0", "Accept": "x" * 500}
    assert hints_of("HEAD", said.get) == {
        "method": "HEAD", "purpose": "prefetch", "dest": "image", "accept": "x" * 100,
    }  # fmt: skip
    assert hints_of("GET", {"X-Moz": "prefetch"}.get) == {"purpose": "prefetch"}
    assert hints_of("GET", {}.get) == {}


def test_every_rule_has_its_own_code_and_a_sentence_in_both_languages():
    """TRK-4: the evidence is shown in words; codes fit into MailHit.evidence"""
    codes = [rule.code for rule in RULES]
    assert len(set(codes)) == len(codes) == len(EVIDENCE)
    for code, text in EVIDENCE.items():
        assert len(code) <= 24
        with translation.override("en"):
            english = str(text)
        with translation.override("ja"):
            assert str(text) != english and str(text).endswith("。")
