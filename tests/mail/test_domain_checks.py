"""LAW-3, RATE-4: each live check both ways, against a DNS of the test's own."""

import pytest
from django.utils import timezone

from mail import domain_checks, sending_domains
from mail.dns_lookup import Lookups
from mail.domain_checks import (
    ExpectedKey,
    Source,
    check_dmarc,
    check_key,
    check_mail_server,
    check_ptr,
    check_spf,
)
from mail.domain_records import (
    clean_domain,
    organisational_domain,
    read_dmarc,
    read_key_record,
    same_organisation,
)
from mail.models import DkimKey
from settings.models import DomainRule, SourceIp
from smp.demo.dns_server import Fault
from tests.mail.domains import BOUNCE, DOMAIN, make_domain, publish

OURS = [Source("127.0.0.1"), Source("127.0.0.2")]
RSA_1024 = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq"
    "631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
)  # fmt: skip


def state_of(items, key):
    (item,) = [item for item in items if item.key == key]
    return item.state, item.code


def test_everything_right_is_all_ok(dns, db, settings):
    """RATE-4, LAW-3"""
    settings.RELAY = ""
    settings.BASE_URL = "https://smp.example.jp"
    SourceIp.objects.create(address="127.0.0.1", hostname=f"mail1.{DOMAIN}")
    dns.set("127.0.0.1", {"PTR": [f"mail1.{DOMAIN}"]})
    dns.set(f"mail1.{DOMAIN}", {"A": ["127.0.0.1"]})
    domain = make_domain(dns=dns)
    selector = domain.keys.get().selector
    items = sending_domains.check_now(domain, now=timezone.now())
    assert [(item.key, item.code) for item in items] == [
        (f"dkim:{selector}", "dkim_ok"),
        ("dkim_alignment", "dkim_aligned"),
        ("spf", "spf_ok"),
        ("spf_alignment", "spf_aligned"),
        ("dmarc", "dmarc_ok"),
        ("reply", "reply_ok"),
        ("bounce_spf", "spf_ok"),
        ("bounce_mx", "bounce_mx_ok"),
        ("tls", "tls_ok"),
        ("one_click", "one_click_ok"),
        ("ptr:127.0.0.1", "ptr_ok"),
    ]
    assert {item.state for item in items} == {"ok"}
    assert sending_domains.kept_items(domain) == items


def test_nothing_there_is_said_with_what_to_publish(dns, db):
    """RATE-4"""
    items = domain_checks.check_domain("empty.example.com")
    assert state_of(items, "dkim") == ("wrong", "dkim_not_registered")
    assert state_of(items, "spf") == ("wrong", "spf_none")
    assert state_of(items, "dmarc") == ("wrong", "dmarc_missing")
    assert state_of(items, "reply") == ("wrong", "reply_none")
    assert state_of(items, "spf_alignment") == ("warning", "spf_not_aligned")
    (dmarc,) = [item for item in items if item.key == "dmarc"]
    assert (dmarc.name, dmarc.type) == ("_dmarc.empty.example.com", "TXT")
    assert dmarc.wanted.startswith("v=DMARC1; p=none; rua=mailto:")


# ---- SPF


@pytest.mark.parametrize(
    ("record", "state", "code", "wanted"),
    [
        ("v=spf1 ip4:127.0.0.0/24 -all", "ok", "spf_ok", "v=spf1 ip4:127.0.0.0/24 -all"),
        ("v=spf1 ip4:127.0.0.1 -all", "wrong", "spf_not_covered", "v=spf1 ip4:127.0.0.1 ip4:127.0.0.2 -all"),
        ("v=spf1 +all", "warning", "spf_everybody", "v=spf1 ~all"),
        ("v=spf1 ip4:127.0.0.0/24 ptr -all", "warning", "spf_ptr", "v=spf1 ip4:127.0.0.0/24 ptr -all"),
        ("v=spf1 exists:%{i}.x.example -all", "warning", "spf_unclear", ""),
        ("v=spf1 ip4:1.2.3 -all", "wrong", "spf_syntax", ""),
        ("v=spf1 a:n1.example a:n2.example a:n3.example -all", "wrong", "spf_void", ""),
        ("v=spf1 include:none.example -all", "wrong", "spf_included_none", ""),
        ("no policy at all", "wrong", "spf_none", "v=spf1 ip4:127.0.0.1 ip4:127.0.0.2 ~all"),
    ],
)
def test_spf(dns, settings, record, state, code, wanted):
    settings.RELAY = ""
    dns.set(BOUNCE, {"TXT": [record]})
    item = check_spf("bounce_spf", BOUNCE, OURS, Lookups())
    assert (item.state, item.code, item.wanted) == (state, code, wanted)


