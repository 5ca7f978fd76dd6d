"""APP-3, APP-6, OPT-10: applying for a campaign, one application at a time."""

import uuid
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.utils import timezone, translation

from campaigns.applications import ApplicationRefused, cancel, cancel_unconfirmed, confirm, seats
from campaigns.confirm_links import confirm_url, read_confirm_link
from campaigns.models import Application, ConsentText, FormItem, Session
from campaigns.refusals import TEXTS
from leads.models import Lead
from settings.models import AuditEntry
from settings.system_settings import set_setting
from tests.campaigns.applying import apply, entry, heard
from tests.factories import make_application, make_campaign, make_lead, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_limits():
    cache.clear()


def refusal(campaign, *args, **options):
    with pytest.raises(ApplicationRefused) as refused:
        apply(campaign, *args, **options)
    return refused.value.code


class TestSeats:
    def test_with_a_seat(self):
        campaign = make_campaign(capacity=2)
        with heard() as told:
            applied = apply(campaign)
        application = applied.application
        assert (applied.outcome, application.state) == ("applied", "applied")
        assert application.applied_at == application.created_at
        assert told == [("received", application.lead_id)]
        assert seats(campaign).free == 1

    def test_app_6_full_goes_to_the_waiting_list(self):
        campaign = make_campaign(capacity=1)
        make_application(campaign)
        with heard() as told:
            applied = apply(campaign)
        assert (applied.outcome, applied.application.state) == ("waiting", "waiting")
        assert applied.application.waiting_since is not None
        assert [event for event, _lead in told] == ["waiting"]

    def test_full_without_a_waiting_list(self):
        campaign = make_campaign(capacity=1, waiting_list=False)
        make_application(campaign)
        assert refusal(campaign) == "full"
        assert not Lead.objects.filter(email="hanako@yamate.example.jp").exists()

    def test_full_is_said_to_known_people_as_well(self):
        """Somebody else's address tells nothing about who applied."""
        campaign = make_campaign(capacity=1, waiting_list=False)
        make_application(campaign, make_lead("hanako@yamate.example.jp"))
        assert refusal(campaign) == "full"

    def test_what_is_cancelled_or_unconfirmed_holds_no_seat(self):
        campaign = make_campaign(capacity=1, waiting_list=False)
        make_application(campaign, state="cancelled")
        make_application(campaign, state="provisional")
        assert apply(campaign).outcome == "applied"

    def test_free_seats_go_first_to_who_waits(self):
        """The capacity was raised behind our back: nobody overtakes."""
        campaign = make_campaign(capacity=2)
        make_application(campaign)
        waiting = make_application(campaign, state="waiting")
        assert apply(campaign).outcome == "waiting"
        waiting.refresh_from_db()
        assert waiting.state == "applied"

    def test_staff_and_files_get_no_seat_beyond_the_capacity(self):
        campaign = make_campaign(capacity=0)
        for way in ("proxy", "api", "csv"):
            given = entry(email=f"{way}@yamate.example.jp")
            assert apply(campaign, given, way=way).outcome == "waiting"


class TestSessions:
    @pytest.fixture
    def campaign(self):
        return make_campaign(session_choice="one")

    @pytest.fixture
    def morning(self, campaign):
        return Session.objects.create(campaign=campaign, title="午前の部", capacity=1)

    def test_a_seat_in_a_session(self, campaign, morning):
        application = apply(campaign, entry(sessions=[morning.pk])).application
        assert list(application.sessions.all()) == [morning]

    def test_full(self, campaign, morning):
        apply(campaign, entry(sessions=[morning.pk]))
        other = entry(sessions=[morning.pk], email="other@yamate.example.jp")
        assert refusal(campaign, other) == "session_full"
        assert not Lead.objects.filter(email="other@yamate.example.jp").exists()

    def test_of_another_campaign(self, campaign, morning):
        foreign = Session.objects.create(campaign=make_campaign(), title="別のセミナー")
        assert refusal(campaign, entry(sessions=[foreign.pk])) == "session_unknown"
        assert refusal(campaign, entry(sessions=[morning.pk, foreign.pk])) == "session_unknown"

    def test_none_and_too_many(self, campaign, morning):
        evening = Session.objects.create(campaign=campaign, title="午後の部")
        assert refusal(campaign) == "session_missing"
        assert refusal(campaign, entry(sessions=[morning.pk, evening.pk])) == "session_one"
        campaign.session_choice = "several"
        campaign.save()
        assert apply(campaign, entry(sessions=[morning.pk, evening.pk])).application.sessions.count() == 2


