"""RATE-5: advertising leaves only from a domain that SPF or DKIM vouches for."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from mail import alignment as gate
from mail import job_start, send_again, send_jobs
from mail import sending_domains as rules
from mail.alignment import alignment
from mail.models import SendJob
from mail.models.send_job import JobState
from mail.tasks import check_sending_domains
from settings.models import AuditEntry
from smp.demo.dns_server import Fault
from tests.factories import make_job, make_lead, make_sending_job, make_template, make_user
from tests.mail.domains import BOUNCE, DOMAIN, make_domain

ADDRESS = f"info@{DOMAIN}"


@pytest.fixture(autouse=True)
def required(settings):
    settings.REQUIRE_ALIGNMENT = True


def test_both_ways(dns, db):
    now = timezone.now()
    make_domain(dns=dns)
    verdict = alignment(ADDRESS, now=now)
    assert (verdict.ok, verdict.text) == (True, f"{DOMAIN} のメールは DKIM + SPF に適合しています。")
    assert alignment(f"info@news.{DOMAIN}", now=now).ok


def test_either_is_enough(dns, db, settings):
    now = timezone.now()
    settings.BOUNCE_DOMAIN = "bounce.elsewhere.example"
    make_domain(dns=dns)
    assert "DKIM に" in alignment(ADDRESS, now=now).text
    settings.BOUNCE_DOMAIN = BOUNCE
    make_domain("other.example.jp")
    assert "SPF に" in alignment("info@other.example.jp", now=now).text


def test_neither(dns, db, settings):
    settings.BOUNCE_DOMAIN = "bounce.elsewhere.example"
    domain = make_domain()
    verdict = alignment(ADDRESS, now=timezone.now())
    assert (verdict.ok, verdict.domain_id) == (False, domain.pk)
    assert "DKIMにもSPFにも適合していません" in verdict.text


def test_domains_that_are_not_registered(dns, db):
    """Nothing is signed; SPF may vouch where the envelope sender is of the same organisation."""
    now = timezone.now()
    assert alignment(ADDRESS, now=now).ok
    assert not alignment("info@elsewhere.example.com", now=now).ok
    dns.set(BOUNCE, {"TXT": ["v=spf1 -all", "v=spf1 ~all"]})
    assert not alignment(ADDRESS, now=now).ok


def test_a_merge_field_cannot_be_judged(dns, db):
    verdict = alignment("{{ 担当者メール }}", now=timezone.now())
    assert (verdict.ok, "差し込み項目" in verdict.text) == (False, True)


def test_strict_dmarc_needs_the_very_domain(dns, db, settings):
    dns.set(f"_dmarc.{DOMAIN}", {"TXT": ["v=DMARC1; p=reject; adkim=s; aspf=s; rua=mailto:a@example.jp"]})
    make_domain(dns=dns)
    now = timezone.now()
    assert alignment(ADDRESS, now=now).ok
    assert not alignment(f"info@news.{DOMAIN}", now=now).ok


def test_a_good_check_of_today_is_enough(dns, db):
    now = timezone.now()
    domain = make_domain(dns=dns)
    rules.check_now(domain, now=now)
    asked = sum(dns.queries.values())
    assert alignment(ADDRESS, now=now + timedelta(hours=23)).ok
    assert sum(dns.queries.values()) == asked
    assert alignment(ADDRESS, now=now + timedelta(hours=25)).ok
    assert sum(dns.queries.values()) > asked


def test_what_was_mended_counts_at_once(dns, db, settings):
    settings.BOUNCE_DOMAIN = "bounce.elsewhere.example"
    now = timezone.now()
    domain = make_domain(dns=dns)
    key = domain.keys.get()
    name = f"{key.selector}._domainkey.{DOMAIN}"
    dns.remove(name)
    rules.check_now(domain, now=now)
    assert not alignment(ADDRESS, now=now).ok
    dns.set(name, {"TXT": [rules.record_of(key)]})
    assert alignment(ADDRESS, now=now + timedelta(minutes=2)).ok


def test_a_silent_dns_does_not_hold_mail_back_at_once(dns, db, settings):
    settings.BOUNCE_DOMAIN = "bounce.elsewhere.example"
    now = timezone.now()
    domain = make_domain(dns=dns)
    rules.check_now(domain, now=now)
    dns.fail(f"{domain.keys.get().selector}._domainkey.{DOMAIN}", Fault.SERVFAIL)
    assert alignment(ADDRESS, now=now + timedelta(days=6)).ok
    domain.refresh_from_db()
    assert domain.checked_at == now
    after = alignment(ADDRESS, now=now + timedelta(days=8))
    assert (after.ok, "DNSが応答しない" in after.text) == (False, True)


def test_the_clock_checks_twice_a_day(dns, db, settings):
    now = timezone.now()
    domain = make_domain(dns=dns)
    assert gate.check_due(now=now) == 1
    assert gate.check_due(now=now + timedelta(hours=11)) == 0
    assert gate.check_due(now=now + timedelta(hours=13)) == 1
    rules.SendingDomain.objects.update(checked_at=None)
    check_sending_domains()
    domain.refresh_from_db()
    assert domain.checked_at is not None


# ---- the gate


@pytest.fixture
def unaligned(dns, db, settings):
    """A registered domain that nothing vouches for, and a template From it."""
    settings.BOUNCE_DOMAIN = "bounce.elsewhere.example"
    make_lead()
    domain = make_domain()
    return domain, make_template(purpose="advertising")


def test_the_wizard_refuses_advertising(client, unaligned):
    _domain, template = unaligned
    client.force_login(make_user())
    job = make_job(template, state="draft")
    page = client.get(f"/mail/wizard/{job.pk}/confirm/").content.decode()
    assert "DKIMにもSPFにも適合していません" in page
    assert "disabled" in page
    client.post(f"/mail/wizard/{job.pk}/confirm/", {"seen": send_jobs.fingerprint(job)})
    job.refresh_from_db()
    assert job.state == JobState.DRAFT


def test_a_business_notice_is_only_warned_about(client, unaligned):
    _domain, template = unaligned
    template.purpose = "notice"
    template.save()
    job = make_job(template, state="draft", purpose="notice")
    (problem,) = [p for p in send_jobs.problems(job, now=timezone.now()) if p.code == "alignment"]
    assert problem.severity == "warning"
    assert send_jobs.confirm(job, user=None, now=timezone.now())


def test_without_the_requirement_it_is_only_said(unaligned, settings):
    settings.REQUIRE_ALIGNMENT = False
    _domain, template = unaligned
    job = make_job(template, state="draft")
    (problem,) = [p for p in send_jobs.problems(job, now=timezone.now()) if p.code == "alignment"]
    assert problem.severity == "warning"
    assert send_jobs.confirm(job, user=None, now=timezone.now())


def test_the_command_refuses(unaligned):
    _domain, template = unaligned
    lead = make_lead("b@example.com")
    with pytest.raises(CommandError, match="適合していません"):
        call_command("send", template=template.pk, leads=str(lead.pk), stdout=io.StringIO())
    assert not SendJob.objects.exists()


def test_a_reservation_is_halted_at_its_start_and_goes_on_when_mended(dns, unaligned):
    domain, template = unaligned
    now = timezone.now()
    job = make_job(template, state="reserved", scheduled_at=now - timedelta(minutes=1))
    job_start.run(job.pk, now=now)
    job.refresh_from_db()
    assert job.state == JobState.HALTED
    assert "適合していません" in job.halt_reason
    assert not job.deliveries.exists()
    key = domain.keys.get()
    dns.set(f"{key.selector}._domainkey.{DOMAIN}", {"TXT": [rules.record_of(key)]})
    rules.activate_key(key, user=None, now=now)
    send_jobs.resume(job, user=None, now=now)
    job_start.run(job.pk, now=now + timedelta(minutes=2))
    job.refresh_from_db()
    assert job.state == JobState.SENDING


@pytest.mark.parametrize(
    ("again", "state"),
    [(send_again.retry_failed, "error"), (send_again.send_unknown_again, "unknown")],
)
def test_what_failed_is_not_sent_again_while_nothing_vouches_for_it(unaligned, settings, again, state):
    """RATE-5: a mailing's second attempt goes by the domain's records of today."""
    job = make_sending_job("a@x.example.jp", template=unaligned[1])
    job.deliveries.update(state=state, code=42452, cause="full")
    with pytest.raises(send_jobs.Refused) as refused:
        again(job, user=None, now=timezone.now())
    assert refused.value.code == "alignment"
    settings.REQUIRE_ALIGNMENT = False
    assert again(job, user=None, now=timezone.now()) == 1


def test_an_administrator_may_answer_for_it(unaligned):
    """RATE-5: with a reason, audited, withdrawable."""
    domain, template = unaligned
    misaki = make_user()
    now = timezone.now()
    with pytest.raises(rules.DomainRefused):
        gate.set_override(domain, "  ", user=misaki, now=now)
    gate.set_override(domain, "DNSの移行中のため", user=misaki, now=now)
    job = make_job(template, state="draft")
    (problem,) = [p for p in send_jobs.problems(job, now=now) if p.code == "alignment"]
    assert problem.severity == "warning"
    assert "DNSの移行中のため" in problem.text
    domain.refresh_from_db()
    assert gate.withdraw_override(domain, user=misaki)
    assert not gate.withdraw_override(domain, user=misaki)
    with pytest.raises(send_jobs.Refused):
        send_jobs.confirm(job, user=misaki, now=now)
    entries = AuditEntry.objects.filter(action__startswith="sending_domain.override").order_by("id")
    assert [(entry.action, entry.user, entry.detail) for entry in entries] == [
        ("sending_domain.override", misaki, {"reason": "DNSの移行中のため"}),
        ("sending_domain.override_end", misaki, {}),
    ]


# ---- manage.py check_domain


def check(*args, **options):
    out = io.StringIO()
    call_command("check_domain", *args, stdout=out, **options)
    return out.getvalue()


def test_check_domain_of_a_registered_domain_keeps_what_it_saw(dns, db):
    domain = make_domain(dns=dns)
    answer = json.loads(check(DOMAIN.upper(), json=True))
    assert (answer["domain"], answer["registered"], answer["state"]) == (DOMAIN, True, "ok")
    assert [answer[part]["state"] for part in ("spf", "dkim", "dmarc")] == ["ok", "ok", "ok"]
    domain.refresh_from_db()
    assert domain.checked_at is not None


def test_check_domain_says_what_to_fix(dns, db):
    dns.set("faulty.example.com", {"TXT": ["v=spf1 " + "a " * 12 + "-all"]})
    answer = json.loads(check("faulty.example.com", json=True))
    assert [answer[part]["state"] for part in ("spf", "dkim", "dmarc")] == ["wrong"] * 3
    assert "12回" in answer["spf"]["text"]
    assert answer["dmarc"]["fix"][0]["name"] == "_dmarc.faulty.example.com"
    text = check("faulty.example.com", language="en")
    assert "→ _dmarc.faulty.example.com TXT v=DMARC1" in text
    assert "It needs 12 DNS look-ups" in text


def test_check_domain_refuses_what_is_no_name(db):
    with pytest.raises(CommandError):
        check("not a name")