def test_spf_over_the_limit_and_twice(dns, settings):
    settings.RELAY = ""
    dns.set(BOUNCE, {"TXT": ["v=spf1 " + "a " * 11 + "-all"]})
    assert check_spf("spf", BOUNCE, OURS, Lookups()).code == "spf_lookups"
    dns.set(BOUNCE, {"TXT": ["v=spf1 -all", "v=spf1 ~all"]})
    assert check_spf("spf", BOUNCE, OURS, Lookups()).code == "spf_several"


def test_with_a_relay_its_address_is_named(dns, settings):
    settings.RELAY = "relay.example.com:587"
    item = check_spf("bounce_spf", BOUNCE, [], Lookups())
    assert (item.state, item.code) == ("ok", "spf_relay")
    assert "relay.example.com:587" in item.text
    dns.set(BOUNCE, {"TXT": ["x"]})
    assert check_spf("spf", BOUNCE, [], Lookups()).wanted == "v=spf1 a:relay.example.com ~all"


def test_without_source_ips_nobody_can_tell(dns, settings):
    settings.RELAY = ""
    assert check_spf("spf", BOUNCE, [], Lookups()).code == "spf_no_source"


# ---- DKIM


@pytest.fixture
def key(db):
    return make_domain().keys.get()


def expected(key, state="active"):
    return ExpectedKey(key.selector, key.algorithm, key.public_key, state, "2026-12-06")


def found(dns, key, state="active"):
    item = check_key(DOMAIN, expected(key, state), Lookups())
    return item.state, item.code


def test_published_key(dns, key):
    publish(dns, key)
    assert found(dns, key, "active") == ("ok", "dkim_ok")
    assert found(dns, key, "waiting") == ("ok", "dkim_ready")
    assert found(dns, key, "retiring") == ("ok", "dkim_kept")
    assert found(dns, key, "revoked") == ("warning", "dkim_still_there")


def test_missing_key(dns, key):
    assert found(dns, key, "active") == ("wrong", "dkim_missing")
    assert found(dns, key, "waiting") == ("warning", "dkim_waiting")
    assert found(dns, key, "retiring") == ("warning", "dkim_gone")
    assert found(dns, key, "revoked") == ("ok", "dkim_revoked")


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (["v=DKIM1; k=rsa; p="], "dkim_empty"),
        ([f"v=DKIM1; k=rsa; p={RSA_1024}"], "dkim_other"),
        (["v=DKIM1; k=ed25519; p={ours}"], "dkim_algorithm"),
        (["v=DKIM1; t=y; p={ours}"], "dkim_testing"),
        (["v=DKIM1; p={ours}", "v=DKIM1; k=rsa; p={ours}"], "dkim_several"),
        (["hello"], "dkim_unreadable"),
        (["p={ours}; v=DKIM1"], "dkim_unreadable"),
        (["v=DKIM1; h=sha256; t=s; n=a note; p={ours}"], "dkim_ok"),
    ],
)
def test_wrong_keys(dns, key, records, code):
    name = f"{key.selector}._domainkey.{DOMAIN}"
    dns.set(name, {"TXT": [record.replace("{ours}", key.public_key) for record in records]})
    assert found(dns, key)[1] == code


def test_other_key_says_its_length(dns, key):
    dns.set(f"{key.selector}._domainkey.{DOMAIN}", {"TXT": [f"k=rsa; p={RSA_1024}"]})
    assert check_key(DOMAIN, expected(key), Lookups()).params == {"bits": "1024"}


