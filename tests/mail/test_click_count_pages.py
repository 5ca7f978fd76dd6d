"""TRK-1, TRK-2 「クリックカウントURL指定」 in the send wizard, and what pages say of it afterwards."""

from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from leads.models import SavedSearch
from leads.search import EVERYONE
from mail import send_jobs
from mail.click_count import save_counted_url
from mail.message import snapshot_content, store_snapshot, take_snapshot
from mail.models import CountedUrl, SendJob, SendJobLead
from tests.factories import make_campaign, make_delivery, make_job, make_lead, make_template, make_user
from tests.mail.test_wizard import page_one, start_run

pytestmark = pytest.mark.django_db

TEXT = "資料: https://www.example.jp/a\nお申込: https://www.example.jp/form?id={{ リードID }}\n停止: {{ 配信停止URL }}\n"
HTML = (
    '<p><a href="https://www.example.jp/a">資料をみる</a> <a href="https://www.example.jp/a">もう一度</a> '
    '<a href="mailto:info@example.jp">連絡</a> <a href="{{ 配信停止URL }}">停止</a></p>'
)
A, FORM = "https://www.example.jp/a", "https://www.example.jp/form?id={{ リードID }}"


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


@pytest.fixture
def template():
    return make_template(form="multipart", text_body=TEXT, html_body=HTML)


@pytest.fixture
def job(misaki, template):
    """A by-search draft that counts, on its page of links."""
    return make_job(template, count_clicks=True, created_by=misaki, search_name="全リード")


def page(client, job, prefix=""):
    return client.get(prefix + reverse("wizard_links", args=[job.pk]))


def posted(form, *, count=None, opens=False, **names):
    """What the browser posts of this form: `count` the URLs that are ticked (None: as the page shows them), `names` what
    is typed, by the number of the row."""
    data = {"seen": form.seen, "count": []} | ({"opens": "on"} if opens else {})
    for number, row in enumerate(form.rows):
        if row.found.url in count if count is not None else row.ticked:
            data["count"].append(row.key)
        data[row.name.html_name] = names.get(f"name{number}", row.name.value())
    return data


def choose(client, job, **values):
    response = client.post(
        reverse("wizard_links", args=[job.pk]), posted(page(client, job).context["form"], **values)
    )
    job.refresh_from_db()
    return response


def test_page_one_asks_whether_to_count(client, misaki):
    """TRK-1: 使用する or 使用しない, and not unless somebody says so."""
    html = client.get(reverse("wizard")).content.decode()
    assert "Emailクリックカウント" in html and "使用する" in html and "使用しない" in html
    assert html.count('name="count_clicks"') == 2
    assert start_run_without_search(client, misaki).count_clicks is False


def start_run_without_search(client, misaki, **values):
    search, _created = SavedSearch.objects.get_or_create(
        name="全リード", owner=misaki, defaults={"condition": EVERYONE}
    )
    values.setdefault("template", make_template())
    return start_run(client, search=search, **values)


def test_by_search_the_links_come_after_page_one(client, misaki, template):
    """TRK-1"""
    job = start_run_without_search(client, misaki, template=template, count_clicks="yes")
    assert job.count_clicks and job.counted_urls is None
    response = client.get(reverse("wizard_confirm", args=[job.pk]))
    assert response.url == reverse("wizard_links", args=[job.pk])
    steps = [step["label"] for step in page(client, job).context["steps"]]
    assert steps == ["条件とテンプレート", "クリックカウントURL指定", "確認", "完了"]


def test_by_user_the_people_are_checked_first(client, misaki, template):
    """TRK-1"""
    job = make_job(template, rule="by_user", condition=None, count_clicks=True, created_by=misaki)
    assert page(client, job).url == reverse("wizard_leads", args=[job.pk])
    lead = make_lead()
    response = client.post(
        reverse("wizard_leads", args=[job.pk]), {"shown": lead.pk, "lead": lead.pk, "go": "next"}
    )
    assert response.url == reverse("wizard_links", args=[job.pk])
    steps = [step["label"] for step in page(client, job).context["steps"]]
    assert steps.index("ユーザーの確認") < steps.index("クリックカウントURL指定") < steps.index("確認")


