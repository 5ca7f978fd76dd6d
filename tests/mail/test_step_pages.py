"""The screens of step mails: setting up, the list, one step mail, and who may do what."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from leads.models import DmPermission
from mail import step_mail
from mail.models import Delivery, StepMail, StepWait
from mail.step_words import pattern_sentence, span_text
from mail.views import step_setup
from settings.models import AuditEntry, Role, SystemSetting
from tests.factories import make_application, make_campaign, make_lead, make_template, make_user
from tests.mail.step_scene import PAGE, active_step, apply, draft_step, look_at, make_search

pytestmark = pytest.mark.django_db

HOSTILE = '<script>alert(1)</script> "髙﨑𠮷①㈱😀'


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


@pytest.fixture
def campaign(misaki):
    return make_campaign("秋のセミナー")


def inside(campaign, name, *args):
    return (f"/c/{campaign.pk}" if campaign else "") + reverse(name, args=args)


def html_of(response) -> str:
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def settings_of(search=None, template=None, **values):
    """What the browser posts from 「送信設定」."""
    data = {
        "token": str(uuid.uuid4()), "name": "お申し込みから3日後", "search": search.pk if search else "",
        "template": template.pk if template else "", "dm_permissions": ["wanted"], "include_sent": "no", "count_clicks": "no",
    }  # fmt: skip
    return data | values


def timing_of(**values):
    return {"days": "3", "hours": "0", "minutes": "0"} | values


def start(client, campaign, step, **values):
    url = inside(campaign, "step_mail_confirm", step.pk)
    response = client.get(url)
    seen = response.context["seen"] if response.status_code == 200 else ""
    return client.post(url, {"seen": seen} | values)


# ---- setting up


def test_set_up_in_a_campaign_from_the_first_page_to_the_operation(client, campaign):
    """STEP-1, STEP-3: condition, template, then 「送信タイミング」; in a campaign the origin is an application."""
    search, template = make_search(campaign=campaign), make_template(campaign=campaign)
    new = inside(campaign, "step_mail_new")
    html = html_of(client.get(new))
    for words in (
        "送信設定",
        "送信対象者の検索条件",
        "テンプレート",
        "DM許可",
        "送信済の人も含めて送信する",
        "Emailクリックカウント",
        "次へ",
    ):
        assert words in html
    response = client.post(new, settings_of(search, template))
    step = StepMail.objects.get()
    assert response.url == inside(campaign, "step_mail_timing", step.pk)
    html = html_of(client.get(response.url))
    for words in (
        "ステップメール配信",
        "送信タイミング",
        "【待機して実行】起点から",
        "日",
        "時間",
        "分後に送信",
        "秋のセミナー",
    ):
        assert words in html
    response = client.post(response.url, timing_of(hours="2", minutes=""))
    assert response.url == inside(campaign, "step_mail_confirm", step.pk)
    step.refresh_from_db()
    assert (step.origin, step.wait_minutes, step.state) == ("application", (3 * 24 + 2) * 60, "draft")
    html = html_of(client.get(response.url))
    assert "この後、「秋のセミナー」に申込んだ方で、申込のときと送信時刻の両方で検索条件" in html
    assert "申込から3日 2時間後に" in html and template.name in html
    assert start(client, campaign, step).url == inside(campaign, "step_mail", step.pk)
    step.refresh_from_db()
    assert step.state == "active"
    assert AuditEntry.objects.filter(action="step_mail.start", detail__campaign=campaign.pk).count() == 1


def test_set_up_among_all_campaigns_asks_for_the_page(client, misaki):
    """STEP-3: in the all-campaign mode the origin is the view of a tracked page."""
    response = client.post(reverse("step_mail_new"), settings_of(make_search(), make_template()))
    html = html_of(client.get(response.url))
    assert "トラッキング対象ページの閲覧" in html and 'name="url_pattern"' in html
    refused = client.post(response.url, timing_of(url_pattern="*"))
    assert refused.status_code == 200 and "url_pattern" in refused.context["form"].errors
    client.post(response.url, timing_of(url_pattern="www.example.jp/seminar/*"))
    step = StepMail.objects.get()
    assert (step.origin, step.url_pattern) == ("page_view", "www.example.jp/seminar/*")
    html = html_of(client.get(reverse("step_mail_confirm", args=[step.pk])))
    assert "www.example.jp/seminar と、その下のすべてのページ" in html
    assert "リード(申込者)登録前の閲覧は起点になりません" in html


def test_step_4_is_said_on_the_confirmation(client, misaki):
    """STEP-4: the system setting decides about earlier views, and the page says which way."""
    SystemSetting.objects.create(key="step_mail_before_known", value=True)
    html = html_of(client.get(reverse("step_mail_confirm", args=[draft_step().pk])))
    assert "稼働開始より後のものは起点になります" in html


def test_only_shared_searches_of_the_mode_can_be_chosen(client, misaki, campaign):
    """STEP-2"""
    private = make_search(name="自分だけ", shared=False, owner=misaki)
    other = make_search(campaign=campaign, name="秋の条件")
    shared = make_search(name="全ユーザ用")
    form = client.get(reverse("step_mail_new")).context["form"]
    assert list(form.fields["search"].queryset) == [shared]
    for search in (private, other):
        response = client.post(reverse("step_mail_new"), settings_of(search, make_template()))
        assert "search" in response.context["form"].errors
    assert StepMail.objects.count() == 0


def test_without_a_shared_search_the_page_says_why_and_leads_on(client, misaki):
    """STEP-2"""
    make_search(name="自分だけ", shared=False, owner=misaki)
    html = html_of(client.get(reverse("step_mail_new")))
    assert "ステップメールで使用できる検索条件がありません" in html
    assert "検索条件を保存(全ユーザ使用可)" in html and "自分だけが使える検索条件(1件)は選べません" in html
    assert f'href="{reverse("compound_search")}"' in html
    assert f'href="{reverse("template_new")}"' in html  # no template either


def test_already_sent_is_explained(client, misaki):
    """STEP-5: what する and しない mean stands beside them."""
    html = html_of(client.get(reverse("step_mail_new")))
    assert "同じテンプレートが同じリードに二度届くことはありません" in html
    assert "起点の回数だけ送信します" in html


def test_unwanted_needs_a_business_notice_and_a_second_confirmation(client, campaign):
    """OPT-3, OPT-4"""
    search = make_search(campaign=campaign)
    make_application(campaign, make_lead("no@example.jp", dm_permission=DmPermission.UNWANTED))
    new = inside(campaign, "step_mail_new")
    both = {"dm_permissions": ["wanted", "unwanted"]}
    response = client.post(new, settings_of(search, make_template(campaign=campaign), **both))
    assert "特定電子メール法" in response.context["form"].errors["dm_permissions"][0]
    notice = make_template("会場変更のお知らせ", purpose="notice", campaign=campaign)
    client.post(new, settings_of(search, notice, **both))
    step = StepMail.objects.get()
    confirm = inside(campaign, "step_mail_confirm", step.pk)
    html = html_of(client.get(confirm))
    assert "現在一致する方のうち1名は、受け取りを希望していません" in html and "disabled" not in html
    refused = start(client, campaign, step)
    assert refused.status_code == 200
    step.refresh_from_db()
    assert step.state == "draft"
    start(client, campaign, step, unwanted_confirmed="yes")
    step.refresh_from_db()
    assert step.state == "active"


def test_a_problem_keeps_it_from_starting(client, campaign):
    step = draft_step(campaign)
    step.template.text_body = "{{ そんな項目 }}"
    step.template.save()
    html = html_of(client.get(inside(campaign, "step_mail_confirm", step.pk)))
    assert "要修正" in html and "disabled" in html
    assert start(client, campaign, step).status_code == 200
    step.refresh_from_db()
    assert step.state == "draft"


def test_posted_twice_and_by_two_it_is_made_and_started_once(client, campaign):
    """RSV-5, as for mailings: a double click, a reload and two administrators make one."""
    search, template = make_search(campaign=campaign), make_template(campaign=campaign)
    data = settings_of(search, template)
    new = inside(campaign, "step_mail_new")
    assert client.post(new, data).url == client.post(new, data).url
    step = StepMail.objects.get()
    url = inside(campaign, "step_mail_confirm", step.pk)
    seen = client.get(url).context["seen"]
    for _time in range(2):
        assert client.post(url, {"seen": seen}).url == inside(campaign, "step_mail", step.pk)
    assert client.get(url).status_code == 302
    assert AuditEntry.objects.filter(action="step_mail.start").count() == 1


def test_what_was_changed_meanwhile_is_not_started(client, campaign):
    step = draft_step(campaign)
    url = inside(campaign, "step_mail_confirm", step.pk)
    seen = client.get(url).context["seen"]
    step_mail.change_draft(step, wait_minutes=5)
    response = client.post(url, {"seen": seen})
    assert "別の画面またはほかの管理者によって変更されました" in html_of(response)
    step.refresh_from_db()
    assert step.state == "draft"


def test_who_applied_already_is_said_to_get_nothing(client, campaign):
    make_application(campaign)
    html = html_of(client.get(inside(campaign, "step_mail_confirm", draft_step(campaign).pk)))
    assert "すでに申込んでいる" in html and "1名</a>には送信されません" in html


@pytest.mark.parametrize(
    "values",
    [
        {"days": "-1"},
        {"hours": "24"},
        {"minutes": "60"},
        {"days": "367"},
        {"days": "abc"},
        {"days": "366", "hours": "1"},
    ],
)
def test_a_wrong_wait_is_named(client, campaign, values):
    """STEP-1"""
    step = draft_step(campaign)
    response = client.post(inside(campaign, "step_mail_timing", step.pk), timing_of(**values))
    assert response.status_code == 200 and response.context["form"].wrong_numbers()
    step.refresh_from_db()
    assert step.wait_minutes == 3 * 24 * 60


def test_with_counting_the_urls_are_asked_for(client, campaign):
    """TRK-1, TRK-2: 「クリックカウントURL指定」 stands between the two pages."""
    template = make_template(
        form="html", html_body='<a href="https://www.example.jp/a">A</a> {{ 配信停止URL }}', campaign=campaign
    )
    new = inside(campaign, "step_mail_new")
    response = client.post(new, settings_of(make_search(campaign=campaign), template, count_clicks="yes"))
    step = StepMail.objects.get()
    assert response.url == inside(campaign, "step_mail_clicks", step.pk)
    page = client.get(response.url)
    assert "クリックカウントURL指定" in html_of(page)
    form = page.context["form"]
    data = {"seen": form.seen, "count": [row.key for row in form.rows], "opens": "on"}
    data |= {f"name_{row.key}": "資料" for row in form.rows}
    assert (
        client.get(inside(campaign, "step_mail_confirm", step.pk)).url == response.url
    )  # first things first
    assert client.post(response.url, data).url == inside(campaign, "step_mail_timing", step.pk)
    step.refresh_from_db()
    assert step.counted_urls == [{"url": "https://www.example.jp/a", "name": "資料"}]
    assert step.count_clicks and step.count_opens
    assert "クリック(1 URL)・開封を計測します" in html_of(
        client.get(inside(campaign, "step_mail_confirm", step.pk))
    )


def test_drafts_of_others_are_not_opened(client, misaki):
    """As runs of the send wizard: one's own, and everybody's for privileged administrators."""
    natsuki, kenta = (make_user(name, role=Role.CAMPAIGN) for name in ("natsuki", "kenta"))
    campaign = make_campaign(members=[natsuki, kenta])
    draft = draft_step(campaign)
    StepMail.objects.filter(pk=draft.pk).update(created_by=kenta)
    page = inside(campaign, "step_mail_settings", draft.pk)
    for user, status in ((natsuki, 404), (kenta, 200), (misaki, 200)):
        client.force_login(user)
        assert client.get(page).status_code == status
        assert (draft.name in html_of(client.get(inside(campaign, "step_mails")))) == (status == 200)


def test_an_unfinished_one_is_listed_taken_up_and_thrown_away(client, misaki):
    step = draft_step()
    html = html_of(client.get(reverse("step_mails")))
    assert "設定中のステップメール" in html and reverse("step_mail_settings", args=[step.pk]) in html
    client.post(reverse("step_mail_discard", args=[step.pk]))
    assert StepMail.objects.count() == 0


def test_one_started_meanwhile_is_not_thrown_away(client, misaki, monkeypatch):
    """Another administrator puts it into operation while this one presses 「削除」 in the list of unfinished ones."""
    step = draft_step()
    shown = step_setup.setup_run

    def started_behind_it(request, step_id):
        found = shown(request, step_id)
        step_mail.start(StepMail.objects.get(pk=step_id), user=None, now=timezone.now())
        return found

    monkeypatch.setattr(step_setup, "setup_run", started_behind_it)
    answer = client.post(reverse("step_mail_discard", args=[step.pk]), follow=True)
    assert "すでに" in html_of(answer)
    assert StepMail.objects.get().state == "active"


def test_hostile_posts_change_nothing(client, misaki):
    for hostile in ("\0", "999999999999999999999999", "'; DROP TABLE", "-1", "１２"):
        data = settings_of() | {
            "search": hostile,
            "template": hostile,
            "token": hostile,
            "include_sent": hostile,
        }
        assert client.post(reverse("step_mail_new"), data).status_code == 200
        assert (
            client.get(reverse("step_mail_new"), {"search": hostile, "template": hostile}).status_code == 200
        )
        assert client.get(reverse("step_mail_pattern"), {"url_pattern": hostile}).status_code == 200
        assert client.get(
            reverse("step_mails"), {"q": hostile, "state": hostile, "sort": hostile, "page": hostile}
        ).status_code in {200, 422}
    assert StepMail.objects.count() == 0


def test_a_pattern_is_explained_while_it_is_typed(client, misaki):
    url = reverse("step_mail_pattern")
    assert "その下のすべてのページ" in html_of(client.get(url, {"url_pattern": "www.example.jp/a/*"}))
    assert "error" in html_of(client.get(url, {"url_pattern": "*"}))
    assert "<script>" not in html_of(client.get(url, {"url_pattern": "www.example.jp/<script>"}))


def test_pattern_sentences():
    """STEP-3: what a pattern means, with and without *, with a query, with a scheme."""
    assert (
        pattern_sentence("www.example.jp/a/*")
        == "www.example.jp/a と、その下のすべてのページ。 URLの ? より後ろは問いません。"
    )
    assert pattern_sentence("www.example.jp/a/").startswith("www.example.jp/a のページだけ。")
    assert "* をどんな文字に置き換えたページでも" in pattern_sentence("www.example.jp/a*b/*")
    said = pattern_sentence("https://www.example.jp/a?x=1")
    assert "x=1 のときに限ります" in said and "https:// で始まる場合に限ります" in said


def test_spans():
    assert [span_text(minutes) for minutes in (0, 90, 1440, 3 * 1440 + 61)] == [
        "0分",
        "1時間 30分",
        "1日",
        "3日 1時間 1分",
    ]


# ---- the list


def test_the_empty_list_says_what_is_needed_first(client, misaki):
    html = html_of(client.get(reverse("step_mails")))
    for words in ("ステップメールはまだありません", "検索条件を保存(全ユーザ使用可)", "新規登録"):
        assert words in html
    for name in ("template_new", "compound_search", "step_mail_new"):
        assert f'href="{reverse(name)}"' in html
    make_template()
    make_search()
    html = html_of(client.get(reverse("step_mails")))
    assert f'href="{reverse("searches")}"' in html and html.count("あり</span>") == 2


def decided(step, lead, state, **values):
    now = timezone.now()
    delivery = Delivery.objects.create(
        lead=lead, kind="step", step_mail_id=step.pk, campaign_id=step.campaign_id, template=step.template, state=state,
        decided_at=now, address=lead.email, **values,
    )  # fmt: skip
    StepWait.objects.filter(step_mail=step, lead=lead).update(
        state="decided", decided_at=now, delivery_id=delivery.pk
    )
    return delivery


@pytest.fixture
def busy(campaign):
    """One step mail with a waiting, a sent, an excluded and a stopped one."""
    step = active_step(campaign, name=HOSTILE)
    leads = [make_lead(f"busy{number}@example.jp", last_name=f"姓{number}") for number in range(4)]
    for lead in leads:
        apply(step, lead)
    step.sent = decided(step, leads[1], "sent", sent_at=timezone.now(), result_at=timezone.now())
    step.excluded = decided(step, leads[2], "excluded", reason="already_sent")
    StepWait.objects.filter(lead=leads[3]).update(
        state="stopped", reason="condition", decided_at=timezone.now()
    )
    step.leads = leads
    return step


def test_the_list_links_every_number_to_its_rows(client, campaign, busy):
    """TGT-12: waiting, sent, left out and why, ended and why."""
    html = html_of(client.get(inside(campaign, "step_mails")))
    assert "&lt;script&gt;alert(1)" in html and "<script>alert" not in html
    waits, mails = (
        inside(campaign, "step_mail_waits", busy.pk),
        f"{inside(campaign, 'deliveries')}?step={busy.pk}",
    )
    links = {
        f"{waits}?state=waiting": busy.leads[0],
        f"{mails}&amp;state=sent": busy.leads[1],
        f"{mails}&amp;state=excluded&amp;reason=already_sent": busy.leads[2],
        f"{waits}?state=stopped&amp;reason=condition": busy.leads[3],
    }
    for link, lead in links.items():
        assert f'href="{link}"' in html, link
        rows = html_of(client.get(link.replace("&amp;", "&")))
        assert [one for one in busy.leads if one.email in rows] == [lead]


def test_filter_sort_and_csv(client, campaign, busy):
    """CSV-3"""
    other = active_step(campaign, name="アンケート", wait_minutes=60)
    gone = active_step(campaign, name="古い案内")
    step_mail.delete(gone, user=None, now=timezone.now())
    url = inside(campaign, "step_mails")

    def listed(**asked):
        return [row["step"].pk for row in client.get(url, asked).context["rows"]]

    assert listed() == [other.pk, busy.pk]
    assert listed(state="deleted") == [gone.pk]
    assert listed(q="アンケート") == [other.pk]
    assert listed(q=str(busy.pk)) == [busy.pk]
    assert listed(sort="timing") == [other.pk, busy.pk] and listed(sort="-timing") == [busy.pk, other.pk]
    response = client.get(inside(campaign, "step_mails_export"), {"q": "script"})
    lines = b"".join(response.streaming_content).decode("utf-8-sig").splitlines()
    assert len(lines) == 2 and "送信タイミング" in lines[0]
    assert (
        "3日後" in lines[1]
        and "このテンプレートは送信済" in lines[1]
        and "検索条件に一致しない: 1" in lines[1]
    )
    assert AuditEntry.objects.filter(action="step_mail.export").count() == 1


def test_all_campaigns_see_every_step_mail_and_go_into_its_mode(client, campaign, busy):
    """APP-1: among all campaigns the campaign is named, and its pages are opened in its mode."""
    html = html_of(client.get(reverse("step_mails")))
    assert "秋のセミナー" in html and inside(campaign, "step_mail", busy.pk) in html
    response = client.get(reverse("step_mail", args=[busy.pk]))
    assert response.url == inside(campaign, "step_mail", busy.pk)
    for name in (
        "step_mail_stop",
        "step_mail_resume",
        "step_mail_delete",
        "step_mail_copy",
        "step_mail_settings",
    ):
        assert client.post(reverse(name, args=[busy.pk])).status_code == 404, name
    busy.refresh_from_db()
    assert busy.state == "active"


@pytest.mark.parametrize("name", ["step_mails", "home"])
def test_as_many_queries_for_three_as_for_one(client, campaign, busy, name):
    url = inside(campaign, name)
    client.get(url)

    def queries():
        with CaptureQueriesContext(
            connection,
        ) as found:
            client.get(url)
        return len(found)

    one = queries()
    for number in range(2):
        step = active_step(campaign, name=f"もう一つ{number}")
        apply(step, make_lead(f"more{number}@example.jp"))
    assert queries() == one


# ---- one step mail


def test_the_page_says_everything_about_it(client, campaign, busy):
    html = html_of(client.get(inside(campaign, "step_mail", busy.pk)))
    for words in (
        "稼働中",
        "待機中の方",
        "最近の判定",
        "送信時刻の前に停止した方",
        "送信タイミング",
        "起点から3日後",
        "このテンプレートは送信済",
    ):
        assert words in html, words
    for lead in busy.leads:
        assert lead.email in html
    for delivery in (busy.sent, busy.excluded):
        assert inside(campaign, "delivery", delivery.pk) in html
    application = StepWait.objects.get(lead=busy.leads[0]).application_id
    assert f'href="{inside(campaign, "application", application)}"' in html


def test_opens_and_clicks_are_loaded_where_they_are_counted(client, campaign, busy):
    """TRK-3: the page's part comes from tracking, and works as a link without JavaScript."""
    page, rates = inside(campaign, "step_mail", busy.pk), inside(campaign, "step_rates", busy.pk)
    assert rates not in html_of(client.get(page))
    StepMail.objects.filter(pk=busy.pk).update(count_clicks=True)
    html = html_of(client.get(page))
    assert f'hx-get="{rates}"' in html and f'href="{inside(campaign, "step_report", busy.pk)}"' in html
    part = html_of(client.get(rates))
    assert 'id="opens"' in part and "<html" not in part