def test_key_split_into_strings_with_spaces_and_behind_a_cname(dns, key):
    name = f"{key.selector}._domainkey.{DOMAIN}"
    dns.set(name, {"CNAME": ["key.elsewhere.example"]})
    half = len(key.public_key) // 2
    dns.set(
        "key.elsewhere.example",
        {"TXT": [["v=DKIM1; k=rsa; p=", key.public_key[:half] + "  ", key.public_key[half:]]]},
    )
    assert found(dns, key) == ("ok", "dkim_ok")


def test_keys_of_a_domain_that_is_not_registered(dns, db):
    dns.set(f"weak._domainkey.{DOMAIN}", {"TXT": [f"v=DKIM1; p={RSA_1024}"]})
    items = domain_checks.check_domain(DOMAIN, selectors=["weak", "none"])
    assert state_of(items, "dkim:weak") == ("warning", "dkim_foreign_weak")
    assert state_of(items, "dkim:none") == ("wrong", "dkim_foreign_none")


# ---- DMARC


@pytest.mark.parametrize(
    ("records", "state", "code"),
    [
        (["v=DMARC1; p=quarantine; rua=mailto:a@example.jp"], "ok", "dmarc_ok"),
        (["v=DMARC1;p=none;rua=mailto:a@example.jp"], "ok", "dmarc_watching"),
        (["v=DMARC1; p=reject"], "warning", "dmarc_no_reports"),
        (["v=DMARC1; p=reject", "v=DMARC1; p=none"], "wrong", "dmarc_several"),
        (["v=DMARC1; p=everything"], "wrong", "dmarc_no_policy"),
        (["v=DMARC1; p=everything; rua=mailto:a@example.jp"], "ok", "dmarc_watching"),
        (["v=DMARC1; p reject"], "wrong", "dmarc_syntax"),
        (["dmarc is nice"], "wrong", "dmarc_missing"),
    ],
)
def test_dmarc(dns, records, state, code):
    dns.set(f"_dmarc.{DOMAIN}", {"TXT": records})
    item = check_dmarc(DOMAIN, Lookups())
    assert (item.state, item.code) == (state, code)


def test_dmarc_of_the_organisation_holds_for_its_sub_domains(dns):
    """RFC 7489 6.6.3, with sp="""
    dns.remove(f"_dmarc.{DOMAIN}")
    dns.set("_dmarc.example.jp", {"TXT": ["v=DMARC1; p=reject; sp=none; adkim=s; rua=mailto:a@example.jp"]})
    item = check_dmarc(DOMAIN, Lookups())
    assert (item.code, item.params["policy"], item.params["adkim"]) == ("dmarc_inherited", "none", "s")
    assert item.name == "_dmarc.example.jp"


def test_strict_alignment_is_told(dns, db):
    dns.set(f"_dmarc.{DOMAIN}", {"TXT": ["v=DMARC1; p=reject; adkim=s; aspf=s; rua=mailto:a@example.jp"]})
    items = sending_domains.check_now(make_domain(dns=dns), now=timezone.now())
    assert state_of(items, "dkim_alignment") == ("warning", "dkim_strict")
    assert state_of(items, "spf_alignment") == ("warning", "spf_strict")


# ---- replies, bounces, sources, this installation


@pytest.mark.parametrize(
    ("records", "state", "code"),
    [
        ({"MX": [(10, "mx.seminar.example.jp")]}, "ok", "ok"),
        ({"MX": [(10, "gone.example"), (20, "mx.seminar.example.jp")]}, "ok", "ok"),
        ({"A": ["127.0.0.1"]}, "warning", "a"),
        ({"MX": [(0, ".")]}, "wrong", "null"),
        ({"MX": [(10, "gone.example")]}, "wrong", "none"),
        ({}, "wrong", "none"),
    ],
)
def test_mail_servers(dns, records, state, code):
    dns.set("to.example", records)
    for key in ("reply", "bounce_mx"):
        item = check_mail_server(key, "to.example", Lookups())
        assert (item.state, item.code) == (state, f"{key}_{code}")


