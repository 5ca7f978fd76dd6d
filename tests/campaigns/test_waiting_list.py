"""APP-6: cancelling, moving up, changing."""

from datetime import timedelta

import pytest
from django.utils import timezone

from campaigns.applications import (
    ApplicationRefused,
    Entry,
    cancel,
    change,
    confirm,
    move_up,
    move_up_one,
    seats,
    seats_of,
)
from campaigns.campaigns import save_campaign
from campaigns.models import Application, FormItem, Session
from campaigns.sessions import save_session
from leads.models import LeadColumn
from settings.models import AuditEntry
from tests.campaigns.applying import apply, entry, heard
from tests.factories import make_application, make_campaign, make_lead, make_user

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def queue(campaign, *minutes):
    """Applications on the waiting list, since so many minutes."""
    return [
        make_application(campaign, state="waiting", waiting_since=NOW - timedelta(minutes=m)) for m in minutes
    ]


def states(campaign):
    return list(Application.objects.filter(campaign=campaign).order_by("id").values_list("state", flat=True))


class TestCancelling:
    def test_the_seat_goes_to_who_has_waited_longest(self):
        campaign = make_campaign(capacity=1)
        seated = make_application(campaign)
        short, long, _shortest = queue(campaign, 10, 20, 5)
        with heard() as told:
            cancel(seated, by="lead", now=NOW)
        long.refresh_from_db()
        assert (long.state, long.applied_at, long.moved_up_at) == ("applied", NOW, NOW)
        assert told == [("cancelled", seated.lead_id), ("moved_up", long.lead_id)]
        assert states(campaign) == ["cancelled", "waiting", "applied", "waiting"]
        assert short.waiting_since < NOW

    def test_twice_is_once(self):
        campaign = make_campaign(capacity=1)
        seated = make_application(campaign)
        queue(campaign, 10, 20)
        with heard() as told:
            first = cancel(seated, by="lead", now=NOW)
            again = cancel(seated, by="staff", now=NOW + timedelta(hours=1), user=make_user())
        assert (again.cancelled_at, again.cancelled_by) == (first.cancelled_at, "lead") == (NOW, "lead")
        assert len(told) == 2 and states(campaign).count("applied") == 1

    def test_who_waits_frees_nothing(self):
        campaign = make_campaign(capacity=1)
        make_application(campaign)
        first, _second = queue(campaign, 10, 5)
        cancel(first, by="lead", now=NOW)
        assert states(campaign) == ["applied", "cancelled", "waiting"]

    def test_until_when(self):
        campaign = make_campaign(cancel_until=NOW)
        application = make_application(campaign)
        with pytest.raises(ApplicationRefused, match="cancel_over"):
            cancel(application, by="lead", now=NOW + timedelta(minutes=2))
        assert cancel(application, by="staff", now=NOW + timedelta(minutes=2)).state == "cancelled"

    def test_the_minute_named_as_the_last_one_counts_to_its_end(self):
        """As for applying (campaigns/status.py)."""
        last = NOW.replace(second=0, microsecond=0)
        campaign = make_campaign(cancel_until=last)
        late, in_time = make_application(campaign), make_application(campaign)
        assert cancel(in_time, by="lead", now=last + timedelta(seconds=59)).state == "cancelled"
        with pytest.raises(ApplicationRefused, match="cancel_over"):
            cancel(late, by="lead", now=last + timedelta(seconds=60))

    def test_without_a_date_until_the_start(self):
        campaign = make_campaign(starts_at=NOW)
        with pytest.raises(ApplicationRefused, match="cancel_over"):
            cancel(make_application(campaign), by="lead", now=NOW + timedelta(minutes=2))

    def test_staff_are_audited_and_may_tell_nobody(self):
        misaki, application = make_user(), make_application(make_campaign())
        with heard() as told:
            cancel(application, by="staff", now=NOW, user=misaki, tell=False)
        line = AuditEntry.objects.get(action="application.cancel")
        assert (line.user, line.target_id, told) == (misaki, str(application.pk), [])

    def test_nobody_moves_up_once_it_is_over(self):
        campaign = make_campaign(
            capacity=1, starts_at=NOW - timedelta(hours=3), ends_at=NOW - timedelta(hours=1)
        )
        seated = make_application(campaign)
        queue(campaign, 10)
        cancel(seated, by="staff", now=NOW)
        assert states(campaign) == ["cancelled", "waiting"]

    def test_deleted_leads_are_left_out(self):
        campaign = make_campaign(capacity=1)
        seated = make_application(campaign)
        gone, here = queue(campaign, 20, 10)
        gone.lead.deleted_at = NOW
        gone.lead.save()
        cancel(seated, by="lead", now=NOW)
        here.refresh_from_db()
        assert here.state == "applied"