def test_the_page_says_what_the_template_of_now_makes_of_the_choice(client, campaign, busy):
    """TRK-5: by URL; nothing is said where nothing is counted."""
    kept, gone, new = (f"https://www.example.jp/{name}" for name in ("kept", "gone", "new"))
    page = inside(campaign, "step_mail", busy.pk)
    assert 'id="counting"' not in html_of(client.get(page))
    type(busy.template).objects.filter(pk=busy.template_id).update(text_body=f"{new}\n{kept}\n")
    chosen = [{"url": url, "name": f"名{url[-4:]}"} for url in (kept, gone)]
    StepMail.objects.filter(pk=busy.pk).update(count_clicks=True, counted_urls=chosen)
    response = client.get(page)
    assert response.context["links"] == {"gone": [gone], "new": [new]}
    card = html_of(response).partition('id="counting"')[2].partition("</section>")[0]
    rows = {
        url: "テンプレートから無くなりました" in row
        for url in (kept, gone)
        for row in card.split("</tr>")
        if url in row
    }
    assert rows == {kept: False, gone: True}
    assert new in card.partition("計測しないURL")[2]


def test_trouble_is_shown_on_the_page_the_list_and_at_home(client, campaign, busy):
    StepMail.objects.filter(pk=busy.pk).update(trouble="テンプレートがアーカイブされています。")
    for name, args in (("step_mail", [busy.pk]), ("home", [])):
        assert "テンプレートがアーカイブされています。" in html_of(client.get(inside(campaign, name, *args)))
    assert "送信できません" in html_of(client.get(inside(campaign, "step_mails")))