def test_private_addresses_take_no_mail(dns, settings):
    settings.ALLOW_PRIVATE_MX = False
    dns.set("to.example", {"MX": [(10, "inside.example")]})
    dns.set("inside.example", {"A": ["10.0.0.1"], "AAAA": ["fd00::1"]})
    assert check_mail_server("reply", "to.example", Lookups()).code == "reply_private"
    assert check_ptr(Source("10.0.0.1"), Lookups()).code == "ptr_private"


@pytest.mark.parametrize(
    ("ptr", "forward", "hostname", "state", "code"),
    [
        ("mail1.example.jp", "127.0.0.9", "", "ok", "ptr_ok"),
        ("mail1.example.jp", "127.0.0.9", "mail1.example.jp", "ok", "ptr_ok"),
        ("mail1.example.jp", "127.0.0.9", "mail2.example.jp", "warning", "ptr_other"),
        ("mail1.example.jp", "127.0.0.8", "", "wrong", "ptr_unconfirmed"),
        ("127-0-0-9.isp.example", "127.0.0.9", "", "warning", "ptr_generic"),
        (None, None, "", "wrong", "ptr_missing"),
    ],
)
def test_ptr(dns, ptr, forward, hostname, state, code):
    if ptr:
        dns.set("127.0.0.9", {"PTR": [ptr]})
        dns.set(ptr, {"A": [forward]})
    item = check_ptr(Source("127.0.0.9", hostname), Lookups())
    assert (item.state, item.code) == (state, code)


@pytest.mark.parametrize(
    ("host", "generic"),
    [
        ("p1234-ipoe.isp.example", False),
        ("198-51-100-7.isp.example", True),
        ("7.100.51.198.in-addr.isp.example", True),
        ("host198051100007.isp.example", True),
        ("dynamic-1.isp.example", True),
        ("x.dhcp.isp.example", True),
        ("mail7.example.jp", False),
        ("poolside.example.jp", False),
        ("dsl-company.example.jp", True),
    ],
)
def test_generic_names(host, generic):
    assert domain_checks.looks_generic(host, "198.51.100.7") is generic


@pytest.mark.parametrize(
    ("url", "state"),
    [
        ("https://smp.example.jp", "ok"),
        ("http://smp.example.jp", "warning"),
        ("https://localhost", "wrong"),
        ("https://10.0.0.1", "wrong"),
    ],
)
def test_one_click_needs_an_https_address_people_can_reach(settings, url, state):
    """LAW-3: RFC 8058"""
    settings.BASE_URL = url
    assert domain_checks.check_one_click().state == state


def test_encryption_switched_off_is_told(db, settings):
    """LAW-3: TLS"""
    settings.RELAY = ""
    assert domain_checks.check_tls().code == "tls_ok"
    DomainRule.objects.create(name="社内", tls="never")
    assert domain_checks.check_tls().code == "tls_never"
    settings.RELAY = "127.0.0.1:25"
    assert domain_checks.check_tls().code == "tls_relay"
    settings.RELAY_STARTTLS = False
    assert domain_checks.check_tls().code == "tls_relay_never"


# ---- hostile and silent DNS


def test_dns_that_does_not_answer_is_unknown_never_wrong(dns, db, monkeypatch):
    domain = make_domain(dns=dns)
    selector = domain.keys.get().selector
    for name in (DOMAIN, BOUNCE, f"_dmarc.{DOMAIN}", f"{selector}._domainkey.{DOMAIN}"):
        dns.fail(name, Fault.SERVFAIL)
    items = sending_domains.check_now(domain, now=timezone.now())
    states = {item.key: item.state for item in items}
    assert {states[key] for key in (f"dkim:{selector}", "dkim_alignment", "spf", "spf_alignment", "dmarc", "reply")} == {
        "unknown"
    }  # fmt: skip


