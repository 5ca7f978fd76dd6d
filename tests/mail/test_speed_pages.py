"""設定 › 配信速度: the rules of speed (RATE-1) and the source IPs (RATE-3) on the screens."""

import threading

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mail import speed_changes
from mail.check_items import WRONG, CheckItem
from mail.delivery.speed_rules import DEFAULTS, forget_speed_rules, speed_rules
from mail.forms.speed import SpeedRuleForm
from mail.models import SendingDomain
from mail.smtp.mx import NoRoute, Resolver
from mail.speed_changes import rule_values, save_rule
from settings.models import AuditEntry, DomainRule, Role, SourceIp
from tests.factories import make_campaign, make_user

pytestmark = pytest.mark.django_db

GOOGLE = next(rule for rule in DEFAULTS if rule.key == "google")
NEW = {
    "name": "大口のお客様", "domains": "@Yamate.example.jp\n*.yamate.example.jp, 日本語.jp", "exchangers": "MX.Yamate.example.jp.",
    "connections": "3", "mails_per_connection": "50", "mails_per_minute": "", "tls": "required",
    "retry_interval_minutes": "15", "retry_period_hours": "48", "route": "",
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_rules():
    forget_speed_rules()
    yield
    forget_speed_rules()


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


@pytest.fixture
def mx(monkeypatch):
    """DNS as the test says: {domain: hosts}; nothing leaves the machine."""
    answers = {}

    async def mail_hosts(_self, domain):
        if domain not in answers:
            raise NoRoute("no such domain", permanent=True)
        return answers[domain]

    monkeypatch.setattr(Resolver, "mail_hosts", mail_hosts)
    return answers


def as_posted(rule, **changes):
    values = rule_values(rule)
    posted = {name: "" if value is None else value for name, value in values.items()}
    posted["domains"], posted["exchangers"] = "\n".join(values["domains"]), "\n".join(values["exchangers"])
    return posted | changes


def rule(key):
    forget_speed_rules()
    return next((one for one in speed_rules() if one.key == key), None)


# ---- the list


def test_the_list(client, misaki):
    """RATE-1: every rule with its figures, what was changed, by whom and when."""
    html = client.get(reverse("speed")).content.decode()
    for default in DEFAULTS:
        assert f'id="rule-{default.key}"' in html
    assert "変更あり" not in html
    client.post(reverse("speed_rule", args=["google"]), as_posted(GOOGLE, connections="7"))
    html = client.get(reverse("speed")).content.decode()
    assert "変更あり" in html and "佐藤 美咲" in html


def test_as_many_queries_for_one_as_for_three(client, misaki):
    def add(number):
        DomainRule.objects.create(name=f"r{number}", domains=[f"d{number}.example.jp"], updated_by=misaki)
        SourceIp.objects.create(address=f"192.0.2.{number}")
        forget_speed_rules()

    add(1)
    client.get(reverse("speed"))
    forget_speed_rules()
    with CaptureQueriesContext(connection) as one:
        client.get(reverse("speed"))
    add(2)
    add(3)
    with CaptureQueriesContext(connection) as three:
        client.get(reverse("speed"))
    assert len(one) == len(three)


# ---- which rule holds


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("gmail.com", "google"),
        ("somebody@GMAIL.com", "google"),
        ("company.example.jp", "google"),  # by its MX
        ("日本語.jp", "general"),
        ("docomo.ne.jp", "docomo"),
    ],
)
def test_which_rule(client, misaki, mx, asked, key):
    mx["company.example.jp"] = ["aspmx.l.google.com"]
    answer = client.get(reverse("speed"), {"domain": asked})
    assert answer.status_code == 200 and answer.context["answer"].rule.key == key


def test_which_rule_says_what_dns_said(client, misaki, mx):
    html = client.get(reverse("speed"), {"domain": "nowhere.example"}).content.decode()
    assert "no such domain" in html
    mx["a.example.jp"] = ["mx.a.example.jp"]
    assert "mx.a.example.jp" in client.get(reverse("speed"), {"domain": "a.example.jp"}).content.decode()


@pytest.mark.parametrize(
    "asked", ["", "-", "a b", "<script>alert(1)</script>", "127.0.0.1", "a" * 300, "\0", "x@", "a..b"]
)
def test_hostile_questions(client, misaki, mx, asked):
    answer = client.get(reverse("speed"), {"domain": asked})
    assert answer.status_code == 422 and answer.context["answer"] is None
    assert "<script>alert" not in answer.content.decode()


# ---- changing rules


