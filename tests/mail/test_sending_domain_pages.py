"""RATE-4, RATE-5, LAW-3: 設定 › 送信ドメイン."""

import pytest
from django.utils import timezone

from mail import sending_domains as rules
from mail.models import DkimKey, SendingDomain
from settings.models import Role, SourceIp
from tests.factories import make_campaign, make_template, make_user
from tests.mail.domains import BOUNCE, DOMAIN, make_domain, publish

LIST = "/mail/sending-domains/"


@pytest.fixture
def misaki(client, db):
    user = make_user()
    client.force_login(user)
    return user


def page(client, domain):
    return client.get(f"{LIST}{domain.pk}/").content.decode()


def test_empty_list_says_what_to_do(client, misaki):
    html = client.get(LIST).content.decode()
    assert "送信ドメインがまだありません" in html
    assert f'href="{LIST}new/"' in html


def test_register_publish_check_sign(client, misaki, dns):
    """RATE-4: from nothing to signed mail, and each page says the next step."""
    response = client.post(f"{LIST}new/", {"name": DOMAIN})
    domain = SendingDomain.objects.get()
    key = DkimKey.objects.get()
    assert response["Location"] == f"{LIST}{domain.pk}/"
    html = page(client, domain)
    assert f"{key.selector}._domainkey.{DOMAIN}" in html
    assert f"v=DKIM1; k=rsa; p={key.public_key}" in html
    assert "のレコードを公開してから、「今すぐ確認」を押してください" in html

    activate = f"{LIST}{domain.pk}/keys/{key.pk}/activate/"
    asked = client.post(activate).content.decode()
    assert "まだ開始できません" in asked
    assert DkimKey.objects.get().state == "waiting"

    publish(dns, key)
    client.post(f"{LIST}{domain.pk}/check/")
    assert f"鍵 {key.selector} のレコードが公開されました" in page(client, domain)
    client.post(activate)
    assert DkimKey.objects.get().state == "active"
    html = page(client, domain)
    assert "このドメインはすべて整っています" in html
    assert rules.signer_for(f"info@{DOMAIN}") is not None


def test_signing_before_publishing_needs_a_confirmation(client, misaki, dns):
    domain = make_domain()
    key = domain.keys.get()
    client.post(f"{LIST}{domain.pk}/keys/{key.pk}/activate/", {"confirmed": "1"})
    assert DkimKey.objects.get().state == "active"
    assert "受信側で署名が不正と判断されます" in page(client, domain)


def test_wrong_names_are_refused_beside_the_field(client, misaki):
    html = client.post(f"{LIST}new/", {"name": "co.jp"}).content.decode()
    assert "多くの組織が共有するドメイン" in html
    assert not SendingDomain.objects.exists()


def test_list_shows_states_with_the_same_number_of_queries(
    client, misaki, dns, django_assert_max_num_queries
):
    rules.check_now(make_domain(dns=dns), now=timezone.now())
    client.get(LIST)
    with django_assert_max_num_queries(30) as one:
        html = client.get(LIST).content.decode()
    assert html.count("正常") >= 4
    for name in ("a.example.com", "b.example.com"):
        make_domain(name)
    with django_assert_max_num_queries(len(one)):
        assert client.get(LIST).content.decode().count("/mail/sending-domains/") >= 3


def test_values_of_hostile_dns_are_escaped(client, misaki, dns):
    domain = make_domain()
    dns.set(f"_dmarc.{DOMAIN}", {"TXT": ["v=DMARC1; p=<script>alert(1)</script>"]})
    rules.check_now(domain, now=timezone.now())
    html = page(client, domain)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_long_value_is_given_whole_and_split(client, misaki):
    domain = make_domain()
    key = domain.keys.get()
    value = rules.record_of(key)
    html = page(client, domain)
    assert f'data-copy="{value}"' in html
    assert f"&quot;{value[:255]}&quot; &quot;{value[255:]}&quot;" in html


def test_no_page_shows_a_private_key(client, misaki, dns):
    """RATE-4"""
    domain = make_domain(dns=dns)
    key = domain.keys.get()
    stored = bytes(key.private_key).decode()
    for url in (LIST, f"{LIST}{domain.pk}/", "/settings/audit/", "/settings/audit/csv/"):
        body = b"".join(client.get(url)).decode()
        assert "PRIVATE" not in body
        assert stored[:40] not in body


