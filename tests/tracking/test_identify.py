"""WEB-1, WEB-2: whose browser it is, and what becomes of its earlier views."""

from datetime import timedelta
from threading import Barrier, Thread
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from leads.merge import merge, undo
from leads.models import LeadMerge
from tests.factories import make_delivery, make_lead, make_user
from tests.tracking.views_support import AGENT, SITE, make_site, new_visitor
from tracking import identify as module
from tracking import page_views
from tracking.click_pass import CLICK, new_pass, read_pass, with_pass
from tracking.hits import IDENTIFY, VIEW, Hit, new_uid
from tracking.identify import identify, store_identifications
from tracking.models import Identification, PageView, Visitor
from tracking.page_views import store_views
from tracking.sites import forget_sites

pytestmark = pytest.mark.django_db
NOW = timezone.now()
HOUR = timedelta(hours=1)


@pytest.fixture
def site():
    yield make_site()
    forget_sites()


@pytest.fixture
def told(monkeypatch):
    """What step mails were told: (lead, path, before_known)."""
    seen = []

    def note(views, *, now):
        seen.extend((one.lead_id, one.url.removeprefix(SITE), one.before_known) for one in views)
        return 0

    monkeypatch.setattr(page_views, "viewed", note)
    return seen


def view(site, visitor, at, path="/a", agent=AGENT):
    ids = {"site": site.key, "visitor": visitor, "url": SITE + path, "title": "", "referrer": ""}
    store_views([Hit(new_uid(at), VIEW, at, "192.0.2.1", agent, {}, ids)], at)


def owner(visitor):
    return Visitor.objects.get(uid=UUID(visitor)).lead_id


def leads_of_views(visitor):
    found = PageView.objects.filter(visitor__uid=UUID(visitor)).order_by("at")
    return list(found.values_list("lead_id", flat=True))


def test_earlier_views_are_linked_at_once_and_later_ones_as_they_come(site, told):
    """WEB-1, STEP-4: three anonymous visits, then an application"""
    lead, visitor = make_lead(), new_visitor()
    for number in range(3):
        view(site, visitor, NOW - (3 - number) * HOUR, f"/{number}")
    assert told == [] and leads_of_views(visitor) == [None] * 3
    found = identify(UUID(visitor), lead.pk, how="application", at=NOW)
    assert (found.linked, found.views, found.before_id) == (True, 3, None)
    view(site, visitor, NOW + HOUR, "/after")
    assert leads_of_views(visitor) == [lead.pk] * 4
    assert told == [
        (lead.pk, "/0", True),
        (lead.pk, "/1", True),
        (lead.pk, "/2", True),
        (lead.pk, "/after", False),
    ]
    assert list(PageView.objects.order_by("at").values_list("linked_at", flat=True)) == [NOW] * 3 + [None]


@pytest.mark.parametrize("how", ["application", "confirmation", "my_page_login", "click", "my_page_url"])
def test_each_of_the_five_moments_makes_a_free_browser_known(site, told, how):
    """WEB-1"""
    lead, visitor = make_lead(), new_visitor()
    view(site, visitor, NOW - HOUR)
    assert identify(UUID(visitor), lead.pk, how=how, at=NOW).linked
    assert owner(visitor) == lead.pk and leads_of_views(visitor) == [lead.pk]


@pytest.mark.parametrize("how", ["click", "my_page_url"])
def test_a_forwarded_link_never_takes_somebody_elses_browser(site, told, how):
    """WEB-2: it is written down and shown, and changes nothing"""
    yoshio, reader, visitor = make_lead(), make_lead("hanako@yamate.example.jp"), new_visitor()
    identify(UUID(visitor), reader.pk, how="application", at=NOW - HOUR)
    view(site, visitor, NOW - HOUR / 2)
    found = identify(UUID(visitor), yoshio.pk, how=how, at=NOW)
    assert (found.linked, found.before_id, found.lead_id) == (False, reader.pk, yoshio.pk)
    view(site, visitor, NOW + HOUR)
    assert owner(visitor) == reader.pk and leads_of_views(visitor) == [reader.pk, reader.pk]


