"""「クリックカウントURL一覧」: search, register, edit, archive, CSV, and the mailings that count a URL (TRK-1, TRK-6)."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mail.click_count import save_counted_url
from mail.models import CountedUrl
from settings.models import AuditEntry
from tests.factories import make_campaign, make_job, make_template, make_user

pytestmark = pytest.mark.django_db
A = "https://www.example.jp/a"


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


def register(url=A, name="資料", *, campaign=None, user=None, memo=""):
    return save_counted_url(
        None, campaign_id=campaign and campaign.pk, url=url, name=name, memo=memo, user=user
    )


def counting_job(template, *urls, **values):
    values = {
        "state": "done",
        "count_clicks": True,
        "counted_urls": [{"url": url, "name": url} for url in urls],
    } | values
    return make_job(template, **values)


def names(client, **query):
    return [one.name for one, _jobs in client.get(reverse("counted_urls"), query).context["rows"]]


def test_an_empty_list_says_what_to_do(client, misaki):
    html = client.get(reverse("counted_urls")).content.decode()
    assert "URLはまだありません" in html and reverse("counted_url_new") in html and "送信ウィザード" in html


def test_search_by_target_url_and_name(client, misaki):
    """As SMP does: a part of it, capital and small letters told apart."""
    register(A, "会社案内Guide")
    register("https://www.example.jp/Form?a=1%_", "お申込")
    assert names(client) == ["お申込", "会社案内Guide"]
    assert names(client, url="/Form") == ["お申込"] and names(client, url="/form") == []
    assert names(client, name="Guide") == ["会社案内Guide"] and names(client, name="guide") == []
    assert names(client, url="1%_") == ["お申込"] and names(client, url="a_") == []
    assert names(client, url="example", name="申") == ["お申込"]
    assert names(client, sort="name") == sorted(["お申込", "会社案内Guide"])
    assert (
        "該当するURLはありません" in client.get(reverse("counted_urls"), {"url": "nothing"}).content.decode()
    )


@pytest.mark.parametrize(
    "query", [{"url": "a\0b"}, {"name": "x" * 3000}, {"sort": "-url"}, {"page": "x"}, {"archived": "?"}]
)
def test_hostile_search_is_answered(client, misaki, query):
    register()
    assert client.get(reverse("counted_urls"), query).status_code == 200
    assert client.get(reverse("counted_urls_export"), query).status_code == 200


def test_mailings_that_count_it_are_a_number_that_leads_to_them(client, misaki):
    """Only those that really do: not a draft, not a deleted reservation, not where it was gone at the start (TRK-5)."""
    one, template = register(), make_template()
    register("https://www.example.jp/b", "未使用")
    sent = counting_job(template, A, "https://www.example.jp/c")
    soon = counting_job(template, A, state="reserved", scheduled_at=timezone.now() + timedelta(days=1))
    counting_job(template, "https://www.example.jp/c")
    counting_job(template, A, state="draft")
    counting_job(template, A, state="deleted")
    counting_job(template, A, links_changed={"gone": [A], "new": []})
    counting_job(template, A, links_changed={"gone": [], "new": ["x"]}, count_clicks=False)
    counting_job(make_template("別", campaign=(campaign := make_campaign())), A, campaign=campaign)
    html = client.get(reverse("counted_urls")).content.decode()
    link = f"{reverse('jobs')}?counts={one.pk}"
    assert f'<a href="{link}">2</a>' in html
    response = client.get(link)
    assert [row["job"].pk for row in response.context["rows"]] == [soon.pk, sent.pk]
    assert "「資料」のクリックを計測した送信です。" in response.content.decode()
    assert client.get(reverse("jobs"), {"counts": 10**9}).context["rows"] == []
    assert client.get(reverse("jobs"), {"counts": "x"}).status_code == 200


def test_register(client, misaki):
    """ターゲットURL and URL名 are needed, メモ is not."""
    url = reverse("counted_url_new")
    response = client.post(url, {"url": "", "name": "", "memo": ""})
    assert set(response.context["form"].errors) == {"url", "name"}
    fields = {
        "url": " https://www.example.jp/form?id={{ リードID }} ",
        "name": "お申込\r\n 髙﨑😀",
        "memo": "<b>広報</b>",
    }
    assert client.post(url, fields).url == reverse("counted_urls")
    one = CountedUrl.objects.get()
    assert (one.url, one.name, one.memo, one.created_by, one.campaign_id) == (
        "https://www.example.jp/form?id={{ リードID }}", "お申込 髙﨑😀", "<b>広報</b>", misaki, None,
    )  # fmt: skip
    html = client.get(reverse("counted_urls")).content.decode()
    assert "<b>広報" not in html and "&lt;b&gt;広報" in html
    assert AuditEntry.objects.filter(target_id=str(one.pk), action__startswith="counted_url.").exists()


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ftp://example.jp/", "{{ 配信停止URL }}", "https://{{ 会社名 }}/", "www.example.jp", "a\0b",
            "https://www.example.jp/\n/", "https://" + "a" * 9000],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused(client, misaki, url):
    """TRK-6"""
    response = client.post(reverse("counted_url_new"), {"url": url, "name": "x"})
    assert response.status_code == 200 and response.context["form"].errors["url"]
    assert CountedUrl.objects.count() == 0


def test_a_url_is_registered_once(client, misaki):
    """The page leads to the one that stands there, archived or not."""
    one = register()
    response = client.post(reverse("counted_url_new"), {"url": A, "name": "もう一つ"})
    html = response.content.decode()
    assert "このURLは登録済みです。" in html and reverse("counted_url_edit", args=[one.pk]) in html
    client.post(reverse("counted_url_archive", args=[one.pk]))
    response = client.post(reverse("counted_url_new"), {"url": A, "name": "もう一つ"})
    assert "アーカイブされています" in response.content.decode()
    assert CountedUrl.objects.get().name == "資料"


def test_edit_changes_name_and_memo_never_the_url(client, misaki):
    """TRK-6: links in mails already sent lead to it."""
    one = register()
    url = reverse("counted_url_edit", args=[one.pk])
    html = client.get(url).content.decode()
    assert "ターゲットURLは変更できません" in html
    assert f"{reverse('counted_url_new')}?from={one.pk}" in html
    client.post(url, {"url": "https://evil.example/", "name": "資料請求", "memo": "秋"})
    one.refresh_from_db()
    assert (one.url, one.name, one.memo) == (A, "資料請求", "秋")
    filled = client.get(reverse("counted_url_new"), {"from": one.pk}).context["form"]
    assert (filled["url"].value(), filled["name"].value(), filled["memo"].value()) == (A, "資料請求", "秋")


def test_archived_ones_leave_the_list_and_come_back(client, misaki):
    one = register()
    assert client.get(reverse("counted_url_archive", args=[one.pk])).status_code == 405
    client.post(reverse("counted_url_archive", args=[one.pk]))
    assert names(client) == [] and names(client, archived="on") == ["資料"]
    client.post(reverse("counted_url_restore", args=[one.pk]))
    assert names(client) == ["資料"] and names(client, archived="on") == []


def test_csv_is_the_list_as_filtered(client, misaki):
    """CSV-3"""
    register(A, "=資料", memo="m", user=misaki)
    register("https://www.example.jp/b", "別")
    counting_job(make_template(), A)
    response = client.get(reverse("counted_urls_export"), {"url": "/a"})
    lines = b"".join(response.streaming_content).decode("utf-8-sig").splitlines()
    assert "ターゲットURL" in lines[0] and "URL名" in lines[0]
    assert len(lines) == 2 and A in lines[1] and "別" not in lines[1]
    assert AuditEntry.objects.filter(action="counted_url.export").count() == 1


def test_as_many_queries_for_one_as_for_three(client, misaki):
    template = make_template()

    def asked():
        client.get(reverse("counted_urls"))
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("counted_urls"))
        return len(queries)

    register(user=misaki)
    counting_job(template, A)
    one = asked()
    for number in range(2):
        register(f"https://www.example.jp/{number}", f"{number}", user=misaki)
        counting_job(template, f"https://www.example.jp/{number}")
    assert asked() == one


def test_a_viewer_looks_only(client):
    """SYS-1"""
    register()
    client.force_login(make_user("yui", role="viewer"))
    html = client.get(reverse("counted_urls")).content.decode()
    assert "資料" in html and reverse("counted_url_new") not in html
    assert client.get(reverse("counted_url_new")).status_code == 403


def test_each_mode_has_its_own(client, misaki):
    """APP-1: the same URL once in each."""
    campaign = make_campaign()
    register(A, "全体")
    inside = f"/c/{campaign.pk}"
    assert client.post(f"{inside}{reverse('counted_url_new')}", {"url": A, "name": "担当"}).status_code == 302
    assert names(client) == ["全体"]
    rows = client.get(inside + reverse("counted_urls")).context["rows"]
    assert [(one.name, one.campaign_id) for one, _jobs in rows] == [("担当", campaign.pk)]
    client.get(inside + reverse("counted_urls_export"))
    assert AuditEntry.objects.get(action="counted_url.export").detail["campaign"] == campaign.pk


def test_the_search_box_knows_the_page(client, misaki):
    """NAV-3"""
    assert (
        reverse("counted_urls")
        in client.get(reverse("search_everything"), {"q": "クリックカウント"}).content.decode()
    )