def test_this_person(client, campaign, busy):
    """EXC-6: for each kind of outcome one sentence, by id or address."""
    url = inside(campaign, "step_mail", busy.pk)
    told = {
        0: "まで待機し", 1: "送られました", 2: "送られません", 3: "検索条件に一致していませんでした",
    }  # fmt: skip
    for number, words in told.items():
        for asked in (str(busy.leads[number].pk), busy.leads[number].email.upper()):
            answers = client.get(url, {"lead": asked}).context["answers"]
            assert [answer["lead"] for answer in answers] == [busy.leads[number]]
            assert words in answers[0]["explanations"][0].sentence, (number, asked)
    early = make_lead("early@example.jp")
    make_application(campaign, early, applied_at=timezone.now() - timedelta(days=30))
    assert "稼働中にこのリードの申込はありませんでした" in html_of(client.get(url, {"lead": early.email}))
    make_lead("stranger@example.jp")  # of no campaign: not known in here
    assert client.get(url, {"lead": "stranger@example.jp"}).context["answers"] == []
    assert client.get(url, {"lead": "\0' OR 1=1"}).status_code == 200


def test_this_person_of_a_page_view(client, misaki):
    """EXC-6, STEP-3"""
    step, lead, other = active_step(), make_lead(), make_lead("other@example.jp")
    look_at(lead, PAGE)
    url = reverse("step_mail", args=[step.pk])
    assert PAGE in html_of(client.get(url, {"lead": lead.pk}))
    assert "記録されていません" in html_of(client.get(url, {"lead": other.pk}))