def test_without_click_count_there_is_no_such_page(client, misaki, template):
    job = make_job(template, created_by=misaki)
    assert page(client, job).url == reverse("wizard_confirm", args=[job.pk])
    assert client.get(reverse("wizard_confirm", args=[job.pk])).status_code == 200


def test_urls_of_both_parts_are_offered_and_all_are_ticked(client, job):
    """TRK-1: each URL once, with how often it stands in which part; what cannot be counted says why."""
    response = page(client, job)
    form = response.context["form"]
    assert [(row.found.url, row.found.text_count, row.found.html_count, row.ticked) for row in form.rows] == [
        (A, 1, 2, True),
        (FORM, 1, 0, True),
    ]
    assert all(found.why_not for found in form.not_countable) and form.not_countable
    html = response.content.decode()
    for found in form.not_countable:
        assert escape(found.why_not) in html
    assert "テキスト 1か所" in html and "HTML 2か所" in html


def test_names_come_from_the_register_then_the_mail_then_the_url(client, job, template, misaki):
    """TRK-1: the register of the mode, what the mail calls the link, else the URL itself."""
    bare = "https://www.example.jp/z"
    template.text_body = f"{TEXT}\n\n{bare}\n"
    template.save()
    assert [row.name.value() for row in page(client, job).context["form"].rows] == [
        "資料をみる",
        "お申込",
        bare,
    ]
    save_counted_url(None, campaign_id=None, url=A, name="会社案内", memo="", user=misaki)
    other = make_campaign()
    save_counted_url(None, campaign_id=other.pk, url=bare, name="よその名前", memo="", user=misaki)
    assert [row.name.value() for row in page(client, job).context["form"].rows] == [
        "会社案内",
        "お申込",
        bare,
    ]


def test_what_is_ticked_is_kept_with_its_name(client, job):
    """TRK-1, TRK-2"""
    response = choose(client, job, count=[FORM], opens=True, name1="お申込\tフォーム 髙﨑𠮷😀")
    assert response.url == reverse("wizard_confirm", args=[job.pk])
    assert job.counted_urls == [{"url": FORM, "name": "お申込 フォーム 髙﨑𠮷😀"}]
    assert job.count_opens is True
    form = page(client, job).context["form"]
    assert [row.ticked for row in form.rows] == [False, True]
    assert form["opens"].value() is True
    confirmation = client.get(reverse("wizard_confirm", args=[job.pk])).content.decode()
    assert "クリック 1 URL" in confirmation and "開封率を取得する" in confirmation
    assert reverse("wizard_links", args=[job.pk]) in confirmation


def test_a_ticked_url_needs_a_name(client, job):
    response = choose(client, job, name0="  ")
    assert response.status_code == 200 and job.counted_urls is None
    assert "このURLの名前を入力してください。" in response.content.decode()
    # An unticked one does not.
    assert choose(client, job, count=[FORM], name0="").status_code == 302


@pytest.mark.parametrize("name", ["x" * 201, "a\0b"])
def test_hostile_names_are_refused_beside_the_field(client, job, name):
    response = choose(client, job, name0=name)
    assert response.status_code == 200 and job.counted_urls is None
    assert response.context["form"].rows[0].name.errors


def test_names_are_shown_as_text(client, job):
    choose(client, job, name0="<script>alert(1)</script>")
    html = client.get(reverse("wizard_confirm", args=[job.pk])).content.decode()
    assert "<script>alert" not in html and "&lt;script&gt;alert" in html


def test_a_text_template_has_no_opens(client, misaki):
    """TRK-2: the box cannot be ticked, the page says why, and a hand-made form does not tick it either."""
    job = make_job(make_template(form="text", text_body=TEXT), count_clicks=True, created_by=misaki)
    response = page(client, job)
    assert response.context["form"].fields["opens"].disabled
    assert "テキスト形式のテンプレートでは開封率を取得できません" in response.content.decode()
    choose(client, job, opens=True)
    assert (job.count_opens, len(job.counted_urls)) == (False, 2)


def test_multipart_says_that_the_rate_is_too_low(client, job, template):
    """TRK-2, TRK-3"""
    note = "テキスト形式で受信した宛先が分母に含まれるため"
    assert note in page(client, job).content.decode()
    type(template).objects.filter(pk=template.pk).update(form="html")
    assert note not in page(client, job).content.decode()