def test_a_rule_of_ones_own(client, misaki):
    """RATE-1: names become A-labels, each once; the engine's list has the rule at once; all of it is audited."""
    assert client.post(reverse("speed_rule_add"), NEW).status_code == 302
    row = DomainRule.objects.get()
    assert row.domains == ["yamate.example.jp", "*.yamate.example.jp", "xn--wgv71a119e.jp"]
    assert row.exchangers == ["mx.yamate.example.jp"] and row.updated_by == misaki
    own = speed_rules()[0]
    assert (own.name, own.connections, own.retry_period_hours, own.tls) == ("大口のお客様", 3, 48, "required")
    entry = AuditEntry.objects.get(action="speed_rule.add")
    assert entry.user == misaki and entry.detail["changes"]["connections"] == [None, 3]
    url = reverse("speed_own_rule", args=[row.pk])
    page = client.get(url)
    values = NEW | {"connections": "4", "seen": page.context["form"]["seen"].value()}
    client.post(url, values)
    assert AuditEntry.objects.get(action="speed_rule.change").detail["changes"] == {"connections": [3, 4]}
    assert client.get(reverse("speed_rule_delete", args=[row.pk])).status_code == 200
    assert DomainRule.objects.exists()
    client.post(reverse("speed_rule_delete", args=[row.pk]))
    assert (
        not DomainRule.objects.exists() and AuditEntry.objects.filter(action="speed_rule.delete").count() == 1
    )
    assert client.post(reverse("speed_rule_delete", args=[row.pk])).status_code == 302
    assert "配信速度のルールを削除" in client.get(reverse("audit_log")).content.decode()


def test_a_default_changed_and_back(client, misaki):
    url = reverse("speed_rule", args=["google"])
    assert client.get(url).status_code == 200
    client.post(url, as_posted(GOOGLE, connections="7", mails_per_minute="600"))
    assert (rule("google").connections, rule("google").mails_per_minute) == (7, 600)
    assert AuditEntry.objects.get(action="speed_rule.change").detail["changes"] == {
        "connections": [5, 7],
        "mails_per_minute": [None, 600],
    }
    client.post(reverse("speed_rule_reset", args=["google"]))
    assert rule("google") == GOOGLE and not DomainRule.objects.exists()
    assert AuditEntry.objects.get(action="speed_rule.reset").detail["changes"] == {
        "connections": [7, 5],
        "mails_per_minute": [600, None],
    }
    client.post(reverse("speed_rule_reset", args=["google"]))
    assert AuditEntry.objects.filter(action="speed_rule.reset").count() == 1


def test_typing_the_default_in_is_going_back(client, misaki):
    url = reverse("speed_rule", args=["google"])
    client.post(url, as_posted(GOOGLE, connections="7"))
    seen = client.get(url).context["form"]["seen"].value()
    client.post(url, as_posted(GOOGLE, seen=seen))
    assert not DomainRule.objects.exists()
    client.post(url, as_posted(GOOGLE))
    assert not DomainRule.objects.exists()


def test_the_general_rule_and_the_relay_name_nobody(client, misaki):
    for key in ("general", "relay"):
        default = next(one for one in DEFAULTS if one.key == key)
        form = client.get(reverse("speed_rule", args=[key])).context["form"]
        assert "domains" not in form.fields and "exchangers" not in form.fields
        client.post(
            reverse("speed_rule", args=[key]), as_posted(default, connections="4", domains="gmail.com")
        )
        assert rule(key).connections == 4 and rule(key).domains == ()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("domains", "gmail.com", "Google"),
        ("domains", "ok.example.jp\nnot a name!", "ドメイン名ではありません"),
        ("domains", "<script>", "ドメイン名ではありません"),
        ("domains", "192.0.2.1", "ドメイン名ではありません"),
        ("domains", "a" * 64 + ".example.jp", "ドメイン名ではありません"),
        ("domains", "*.*.example.jp", "ドメイン名ではありません"),
        ("domains", "\n".join(f"d{n}.example.jp" for n in range(501)), "500件まで"),
        ("exchangers", "google.com", "Google"),
        ("connections", "0", ""),
        ("connections", "201", ""),
        ("connections", "abc", ""),
        ("mails_per_connection", "", ""),
        ("mails_per_minute", "0", ""),
        ("mails_per_minute", "99999999999999999999", ""),
        ("retry_interval_minutes", "1441", ""),
        ("retry_period_hours", "-1", ""),
        ("tls", "perhaps", ""),
        ("route", "relay.example.jp", "ホスト:ポート"),
        ("route", "relay.example.jp:99999", "ホスト:ポート"),
        ("route", "relay example:25", "ホスト:ポート"),
        ("route", "relay.example.jp:25\r\nDATA", "ホスト:ポート"),
        ("name", "", ""),
        ("name", "x" * 101, ""),
        ("name", "a\x07b", "制御文字"),
    ],
)
def test_mistakes_are_said_beside_the_field(client, misaki, field, value, said):
    answer = client.post(reverse("speed_rule_add"), NEW | {field: value})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert said in " ".join(answer.context["form"].errors[field])
    assert not DomainRule.objects.exists() and not AuditEntry.objects.filter(action="speed_rule.add").exists()


