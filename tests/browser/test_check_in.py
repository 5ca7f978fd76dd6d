"""TKT-4: a phone at the door whose network goes away, in a real browser."""

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from campaigns.models import Campaign, CheckIn
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.factories import make_application, make_campaign, make_lead, make_user

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# The bare page, the codes, the style sheet, the icon and three scripts.
WORKER_HOLDS_ALL = """async () => {
  const name = (await caches.keys()).find((name) => name.startsWith("smp-check-in"));
  return name && (await (await caches.open(name)).keys()).length >= 7;
}"""


@pytest.fixture
def codes():
    campaign = make_campaign()
    return [
        make_application(campaign, make_lead(f"a{name}@yamate.example.jp", last_name=name)).code
        for name in ("髙橋", "田中", "佐藤")
    ]


@pytest.fixture
def at_the_door(client, live_server, codes):
    """Calls a function with the page, in a thread of its own: Playwright keeps an event loop running in its thread, and
    Django's database is not to be used in such a one."""
    client.force_login(make_user())
    address = urlsplit(live_server.url)
    cookie = {
        "name": "sessionid",
        "value": client.cookies["sessionid"].value,
        "domain": address.hostname,
        "path": "/",
    }
    url = f"{live_server.url}/c/{Campaign.objects.get().pk}/campaigns/check-in/"

    def walk(steps):
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            context = browser.new_context(viewport={"width": 390, "height": 844}, locale="ja-JP")
            context.add_cookies([cookie])
            page = context.new_page()
            page.set_default_timeout(30_000)
            with page.expect_response("**/check-in/codes/"):
                page.goto(url)
            steps(page)
            browser.close()

    with ThreadPoolExecutor(1) as pool:
        yield lambda steps: pool.submit(walk, steps).result(180)


def scan(page, text):
    page.fill("#text", text)
    page.press("#text", "Enter")


def says(page, message, detail=""):
    page.locator(".outcome", has_text=message).filter(has_text=detail).wait_for()


def wait_until(page, question, seconds=30):
    """`question` is an async function; wait_for_function takes the promise itself for a yes."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(question):
        assert time.monotonic() < deadline, question
        page.wait_for_timeout(100)


def nothing_unsent(page):
    page.locator(".unsent[hidden]").wait_for(state="attached")


def test_the_network_goes_away_and_comes_back(at_the_door, codes):
    """TKT-4: judged by the list on the phone, kept over a reload, sent once"""

    def steps(page):
        scan(page, codes[0].lower())
        says(page, "受付しました", "髙橋")
        nothing_unsent(page)
        page.context.set_offline(True)
        scan(page, codes[1])
        says(page, "受付しました", "端末内の名簿で判定しました")
        scan(page, codes[1])
        says(page, "既に受付済みです")
        scan(page, "ABC")
        says(page, "IDの形式が正しくありません")
        scan(page, codes[2])
        says(page, "受付しました", "端末内の名簿で判定しました")
        page.get_by_text("未送信 4 件").wait_for()
        page.context.set_offline(False)
        page.reload()
        nothing_unsent(page)
        page.locator("#live", has_text="佐藤").wait_for()

    at_the_door(steps)
    assert sorted(CheckIn.objects.values_list("application__code", flat=True)) == sorted(codes)


def test_back_on_line_without_a_reload(at_the_door, codes):
    """TKT-4: the server's word replaces the list's"""

    def steps(page):
        page.context.set_offline(True)
        scan(page, codes[0])
        page.get_by_text("未送信 1 件").wait_for()
        page.context.set_offline(False)
        says(page, "受付しました", "髙橋")
        nothing_unsent(page)

    at_the_door(steps)
    assert CheckIn.objects.get().application.code == codes[0]


def test_the_page_opens_without_the_network(at_the_door, codes):
    """TKT-4: a phone that was put away and taken out again"""

    def steps(page):
        wait_until(page, WORKER_HOLDS_ALL)
        page.context.set_offline(True)
        scan(page, codes[0])
        page.get_by_text("未送信 1 件").wait_for()
        page.reload()
        page.get_by_text("未送信 1 件").wait_for()
        page.get_by_text("通信が回復すると表示します。").wait_for()
        scan(page, codes[0])
        says(page, "既に受付済みです", "端末内の名簿で判定しました")
        scan(page, codes[1])
        says(page, "受付しました", "端末内の名簿で判定しました")
        page.get_by_text("未送信 3 件").wait_for()
        page.context.set_offline(False)
        nothing_unsent(page)
        page.locator("#live", has_text="田中").wait_for()

    at_the_door(steps)
    assert sorted(CheckIn.objects.values_list("application__code", flat=True)) == sorted(codes[:2])