class TestWhen:
    @pytest.mark.parametrize(
        ("values", "code"),
        [
            ({"state": "draft"}, "not_open"),
            ({"state": "archived"}, "not_open"),
            ({"state": "closed"}, "closed"),
            ({"applications_from": timezone.now() + timedelta(hours=1)}, "not_yet"),
            ({"applications_until": timezone.now() - timedelta(hours=1)}, "closed"),
            (
                {
                    "starts_at": timezone.now() - timedelta(hours=3),
                    "ends_at": timezone.now() - timedelta(hours=1),
                },
                "closed",
            ),
        ],
    )
    def test_not_open(self, values, code):
        campaign = make_campaign(**values)
        assert refusal(campaign) == code
        assert refusal(campaign, way="my_page", lead=make_lead()) == code
        assert not Application.objects.exists()
        if values != {"state": "archived"}:
            assert apply(campaign, way="proxy").outcome == "applied"

    def test_archived_is_closed_for_staff_too(self):
        assert refusal(make_campaign(state="archived"), way="proxy") == "archived"

    def test_every_refusal_is_said_in_both_languages(self):
        for code in TEXTS:
            refused = ApplicationRefused(code)
            with translation.override("ja"):
                japanese = refused.text
            with translation.override("en"):
                assert refused.text.isascii() and not japanese.isascii()


class TestTwice:
    def test_the_same_form_is_one_application(self):
        campaign, token = make_campaign(), uuid.uuid4()
        with heard() as told:
            first = apply(campaign, token=token)
            again = apply(campaign, entry(last_name="別人"), token=token)
        assert again.application == first.application and again.outcome == "repeated"
        assert len(told) == 1
        assert Lead.objects.count() == 1

    def test_a_token_of_another_campaign(self):
        token = uuid.uuid4()
        apply(make_campaign(), token=token)
        assert refusal(make_campaign(), token=token) == "token"

    def test_who_has_applied_already(self):
        campaign = make_campaign()
        first = apply(campaign)
        with heard() as told:
            again = apply(campaign, entry(email=" HANAKO@yamate.example.jp", company="乗っ取り株式会社"))
            apply(campaign)
        assert (again.application, again.outcome) == (first.application, "already")
        assert Application.objects.count() == 1
        assert told == [("received", first.application.lead_id)]  # once in ten minutes
        assert Lead.objects.get().company == ""

    def test_after_cancelling_one_may_apply_again(self):
        campaign = make_campaign()
        first = apply(campaign).application
        cancel(first, by="lead", now=timezone.now())
        assert apply(campaign).outcome == "applied"
        assert Application.objects.filter(lead=first.lead).count() == 2


class TestAnswers:
    def question(self, campaign, **values):
        return FormItem.objects.create(campaign=campaign, source="question", label="ご興味", **values)

    def test_kept(self):
        campaign = make_campaign()
        item = self.question(campaign, type="multiple", choices=[{"key": "a1", "label": "製造"}])
        applied = apply(campaign, entry(answers={item.key: ["a1"]}))
        assert applied.application.answers == {item.key: ["a1"]}

    def test_unknown(self):
        campaign = make_campaign()
        item = self.question(campaign, type="choice", choices=[{"key": "a1", "label": "製造"}])
        foreign = self.question(make_campaign(), type="text")
        assert refusal(campaign, entry(answers={item.key: ["zz"]})) == "choice_unknown"
        assert refusal(campaign, entry(answers={foreign.key: "盗み見"})) == "question_unknown"