@pytest.mark.parametrize("how", ["application", "confirmation", "my_page_login"])
def test_a_proof_makes_it_the_leads_from_now_on(site, told, how):
    """WEB-2: earlier views of another lead stay theirs"""
    first, second, visitor = make_lead(), make_lead("hanako@yamate.example.jp"), new_visitor()
    identify(UUID(visitor), first.pk, how="click", at=NOW - HOUR)
    view(site, visitor, NOW - HOUR / 2)
    found = identify(UUID(visitor), second.pk, how=how, at=NOW)
    assert (found.linked, found.before_id, found.views) == (True, first.pk, 0)
    view(site, visitor, NOW + HOUR)
    assert leads_of_views(visitor) == [first.pk, second.pk]


def test_a_view_that_was_held_up_belongs_to_whose_browser_it_was_then(site, told):
    """WEB-2: the spool of a host may come late"""
    first, second, visitor = make_lead(), make_lead("hanako@yamate.example.jp"), new_visitor()
    identify(UUID(visitor), first.pk, how="application", at=NOW - 2 * HOUR)
    identify(UUID(visitor), second.pk, how="application", at=NOW)
    view(site, visitor, NOW - 3 * HOUR, "/before")
    view(site, visitor, NOW - HOUR, "/between")
    view(site, visitor, NOW + HOUR, "/after")
    assert leads_of_views(visitor) == [first.pk, first.pk, second.pk]
    assert [one[2] for one in told] == [True, False, False]


def test_a_proof_that_was_held_up_does_not_take_the_browser_back(site):
    """WEB-2"""
    first, second, visitor = make_lead(), make_lead("hanako@yamate.example.jp"), new_visitor()
    identify(UUID(visitor), second.pk, how="application", at=NOW)
    assert not identify(UUID(visitor), first.pk, how="application", at=NOW - HOUR).linked
    assert owner(visitor) == second.pk


def test_the_landing_page_of_a_click_is_no_earlier_view(site, told):
    """WEB-1, STEP-4: the click was before it, in whatever order they are stored"""
    lead, visitor = make_lead(), new_visitor()
    delivery = make_delivery(lead, state="sent")
    clicked = NOW - timedelta(seconds=1)
    view(site, visitor, NOW, "/landing")
    ids = {
        "visitor": visitor,
        "how": "click",
        "delivery": delivery.pk,
        "at": clicked.timestamp(),
        "once": "abc",
    }
    store_identifications([Hit(new_uid(NOW), IDENTIFY, NOW, "192.0.2.1", AGENT, {}, ids)], NOW)
    assert told == [(lead.pk, "/landing", False)]
    assert PageView.objects.get().linked_at is None


def test_a_pass_identifies_one_browser(site, told):
    """WEB-1: an address that was passed on with its pass"""
    lead = make_lead()
    delivery = make_delivery(lead, state="sent")
    first, second = new_visitor(), new_visitor()
    for visitor in (first, first, second):
        ids = {"visitor": visitor, "how": "click", "delivery": delivery.pk, "once": "abc"}
        store_identifications([Hit(new_uid(NOW), IDENTIFY, NOW, None, AGENT, {}, ids)], NOW)
    assert owner(first) == lead.pk and Identification.objects.count() == 1
    assert owner(second) is None


def test_a_pass_lives_ten_minutes_and_cannot_be_made_by_others(site):
    """WEB-1"""
    text = new_pass(CLICK, 7, at=NOW)
    found = read_pass(text, now=NOW + timedelta(minutes=10))
    assert (found.kind, found.number, len(found.once)) == ("c", 7, 16)
    assert found.once != read_pass(new_pass(CLICK, 7, at=NOW), now=NOW).once
    assert read_pass(text, now=NOW + timedelta(minutes=11)) is None
    for altered in ("", text[:-1], text.replace("c-7", "c-8"), "c-7-1-x", "\0", text * 9):
        assert read_pass(altered, now=NOW) is None
    target = with_pass(f"{SITE}/a?b=1#c", 7, at=NOW)
    assert target.startswith(f"{SITE}/a?b=1&smp_p=c-7-") and target.endswith("#c")
    assert with_pass("https://other.example/a?b=1#c", 7, at=NOW) == "https://other.example/a?b=1#c"