def test_stop_resume_and_delete(client, campaign, busy):
    """STEP-6: 停止 and 再開 lose nothing; 削除 is asked on a page with the numbers, and audited."""
    page = inside(campaign, "step_mail", busy.pk)
    for name, state in (("step_mail_stop", "stopped"), ("step_mail_resume", "active")):
        assert client.get(inside(campaign, name, busy.pk)).status_code == 405
        assert client.post(inside(campaign, name, busy.pk)).url == page
        busy.refresh_from_db()
        assert busy.state == state
        assert busy.waits.filter(state="waiting").count() == 1
    delete = inside(campaign, "step_mail_delete", busy.pk)
    html = html_of(client.get(delete))
    assert "1件</a>には送信されません" in html and "送信済の1通は履歴に残ります" in html
    busy.refresh_from_db()
    assert busy.state == "active"
    client.post(delete)
    busy.refresh_from_db()
    assert busy.state == "deleted" and busy.waits.get(lead=busy.leads[0]).reason == "step_deleted"
    assert "削除済です" in html_of(client.get(page))
    assert client.get(delete).url == page
    actions = set(AuditEntry.objects.filter(target_id=str(busy.pk)).values_list("action", flat=True))
    assert {"step_mail.stop", "step_mail.go_on", "step_mail.delete"} <= actions
    assert "送信時刻の前にステップメールが削除されました" in html_of(
        client.get(page, {"lead": busy.leads[0].pk})
    )


