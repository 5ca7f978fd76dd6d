"""An attendee's way in a real browser: apply on a phone, the mail in the inbox, the ticket, the check-in at the door, and
my page with its login link, up to the cancellation."""

import re
import time
import uuid

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

TODAY = "/e/ai-today/"


def test_from_the_form_to_the_door_and_my_page(walk, phone):
    """APP-2, APP-3, APP-4, TKT-1, TKT-4, NAV-2"""
    page = phone.page
    address = f"{uuid.uuid4().hex[:8]}@attendee.example.jp"

    # ---- the campaign's page and its form, on a phone
    phone.go(TODAY)
    expect(page.locator("h1")).to_contain_text("本日開催 AI活用カンファレンス")
    phone.picture("phone-campaign")
    page.get_by_role("link", name="申込").first.click()
    time.sleep(2.2)  # a form filled in faster than this is asked for once more
    page.fill("input[name=last_name]", "髙﨑")
    page.fill("input[name=first_name]", "𠮷男")
    page.fill("input[name=company]", "㈱はまさき①")
    page.fill("input[name=email]", address)
    page.check("input[name=dm_permission][value=wanted]")
    page.check("input[name=consent]")
    phone.picture("phone-form")
    page.locator("button.main[value=check]").click()
    expect(page.locator("main")).to_contain_text(address)
    phone.picture("phone-form-check")
    page.locator("button.main[value=send]").click()
    page.wait_for_url(re.compile("/applied/"))
    phone.picture("phone-applied")

    # ---- the mail, and the ticket behind its link
    walk.log_in()
    walk.open_mail(address, "お申し込み")
    text = walk.page.locator("main").inner_text()
    assert "髙﨑" in text
    ticket = re.search(r"https?://[^\s/]+(/t/\S+)", text)
    assert ticket, text
    phone.go(ticket.group(1))
    phone.picture("phone-ticket")
    code = re.search(r"[2-9A-Z]{4}-[2-9A-Z]{4}", page.locator("main").inner_text())
    assert code

    # ---- the door
    walk.go("/campaigns/")
    row = walk.page.locator("tr, article, li").filter(has_text="本日開催 AI活用カンファレンス").first
    row.get_by_role("link", name="管理開始").first.click()
    walk.picture("campaign-overview")
    base = re.match(r".*(/c/\d+)/", walk.page.url).group(1)
    walk.go(f"{base}/campaigns/check-in/")
    for expected in ("受付しました", "既に受付済みです"):
        walk.page.fill("input[name=text]", code.group(0).lower())
        walk.page.keyboard.press("Enter")
        expect(walk.page.locator("main")).to_contain_text(expected)
    walk.picture("check-in")
    walk.page.fill("input[name=text]", "ABCD-EFGH")
    walk.page.keyboard.press("Enter")
    expect(walk.page.locator("main")).to_contain_text("IDの形式が正しくありません")
    walk.go(f"{base}/leads/?q={address}")
    expect(walk.page.locator("main")).to_contain_text("㈱はまさき①")
    walk.picture("campaign-leads")
    walk.go(f"{base}/mail/deliveries/")
    expect(walk.page.locator("main")).to_contain_text(address)
    walk.picture("campaign-deliveries")

    # ---- my page, by a link in a mail
    phone.go("/my/login/")
    page.fill("input[name=email]", address)
    phone.picture("phone-my-login")
    page.locator("form").filter(has=page.locator("input[name=email]")).get_by_role("button").first.click()
    walk.open_mail(address, "マイページ")
    link = re.search(r"https?://[^\s/]+(/my/\S+)", walk.page.locator("main").inner_text())
    assert link
    phone.go(link.group(1))
    page.get_by_role("button", name=re.compile("マイページを開く")).click()
    expect(page.locator("main")).to_contain_text("本日開催 AI活用カンファレンス")
    phone.picture("phone-my-page")
    assert not walk.complaints and not phone.complaints
