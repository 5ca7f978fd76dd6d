"""The main job as a marketer does it, in a real browser against a real demo: import, search, write, test, send in
either recipient rule, watch, open, unsubscribe, see a bounce switch an address off, and read why."""

import csv
import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

PEOPLE = [
    ("髙﨑", "𠮷男", "takasaki@story.example.jp", "東京都", "希望する"),
    ("佐藤", "美咲😀", "misaki@story.example.jp", "東京都", "希望する"),
    ("鈴木", "①太", "ichita@story.example.jp", "大阪府", "希望しない"),
    ("高橋", "結衣", "yui@unknown.example", "東京都", "希望する"),
]
COMPANY = "㈱ものがたり製作所"


def write_csv(path, rows):
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["姓", "名", "E-mailアドレス", "都道府県", "DM許可", "会社名"])
        writer.writerows([*row, COMPANY] for row in rows)
    return path


def test_the_main_job(walk, tmp_path):
    """TGT-1, TGT-3, TGT-4, TGT-5, EXC-6, CSV-1, OPT-1, FLAG-1, TEST-1, RSV-5, SYS-3, SYS-4"""
    page = walk.page
    walk.log_in()
    walk.picture("home")

    # ---- a file with a mistake is refused with line and reason, and nothing is imported
    walk.go("/leads/imports/")
    wrong = write_csv(
        tmp_path / "誤り.csv", [*PEOPLE, ("誤", "人", "no address at all", "東京都", "希望する")]
    )
    page.set_input_files("input[name=file]", wrong)
    page.get_by_role("button", name="ファイルを確認する").click()
    expect(page.locator("main")).to_contain_text("no address at all")
    expect(page.locator("main")).to_contain_text("入力形式を確認してください。")
    walk.picture("import-wrong")

    # ---- the mended file
    walk.go("/leads/imports/")
    page.set_input_files("input[name=file]", write_csv(tmp_path / "リード.csv", PEOPLE))
    page.get_by_role("button", name="ファイルを確認する").click()
    commit = page.get_by_role("button", name=re.compile("取り込む"))
    expect(commit).to_be_visible()
    walk.picture("import-checked")
    commit.click()
    expect(page.locator("main")).to_contain_text("取り込みました")
    walk.picture("import-done")

    # ---- search, count, save
    walk.go("/leads/search/")
    page.select_option("select[name=item-0]", "lead.company")
    page.fill("textarea[name=values-0]", "ものがたり")
    page.get_by_role("button", name="件数を確認").click()
    expect(page.locator("main")).to_contain_text(re.compile("4\\s*[件人]"))
    page.fill("input[name=name]", "ものがたり製作所の方")
    walk.picture("search")
    page.get_by_role("button", name="検索条件を保存(全ユーザ使用可)").click()
    expect(page.locator("main")).to_contain_text("ものがたり製作所の方")

    # ---- write a template with merge fields, see it with a lead's data
    walk.go("/mail/templates/new/")
    page.fill("input[name=name]", "ものがたりのご案内")
    page.check("input[name=form][value=text]")
    page.fill("input[name=subject]", "{{ 姓 }}様 ものがたりのご案内")
    text = page.input_value("textarea[name=text_body]")
    page.fill(
        "textarea[name=text_body]", "{{ 会社名|default('御社') }} {{ 氏名 }} 様\n\n㈱と①と😀。\n" + text
    )
    page.get_by_role("button", name="保存してプレビュー").click()
    expect(page.locator("h1")).to_contain_text("ものがたりのご案内")
    walk.picture("template")
    template = re.search(r"/templates/(\d+)/", page.url)[1]

    # ---- test send
    walk.go(f"/mail/templates/{template}/test/")
    page.fill("input[name=addresses]", "me@story.example.jp")
    walk.picture("test-send")
    with page.expect_navigation():  # or going to the inbox at once would take the form back
        page.get_by_role("button", name="テスト送信する").click()
    walk.wait_for_mail("me@story.example.jp", "【テスト】")

    # ---- by search: dry run per reason, confirm, watch
    walk.go("/mail/wizard/")
    page.check("input[name=rule][value=by_search]")
    page.select_option("select[name=search]", label=option_with(page, "search", "ものがたり製作所の方"))
    page.select_option("select[name=template]", label=option_with(page, "template", "ものがたりのご案内"))
    walk.picture("wizard-condition")
    page.get_by_role("button", name="次へ").click()
    expect(page.locator("h1")).to_contain_text("送信内容の確認")
    expect(page.locator(".funnel .total")).to_contain_text("3")
    walk.picture("wizard-confirm")
    page.get_by_role("button", name="この内容で送信する").click()
    page.locator("main a.btn.main").click()
    expect(page.locator(".head")).to_contain_text("完了")
    walk.picture("job")
    job = re.search(r"/jobs/(\d+)/", page.url)[1]

    # ---- the inbox, and one of them leaves
    walk.wait_for_mail("takasaki@story.example.jp", "髙﨑様 ものがたりのご案内")
    walk.picture("inbox")
    page.get_by_role("link", name="髙﨑様 ものがたりのご案内").first.click()
    walk.picture("inbox-mail")
    with page.context.expect_page() as opened:
        page.locator("a[href*='/u/']").first.click()
    opt_out = opened.value
    expect(opt_out.locator("h1")).to_contain_text("配信停止")
    opt_out.get_by_role("textbox").fill("TAKASAKI@story.example.jp")
    opt_out.locator("button.main").click()
    expect(opt_out.locator("h1")).to_contain_text("配信を停止しました")
    opt_out.close()

    # ---- why, for everyone of this job
    for email, answer in {
        "takasaki@story.example.jp": "送られました",
        "ichita@story.example.jp": "DM許可が「希望しない」",
        "yui@unknown.example": "42550",
    }.items():
        walk.go(f"/mail/jobs/{job}/?lead={email}")
        expect(page.locator("main")).to_contain_text(answer)

    # ---- by user: ticked in the list; the one who left is not mailed, and the list says why
    walk.go("/leads/?q=story.example.jp")
    for box in page.locator("tbody input[type=checkbox]").all():
        box.check()
    walk.picture("leads")
    page.get_by_role("button", name="メール送信").click()
    page.select_option("select[name=template]", label=option_with(page, "template", "ものがたりのご案内"))
    page.check("input[name=include_sent][value=yes]")
    page.get_by_role("button", name="次へ").click()
    walk.picture("wizard-leads")
    page.get_by_role("button", name="次へ").click()
    expect(page.locator("h1")).to_contain_text("送信内容の確認")
    expect(page.locator(".funnel")).to_contain_text("配信停止")
    expect(page.locator(".funnel .total")).to_contain_text("1")
    page.get_by_role("button", name="この内容で送信する").click()
    page.wait_for_url("**/done/")
    walk.picture("wizard-done")

    # ---- the third failure in a row switches an address off
    walk.go("/leads/?q=yui@unknown.example")
    page.get_by_role("link", name="高橋 結衣").click()
    lead = page.url
    expect(page.locator("main")).to_contain_text("42550")
    for turn in (2, 3):
        page.goto(lead)
        page.get_by_role("button", name="メール送信").or_(
            page.get_by_role("link", name="メール送信")
        ).first.click()
        page.select_option("select[name=template]", label=option_with(page, "template", "ものがたりのご案内"))
        page.check("input[name=include_sent][value=yes]")
        page.get_by_role("button", name="次へ").click()
        page.get_by_role("button", name="次へ").click()
        page.get_by_role("button", name="この内容で送信する").click()
        page.locator("main a.btn.main").click()
        expect(page.locator(".head")).to_contain_text("完了")
        assert turn
    page.goto(lead)
    expect(page.locator(".head")).to_contain_text("無効")
    walk.picture("lead")
    assert walk.complaints == []