class TestConfirming:
    @pytest.fixture
    def campaign(self):
        return make_campaign(confirm_address=True, capacity=1)

    def test_a_new_lead_is_provisional_until_confirmed(self, campaign):
        now = timezone.now()
        with heard() as told:
            applied = apply(campaign)
        application = applied.application
        assert applied.outcome == "provisional"
        assert (application.lead.registration, application.lead.last_name) == ("provisional", "山田")
        assert told == [("confirm", application.lead_id)]
        assert told.all[0].values == {"確認URL": confirm_url(application)}
        assert read_confirm_link(confirm_url(application).rsplit("/", 1)[1]) == application
        with heard() as told:
            confirm(application, now=now)
            confirm(application, now=now)  # idempotent
        application.refresh_from_db()
        assert (application.state, application.applied_at) == ("applied", now)
        assert application.lead.registration == "full"
        assert told == [("received", application.lead_id)]

    def test_nothing_is_written_to_a_known_lead_before(self, campaign):
        campaign.known_address = "merge"
        campaign.save()
        lead = make_lead("hanako@yamate.example.jp", last_name="旧姓", company="", dm_permission="unwanted")
        application = apply(campaign, entry(company="山手製作所")).application
        lead.refresh_from_db()
        assert (application.lead, lead.last_name, lead.company, lead.dm_permission) == (
            lead,
            "旧姓",
            "",
            "unwanted",
        )
        assert lead.registration == "full"
        assert application.entered["company"] == "山手製作所"
        confirm(application, now=timezone.now())
        lead.refresh_from_db()
        assert (lead.last_name, lead.company, lead.dm_permission) == ("山田", "山手製作所", "wanted")

    def test_the_seat_is_decided_when_confirmed(self, campaign):
        first = apply(campaign).application
        second = apply(campaign, entry(email="second@yamate.example.jp")).application
        confirm(second, now=timezone.now())
        assert confirm(first, now=timezone.now()).state == "waiting"

    def test_no_seat_left(self, campaign):
        campaign.waiting_list = False
        campaign.save()
        first = apply(campaign).application
        confirm(apply(campaign, entry(email="second@yamate.example.jp")).application, now=timezone.now())
        with pytest.raises(ApplicationRefused, match="full"):
            confirm(first, now=timezone.now())
        first.refresh_from_db()
        assert first.state == "provisional"

    def test_what_staff_corrected_since_stays(self, campaign):
        campaign.known_address = "merge"
        campaign.save()
        application = apply(campaign).application
        Lead.objects.filter(pk=application.lead_id).update(last_name="山﨑")
        confirm(application, now=timezone.now())
        assert Lead.objects.get().last_name == "山﨑"

    def test_too_late(self, campaign):
        now = timezone.now()
        application = apply(campaign).application
        assert cancel_unconfirmed(now + timedelta(hours=23, minutes=59)) == 0
        with heard() as told:
            assert cancel_unconfirmed(now + timedelta(hours=24, minutes=1)) == 1
        application.refresh_from_db()
        assert (application.state, application.cancelled_by) == ("cancelled", "unconfirmed")
        assert told == []
        with pytest.raises(ApplicationRefused, match="unconfirmed"):
            confirm(application, now=now)

    @pytest.mark.parametrize("way", ["proxy", "api", "my_page"])
    def test_only_the_public_form_asks(self, campaign, way):
        lead = make_lead() if way == "my_page" else None
        assert apply(campaign, way=way, lead=lead).outcome == "applied"

    def test_asked_again(self, campaign):
        first = apply(campaign).application
        with heard() as told:
            again = apply(campaign, entry(last_name="別人"))
        assert (again.application, again.outcome) == (first, "already")
        assert told == [("confirm", first.lead_id)]
        assert confirm(first, now=timezone.now()).lead.last_name == "別人"  # the page of the link shows it


class TestConsent:
    """OPT-10: what an application says about DM許可."""

    def test_a_new_lead_with_the_evidence(self):
        campaign = make_campaign()
        text = ConsentText.objects.create(campaign=campaign, version=2, text="個人情報の取り扱い")
        lead = apply(campaign, consent_text=text, ip="192.0.2.7").application.lead
        record = lead.consent_records.get()
        assert (record.change, record.evidence, record.ip) == ("granted", "form", "192.0.2.7")
        assert record.source == f"campaign {campaign.pk}, consent text v2"

    def test_silence_is_no_consent(self):
        lead = apply(make_campaign(), entry(dm_permission="")).application.lead
        assert lead.dm_permission == "unwanted"

    @pytest.mark.parametrize("rule", ["add", "merge"])
    @pytest.mark.parametrize(("stored", "entered"), [("wanted", "unwanted"), ("unwanted", "wanted")])
    def test_an_anonymous_form_changes_nobody_elses_consent(self, rule, stored, entered):
        lead = make_lead("hanako@yamate.example.jp", dm_permission=stored)
        applied = apply(make_campaign(known_address=rule), entry(dm_permission=entered))
        lead.refresh_from_db()
        assert (applied.application.lead, lead.dm_permission) == (lead, stored)
        assert applied.application.entered["dm_permission"] == entered
        assert not lead.consent_records.exists()

    @pytest.mark.parametrize("rule", ["add", "merge"])
    @pytest.mark.parametrize(("stored", "entered"), [("wanted", "unwanted"), ("unwanted", "wanted")])
    def test_confirmed_it_counts(self, rule, stored, entered):
        lead = make_lead("hanako@yamate.example.jp", dm_permission=stored)
        campaign = make_campaign(known_address=rule, confirm_address=True)
        confirm(apply(campaign, entry(dm_permission=entered)).application, now=timezone.now())
        lead.refresh_from_db()
        assert lead.dm_permission == entered
        assert lead.consent_records.get().evidence == "form"

    def test_given_again_it_is_recorded_again(self):
        lead = make_lead("hanako@yamate.example.jp")
        campaign = make_campaign(confirm_address=True)
        confirm(apply(campaign).application, now=timezone.now())
        assert lead.consent_records.get().change == "granted"

    @pytest.mark.parametrize("way", ["form", "proxy", "api", "my_page"])
    def test_opt_1_nothing_lifts_an_opt_out(self, way):
        lead = make_lead("hanako@yamate.example.jp", unsubscribed_at=timezone.now())
        campaign = make_campaign(confirm_address=True)
        application = apply(campaign, way=way, lead=lead if way == "my_page" else None).application
        confirm(application, now=timezone.now())
        lead.refresh_from_db()
        assert (lead.dm_permission, application.lead) == ("unwanted", lead)
        assert lead.unsubscribed_at is not None