def test_a_mail_without_urls_says_so(client, misaki):
    """TRK-1: and the wizard goes on."""
    template = make_template(form="html", html_body="<p>こんにちは</p>", purpose="notice")
    job = make_job(template, count_clicks=True, created_by=misaki)
    assert "URLがない" in page(client, job).content.decode()
    assert choose(client, job).url == reverse("wizard_confirm", args=[job.pk])
    assert (job.counted_urls, job.count_opens) == ([], False)
    assert "計測対象がありません" in client.get(reverse("wizard_confirm", args=[job.pk])).content.decode()


def test_a_template_changed_under_the_page_is_shown_anew(client, job, template):
    """TRK-5: a tick is never taken for another URL."""
    data = posted(page(client, job).context["form"], count=[FORM])
    template.text_body = TEXT.replace("/form?id", "/other?id")
    template.save()
    response = client.post(reverse("wizard_links", args=[job.pk]), data)
    job.refresh_from_db()
    assert response.status_code == 200 and job.counted_urls is None
    assert "テンプレートのURLが変わりました" in response.content.decode()
    form = response.context["form"]
    other = FORM.replace("/form", "/other")
    assert [(row.found.url, row.ticked) for row in form.rows] == [(A, False), (other, True)]
    assert client.post(reverse("wizard_links", args=[job.pk]), posted(form)).status_code == 302
    job.refresh_from_db()
    assert [item["url"] for item in job.counted_urls] == [other]


def test_a_url_that_came_since_the_choice_is_ticked(client, job, template):
    """TRK-1: as at first; what somebody unticked stays so."""
    choose(client, job, count=[FORM])
    template.text_body = TEXT + "https://www.example.jp/new\n"
    template.save()
    job.refresh_from_db()
    rows = page(client, job).context["form"].rows
    assert {row.found.url: row.ticked for row in rows} == {
        A: False, FORM: True, "https://www.example.jp/new": True,
    }  # fmt: skip


def test_another_template_leads_through_the_page_again(client, misaki, template):
    """TRK-1: with other URLs nothing is chosen any more; with 使用しない the page is not shown."""
    job = start_run_without_search(client, misaki, template=template, count_clicks="yes")
    choose(client, job)
    assert client.get(reverse("wizard_confirm", args=[job.pk])).status_code == 200
    other = make_template("別のご案内", text_body="https://www.example.jp/b\n{{ 配信停止URL }}")
    data = page_one(job.search, other, token=str(job.token), count_clicks="yes")
    client.post(reverse("wizard_condition", args=[job.pk]), data)
    assert client.get(reverse("wizard_confirm", args=[job.pk])).url == reverse("wizard_links", args=[job.pk])
    choose(client, job)
    client.post(reverse("wizard_condition", args=[job.pk]), data | {"count_clicks": "no"})
    assert page(client, job).url == reverse("wizard_confirm", args=[job.pk])


def test_a_change_after_the_confirmation_page_is_noticed(client, job):
    """RSV-5: what is confirmed is what was shown."""
    choose(client, job)
    seen = send_jobs.fingerprint(job)
    choose(client, job, count=[A])
    assert send_jobs.fingerprint(job) != seen


def test_a_confirmed_run_cannot_be_changed(client, job):
    form = page(client, job).context["form"]
    SendJob.objects.filter(pk=job.pk).update(state="preparing")
    response = client.post(reverse("wizard_links", args=[job.pk]), posted(form))
    assert response.url == reverse("wizard_done", args=[job.pk])
    job.refresh_from_db()
    assert job.counted_urls is None


def test_done_page_says_what_is_counted(client, job):
    choose(client, job)
    SendJob.objects.filter(pk=job.pk).update(
        state="reserved", scheduled_at=timezone.now() + timedelta(days=1), reserved_at=timezone.now()
    )
    html = client.get(reverse("wizard_done", args=[job.pk])).content.decode()
    assert "Emailクリックカウント" in html and "クリック 2 URL" in html


def test_as_many_queries_for_one_url_as_for_three(client, misaki):
    def asked(urls):
        body = "".join(f"https://www.example.jp/{number}\n" for number in range(urls)) + "{{ 配信停止URL }}"
        job = make_job(make_template(f"{urls}", text_body=body), count_clicks=True, created_by=misaki)
        page(client, job)
        with CaptureQueriesContext(connection) as queries:
            response = page(client, job)
        assert len(response.context["form"].rows) == urls
        return len(queries)

    assert asked(1) == asked(3)


