"""TKT-1..3, TEST-5: addresses of tickets and how long they hold; fresh ones by mail."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from campaigns import tickets
from campaigns.events import Event, happened
from campaigns.models import Application
from settings.models import SystemSetting
from settings.system_settings import set_setting
from tests.factories import make_application, make_campaign, make_lead, make_user

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 16, 1, 0, 0, 500_000, tzinfo=UTC)  # 10:00:00.5 in Japan


def token_of(url):
    return url.rsplit("/", 1)[1]


def applied(**values):
    return make_application(make_campaign(), **values)


def test_an_address_holds_for_seven_days_and_its_last_second():
    """TKT-1"""
    application = applied()
    url = tickets.ticket_url(application, now=NOW)
    assert url.startswith("http://127.0.0.1:8000/t/")
    issued = NOW.replace(microsecond=0)
    for after, expired in [
        (timedelta(), False),
        (timedelta(days=7, seconds=-1), False),
        (timedelta(days=7), False),
        (timedelta(days=7, milliseconds=999), False),
        (timedelta(days=7, seconds=1), True),
        (timedelta(days=400), True),
    ]:
        link = tickets.read_ticket(token_of(url), now=issued + after)
        assert (link.application, link.expired) == (application, expired), after
        assert link.expires_at == issued + timedelta(days=7)
    assert tickets.expiry_text(link.expires_at) == "2026-11-23 10:00"


@pytest.mark.parametrize(
    ("stored", "days"), [(1, 1), (3, 3), (7, 7), (0, 7), (-1, 7), (8, 7), (365, 7), ("x", 7)]
)
def test_what_is_not_one_to_seven_counts_as_seven(stored, days):
    """TKT-1"""
    SystemSetting.objects.create(key="ticket_url_days", value=stored)
    token = token_of(tickets.ticket_url(applied(), now=NOW))
    assert tickets.read_ticket(token, now=NOW).expires_at == NOW.replace(microsecond=0) + timedelta(days=days)


def test_a_changed_setting_holds_for_addresses_from_then_on():
    """TKT-1"""
    application = applied()
    before = token_of(tickets.ticket_url(application, now=NOW))
    set_setting("ticket_url_days", 1, user=None)
    after = token_of(tickets.ticket_url(application, now=NOW))
    later = NOW + timedelta(days=2)
    assert not tickets.read_ticket(before, now=later).expired
    assert tickets.read_ticket(after, now=later).expired


@pytest.mark.parametrize("value", [8, 30, 100_000])
def test_more_than_seven_days_are_refused(value):
    """TKT-1"""
    with pytest.raises(ValidationError) as refused:
        set_setting("ticket_url_days", value, user=None)
    assert refused.value.messages == ["7以下の値を設定してください。"]
    for right in (1, 7):
        set_setting("ticket_url_days", right, user=None)


def test_who_has_no_ticket_has_nothing_to_read(django_assert_num_queries):
    """TEST-5, TKT-1"""
    campaign = make_campaign()
    without = make_campaign("受講票なし", ticket=False)
    gone = make_application(campaign)
    gone.lead.deleted_at = NOW
    gone.lead.save()
    for application in [
        make_application(campaign, state="cancelled"),
        make_application(campaign, state="waiting"),
        make_application(campaign, state="provisional"),
        make_application(without),
        gone,
    ]:
        token = token_of(tickets.ticket_url(application, now=NOW))
        assert tickets.read_ticket(token, now=NOW) == tickets.NOTHING
        assert not tickets.reissue(application, now=NOW)
    with django_assert_num_queries(0):
        assert tickets.read_ticket(token_of(tickets.dummy_ticket_url()), now=NOW) == tickets.NOTHING


@pytest.mark.parametrize(
    "token",
    [
        "",
        "test",
        ".",
        "..",
        "1.2.3",
        "0." + "0" * 16 + ".1",
        "a" * 5000,
        "髙﨑.1",
        "1\0.2",
        "٣.٣",
        "x.99999999999999999999",
    ],
)
def test_no_address_can_be_made_up(token):
    """TKT-1"""
    assert tickets.read_ticket(token, now=NOW) == tickets.NOTHING


def test_no_time_can_be_lengthened():
    """TKT-1"""
    application, other = applied(), applied()
    signed, until = token_of(tickets.ticket_url(application, now=NOW)).rsplit(".", 1)
    assert tickets.read_ticket(f"{signed}.{until}", now=NOW).application == application
    assert tickets.read_ticket(f"{signed}.{int(until) + 1}", now=NOW) == tickets.NOTHING
    theirs = token_of(tickets.ticket_url(other, now=NOW)).rsplit(".", 1)[0]
    mixed = theirs.split(".")[0] + "." + signed.split(".")[1]
    assert tickets.read_ticket(f"{mixed}.{until}", now=NOW) == tickets.NOTHING


def test_a_fresh_address_by_mail_once_in_24_hours(told):
    """TKT-2, TKT-3"""
    application = applied(lead=make_lead())
    assert tickets.reissue(application, now=NOW)
    happening = told[0]
    assert (happening.event, happening.lead, happening.application) == (
        Event.TICKET_REISSUED,
        application.lead,
        application,
    )
    assert happening.values["有効期限"] == "2026-11-23 10:00"
    fresh = tickets.read_ticket(token_of(happening.values["受講票URL"]), now=NOW + timedelta(days=7))
    assert (fresh.application, fresh.expired) == (application, False)
    for early in (timedelta(), timedelta(hours=1), timedelta(hours=24) - timedelta(microseconds=1)):
        assert not tickets.reissue(Application.objects.get(), now=NOW + early)
        assert not tickets.reissue(Application.objects.get(), now=NOW + early, asked=True)
    assert len(told) == 1
    assert tickets.reissue(Application.objects.get(), now=NOW + timedelta(hours=24))
    assert len(told) == 2


def test_staff_send_it_as_often_as_they_want(told):
    """TKT-2"""
    application = applied()
    assert tickets.reissue(application, now=NOW)
    assert tickets.send_ticket_url(application, now=NOW)
    assert [happening.asked for happening in told] == [False, True]
    # A mail of the staff counts: what opens the old address an hour later sends none.
    assert not tickets.reissue(application, now=NOW + timedelta(hours=23))


def test_what_was_not_told_is_not_remembered(told):
    """TKT-3: in one transaction"""

    def fail(**_):
        raise RuntimeError("no mail")

    application = applied()
    happened.connect(fail, weak=False, dispatch_uid="fails")
    try:
        with pytest.raises(RuntimeError):
            tickets.reissue(application, now=NOW)
    finally:
        happened.disconnect(dispatch_uid="fails")
    assert Application.objects.get().reissued_at is None


def test_the_page_of_the_setting_says_so(client):
    """TKT-1: the words as users know them, from the server and not from the browser"""
    client.force_login(make_user())
    url = "/settings/system/ticket_url_days/"
    page = client.get(url).content.decode()
    assert "受講票URLの有効期間(日)" in page and 'class="card" novalidate' in page
    refused = client.post(url, {"value": "8", "seen": "7"})
    assert "7以下の値を設定してください。" in refused.content.decode()
    assert tickets.days_valid() == 7
    client.post(url, {"value": "3", "seen": "7"})
    assert tickets.days_valid() == 3