def test_a_rule_must_name_somebody(client, misaki):
    answer = client.post(reverse("speed_rule_add"), NEW | {"domains": " ,\n", "exchangers": ""})
    assert list(answer.context["form"].errors) == ["domains"]


def test_an_interval_longer_than_the_period(client, misaki):
    answer = client.post(
        reverse("speed_rule_add"), NEW | {"retry_interval_minutes": "120", "retry_period_hours": "1"}
    )
    assert list(answer.context["form"].errors) == ["retry_interval_minutes"]


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("", ""),
        ("MX", "mx"),
        ("Relay.example.jp:587", "relay.example.jp:587"),
        ("10.0.0.5:25", "10.0.0.5:25"),
        ("[2001:db8::0:5]:25", "[2001:db8::5]:25"),
    ],
)
def test_routes(client, misaki, typed, stored):
    assert client.post(reverse("speed_rule_add"), NEW | {"route": typed}).status_code == 302
    assert DomainRule.objects.get().route == stored
    assert speed_rules()[0].route == stored


def test_two_people_change_one_rule(client, misaki):
    """The second is told, and overwrites nothing."""
    url = reverse("speed_rule", args=["google"])
    client.post(url, as_posted(GOOGLE, connections="7", seen=""))
    answer = client.post(url, as_posted(GOOGLE, connections="9", seen=""))
    assert answer.status_code == 422 and "ほかの管理者がこのルールを変更しました" in answer.content.decode()
    assert rule("google").connections == 7
    assert client.post(url, as_posted(GOOGLE, seen="yesterday")).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_two_people_add_one_domain_at_once():
    """RATE-1: a domain is in one rule only, whoever is faster."""
    ready, answers = threading.Barrier(2), []

    def add():
        form = SpeedRuleForm(rule_values(DomainRule()), key=None, seen=None, data=NEW)
        try:
            assert form.is_valid(), form.errors
            ready.wait(30)
            answers.append(save_rule(DomainRule(), form.values, user=None, seen=None))
        except speed_changes.ValidationError:
            answers.append(None)
        finally:
            connection.close()

    threads = [threading.Thread(target=add) for _number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers, key=bool) == [None, True]
    assert DomainRule.objects.count() == 1


def test_campaign_administrators_see_nothing_of_it(client, db):
    """SYS-1: speed belongs to all campaigns; inside one the page does not exist."""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    campaign = make_campaign(members=[kenta])
    client.force_login(kenta)
    assert client.get(reverse("speed")).status_code == 403
    assert client.post(reverse("speed_rule", args=["google"]), NEW).status_code == 403
    assert client.get(f"/c/{campaign.pk}" + reverse("speed")).status_code == 404
    assert client.post(f"/c/{campaign.pk}" + reverse("speed_rule_add"), NEW).status_code == 404
    assert DomainRule.objects.count() == 0


def test_viewers_look_only(client, db):
    """Privileged administrators edit; viewers see the same list without a way in."""
    client.force_login(make_user("yui", role=Role.VIEWER))
    own = DomainRule.objects.create(name="r", domains=["d.example.jp"])
    source = SourceIp.objects.create(address="192.0.2.1")
    html = client.get(reverse("speed")).content.decode()
    assert "docomo" in html and "192.0.2.1" in html and "/mail/speed/rules/" not in html
    for name, args in (
        ("speed_rule", ["google"]), ("speed_own_rule", [own.pk]), ("speed_rule_add", []), ("speed_rule_delete", [own.pk]),
        ("speed_rule_reset", ["google"]), ("speed_source", [source.pk]), ("speed_source_add", []),
        ("speed_source_delete", [source.pk]),
    ):  # fmt: skip
        assert client.post(reverse(name, args=args), NEW).status_code == 403
    assert DomainRule.objects.count() == 1 and SourceIp.objects.count() == 1


def test_unknown_rules(client, misaki):
    for url in (
        reverse("speed_rule", args=["nobody"]),
        reverse("speed_own_rule", args=[99]),
        reverse("speed_rule_delete", args=[99]),
        reverse("speed_source", args=[99]),
        reverse("speed_source_delete", args=[99]),
    ):
        assert client.get(url).status_code == 404
    assert client.get(reverse("speed_rule_reset", args=["google"])).status_code == 405
    assert client.post(reverse("speed_rule_reset", args=["nobody"])).status_code == 404