def option_with(page, select, text):
    """The full label of the option that contains the text."""
    labels = page.locator(f"select[name={select}] option").all_inner_texts()
    return next(label for label in labels if text in label)


def switch_language(page, language):
    with page.expect_navigation():
        page.locator(f"button[value={language}]").first.dispatch_event("click")


PAGES = [
    "/", "/leads/", "/leads/1/", "/leads/1/edit/", "/leads/new/", "/leads/search/", "/leads/searches/", "/leads/imports/",
    "/leads/columns/", "/mail/wizard/", "/mail/jobs/", "/mail/jobs/2/", "/mail/deliveries/", "/mail/deliveries/1/",
    "/mail/templates/", "/mail/templates/1/", "/mail/templates/1/edit/", "/mail/mail-settings/", "/settings/system/",
    "/settings/users/", "/settings/audit/", "/profile/", "/inbox/", "/search/?q=佐藤",
    "/mail/jobs/6/", "/mail/jobs/2/retry-failed/", "/mail/jobs/2/resend-unknown/", "/mail/returned/", "/mail/returned/?kind=complaint",
    "/mail/deliveries/2/resend/", "/mail/sending-domains/", "/mail/sending-domains/1/", "/mail/sending-domains/2/",
    "/mail/sending-domains/new/", "/mail/speed/?domain=docomo.ne.jp", "/mail/speed/rules/google/", "/mail/speed/rules/add/",
    "/mail/speed/sources/2/",
    "/campaigns/", "/campaigns/new/", "/c/1/", "/c/1/campaigns/overview/", "/c/1/campaigns/settings/", "/c/1/campaigns/members/",
    "/c/1/campaigns/sessions/", "/c/1/campaigns/sessions/1/", "/c/1/campaigns/form/", "/c/1/campaigns/form/new/",
    "/c/1/campaigns/form/9/", "/c/1/campaigns/form/consent/", "/c/1/campaigns/form/preview/", "/c/1/campaigns/proxy/",
    "/c/1/campaigns/proxy/apply/", "/c/2/campaigns/applications/", "/c/1/campaigns/applications/1/",
    "/c/1/campaigns/applications/1/change/", "/c/1/campaigns/applications/1/cancel/", "/c/1/campaigns/applications/1/ticket/",
    "/c/3/campaigns/check-in/", "/c/1/campaigns/csv/", "/c/1/leads/", "/c/1/leads/search/", "/c/1/leads/searches/",
    "/c/1/mail/wizard/", "/c/1/mail/jobs/", "/c/1/mail/deliveries/", "/c/1/mail/templates/", "/c/1/mail/templates/of-all-campaigns/",
    "/c/1/mail/mail-settings/", "/c/1/mail/mail-settings/reminder/", "/c/1/mail/mail-settings/reminder/test/", "/leads/merge/",
    "/leads/merge/choose/?ids=1,2", "/settings/api-keys/", "/settings/api-keys/new/",
    "/e/dx-2026-winter/", "/e/dx-2026-winter/apply/", "/e/mail-marketing/", "/my/login/",
]  # fmt: skip


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_page_fits_a_phone(phone, language):
    """NAV-1, SYS-4: at 360 px nothing but wide tables scrolls sideways, in both languages, without a complaint."""
    phone.log_in()
    if language == "en":
        switch_language(phone.page, "en")
    try:
        for number, path in enumerate(PAGES):
            phone.go(path)
            expect(phone.page.locator("h1")).to_be_visible()
            phone.picture(f"phone-{language}-{number:02}")
    finally:
        if language == "en":  # the language stays with the user: put it back for the other tests
            phone.go("/")
            switch_language(phone.page, "ja")
    assert phone.complaints == []
