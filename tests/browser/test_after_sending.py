"""After the sending, in a real browser: a wrong address is mended and its mail sent again, a bounce comes in, a sending
domain is checked, a speed rule changed and put back."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_story import option_with

pytestmark = pytest.mark.browser

TEMPLATE = "Factory DX Seminar"
TITLE = "you are invited: Factory DX Seminar in Tokyo"
MENDED = "mended@aftercare.example.jp"


def test_what_comes_after_the_sending(walk):
    """RES-1, RES-3, RES-4, ERR-1, ERR-2, ERR-5, RATE-1, RATE-4"""
    page = walk.page
    walk.log_in()
    add_lead(walk, "転職", "aftercare@later.example")
    add_lead(walk, "打ち間違い", "aftercare@unknown.example")
    send_to(walk, "aftercare@")

    # ---- what the receivers said at once
    wait_for(walk, "/mail/deliveries/?address=aftercare@unknown.example", "42550")
    page.get_by_role("link", name=TITLE).first.click()
    expect(page.locator("main")).to_contain_text("42550")
    expect(page.locator("main")).to_contain_text("User unknown")

    # ---- the address is mended on the lead's page, and the mail sent again from there
    page.get_by_role("link", name=re.compile("^リード: ")).click()
    lead = page.url
    page.get_by_role("link", name="編集").click()
    page.fill("input[name=email]", MENDED)
    page.get_by_role("button", name="保存").click()
    page.goto(lead)
    page.locator("#why").get_by_role("link", name=TITLE).click()
    page.get_by_role("link", name="再送信", exact=True).click()
    expect(page.locator("input[name=to]")).to_have_value(MENDED)
    expect(page.locator(".note").first).to_contain_text("aftercare@unknown.example")
    walk.picture("resend")
    page.get_by_role("button", name="送信内容確認").click()
    expect(page.locator("h1")).to_contain_text("送信内容確認")
    walk.picture("resend-confirm")
    page.get_by_role("button", name="メール送信").click()
    walk.picture("resend-done")
    walk.wait_for_mail(MENDED, TITLE)
    wait_for(walk, f"/mail/deliveries/?address={MENDED}", "正常")
    walk.picture("history")

    # ---- the other receiver took the mail and reported later that nobody is there
    wait_for(walk, "/mail/returned/?kind=failure", "aftercare@later.example")
    returned = page.locator("tr", has_text="aftercare@later.example")
    expect(returned).to_contain_text("エラーとして記録")
    walk.picture("returned")
    returned.get_by_role("link", name=TITLE).click()
    expect(page.locator("main")).to_contain_text("90000")

    # ---- the sending domain is asked for now
    walk.go("/mail/sending-domains/")
    page.get_by_role("link", name="seminar.example.jp").click()
    page.get_by_role("button", name="今すぐ確認").click()
    expect(page.locator("main")).to_contain_text("このドメインはすべて整っています")
    walk.picture("sending-domain")
    walk.go("/mail/sending-domains/")
    good = page.locator("tr", has=page.get_by_role("link", name="seminar.example.jp"))
    expect(good.locator(".tag.ok")).to_have_count(4)

    # ---- a speed rule is changed, found, and put back
    walk.go("/mail/speed/")
    page.get_by_role("link", name="docomo", exact=True).click()
    page.fill("input[name=connections]", "3")
    page.get_by_role("button", name="保存").click()
    rule = page.locator("tr", has=page.get_by_role("link", name="docomo", exact=True))
    expect(rule).to_contain_text("変更")
    walk.picture("speed")
    rule.get_by_role("link", name="docomo", exact=True).click()
    page.get_by_role("button", name="既定値に戻す").click()
    expect(rule).not_to_contain_text("変更")
    assert walk.complaints == []


def add_lead(walk, name, email):
    page = walk.page
    walk.go("/leads/new/")
    page.fill("input[name=last_name]", name)
    page.fill("input[name=email]", email)
    page.get_by_role("button", name="保存").click()
    expect(page.locator("h1")).to_contain_text(name)


def send_to(walk, words):
    """The wizard, by user, from the list of leads; waits until all mails have left or failed."""
    page = walk.page
    walk.go(f"/leads/?q={words}")
    for box in page.locator("tbody input[type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="メール送信").click()
    page.select_option("select[name=template]", label=option_with(page, "template", TEMPLATE))
    page.get_by_role("button", name="次へ").click()
    page.get_by_role("button", name="次へ").click()
    page.get_by_role("button", name="この内容で送信する").click()
    page.locator("main a.btn.main").click()
    expect(page.locator(".head")).to_contain_text("完了")


def wait_for(walk, path, words):
    """Reloads a list until a row says so."""
    for _attempt in range(60):
        walk.go(path)
        if walk.page.locator("tbody", has_text=words).count():
            return
        walk.page.wait_for_timeout(500)
    raise AssertionError(f"{path} never said {words}")
