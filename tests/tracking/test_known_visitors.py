"""WEB-1: the moments at which our own pages and links say whose browser it is."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.cache import cache
from django.utils import timezone

from campaigns.applications import apply
from campaigns.confirm_links import confirm_url
from campaigns.models import Application
from campaigns.my_page import links
from leads.models import Lead
from mail.click_count import digest_of
from mail.links import NOBODY, click_url, my_page_url
from mail.models.counting import CountedUrl
from settings.system_settings import set_setting
from tests.campaigns.forms import campaign_with_form, send
from tests.factories import make_application, make_campaign, make_delivery, make_lead, make_user
from tests.tracking.views_support import AGENT, make_site, new_visitor, send_view, store
from tracking.models import Identification, PageView
from tracking.sites import TRACK_OWN_PAGES, forget_sites

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh():
    cache.clear()
    forget_sites()
    yield
    forget_sites()


@pytest.fixture
def browser(client):
    """One that the script gave an id."""
    client.defaults["HTTP_USER_AGENT"] = AGENT
    client.cookies["smp_v"] = new_visitor()
    return client


def path_of(url):
    return urlsplit(url).path


def told():
    store()
    return list(Identification.objects.order_by("pk").values_list("lead_id", "how", "linked"))


def test_a_completed_application(browser):
    """WEB-1"""
    send(browser, campaign_with_form())
    assert told() == [(Lead.objects.get().pk, "application", True)]


def test_a_provisional_one_only_when_it_is_confirmed(browser):
    """WEB-1"""
    send(browser, campaign_with_form(confirm_address=True))
    assert told() == []
    address = path_of(confirm_url(Application.objects.get()))
    browser.get(address)
    assert told() == []
    browser.post(address)
    assert told() == [(Lead.objects.get().pk, "confirmation", True)]


def test_a_login_to_my_page(browser):
    """WEB-1"""
    lead = make_lead()
    make_application(make_campaign(), lead)
    address = path_of(links.login_url(lead, now=timezone.now()))
    browser.get(address)
    assert told() == []
    browser.post(address)
    assert told() == [(lead.pk, "my_page_login", True)]


def test_every_id_of_the_browser_becomes_known(browser):
    """WEB-1: the site's own, and the one of our host; what is no id is nothing"""
    first, second = new_visitor(), new_visitor()
    browser.cookies["smp_v"] = f"{first}.{second}.x.{'0' * 31}"
    send(browser, campaign_with_form())
    assert {how for _lead, how, _linked in told()} == {"application"}
    assert {one.visitor.uid.hex for one in Identification.objects.select_related("visitor")} == {
        first,
        second,
    }


def test_without_the_scripts_cookie_nobody_is_known(client):
    """WEB-1: no consent, no id, nothing written down"""
    send(client, campaign_with_form())
    assert Application.objects.count() == 1 and told() == []


def test_staff_who_fill_the_form_in_for_somebody_are_not_the_lead(browser):
    """WEB-1: not by proxy, not in a browser where staff are logged in"""
    browser.force_login(make_user())
    campaign = campaign_with_form()
    send(browser, campaign)
    browser.get(path_of(my_page_url(Lead.objects.get().pk, NOBODY)))
    assert Application.objects.count() == 1 and told() == []


def test_what_files_and_programs_register_is_nobodys_browser(browser):
    """WEB-1"""
    from uuid import uuid4

    from campaigns.entry import Entry

    apply(
        campaign_with_form(),
        Entry({"email": "a@yamate.example.jp", "last_name": "髙橋"}),
        way="csv",
        now=timezone.now(),
        token=uuid4(),
    )
    assert told() == []


def test_a_spool_that_takes_nothing_keeps_nobody_from_applying(browser, monkeypatch):
    """WEB-1: the form never waits and never fails for it"""
    from tracking import spool

    def refuse(hit):
        raise spool.NotKept("full")

    monkeypatch.setattr(spool, "keep", refuse)
    assert send(browser, campaign_with_form()).status_code == 302
    assert Application.objects.count() == 1


def test_the_merge_url_of_my_page_says_who_follows_it_and_logs_nobody_in(browser):
    """WEB-1, APP-4"""
    lead = make_lead()
    answer = browser.get(path_of(my_page_url(lead.pk, NOBODY)))
    assert (answer.status_code, answer["Location"]) == (302, "/my/")
    assert browser.get("/my/")["Location"] == "/my/login/"
    assert told() == [(lead.pk, "my_page_url", True)]