def test_a_started_one_is_edited(client, campaign, busy):
    """What is changed holds for what is decided from then on; a new wait for new origins only."""
    due = busy.waits.get(lead=busy.leads[0]).due_at
    template = make_template("新しい案内", campaign=campaign)
    page = inside(campaign, "step_mail_settings", busy.pk)
    assert "すでに待機中の方も含みます" in html_of(client.get(page))
    client.post(page, settings_of(busy.search, template, name="新しい名前"))
    client.post(inside(campaign, "step_mail_timing", busy.pk), timing_of(days="1"))
    busy.refresh_from_db()
    assert (busy.name, busy.template, busy.wait_minutes, busy.state) == (
        "新しい名前",
        template,
        1440,
        "active",
    )
    assert busy.waits.get(lead=busy.leads[0]).due_at == due
    assert AuditEntry.objects.filter(action="step_mail.change").count() == 2


def test_a_change_that_could_not_be_started_is_refused(client, campaign, busy):
    before = busy.template_id
    template = make_template("壊れた案内", text_body="{{ そんな項目 }}", campaign=campaign)
    response = client.post(
        inside(campaign, "step_mail_settings", busy.pk), settings_of(busy.search, template)
    )
    assert response.context["form"].non_field_errors()
    busy.refresh_from_db()
    assert busy.template_id == before