def test_more_urls_than_a_form_holds_are_said_to_be_too_many(client, misaki):
    body = "".join(f"https://www.example.jp/{number}\n" for number in range(302)) + "{{ 配信停止URL }}"
    job = make_job(make_template(text_body=body), count_clicks=True, created_by=misaki)
    response = page(client, job)
    assert len(response.context["form"].rows) == 300
    assert "残りの2件は計測しません" in response.content.decode()
    assert choose(client, job).status_code == 302
    assert len(job.counted_urls) == 300


# ---- the job's page


def reserved(template, **values):
    counted = [{"url": A, "name": "資料"}, {"url": FORM, "name": "お申込"}]
    return make_job(
        template, state="reserved", scheduled_at=timezone.now() + timedelta(days=1), count_clicks=True,
        count_opens=True, counted_urls=counted, reserved_at=timezone.now(), **values,
    )  # fmt: skip


def test_the_job_page_says_what_is_counted(client, misaki, template):
    """TRK-1"""
    job = reserved(template)
    html = client.get(reverse("job", args=[job.pk])).content.decode()
    assert "クリック 2 URL" in html and "開封率を取得する" in html and "資料" in html and A in html
    assert 'id="links_changed"' not in html
    assert (
        'id="counting"'
        not in client.get(reverse("job", args=[make_job(template, state="done").pk])).content.decode()
    )


def test_before_the_start_the_job_page_compares_with_the_template_of_now(client, misaki, template):
    """TRK-5"""
    job = reserved(template)
    template.text_body = TEXT.replace("/form?", "/new?")
    template.save()
    response = client.get(reverse("job", args=[job.pk]))
    assert response.context["links_changed"] == {"gone": [FORM], "new": [FORM.replace("/form", "/new")]}
    html = response.content.decode()
    assert "予約後にテンプレートのURLが変わりました" in html and "誤って置き換わることはありません" in html
    assert "予約を削除してから再度予約してください" in html


def test_after_the_start_the_job_page_says_what_had_changed(client, misaki, template):
    """TRK-5: as it was at the start, whatever the template says today."""
    job = reserved(template)
    SendJob.objects.filter(pk=job.pk).update(
        state="done", started_at=timezone.now(), snapshot=take_snapshot(template),
        links_changed={"gone": [FORM], "new": []},
    )  # fmt: skip
    template.text_body = "{{ 配信停止URL }}"
    template.save()
    response = client.get(reverse("job", args=[job.pk]))
    assert response.context["links_changed"] == {"gone": [FORM], "new": []}
    html = response.content.decode()
    assert "テンプレートから無くなりました" in html and "予約を削除してから" not in html


def test_a_changed_order_is_no_change(client, misaki, template):
    """TRK-5: links are matched by URL."""
    job = reserved(template)
    template.text_body = "\n".join(reversed(TEXT.strip().split("\n"))) + "\n"
    template.save()
    assert client.get(reverse("job", args=[job.pk])).context["links_changed"] is None


def test_editing_a_reserved_template_warns(client, misaki, template):
    """TRK-5: SMP's advice, where the template is edited."""
    advice = "クリックカウントを使用する予約があります"
    edit, shown = reverse("template_edit", args=[template.pk]), reverse("template", args=[template.pk])
    make_job(template, state="reserved", scheduled_at=timezone.now() + timedelta(days=1))
    assert advice not in client.get(edit).content.decode()
    reserved(template)
    assert advice in client.get(edit).content.decode()
    assert advice in client.get(shown).content.decode()


def test_in_english(client, job, template):
    """Both languages."""
    session = client.session
    session["language"] = "en"
    session.save()
    assert "Clicks on ticked URLs are counted" in page(client, job).content.decode()
    choose(client, job)
    assert "Clicks on 2 URLs" in client.get(reverse("wizard_confirm", args=[job.pk])).content.decode()
    assert "Clicks on 2 URLs" in client.get(reverse("job", args=[reserved(template).pk])).content.decode()


