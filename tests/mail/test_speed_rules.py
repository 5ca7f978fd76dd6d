"""RATE-1: the rule for a destination. ERR-3: its retries."""

import asyncio

import pytest
from django.db import OperationalError

from mail.delivery import speed_rules as rules
from mail.delivery.remembered import Remembered
from mail.delivery.retries import retry_plan
from mail.delivery.speed_rules import DEFAULTS, forget_speed_rules, relay_rule, retry_times, rule_for
from settings.models import DomainRule
from settings.system_settings import set_setting

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh():
    forget_speed_rules()
    yield
    forget_speed_rules()


def store(**values):
    values.setdefault("name", "a rule")
    row = DomainRule.objects.create(**values)
    forget_speed_rules()
    return row


@pytest.mark.parametrize(
    ("domain", "hosts", "key"),
    [
        ("gmail.com", [], "google"),
        ("company.example", ["aspmx.l.google.com"], "google"),
        ("OUTLOOK.com.", [], "microsoft"),
        ("company.example", ["company-example.mail.protection.outlook.com"], "microsoft"),
        ("company.example", ["mx-eu.mail.am0.yahoodns.net"], "yahoo"),
        ("yahoo.co.jp", [], "yahoo_japan"),
        ("icloud.com", ["mx01.mail.icloud.com"], "icloud"),
        ("docomo.ne.jp", [], "docomo"),
        ("ezweb.ne.jp", [], "au"),
        ("au.com", [], "au"),
        ("softbank.ne.jp", [], "softbank"),
        ("d.vodafone.ne.jp", [], "softbank"),
        ("i.softbank.jp", [], "softbank"),
        ("ymobile.ne.jp", [], "softbank"),
        ("company.example", ["mx.company.example", "aspmx.l.google.com"], "general"),
        ("notgmail.com", ["mx.notgoogle.com"], "general"),
        ("evil-gmail.com", [], "general"),
    ],
)
def test_the_big_receivers_have_rules_of_their_own(domain, hosts, key):
    assert rule_for(domain, hosts).key == key


def test_the_defaults_keep_to_what_is_known():
    by_key = {rule.key: rule for rule in DEFAULTS}
    assert list(by_key) == [
        "google", "microsoft", "yahoo", "yahoo_japan", "icloud", "docomo", "au", "softbank", "general", "relay",
    ]  # fmt: skip
    assert by_key["google"].tls == "required"
    assert (by_key["google"].connections, by_key["google"].mails_per_connection) == (5, 50)
    for carrier in ("docomo", "au", "softbank"):
        rule = by_key[carrier]
        assert (rule.connections, rule.mails_per_connection, rule.mails_per_minute) == (2, 20, 300)


def test_a_stored_row_replaces_its_default_and_names_its_own_domains():
    store(key="docomo", name="docomo", domains=["docomo.ne.jp"], connections=1, mails_per_minute=60)
    assert rule_for("docomo.ne.jp").connections == 1
    assert rule_for("mopera.net").key == "general"
    assert rule_for("au.com").connections == 2


def test_own_rules_come_first_the_exact_name_before_names_above_before_hosts():
    wide = store(domains=["*.example.jp"])
    wider = store(domains=["*.jp"])
    exact = store(domains=["MX.Example.JP"])
    hosted = store(exchangers=["google.com"])
    assert rule_for("mx.example.jp").key == f"own:{exact.pk}"
    assert rule_for("a.b.example.jp").key == f"own:{wide.pk}"
    assert rule_for("example.jp").key == f"own:{wider.pk}"
    assert rule_for("company.example", ["aspmx.l.google.com"]).key == f"own:{hosted.pk}"
    assert rule_for("gmail.com", ["gmail-smtp-in.l.google.com"]).key == f"own:{hosted.pk}"
    assert rule_for("gmail.com").key == "google"


def test_international_names_match_their_a_labels():
    """CHR-5"""
    row = store(domains=["日本語.jp"])
    assert rule_for("xn--wgv71a119e.jp").key == f"own:{row.pk}"


@pytest.mark.parametrize(
    "values",
    [
        {"domains": ["example.jp"], "connections": 0},
        {"domains": ["example.jp"], "mails_per_connection": 0},
        {"domains": ["example.jp"], "mails_per_minute": 0},
        {"domains": ["exa mple.jp"]},
        {"domains": [""]},
        {"domains": []},
        {"domains": ["example.jp"], "tls": "perhaps"},
        {"domains": ["example.jp"], "route": "relay"},
        {"domains": ["example.jp"], "route": "relay:99999"},
        {"key": "nobody", "domains": ["example.jp"]},
    ],
)
def test_a_row_that_cannot_be_gone_by_is_left_out_with_a_log(values, caplog):
    row = store(**values)
    assert rule_for("example.jp").key == "general"
    assert f"speed rule {row.pk} (a rule) is left out" in caplog.text


def test_rules_are_remembered_for_some_seconds(django_assert_num_queries):
    with django_assert_num_queries(1):
        rule_for("a.example")
        rule_for("b.example")


def test_retries_are_the_rules_own_or_the_systems():
    """ERR-3"""
    set_setting("retry_interval_minutes", 20, user=None)
    row = store(domains=["slow.example"], retry_interval_minutes=60, retry_period_hours=48)
    half = store(domains=["half.example"], retry_period_hours=1)

    def of(domain):
        plan = retry_times(rule_for(domain), retry_plan())
        return plan.interval_minutes, plan.period_minutes

    assert of("x.example") == (20, 24 * 60)
    assert of("slow.example") == (row.retry_interval_minutes, 48 * 60)
    assert of("half.example") == (20, half.retry_period_hours * 60)


def test_towards_a_relay_its_speed_holds_and_the_destinations_retries(settings):
    store(key="relay", connections=3)
    store(domains=["slow.example"], connections=1, retry_period_hours=48)
    rule = relay_rule(rule_for("slow.example"), rules=rules.speed_rules())
    assert (rule.key, rule.connections, rule.retry_period_hours) == ("relay", 3, 48)
    settings.RELAY_STARTTLS = False
    assert relay_rule(rule, rules=DEFAULTS).tls == "never"


def test_without_a_database_the_loop_goes_on_with_what_was_read_before():
    answers = iter([["first"], OperationalError("away"), ["second"]])

    def load():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask(remembered):
        seen = [await remembered.current()]
        for _ in range(2):
            remembered.forget()
            seen.append(await remembered.current())
        return seen

    assert asyncio.run(ask(Remembered(load, seconds=60, otherwise=[]))) == [["first"], ["first"], ["second"]]
