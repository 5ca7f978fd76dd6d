"""Leaving by the links of a mail: OPT-5, OPT-6's sentence, OPT-7, MAG-2, RFC 8058."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from leads.merge import merge
from leads.models import ConsentRecord, Lead
from mail import links
from mail.bounces.record import record_complaint
from mail.magazines import blacklist, requests
from mail.magazines.readers import remove
from mail.message import store_snapshot
from mail.models import DeliveryEvent, Reader, ReaderChange, SendJob
from tests.factories import make_delivery, make_lead
from tests.mail.magazine_scene import make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def path_of(url):
    return "/" + url.split("/", 3)[3]


@pytest.fixture
def browser():
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def reader():
    return make_reader(make_magazine(), "yui@yamate.example.jp")


def magazine_mail(reader, **values):
    story = make_story(reader.magazine)
    job = SendJob.objects.create(
        template=story.template, story=story, magazine=reader.magazine, rule="search", state="sending",
    )  # fmt: skip
    return make_delivery(reader.lead, job=job, kind="magazine", state="sent", **values)


def one_click(reader, delivery):
    return path_of(links.one_click_url(reader.lead_id, delivery.pk))


# ---- one-click


def test_one_click_of_a_magazine_mail_stops_that_reader_only(browser, reader):
    """OPT-5, OPT-7, RFC 8058: at once, no cookie, no CSRF token, no redirect, 200 however often."""
    other = make_reader(make_magazine("別のマガジン"), lead=reader.lead)
    mail = magazine_mail(reader)
    for _time in range(3):
        answer = browser.post(one_click(reader, mail), ONE_CLICK)
        assert (answer.status_code, answer.cookies) == (200, {})
    reader.refresh_from_db()
    other.refresh_from_db()
    lead = Lead.objects.get(pk=reader.lead_id)
    assert (reader.state, other.state, lead.unsubscribed_at) == ("stopped", "deliverable", None)
    change = ReaderChange.objects.get()
    assert (change.way, change.after, change.delivery_id, change.evidence) == (
        "one_click", "stopped", mail.pk, "one_click",
    )  # fmt: skip
    assert DeliveryEvent.objects.filter(delivery=mail, what="unsubscribed").count() == 1


def test_one_click_removes_where_the_magazine_says_so(browser):
    """MAG-2."""
    reader = make_reader(make_magazine(leave_does="remove"))
    mail = magazine_mail(reader)
    for _time in range(2):
        assert browser.post(one_click(reader, mail), ONE_CLICK).status_code == 200
    assert not Reader.objects.exists()


@pytest.mark.parametrize("method", ["get", "head"])
def test_opening_a_link_stops_nobody(browser, reader, method):
    """OPT-5: scanners open every link."""
    mail = magazine_mail(reader)
    for url in (
        one_click(reader, mail),
        path_of(links.reader_opt_out_url(reader.magazine_id, reader.lead_id)),
    ):
        assert getattr(browser, method)(url).status_code == 200
    reader.refresh_from_db()
    assert reader.state == "deliverable"
    assert not ReaderChange.objects.exists()


def test_the_one_click_page_has_a_button(browser, reader):
    """OPT-8: it says that it is not done yet; afterwards that a mail may still arrive (OPT-6)."""
    url = one_click(reader, magazine_mail(reader))
    page = browser.get(url).content.decode()
    assert "まだ完了していません" in page
    done = browser.post(url, ONE_CLICK | {"page": "1"}).content.decode()
    assert "配信停止を受け付けました" in done
    assert "引き渡し済み" in done
    reader.refresh_from_db()
    assert reader.state == "stopped"


def test_a_magazine_mail_sent_once_more_to_one_person_belongs_to_the_magazine(browser, reader):
    """RES-1: no job, but the same text."""
    mail = make_delivery(reader.lead, kind="single", state="sent")
    mail.snapshot = store_snapshot({"magazine": reader.magazine_id})
    mail.save()
    browser.post(one_click(reader, mail), ONE_CLICK)
    reader.refresh_from_db()
    assert reader.state == "stopped"
    assert Lead.objects.get(pk=reader.lead_id).unsubscribed_at is None


def test_one_click_of_any_other_mail_stops_the_lead(browser, reader):
    """OPT-7: the wizard's mail."""
    mail = make_delivery(reader.lead, state="sent")
    browser.post(one_click(reader, mail), ONE_CLICK)
    assert Lead.objects.get(pk=reader.lead_id).unsubscribed_at is not None