def test_pools_are_chosen_from_those_there_are(client, misaki):
    """RATE-3"""
    SourceIp.objects.create(address="127.0.0.1", pool="広告用")
    domain = make_domain()
    url = f"{LIST}{domain.pk}/pools/"
    client.post(url, {"advertising_pool": "広告用", "notice_pool": "default"})
    domain.refresh_from_db()
    assert (domain.advertising_pool, domain.notice_pool) == ("広告用", "default")
    assert client.post(url, {"advertising_pool": "no such", "notice_pool": "default"}).status_code == 200
    domain.refresh_from_db()
    assert domain.advertising_pool == "広告用"


def test_exception_needs_a_reason_and_is_shown_and_withdrawn(client, misaki, dns, settings):
    """RATE-5"""
    settings.BOUNCE_DOMAIN = "bounce.elsewhere.example"
    domain = make_domain()
    url = f"{LIST}{domain.pk}/override/"
    assert "このフィールドは必須です" in client.post(url, {"reason": " "}).content.decode()
    client.post(url, {"reason": "DNS移行中"})
    html = page(client, domain)
    assert "特例で許可中" in html
    assert "DNS移行中" in html
    assert "佐藤 美咲" in html
    assert "特例で許可中" in client.get(LIST).content.decode()
    client.post(f"{url}end/")
    assert "特例で許可中" not in page(client, domain)


def test_deleting_asks_first(client, misaki):
    domain = make_domain()
    url = f"{LIST}{domain.pk}/delete/"
    assert "削除しますか" in client.get(url).content.decode()
    client.post(url)
    assert SendingDomain.objects.exists()
    client.post(url, {"confirmed": "1"})
    assert not SendingDomain.objects.exists()


def test_keys_of_another_domain_are_not_found(client, misaki):
    one, other = make_domain(), make_domain("other.example.com")
    for action in ("activate", "revoke", "delete"):
        url = f"{LIST}{one.pk}/keys/{other.keys.get().pk}/{action}/"
        assert client.post(url).status_code == 404


def test_sending_domains_belong_to_all_campaigns(client, dns, db):
    """SYS-1: a campaign administrator is refused them, and inside a campaign they do not exist; a viewer is refused."""
    domain = make_domain()
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    inside = f"/c/{make_campaign(members=[kenta]).pk}"
    client.force_login(kenta)
    for url in ("", "check/", "override/", "pools/", "delete/", "keys/"):
        assert client.post(f"{LIST}{domain.pk}/{url}").status_code == 403
        assert client.post(f"{inside}{LIST}{domain.pk}/{url}").status_code == 404
    assert client.get(f"{LIST}{domain.pk}/").status_code == 403
    client.force_login(make_user("yui", role=Role.VIEWER))
    assert client.get(LIST).status_code == 403


def test_nothing_is_changed_by_get(client, misaki):
    domain = make_domain()
    key = domain.keys.get()
    for url in ("check/", "pools/", "override/", "override/end/", "keys/", f"keys/{key.pk}/activate/"):
        assert client.get(f"{LIST}{domain.pk}/{url}").status_code == 405


def test_the_sender_of_a_template_is_warned_about_beside_its_field(client, misaki):
    template = make_template()
    url = f"/mail/templates/{template.pk}/edit/"
    assert "送信ドメインに登録されていません" in client.get(url).content.decode()
    make_domain()
    assert "送信ドメインに登録されていません" not in client.get(url).content.decode()


def test_check_list_names_source_ips(client, misaki, dns, settings):
    """LAW-3"""
    SourceIp.objects.create(address="127.0.0.1", hostname="mail1.seminar.example.jp")
    settings.RELAY = ""
    domain = make_domain()
    client.post(f"{LIST}{domain.pk}/check/")
    html = page(client, domain)
    assert "PTR 127.0.0.1" in html
    assert "PTRレコードがありません" in html
    assert BOUNCE in html


def test_revoking_before_its_time_asks_first(client, misaki, dns):
    """RATE-4"""
    domain = make_domain(dns=dns)
    key = domain.keys.get()
    second = rules.make_key(domain, "rsa", user=misaki, now=timezone.now())
    publish(dns, second)
    client.post(f"{LIST}{domain.pk}/keys/{second.pk}/activate/")
    assert "署名終了(公開を継続)" in page(client, domain)
    url = f"{LIST}{domain.pk}/keys/{key.pk}/revoke/"
    assert "予定日より前に" in client.post(url).content.decode()
    key.refresh_from_db()
    assert key.state == "retiring"
    client.post(url, {"confirmed": "1"})
    assert "空の p=" in page(client, domain)
    publish(dns, DkimKey.objects.get(pk=key.pk))
    client.post(f"{LIST}{domain.pk}/check/")
    assert "このドメインはすべて整っています" in page(client, domain)