def test_a_silent_server_costs_a_bounded_time(dns, db, monkeypatch):
    monkeypatch.setattr("mail.dns_lookup.ANSWER_SECONDS", 0.4)
    dns.fail(DOMAIN, Fault.SILENT)
    lookups = Lookups(seconds=1)
    assert lookups.txt(DOMAIN).failed
    assert [bool(lookups.ask(f"n{number}.{DOMAIN}", "A").failed) for number in range(3)] == [False] * 3
    assert Lookups(seconds=0).txt(DOMAIN).failed == "no time left"


def test_questions_are_counted(dns, monkeypatch):
    monkeypatch.setattr("mail.dns_lookup.QUERIES_MAX", 5)
    lookups = Lookups()
    answers = [lookups.ask(f"n{number}.example", "A") for number in range(8)]
    assert [answer.failed for answer in answers] == [""] * 5 + ["too many questions"] * 3
    assert lookups.ask("n0.example", "A").failed == ""  # asked before


@pytest.mark.parametrize(
    "strings",
    [
        [["v=spf1 " + "a" * 240] * 200],
        [[chr(0xFF) * 60, "\x00\x01 bell\x07"]],
        [[f"x{number}"] for number in range(300)],
        [["v=DKIM1; p=" + "A" * 200] * 60],
        [["v=spf1 ", *["include:x.example "] * 100]],
    ],
)
def test_hostile_texts_end_in_a_sentence(dns, db, strings):
    """Huge, binary, very many: each check still answers, and what it found can be stored and shown."""
    domain = make_domain()
    selector = domain.keys.get().selector
    for name in (DOMAIN, BOUNCE, f"_dmarc.{DOMAIN}", f"{selector}._domainkey.{DOMAIN}"):
        dns.set(name, {"TXT": strings})
    items = sending_domains.check_now(domain, now=timezone.now())
    assert all(item.text for item in items)
    assert all(len(value) <= 601 and value.isprintable() for item in items for value in item.found)


def test_cname_loop_ends(dns, key):
    name = f"{key.selector}._domainkey.{DOMAIN}"
    dns.set(name, {"CNAME": ["b.example"]})
    dns.set("b.example", {"CNAME": [name]})
    assert found(dns, key)[0] in {"wrong", "unknown"}


# ---- records as texts


def test_domains_that_belong_together():
    assert organisational_domain("mail.seminar.example.co.jp") == "example.co.jp"
    assert organisational_domain("co.jp") == ""
    assert same_organisation("a.example.jp", "b.c.example.jp")
    assert not same_organisation("one.co.jp", "two.co.jp")


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (" Example.JP. ", "example.jp"),
        ("日本語.jp", "xn--wgv71a119e.jp"),
        ("ＥＸＡＭＰＬＥ．ＪＰ", "example.jp"),
    ],
)
def test_domain_names_are_kept_as_a_labels(typed, name):
    assert clean_domain(typed) == name


@pytest.mark.parametrize(
    "typed",
    ["", "localhost", "a..jp", "-a.jp", "a_b.jp", "127.0.0.1", "a b.jp", "http://a.jp", "x@a.jp", "a" * 64 + ".jp", "xn--a.jp", "a\n.jp"],
)  # fmt: skip
def test_what_is_no_domain_name(typed):
    with pytest.raises(ValueError):
        clean_domain(typed)


def test_tag_lists():
    assert read_key_record("v=DKIM1; p=AAAA; p=BBBB") is None
    assert read_key_record("v=DKIM2; p=AAAA") is None
    assert read_key_record("k=rsa; p=").public == ""
    assert read_dmarc("v=DMARC1; p=REJECT; ADKIM=S").adkim == "s"


def test_no_private_half_in_what_is_kept(dns, db):
    domain = make_domain(dns=dns)
    sending_domains.check_now(domain, now=timezone.now())
    assert "PRIVATE" not in str(domain.check_result)
    assert bytes(DkimKey.objects.get().private_key).hex() not in str(domain.check_result)


def test_a_dmarc_record_without_reports_gets_them(dns):
    dns.set(f"_dmarc.{DOMAIN}", {"TXT": ["v=DMARC1; p=reject;"]})
    assert check_dmarc(DOMAIN, Lookups()).wanted == f"v=DMARC1; p=reject; rua=mailto:dmarc-reports@{DOMAIN}"