class TestMoreSeats:
    def test_a_higher_capacity_moves_up_in_order(self):
        campaign = make_campaign(capacity=0)
        waiting = queue(campaign, 5, 20, 10)
        save_campaign({"capacity": 2}, campaign=campaign, user=None, now=NOW)
        assert states(campaign) == ["waiting", "applied", "applied"]
        assert [one.pk for one in Application.objects.filter(state="waiting")] == [waiting[0].pk]

    def test_no_limit_any_more(self):
        campaign = make_campaign(capacity=0)
        queue(campaign, 5, 20, 10)
        save_campaign({"capacity": None}, campaign=campaign, user=None, now=NOW)
        assert states(campaign) == ["applied"] * 3

    def test_fewer_seats_take_nothing_away(self):
        campaign = make_campaign(capacity=3)
        for _number in range(3):
            make_application(campaign)
        save_campaign({"capacity": 1}, campaign=campaign, user=None, now=NOW)
        campaign.refresh_from_db()
        assert states(campaign) == ["applied"] * 3
        assert (seats(campaign).free, seats(campaign).full) == (0, True)

    def test_who_waits_for_a_full_session_keeps_their_place(self):
        campaign = make_campaign(capacity=1, session_choice="one")
        morning = Session.objects.create(campaign=campaign, title="午前", capacity=0)
        evening = Session.objects.create(campaign=campaign, title="午後", capacity=5)
        first, second = queue(campaign, 20, 10)
        first.sessions.add(morning)
        second.sessions.add(evening)
        assert move_up(campaign, now=NOW) == [second]
        save_campaign({"capacity": 2}, campaign=campaign, user=None, now=NOW)
        first.refresh_from_db()
        assert first.state == "waiting"
        save_session(campaign, {"capacity": 1}, session=morning, user=None, now=NOW)
        first.refresh_from_db()
        assert first.state == "applied"

    def test_by_hand(self):
        campaign = make_campaign(capacity=1)
        seated = make_application(campaign)
        first, second = queue(campaign, 20, 10)
        assert move_up_one(second, now=NOW) is None
        Application.objects.filter(pk=seated.pk).update(state="cancelled")
        moved = move_up_one(second, now=NOW)
        first.refresh_from_db()
        assert (moved, first.state) == (second, "waiting")


def test_the_seats_of_many_campaigns_are_one_query(django_assert_num_queries):
    full, empty = make_campaign(capacity=1), make_campaign()
    make_application(full)
    queue(full, 5)
    make_application(full, state="provisional")
    with django_assert_num_queries(1):
        found = seats_of([full, empty])
    assert (found[full.pk].taken, found[full.pk].waiting, found[full.pk].provisional) == (1, 1, 1)
    assert (found[empty.pk].capacity, found[empty.pk].taken, found[empty.pk].full) == (None, 0, False)