class TestStaff:
    def test_proxy_registration_is_audited(self):
        misaki = make_user()
        application = apply(make_campaign(), way="proxy", user=misaki).application
        line = AuditEntry.objects.get(action="application.create")
        assert (line.user, line.target_id) == (misaki, str(application.pk))
        assert application.created_by == misaki

    def test_a_chosen_lead_is_written_as_entered(self):
        lead = make_lead("old@yamate.example.jp", company="旧社名", email_valid=False, email_failures=3)
        given = entry(company="", email="new@yamate.example.jp")
        application = apply(make_campaign(), given, way="proxy", lead=lead).application
        lead.refresh_from_db()
        assert (application.lead, lead.email, lead.company) == (lead, "new@yamate.example.jp", "")
        assert (lead.email_valid, lead.email_failures) == (True, 0)  # FLAG-3

    def test_a_deleted_lead(self):
        lead = make_lead(deleted_at=timezone.now())
        assert refusal(make_campaign(), way="proxy", lead=lead) == "lead_gone"

    def test_without_mails(self):
        with heard() as told:
            apply(make_campaign(), way="csv", tell=False)
        assert told == []


HOSTILE = "髙﨑𠮷①㈱😀<script>alert(1)</script>"


def test_hostile_values_are_kept_as_they_are():
    application = apply(
        make_campaign(), entry(last_name=HOSTILE), user_agent="\0Mozilla" + "x" * 999
    ).application
    assert application.lead.last_name == HOSTILE
    assert len(application.user_agent) == 300


@pytest.mark.parametrize(
    "values", [{"email": "no address"}, {"last_name": "x" * 101}, {"extra": {"99": "?"}}]
)
def test_what_cannot_be_stored_is_said_by_field(values):
    with pytest.raises(ValidationError):
        apply(make_campaign(), entry(**values))
    assert not Application.objects.exists() and not Lead.objects.exists()


class TestAgainBeforeTheAddressIsConfirmed:
    """APP-3: a stranger, or a typing error, does not stand in the way of who applies with their own address"""

    def test_what_was_entered_last_counts(self):
        campaign = make_campaign(confirm_address=True)
        first = apply(campaign, entry(last_name="悪戯", company="よそ", dm_permission="wanted")).application
        again = apply(campaign, entry(last_name="山田", phone="03-1", dm_permission="unwanted"))
        assert (again.outcome, again.application.pk) == ("already", first.pk)
        confirm(again.application, now=timezone.now())
        lead = Lead.objects.get()
        assert (lead.last_name, lead.company, lead.phone) == ("山田", "", "03-1")
        assert (lead.registration, lead.dm_permission) == ("full", "unwanted")

    def test_of_a_known_lead_nothing_is_written_before(self):
        lead = make_lead("hanako@yamate.example.jp", last_name="山田", company="山手工業")
        campaign = make_campaign(confirm_address=True, known_address="merge")
        for company in ("よそ", "山手電機"):
            application = apply(campaign, entry(company=company)).application
        lead.refresh_from_db()
        assert lead.company == "山手工業"
        confirm(application, now=timezone.now())
        lead.refresh_from_db()
        assert lead.company == "山手電機"

    def test_a_link_never_confirms_another_address(self):
        set_setting("merge_key", "name_phone", user=None)
        campaign = make_campaign(confirm_address=True, known_address="merge")
        mine = apply(campaign, entry(email="mine@yamate.example.jp", phone="03-1")).application
        apply(campaign, entry(email="victim@yamate.example.jp", phone="03-1"))
        confirm(mine, now=timezone.now())
        assert list(Lead.objects.values_list("email", flat=True)) == ["mine@yamate.example.jp"]