@pytest.mark.django_db(transaction=True)
def test_many_one_clicks_at_once_leave_once(reader):
    """OPT-5: mailbox providers repeat; there is one change."""
    url = one_click(reader, magazine_mail(reader))

    def post(_number):
        try:
            return Client().post(url, ONE_CLICK).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(post, range(12))) == {200}
    assert ReaderChange.objects.count() == 1
    assert DeliveryEvent.objects.filter(what="unsubscribed").count() == 1


# ---- the opt-out page of a magazine's mail


def test_opt_7_the_page_offers_both_and_this_magazine_first(browser, reader):
    """「このメールマガジンだけ」 is chosen until somebody chooses 「すべてのお知らせ」; it names nobody."""
    url = path_of(links.reader_opt_out_url(reader.magazine_id, reader.lead_id))
    page = browser.get(url)
    text = page.content.decode()
    assert "このメールマガジンだけ" in text
    assert "すべてのお知らせ" in text
    assert (
        page.context["form"].initial.get("scope", page.context["form"].fields["scope"].initial) == "magazine"
    )
    assert "まだ完了していません" in text
    assert reader.lead.email not in text
    done = browser.post(url)
    assert "引き渡し済み" in done.content.decode()
    reader.refresh_from_db()
    assert reader.state == "stopped"
    assert Lead.objects.get(pk=reader.lead_id).unsubscribed_at is None
    assert ReaderChange.objects.get().way == "form"


def test_opt_7_everything(browser, reader):
    """OPT-10: with the evidence of each."""
    url = path_of(links.reader_opt_out_url(reader.magazine_id, reader.lead_id))
    done = browser.post(url, {"scope": "all"})
    assert "今後、メールは配信されません" in done.content.decode()
    reader.refresh_from_db()
    assert reader.state == "stopped"
    assert Lead.objects.get(pk=reader.lead_id).unsubscribed_at is not None
    assert ConsentRecord.objects.get(change="unsubscribed").evidence == "opt_out_form"
    assert browser.post(url, {"scope": "everybody"}).status_code == 200  # refused with words, nothing more
    assert ConsentRecord.objects.count() == 1


def test_links_of_test_mails_stop_nobody(browser, reader):
    """TEST-4."""
    url = path_of(links.reader_opt_out_url(reader.magazine_id, links.NOBODY))
    assert "テスト" in browser.get(url).content.decode()
    assert browser.post(url, {"scope": "all"}).status_code == 200
    reader.refresh_from_db()
    assert reader.state == "deliverable"


def test_the_link_works_after_the_reader_is_gone(browser, reader):
    """Removed, or the magazine archived: the page is the same, and the address stays on the blacklist."""
    url = path_of(links.reader_opt_out_url(reader.magazine_id, reader.lead_id))
    first = browser.post(url).content
    reader.magazine.archived_at = timezone.now()
    reader.magazine.save()
    Reader.objects.all().delete()
    assert browser.post(url).content == first


# ---- the opt-out page of all other mails


def test_opt_7_the_page_of_other_mails_offers_the_magazines_after_the_address(browser, reader):
    """Listed only to who knows the address; only what is ticked is left."""
    lead = reader.lead
    other = make_reader(make_magazine("別のマガジン"), lead=lead)
    make_reader(make_magazine("止めたマガジン"), lead=lead, state="stopped")
    url = path_of(links.opt_out_url(lead.pk))
    page = browser.get(url)
    assert reader.magazine.name not in page.content.decode()
    secret = {"csrfmiddlewaretoken": str(page.context["csrf_token"]), "scope": "magazines"}
    wrong = browser.post(url, secret | {"email": "other@yamate.example.jp", "magazine": [reader.magazine_id]})
    assert reader.magazine.name not in wrong.content.decode()
    offered = browser.post(url, secret | {"email": "YUI@yamate.example.jp"}).content.decode()
    assert reader.magazine.name in offered
    assert "別のマガジン" in offered
    assert "止めたマガジン" not in offered
    chosen = secret | {"email": lead.email, "chosen": "1"}
    assert "1つ以上" in browser.post(url, chosen).content.decode()
    foreign = make_reader(make_magazine("他人のマガジン"))
    done = browser.post(url, chosen | {"magazine": [reader.magazine_id, foreign.magazine_id, "x"]})
    assert reader.magazine.name in done.content.decode()
    for one, state in ((reader, "stopped"), (other, "deliverable"), (foreign, "deliverable")):
        one.refresh_from_db()
        assert one.state == state
    lead.refresh_from_db()
    assert lead.unsubscribed_at is None