def test_a_scanner_that_follows_the_link_is_nobody(site):
    """TRK-4"""
    lead, visitor = make_lead(), new_visitor()
    ids = {"visitor": visitor, "how": "click", "delivery": make_delivery(lead, state="sent").pk}
    for agent, hints in (("python-requests/2.31", {}), (AGENT, {"purpose": "prefetch"})):
        store_identifications([Hit(new_uid(NOW), IDENTIFY, NOW, None, agent, hints, ids)], NOW)
    assert not Identification.objects.exists()


def test_machines_views_set_nothing_off(site, told):
    """TRK-4, STEP-3"""
    lead, visitor = make_lead(), new_visitor()
    identify(UUID(visitor), lead.pk, how="application", at=NOW - HOUR)
    view(site, visitor, NOW, agent="curl/8.0")
    assert told == [] and leads_of_views(visitor) == [lead.pk]


def test_stored_twice_is_told_once(site):
    """WEB-1: a flusher that is killed reads the hit again"""
    lead, visitor = make_lead(), new_visitor()
    hit = Hit(
        new_uid(NOW),
        IDENTIFY,
        NOW,
        None,
        AGENT,
        {},
        {"visitor": visitor, "how": "application", "lead": lead.pk},
    )
    store_identifications([hit, hit], NOW)
    store_identifications([hit], NOW)
    assert Identification.objects.count() == 1


def test_leads_that_are_gone_are_nobody_and_merged_ones_go_on(site):
    """WEB-1, APP-5"""
    gone, merged, survivor = (
        make_lead(deleted_at=NOW),
        make_lead("b@x.jp", deleted_at=NOW),
        make_lead("c@x.jp"),
    )
    LeadMerge.objects.create(survivor=survivor, merged_ids=[merged.pk])
    visitor = UUID(new_visitor())
    assert identify(visitor, gone.pk, how="my_page_url", at=NOW) is None
    assert identify(visitor, 999_999_999, how="my_page_url", at=NOW) is None
    assert identify(visitor, merged.pk, how="my_page_url", at=NOW).lead_id == survivor.pk


@pytest.mark.django_db(transaction=True)
def test_two_at_once_leave_one_owner_and_both_written_down(site):
    """WEB-2: the row of the browser is locked"""
    leads = [make_lead(f"{number}@yamate.example.jp") for number in range(2)]
    visitor, start, problems = UUID(new_visitor()), Barrier(2), []

    def click(lead):
        try:
            start.wait(timeout=30)
            identify(visitor, lead.pk, how="click", at=NOW, once=str(lead.pk))
        except Exception as problem:
            problems.append(problem)
        finally:
            connection.close()

    threads = [Thread(target=click, args=[lead]) for lead in leads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert problems == []
    told = Identification.objects.order_by("-linked")
    assert [one.linked for one in told] == [True, False]
    assert told[1].before_id == told[0].lead_id == Visitor.objects.get(uid=visitor).lead_id


def test_proofs_and_links_are_told_apart():
    assert {"application", "confirmation", "my_page_login"} == module.PROOFS


def test_merged_leads_bring_their_browsers_and_get_them_back(site):
    """APP-5, WEB-1: views, browsers and what was told of them go along; a view since the merge comes back with its browser,
    and the survivor's own stay."""
    first, second = make_lead(), make_lead("second@example.jp")
    mine, theirs = new_visitor(), new_visitor()
    for visitor, lead in ((mine, first), (theirs, second)):
        view(site, visitor, NOW - HOUR)
        identify(UUID(visitor), lead.pk, how="application", at=NOW)
    done = merge(first.pk, [second.pk], chosen={}, user=make_user(), now=NOW + HOUR)
    assert owner(theirs) == first.pk and leads_of_views(theirs) == [first.pk]
    view(site, theirs, NOW + 2 * HOUR)
    assert leads_of_views(theirs) == [first.pk] * 2
    undo(done, user=None, now=NOW + 3 * HOUR)
    assert (owner(mine), owner(theirs)) == (first.pk, second.pk)
    assert leads_of_views(mine) == [first.pk] and leads_of_views(theirs) == [second.pk] * 2
    told = dict(Identification.objects.values_list("visitor__uid", "lead_id"))
    assert told == {UUID(mine): first.pk, UUID(theirs): second.pk}