class TestChanging:
    @pytest.fixture
    def campaign(self):
        return make_campaign(session_choice="one")

    def test_lead_answers_and_sessions(self, campaign):
        morning = Session.objects.create(campaign=campaign, title="午前の部")
        evening = Session.objects.create(campaign=campaign, title="午後の部")
        item = FormItem.objects.create(campaign=campaign, source="question", label="ご質問", type="text")
        retired = FormItem.objects.create(
            campaign=campaign, source="question", label="旧", type="text", retired_at=NOW
        )
        column = LeadColumn.objects.create(label="従業員数", type="number")
        lead = make_lead(company="旧社名")
        application = make_application(campaign, lead, answers={item.key: "前", retired.key: "昔"})
        application.sessions.add(morning)
        given = Entry({"company": "新社名", "extra": {column.key: "7"}}, {item.key: "後"}, [evening.pk])
        with heard() as told:
            changed = change(application, given, way="my_page", now=NOW)
        lead.refresh_from_db()
        assert (lead.company, lead.extra) == ("新社名", {column.key: 7})
        assert changed.answers == {item.key: "後", retired.key: "昔"}
        assert list(changed.sessions.all()) == [evening]
        assert told == [("changed", lead.pk)]
        assert told.all[0].values["変更内容"].split("\n") == [
            "セッション: 午前の部 → 午後の部", "ご質問: 前 → 後", "会社名: 旧社名 → 新社名", "従業員数: – → 7",
        ]  # fmt: skip

    def test_nothing_different(self, campaign):
        application = make_application(campaign)
        with heard() as told:
            change(application, Entry({"company": ""}), way="proxy", now=NOW, user=make_user())
        assert told == [] and not AuditEntry.objects.filter(action="application.change").exists()

    def test_a_full_session(self, campaign):
        morning = Session.objects.create(campaign=campaign, title="午前", capacity=1)
        evening = Session.objects.create(campaign=campaign, title="午後", capacity=1)
        make_application(campaign).sessions.add(evening)
        application = make_application(campaign)
        application.sessions.add(morning)
        with pytest.raises(ApplicationRefused, match="session_full"):
            change(application, Entry(session_ids=[evening.pk]), way="my_page", now=NOW)
        assert change(application, Entry(session_ids=[morning.pk]), way="my_page", now=NOW)

    def test_the_seat_of_a_left_session_goes_on(self):
        campaign = make_campaign(capacity=2, session_choice="one")
        morning = Session.objects.create(campaign=campaign, title="午前", capacity=1)
        evening = Session.objects.create(campaign=campaign, title="午後")
        seated = make_application(campaign)
        seated.sessions.add(morning)
        (waiting,) = queue(campaign, 5)
        waiting.sessions.add(morning)
        change(seated, Entry(session_ids=[evening.pk]), way="my_page", now=NOW)
        waiting.refresh_from_db()
        assert waiting.state == "applied"

    def test_on_my_page_the_address_has_its_own_confirmation(self, campaign):
        lead = make_lead("old@yamate.example.jp")
        given = Entry({"email": "new@yamate.example.jp"})
        change(make_application(campaign, lead), given, way="my_page", now=NOW)
        lead.refresh_from_db()
        assert lead.email == "old@yamate.example.jp"

    def test_staff_may_change_the_address(self, campaign):
        """FLAG-3."""
        lead, misaki = make_lead("old@yamate.example.jp", email_valid=False, email_failures=3), make_user()
        given = Entry({"email": "new@yamate.example.jp"})
        change(make_application(campaign, lead), given, way="proxy", now=NOW, user=misaki)
        lead.refresh_from_db()
        assert (lead.email, lead.email_valid) == ("new@yamate.example.jp", True)
        assert AuditEntry.objects.get(action="application.change").user == misaki

    def test_cancelled_ones_are_closed(self, campaign):
        with pytest.raises(ApplicationRefused, match="cancelled"):
            change(make_application(campaign, state="cancelled"), Entry(), way="proxy", now=NOW)

    def test_opt_1_nobody_is_made_to_want_mail_again(self, campaign):
        lead = make_lead(unsubscribed_at=NOW)
        change(make_application(campaign, lead), Entry({"dm_permission": "wanted"}), way="my_page", now=NOW)
        lead.refresh_from_db()
        assert lead.dm_permission == "unwanted"


def test_confirming_a_cancelled_application():
    campaign = make_campaign(confirm_address=True)
    application = apply(campaign, entry()).application
    cancel(application, by="staff", now=NOW)
    with pytest.raises(ApplicationRefused, match="cancelled"):
        confirm(application, now=NOW)
