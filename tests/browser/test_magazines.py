"""A magazine as its readers and its editor see it, in a real browser against a real demo: somebody registers by the form, an
extra issue goes to a few, one of them leaves by the link of the mail, and the next issue says whom it leaves out, and why."""

import re
import time
import uuid

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

MAGAZINE = "週刊 製造業DX"
NOT_DONE = "まだ完了していません"


def test_from_the_form_to_an_issue_and_out_again(walk, phone):
    """MAG-1, MAG-2, MAG-7, OPT-7, OPT-8, OPT-10, TGT-10, RSV-5, EXC-6"""
    page, visitor = walk.page, phone.page
    domain = f"{uuid.uuid4().hex[:8]}.example.jp"  # nobody else of the demo has it
    kept, leaving = f"ogawa@{domain}", f"hayashi@{domain}"
    walk.log_in()
    walk.go("/magazines/")
    page.locator("main").get_by_role("link", name=MAGAZINE).first.click()
    base = re.search(r"/magazines/\d+/", page.url)[0]

    # ---- a visitor registers: it counts once the mailbox was read
    walk.go(f"{base}forms/")
    visitor.goto(page.locator("a[href*='/mm/']").first.get_attribute("href"))
    visitor.fill("input[name=email]", leaving)
    visitor.fill("input[name=last_name]", "林")
    visitor.fill("input[name=first_name]", "𠮷江")
    phone.picture("phone-magazine-form")
    time.sleep(2.2)  # a form filled in faster than this is asked for once more
    press(visitor, "入力内容の確認へ")
    expect(visitor.locator("main")).to_contain_text(NOT_DONE)
    expect(visitor.locator("main")).to_contain_text(leaving)
    phone.picture("phone-magazine-check")
    press(visitor, "登録する")
    expect(visitor.locator("main")).to_contain_text("確認のメールをお送りしました")
    walk.go(f"{base}readers/?q={leaving}")
    expect(page.locator("main")).not_to_contain_text("𠮷江")
    visitor.goto(link_of_mail(walk, leaving, "登録はまだ完了していません", "/mm/c/"))
    expect(visitor.locator("main")).to_contain_text(NOT_DONE)
    phone.picture("phone-magazine-prove")
    press(visitor, "登録を完了する")
    expect(visitor.locator("h1")).to_contain_text("登録が完了しました")

    # ---- the editor sees who it is, and by which evidence; another reader is registered by hand
    reader = reader_page(walk, base, leaving)
    expect(page.locator(".head")).to_contain_text("配信可能")
    expect(page.locator("#history")).to_contain_text("登録フォーム(文面 ")
    walk.picture("magazine-reader")
    walk.go(f"{base}readers/new/")
    page.fill("input[name=email]", kept)
    page.fill("input[name=last_name]", "小川")
    page.select_option("select[name=evidence]", index=1)
    press(page, "登録")
    expect(page.locator("main")).to_contain_text(kept)

    # ---- an extra issue for these two
    issue = write_issue(walk, base, "ものづくりの日 特別号", domain)
    expect(page.locator("#filter")).to_contain_text(re.compile(r"一致する\s*2\s*人に配信します"))
    walk.picture("magazine-issue")
    stopped = confirmation(walk, issue)
    assert stopped["addressed"] == 2
    expect(page.locator(".ask")).to_have_text("以上の内容で即時配信してもよろしいですか?")
    walk.picture("magazine-confirm")
    with page.expect_navigation(url=re.compile(r"/deliveries/\d+/$")):
        page.get_by_role("button", name="はい").dblclick()
    expect(page.locator(".head")).to_contain_text("完了", timeout=60_000)
    walk.picture("magazine-delivery")

    # ---- from the numbers to the people, and why
    page.locator("#progress .big").get_by_role("link", name="2", exact=True).first.click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.locator("tr", has_text=kept).get_by_role("link", name="特別号").click()
    expect(page.locator("main")).to_contain_text("配信フィルタ")
    walk.picture("magazine-why")

    # ---- one mail for each; its link asks before it acts
    opt_out = link_of_mail(walk, leaving, "特別号", "/ur/")
    walk.go(f"/inbox/?q={leaving}")
    expect(page.get_by_role("link", name=re.compile("特別号"))).to_have_count(1)
    visitor.goto(opt_out)
    expect(visitor.locator("main")).to_contain_text(NOT_DONE)
    phone.picture("phone-magazine-opt-out")
    page.goto(reader)
    expect(page.locator(".head")).to_contain_text("配信可能")
    press(visitor, "配信を停止する")
    expect(visitor.locator("h1")).to_contain_text("受け付けました")
    phone.picture("phone-magazine-left")
    page.reload()
    expect(page.locator(".head")).to_contain_text("配信停止")
    expect(page.locator("#history .why p").first).to_contain_text("フォーム")
    walk.picture("magazine-reader-stopped")

    # ---- the next issue leaves this reader out, and says so
    issue = write_issue(walk, base, "ものづくりの日 続報", domain)
    now = confirmation(walk, issue)
    assert now["addressed"] == 1 and now["reader_stopped"] == stopped["reader_stopped"] + 1
    walk.picture("magazine-next-confirm")
    page.locator("a[href*='who=reader_stopped']").click()
    row = page.locator("tr", has_text=leaving)
    page.locator("tbody tr").first.wait_for()
    while not row.count():
        with page.expect_navigation():
            page.locator("a[rel=next]").click()
    expect(row).to_contain_text("読者が配信停止")
    assert not walk.complaints and not phone.complaints


def press(page, label, *, form="main"):
    with page.expect_navigation():
        page.locator(form).get_by_role("button", name=label, exact=True).click()


def link_of_mail(walk, address, subject, path):
    """The first link of the mail that leads below `path`, as the inbox lists it."""
    walk.open_mail(address, subject)
    return walk.page.locator(f"main a[href*='{path}']").first.get_attribute("href")


def reader_page(walk, base, address):
    """Opens it from the list; its address."""
    walk.go(f"{base}readers/?q={address}")
    walk.page.locator("tbody").get_by_role("link", name=address).click()
    walk.page.wait_for_url(re.compile(r"/readers/\d+/$"))
    return walk.page.url


def write_issue(walk, base, name, domain):
    """A draft for the readers with addresses of this domain; the address of its page."""
    page = walk.page
    walk.go(f"{base}stories/new/extra/")
    page.fill("input[name=story_name]", name)
    page.check("input[name=form][value=text]")
    page.fill("input[name=subject]", f"【{MAGAZINE}】{name}")
    page.fill("textarea[name=text_body]", "{{ 氏名 }} 様\n\n髙﨑工場の見学記をお届けします。\n")
    press(page, "保存してプレビュー")
    issue = page.url
    page.locator("#filter").get_by_role("link", name="フィルタを変更").click()
    page.select_option("select[name=item-0]", "lead.email")
    page.fill("textarea[name=values-0]", f"@{domain}")
    page.get_by_role("button", name="件数を確認").click()
    expect(page.locator(".note.info")).to_contain_text(domain)
    walk.picture("magazine-filter")
    press(page, "フィルタを保存")
    expect(page.locator("#filter")).to_contain_text(domain)
    return issue


def confirmation(walk, issue):
    """{"addressed" or a reason: number} of the dry run."""
    page = walk.page
    page.goto(f"{issue}send/")
    numbers = {}
    for link in page.locator(".funnel a").all():
        who = re.search(r"who=(\w+)", link.get_attribute("href"))[1]
        numbers[who] = int(re.sub(r"\D", "", link.inner_text()))
    return numbers