# ---- source IPs

SOURCE = {
    "address": "192.0.2.10", "hostname": "MTA1.example.jp", "pool": "Default", "enabled": "on",
    "warmup_started_on": "2026-11-01", "note": "東京",
}  # fmt: skip


def test_source_ips(client, misaki):
    """RATE-3: add, change, take out of use, delete; audited."""
    assert client.post(reverse("speed_source_add"), SOURCE).status_code == 302
    row = SourceIp.objects.get()
    assert (row.address, row.hostname, row.pool, row.enabled) == (
        "192.0.2.10",
        "mta1.example.jp",
        "default",
        True,
    )
    html = client.get(reverse("speed")).content.decode()
    assert "192.0.2.10" in html and "2026-11-01" in html and "東京" in html
    without = {name: value for name, value in SOURCE.items() if name != "enabled"}
    client.post(reverse("speed_source", args=[row.pk]), without)
    row.refresh_from_db()
    assert not row.enabled
    assert AuditEntry.objects.get(action="source_ip.change").detail["changes"] == {"enabled": [True, False]}
    client.post(reverse("speed_source", args=[row.pk]), without)
    assert AuditEntry.objects.filter(action="source_ip.change").count() == 1
    assert (
        client.get(reverse("speed_source_delete", args=[row.pk])).status_code == 200
        and SourceIp.objects.exists()
    )
    client.post(reverse("speed_source_delete", args=[row.pk]))
    assert not SourceIp.objects.exists()
    assert "送信元IPを削除" in client.get(reverse("audit_log")).content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "192.0.2.256"), ("address", ""), ("address", "0.0.0.0"), ("address", "::"), ("address", "ff02::1"),
        ("address", "224.0.0.1"), ("address", "fe80::1%eth0"), ("address", "::ffff:192.0.2.1"), ("address", "example.jp"),
        ("address", "192.0.2.9\r\n"[:-1] + "x"), ("hostname", "localhost"), ("hostname", "a b.example.jp"),
        ("hostname", "x\r\nEHLO evil"), ("hostname", "<b>.example.jp"), ("pool", ""), ("pool", "a b"), ("pool", "プール"),
        ("warmup_started_on", "someday"), ("warmup_started_on", "0001-01-01"), ("note", "x" * 201), ("address", "192.0.2.77"),
    ],
)  # fmt: skip
def test_mistakes_of_source_ips(client, misaki, field, value):
    SourceIp.objects.create(address="192.0.2.77")
    answer = client.post(reverse("speed_source_add"), SOURCE | {field: value})
    assert answer.status_code == 422 and list(answer.context["form"].errors) == [field]
    assert SourceIp.objects.count() == 1


def test_one_address_in_two_spellings(client, misaki):
    client.post(reverse("speed_source_add"), SOURCE | {"address": "2001:DB8::0:1"})
    assert SourceIp.objects.get().address == "2001:db8::1"
    assert client.post(reverse("speed_source_add"), SOURCE | {"address": "2001:db8:0::1"}).status_code == 422


def test_what_the_live_check_said_of_the_ptr(client, misaki):
    """The newest check of any sending domain speaks for the address it names, and for no other."""
    SourceIp.objects.create(address="192.0.2.1")
    SourceIp.objects.create(address="192.0.2.11")
    domain = SendingDomain.objects.create(name="example.jp", checked_at=timezone.now())
    item = CheckItem("ptr:192.0.2.1", WRONG, "ptr_missing", group="source", name="192.0.2.1", type="PTR")
    domain.check_result = {
        "items": [item.as_json(), {"key": "broken"}, CheckItem("spf", WRONG, "spf_missing").as_json()]
    }
    domain.save()
    answer = client.get(reverse("speed"))
    checks = {source.address: check for source, _warmup, check in answer.context["sources"]}
    assert checks["192.0.2.1"].state == WRONG and checks["192.0.2.11"] is None
    assert str(checks["192.0.2.1"].text)[:10] in answer.content.decode()


def test_a_rule_that_another_process_deleted_is_not_drawn(client):
    """RATE-1: this process remembers rules for some seconds"""
    client.force_login(make_user())
    DomainRule.objects.create(name="受信側九号", domains=["own.example.jp"])
    assert "受信側九号" in client.get("/mail/speed/").content.decode()
    DomainRule.objects.filter(name="受信側九号").delete()
    page = client.get("/mail/speed/")
    assert page.status_code == 200 and "受信側九号" not in page.content.decode()