def test_unwanted_of_a_started_one_is_confirmed_beside_it(client, campaign, busy):
    """OPT-4"""
    notice = make_template("会場変更のお知らせ", purpose="notice", campaign=campaign)
    page = inside(campaign, "step_mail_settings", busy.pk)
    both = settings_of(busy.search, notice, dm_permissions=["wanted", "unwanted"])
    assert "unwanted_confirmed" in client.post(page, both).context["form"].errors
    assert client.post(page, both | {"unwanted_confirmed": "on"}).status_code == 302
    busy.refresh_from_db()
    assert busy.unwanted_confirmed and set(busy.dm_permissions) == {"wanted", "unwanted"}


def test_copy_makes_a_draft_once(client, campaign, busy):
    response = client.post(inside(campaign, "step_mail_copy", busy.pk))
    copied = StepMail.objects.get(state="draft")
    assert response.url == inside(campaign, "step_mail_settings", copied.pk)
    assert (copied.template, copied.search, copied.wait_minutes) == (
        busy.template,
        busy.search,
        busy.wait_minutes,
    )
    assert copied.waits.count() == 0 and "コピー" in copied.name


def test_the_copy_of_a_deleted_one_leaves_open_what_is_gone(client, campaign, busy):
    step_mail.delete(busy, user=None, now=timezone.now())
    client.post(inside(campaign, "step_mail_copy", busy.pk))
    copied = StepMail.objects.get(state="draft")
    assert copied.search is None
    assert client.get(inside(campaign, "step_mail_confirm", copied.pk)).url.endswith("/settings/")