def test_opt_7_all_is_what_the_page_does_by_itself(browser):
    lead = make_lead("yui@yamate.example.jp")
    url = path_of(links.opt_out_url(lead.pk))
    page = browser.get(url)
    secret = {"csrfmiddlewaretoken": str(page.context["csrf_token"]), "email": lead.email}
    assert "配信されていません" in browser.post(url, secret | {"scope": "magazines"}).content.decode()
    browser.post(url, secret | {"scope": "all"})
    lead.refresh_from_db()
    assert lead.unsubscribed_at is not None


# ---- one address, several leads


@pytest.mark.parametrize("by", ["magazine page", "page", "one-click", "complaint"])
def test_all_mails_means_the_address_whoever_else_has_it(browser, reader, by):
    """MAG-12, EXC-4: "we will send you no more mails" holds for the readers that other leads with this address are."""
    twin = make_reader(make_magazine("別のマガジン"), lead=make_lead("YUI@yamate.example.jp"))
    also = make_reader(twin.magazine, lead=reader.lead)
    stranger = make_reader(twin.magazine, "other@yamate.example.jp")
    lead = reader.lead
    if by == "magazine page":
        browser.post(path_of(links.reader_opt_out_url(reader.magazine_id, lead.pk)), {"scope": "all"})
    elif by == "page":
        url = path_of(links.opt_out_url(lead.pk))
        secret = {"csrfmiddlewaretoken": str(browser.get(url).context["csrf_token"])}
        browser.post(url, secret | {"email": lead.email, "scope": "all"})
    elif by == "one-click":
        mail = make_delivery(lead, kind="single", state="sent")
        for _time in range(2):
            assert browser.post(path_of(links.one_click_url(lead.pk, mail.pk)), ONE_CLICK).status_code == 200
    else:
        record_complaint(None, lead, reporter="", now=timezone.now())
    for one, state in ((twin, "stopped"), (also, "stopped"), (stranger, "deliverable")):
        one.refresh_from_db()
        assert one.state == state
    lead.refresh_from_db()
    assert lead.unsubscribed_at is not None
    assert blacklist.is_blacklisted(twin.magazine, lead.email_norm)


def test_an_old_link_lists_the_address_its_mail_went_to(browser, reader):
    """MAG-9: the lead was merged into another one since. An import of the old address brings nobody back."""
    old, survivor = reader.lead, make_lead("now@yamate.example.jp")
    mail = magazine_mail(reader)
    merge(survivor.pk, [old.pk], chosen={}, user=None, now=timezone.now())
    assert browser.post(one_click(reader, mail), ONE_CLICK).status_code == 200
    assert Reader.objects.get().state == "stopped"
    listed = blacklist.acts(reader.magazine, ["yui@yamate.example.jp", "now@yamate.example.jp"])
    assert listed == {"yui@yamate.example.jp": True, "now@yamate.example.jp": True}


@pytest.mark.parametrize("lead_is", ["there", "deleted"])
def test_the_form_of_somebody_the_operator_removed_is_their_own_act(reader, lead_is):
    """MAG-9: from now on no operator takes the address off the list. Who never was in the magazine is not listed."""
    now, magazine = timezone.now(), reader.magazine
    remove(magazine, [reader.pk], way="admin", user=None, now=now)
    if lead_is == "deleted":
        Lead.objects.filter(pk=reader.lead_id).update(deleted_at=now)
    for address in ("yui@yamate.example.jp", "never@yamate.example.jp"):
        requests.ask_to_leave(magazine, address, language="ja", source="leave form", ip=None, now=now)
    requests.handle_requests(now)
    listed = blacklist.acts(magazine, ["yui@yamate.example.jp", "never@yamate.example.jp"])
    assert listed == {"yui@yamate.example.jp": True}