def test_inside_a_campaign(client, misaki):
    """APP-1: the page works in its mode, with the campaign's own register."""
    campaign = make_campaign()
    template = make_template("案内", form="multipart", text_body=TEXT, html_body=HTML, campaign=campaign)
    save_counted_url(None, campaign_id=None, url=A, name="全体の名前", memo="", user=misaki)
    save_counted_url(None, campaign_id=campaign.pk, url=FORM, name="担当の名前", memo="", user=misaki)
    job = make_job(template, campaign=campaign, count_clicks=True, created_by=misaki)
    form = page(client, job, f"/c/{campaign.pk}").context["form"]
    assert [row.name.value() for row in form.rows] == ["資料をみる", "担当の名前"]
    assert page(client, job).status_code == 404
    assert CountedUrl.objects.count() == 2 and SendJobLead.objects.count() == 0


# ---- the history


LINKS = {"text_body": f"{A}\n{FORM}\n{{{{ 配信停止URL }}}}\n", "html_body": f'<p><a href="{A}">資料</a></p>'}


@pytest.fixture
def sent(misaki):
    """A mail that counts two links and its opens, handed over."""
    template = make_template(form="multipart", **LINKS)
    urls = [
        save_counted_url(None, campaign_id=None, url=url, name=name, memo="", user=misaki)
        for url, name in ((A, "資料"), (FORM, "お申込"))
    ]
    content = snapshot_content(template) | {"counted": {one.url: one.pk for one in urls}, "opens": True}
    return make_delivery(
        make_lead(), job=make_job(template, state="done"), state="sent", sent_at=timezone.now(), snapshot=store_snapshot(content),
        merge_values={"リードID": "12&x=1", "配信停止URL": "https://smp.example.jp/u/x"}, subject="件名",
    )  # fmt: skip


def test_a_mails_page_shows_its_counted_links(client, sent):
    """TRK-1, TRK-6: where each leads, and as it stands in the mail."""
    response = client.get(reverse("delivery", args=[sent.pk]))
    links = response.context["links"]
    data = client.get(reverse("delivery_source", args=[sent.pk])).content
    text = next(
        part.get_content() for part in message_from_bytes(data, policy=policy.default).walk()
        if part.get_content_type() == "text/plain"
    )  # fmt: skip
    assert [(link.name, link.target) for link in links] == [
        ("資料", A),
        ("お申込", "https://www.example.jp/form?id=12%26x%3D1"),
    ]
    assert all(link.link in text for link in links)
    html = response.content.decode()
    assert "お申込" in html and escape(links[1].target) in html
    for link in links:  # as words, so that nobody counts by a slip
        assert link.link in html and f'href="{link.link}"' not in html


def test_looking_at_a_sent_mail_counts_nothing(client, sent):
    """TRK-4: neither the page nor the frame has our picture or our links, nothing is loaded, and links are dead."""
    page = client.get(reverse("delivery", args=[sent.pk]))
    part = client.get(reverse("delivery_html", args=[sent.pk]))
    framed = part.content.decode()
    source = client.get(reverse("delivery_source", args=[sent.pk])).content
    assert b"/o/" in source  # the mail itself has the picture, so that the absence below says something
    assert "/o/" not in framed and "/l/" not in framed and f'<a href="{A}">' in framed
    assert framed.endswith('<base target="_blank">')
    assert "img-src data:;" in part["Content-Security-Policy"] and part["Content-Security-Policy"].startswith(
        "sandbox;"
    )
    shown = page.context["sent"].mail
    assert "/l/" not in shown.text and "/l/" not in shown.html and A in shown.text
    assert '<iframe class="mail" sandbox=""' in page.content.decode()


def test_a_mail_sent_again_by_hand_has_plain_links(client, sent):
    """RES-1, TRK-1: or its clicks would count for the first mail."""
    response = client.get(reverse("single_mail", args=[sent.pk]))
    form = response.context["form"]
    assert "/l/" not in form["text_body"].value() and A in form["text_body"].value()
    assert "/o/" not in form["html_body"].value() and f'href="{A}"' in form["html_body"].value()


def test_a_mail_that_counts_nothing_says_nothing_of_it(client, misaki):
    plain = make_delivery(
        make_lead(), state="sent", sent_at=timezone.now(), snapshot=take_snapshot(make_template()),
        merge_values={"配信停止URL": "https://smp.example.jp/u/x"},
    )  # fmt: skip
    response = client.get(reverse("delivery", args=[plain.pk]))
    assert response.context["links"] == [] and 'id="links"' not in response.content.decode()