# ---- who may


def test_viewers_look_and_change_nothing(client, campaign, busy):
    """SYS-1"""
    client.force_login(make_user("yui", role=Role.VIEWER))
    for name, args in (("step_mails", []), ("step_mail", [busy.pk]), ("step_mail_waits", [busy.pk])):
        html = html_of(client.get(inside(campaign, name, *args)))
        assert (
            '<button class="btn danger' not in html
            and "新規登録" not in html
            and "コピー</button>" not in html
        )
    for name in (
        "step_mail_stop",
        "step_mail_delete",
        "step_mail_copy",
        "step_mail_settings",
        "step_mail_confirm",
    ):
        assert client.post(inside(campaign, name, busy.pk)).status_code == 403, name
    assert client.get(inside(campaign, "step_mail_new")).status_code == 403


def test_a_campaign_administrator_has_those_of_own_campaigns(client, campaign, busy):
    """SYS-1, APP-1"""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    own = make_campaign("担当のセミナー", members=[kenta])
    mine = active_step(own, name="担当のステップ")
    client.force_login(kenta)
    html = html_of(client.get(inside(own, "step_mails")))
    assert "担当のステップ" in html and "script" not in html.partition("<main")[2]
    assert client.get(inside(own, "step_mail", mine.pk)).status_code == 200
    assert client.get(inside(own, "step_mail", busy.pk)).status_code == 404
    assert client.get(inside(campaign, "step_mail", busy.pk)).status_code == 403
    assert client.get(reverse("step_mails")).status_code == 403


