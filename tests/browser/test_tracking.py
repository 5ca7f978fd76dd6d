"""A mail is clicked, the site it leads to is looked at, and a step mail arrives: as a marketer sets it up and sees it, in a
real browser against a real demo (TRK-1, TRK-3, WEB-1, STEP-1, STEP-3)."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PERSON, Walk
from tests.browser.test_story import option_with

pytestmark = pytest.mark.browser

READER = "kitamura3@tracking.example.jp"  # nobody else of the demo has this domain


@pytest.fixture
def reader(browser, demo, demo_data):
    """The one who reads the mail: a browser of her own, without a login."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, locale="ja-JP", timezone_id="Asia/Tokyo", user_agent=PERSON
    )
    yield Walk(context, demo, demo_data)
    context.close()


def test_from_a_click_to_a_step_mail(walk, reader, demo):
    """TRK-1, TRK-3, WEB-1, STEP-1, STEP-3: mail → click → timeline → step mail."""
    page = walk.page
    site = re.sub("127.0.0.1", "localhost", demo) + "/demo-site/"
    walk.log_in()

    # ---- somebody new
    walk.go("/leads/new/")
    page.fill("input[name=last_name]", "北村")
    page.fill("input[name=first_name]", "彩")
    page.fill("input[name=email]", READER)
    page.check("input[name=dm_permission][value=wanted]")
    page.get_by_role("button", name="保存").click()
    expect(page.locator("h1")).to_contain_text("北村")
    lead = re.search(r"/leads/(\d+)/", page.url)[1]

    # ---- a step mail: whoever looks at the prices gets the fair's invitation
    walk.go("/mail/steps/new/")
    page.fill("input[name=name]", "料金をご覧の方へ すぐに")
    page.select_option("select[name=search]", label=option_with(page, "search", "全リード"))
    page.select_option("select[name=template]", label=option_with(page, "template", "スマート工場展 2027"))
    walk.picture("step-settings")
    page.get_by_role("button", name="次へ").click()
    expect(page.locator("h1")).to_contain_text("ステップメール配信")
    page.fill("input[name=url_pattern]", f"{site}price/")
    for name in ("days", "hours", "minutes"):
        page.fill(f"input[name={name}]", "0")
    walk.picture("step-timing")
    page.get_by_role("button", name="次へ").click()
    walk.picture("step-confirm")
    page.locator("form button.main").click()
    expect(page.locator("main")).to_contain_text("稼働中")
    step = page.url

    # ---- a counted mail
    walk.go(f"/leads/{lead}/")
    page.get_by_role("button", name="メール送信").or_(
        page.get_by_role("link", name="メール送信")
    ).first.click()
    page.select_option("select[name=template]", label=option_with(page, "template", "つながる工場シリーズ"))
    page.check("input[name=count_clicks][value=yes]")
    page.get_by_role("button", name="次へ").click()
    page.get_by_role("button", name="次へ").click()
    expect(page.locator("h1")).to_contain_text("クリックカウントURL指定")
    walk.picture("wizard-links")
    page.get_by_role("button", name="次へ").click()
    expect(page.locator("h1")).to_contain_text("送信内容の確認")
    page.get_by_role("button", name="この内容で送信する").click()
    page.locator("main a.btn.main").click()
    expect(page.locator(".head")).to_contain_text("完了")
    job = re.search(r"/jobs/(\d+)/", page.url)[1]

    # ---- she clicks, and looks at two pages
    walk.open_mail(READER, "設備モニタリング")
    link = page.locator("a[href*='/l/']", has_text="製品を見る").first.get_attribute("href")
    time.sleep(4)  # sooner it would be a scanner's click (TRK-4)
    her = reader.page
    her.goto(link)
    assert her.url.startswith(site), "one redirect, to the page that stood in the mail"
    expect(her.locator("h1")).to_contain_text("つながる工場")
    with her.expect_request("**/w/"):
        her.get_by_role("link", name="料金").first.click()
    expect(her.locator("h1")).to_contain_text("料金")

    # ---- the timeline knows it, and the step mail arrives
    walk.wait_for_mail(READER, "スマート工場展")
    walk.go(f"/tracking/leads/{lead}/timeline/")
    for said in ("クリック", "料金", "ステップメール"):
        expect(page.locator("main")).to_contain_text(said)
    walk.picture("timeline")
    page.goto(step)
    expect(page.locator("main")).to_contain_text("北村")
    walk.picture("step-mail")
    walk.go(f"/mail/jobs/{job}/report/")
    expect(page.locator("main")).to_contain_text("100.0%")
    walk.picture("job-report")
    assert [one for one in walk.complaints if "Loading the image" not in one] == [], (
        "the inbox loads none by itself"
    )
    assert reader.complaints == []