def test_a_forwarded_merge_url_takes_nobodys_browser(browser):
    """WEB-2"""
    send(browser, campaign_with_form())
    other = make_lead("hanako@yamate.example.jp")
    browser.get(path_of(my_page_url(other.pk, NOBODY)))
    assert told()[1] == (other.pk, "my_page_url", False)


def test_merge_urls_of_test_mails_and_altered_ones_identify_nobody(browser):
    """WEB-1, TEST-5"""
    good = path_of(my_page_url(make_lead().pk, NOBODY))
    assert browser.get(path_of(my_page_url(NOBODY, NOBODY))).status_code == 302
    assert browser.head(good).status_code == 302
    for altered in (good[:-1], "/m/x", "/m/%00", "/m/" + "a" * 500):
        assert browser.get(altered).status_code == 404
    assert browser.post(good).status_code == 405
    assert told() == []


def test_a_browser_without_an_id_takes_a_pass_along_where_our_pages_are_counted(client, settings):
    """WEB-1"""
    settings.BASE_URL = "http://testserver"
    lead = make_lead()
    assert client.get(path_of(my_page_url(lead.pk, NOBODY)))["Location"] == "/my/"
    set_setting(TRACK_OWN_PAGES, True, user=None)
    forget_sites()
    there = client.get(path_of(my_page_url(lead.pk, NOBODY)))["Location"]
    assert there.startswith("/my/login/?smp_p=m-")
    given = there.partition("smp_p=")[2].replace("%3A", ":")
    own = {"url": "http://testserver/my/login/", "origin": "http://testserver"}
    send_view(client, "own", new_visitor(), p=given, **own)
    send_view(client, "own", new_visitor(), p=given, **own)
    assert told() == [(lead.pk, "my_page_url", True)]  # once, for one browser


def test_the_pass_of_a_click_makes_the_browser_known(client):
    """WEB-1: on a tracked site, whatever host it has"""
    from tracking.click_pass import CLICK, new_pass

    lead, site, visitor = make_lead(), make_site(), new_visitor()
    delivery = make_delivery(lead, state="sent")
    send_view(client, site.key, visitor, p=new_pass(CLICK, delivery.pk, at=timezone.now()))
    assert told() == [(lead.pk, "click", True)]
    one = Identification.objects.get()
    assert (one.delivery_id, one.visitor.uid.hex) == (delivery.pk, visitor)


def counted_url(url):
    return CountedUrl.objects.create(url=url, digest=digest_of(url), name="a")


def test_a_click_makes_a_browser_known_that_has_an_id_on_our_host(browser):
    """WEB-1: whatever page the link leads to; never the link of a test mail, never a look ahead"""
    lead, url = make_lead(), counted_url("https://other.example/a")
    delivery = make_delivery(lead, state="sent", sent_at=timezone.now() - timedelta(hours=1))
    browser.get(path_of(click_url(NOBODY, url.pk)))
    browser.head(path_of(click_url(delivery.pk, url.pk)))
    browser.get(path_of(click_url(delivery.pk, url.pk)), headers={"sec-purpose": "prefetch"})
    assert told() == []
    answer = browser.get(path_of(click_url(delivery.pk, url.pk)))
    assert answer["Location"] == "https://other.example/a"
    assert told() == [(lead.pk, "click", True)]


def test_a_click_of_staff_makes_their_browser_nobodys(browser):
    """WEB-1: who is logged in tries a mail's links out"""
    url = counted_url("https://other.example/a")
    delivery = make_delivery(make_lead(), state="sent", sent_at=timezone.now() - timedelta(hours=1))
    browser.force_login(make_user())
    assert browser.get(path_of(click_url(delivery.pk, url.pk))).status_code == 302
    assert told() == []


def test_a_click_takes_a_pass_to_pages_of_a_tracked_site(client):
    """WEB-1: the whole way, from the link of a mail to a known visitor"""
    site, lead, url = make_site(), make_lead(), counted_url("https://www.yamate.example.jp/dx?id=3")
    delivery = make_delivery(lead, state="sent", sent_at=timezone.now() - timedelta(hours=1))
    target = client.get(path_of(click_url(delivery.pk, url.pk)), headers={"user-agent": AGENT})["Location"]
    assert target.startswith("https://www.yamate.example.jp/dx?id=3&smp_p=c-")
    send_view(client, site.key, new_visitor(), target, p=parse_qs(urlsplit(target).query)["smp_p"][0])
    assert told() == [(lead.pk, "click", True)]
    assert PageView.objects.get().url == "https://www.yamate.example.jp/dx?id=3"
    assert PageView.objects.get().lead_id == lead.pk