def test_looking_writes_nothing(client, campaign, busy):
    draft = draft_step(campaign)
    before = [
        list(model.objects.order_by("pk").values()) for model in (StepMail, StepWait, Delivery, AuditEntry)
    ]
    for name in (
        "step_mail",
        "step_mail_waits",
        "step_mail_delete",
        "step_mail_settings",
        "step_mail_timing",
        "step_mail_confirm",
    ):
        for step in (busy, draft):
            client.get(inside(campaign, name, step.pk))
    client.get(inside(campaign, "step_mails"))
    assert before == [
        list(model.objects.order_by("pk").values()) for model in (StepMail, StepWait, Delivery, AuditEntry)
    ]


def test_the_search_box_finds_step_mails(client, campaign):
    """NAV-3: by name, in its mode."""
    step = active_step(campaign, name="資料請求のフォロー")
    found = html_of(client.get(inside(campaign, "search_everything"), {"q": "資料請求のフォロー"}))
    assert inside(campaign, "step_mail", step.pk) in found
    assert inside(campaign, "step_mail", step.pk) in html_of(
        client.get(reverse("search_everything"), {"q": "資料請求の"})
    )


def test_home_shows_what_is_in_operation(client, campaign, busy):
    html = html_of(client.get(inside(campaign, "home")))
    assert "稼働中 1" in html and "待機中 1" in html
    step_mail.stop(busy, user=None, now=timezone.now())
    assert "稼働中 1" not in html_of(client.get(inside(campaign, "home")))


def test_english(client, campaign, busy):
    session = client.session
    session["language"] = "en"
    session.save()
    html = html_of(client.get(inside(campaign, "step_mail", busy.pk)))
    assert "Waiting people" in html and "3 days after the application" in html
    html = html_of(client.get(inside(campaign, "step_mail_timing", busy.pk)))
    assert "minutes after the origin" in html
