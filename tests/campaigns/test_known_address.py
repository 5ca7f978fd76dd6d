"""APP-3: an application by a known address adds to the lead, merges, or makes a new lead; FLAG-3..6 for both ways."""

import pytest
from django.utils import timezone

from campaigns.known_address import MERGE_KEY
from leads.models import Lead, LeadColumn
from settings.models import AuditEntry, SystemSetting
from settings.system_settings import set_setting
from tests.campaigns.applying import apply, entry
from tests.factories import make_campaign, make_lead

pytestmark = pytest.mark.django_db

EMAIL = "hanako@yamate.example.jp"


def key(value):
    set_setting(MERGE_KEY, value, user=None)


class TestAdd:
    """APP-3, additional application: what the lead has stays."""

    def test_the_lead_keeps_its_values_and_gets_what_it_lacked(self):
        column = LeadColumn.objects.create(label="従業員数", type="number")
        other = LeadColumn.objects.create(label="業種", type="text")
        lead = make_lead(EMAIL, last_name="旧姓", company="", extra={column.key: 50})
        given = entry(company="山手製作所", phone="", extra={column.key: "99", other.key: "製造"})
        applied = apply(make_campaign(known_address="add"), given)
        lead.refresh_from_db()
        assert applied.application.lead == lead
        assert (lead.last_name, lead.company, lead.first_name) == ("旧姓", "山手製作所", "𠮷男")
        assert lead.extra == {column.key: 50, other.key: "製造"}
        assert applied.application.entered["last_name"] == "山田"
        assert AuditEntry.objects.get(action="lead.edit").detail["way"] == "application"

    @pytest.mark.parametrize(
        "email", ["Hanako@Yamate.Example.JP", " hanako@yamate.example.jp ", "ｈａｎａｋｏ@yamate.example.jp"]
    )
    def test_exc_4_says_which_address_is_the_same(self, email):
        lead = make_lead(EMAIL)
        assert apply(make_campaign(known_address="add"), entry(email=email)).application.lead == lead

    def test_the_newest_of_several_fully_registered_ones(self):
        make_lead(EMAIL)
        newest = make_lead(EMAIL)
        make_lead(EMAIL, registration="provisional")
        make_lead(EMAIL, deleted_at=timezone.now())
        make_lead("other@yamate.example.jp")
        assert apply(make_campaign(known_address="add")).application.lead == newest

    def test_an_unknown_address_makes_a_lead(self):
        make_lead("other@yamate.example.jp")
        lead = apply(make_campaign(known_address="add")).application.lead
        assert (lead.email, lead.last_name, lead.registration) == (EMAIL, "山田", "full")


class TestMerge:
    """APP-3, automatic merge: new values replace old ones, the id survives."""

    def test_new_values_win_and_blank_ones_clear_nothing(self):
        column = LeadColumn.objects.create(label="従業員数", type="number")
        lead = make_lead(
            EMAIL, last_name="旧姓", company="旧社名", phone="03-0000-0000", extra={column.key: 50}
        )
        given = entry(company="山手製作所", phone="", extra={column.key: ""})
        applied = apply(make_campaign(known_address="merge"), given)
        lead.refresh_from_db()
        assert applied.application.lead == lead
        assert (lead.last_name, lead.company, lead.phone) == ("山田", "山手製作所", "03-0000-0000")
        assert lead.extra == {column.key: 50}
        assert AuditEntry.objects.get(action="lead.edit").detail["way"] == "auto_merge"

    def test_key_e_mail_and_name(self):
        key("email_name")
        other = make_lead(EMAIL, last_name="鈴木", first_name="花子")
        same = make_lead(EMAIL, last_name="山田", first_name="花子")
        make_lead(EMAIL, last_name="山田", first_name="太郎")
        assert apply(make_campaign(known_address="merge")).application.lead == same
        third = apply(make_campaign(known_address="merge"), entry(last_name="佐藤")).application.lead
        assert third not in (other, same) and third.email == EMAIL

    @pytest.mark.parametrize(
        ("setting", "stored", "entered"),
        [
            ("name_phone", {"phone": "03(1234)5678"}, {"phone": "０３-1234-5678"}),
            ("name_company", {"company": "山手製作所"}, {"company": "山手製作所"}),
        ],
    )
    def test_keys_without_the_address(self, setting, stored, entered):
        key(setting)
        lead = make_lead("old@yamate.example.jp", last_name="山田", first_name="花子", **stored)
        make_lead("third@yamate.example.jp", last_name="山田", first_name="花子", phone="06-9999-9999")
        applied = apply(make_campaign(known_address="merge"), entry(**entered))
        lead.refresh_from_db()
        assert (applied.application.lead, lead.email) == (lead, EMAIL)

    def test_a_key_with_a_blank_part_leaves_it_to_the_address(self):
        key("name_phone")
        make_lead("old@yamate.example.jp", last_name="山田", first_name="花子", phone="")
        lead = make_lead(EMAIL, last_name="誰か", first_name="別の")
        assert apply(make_campaign(known_address="merge")).application.lead == lead

    def test_the_key_is_of_merging_only(self):
        key("name_phone")
        make_lead("old@yamate.example.jp", last_name="山田", first_name="花子", phone="03-1234-5678")
        lead = apply(make_campaign(known_address="add"), entry(phone="03-1234-5678")).application.lead
        assert lead.email == EMAIL and Lead.objects.count() == 2

    def test_no_other_key_can_be_stored(self):
        from django.core.exceptions import ValidationError

        with pytest.raises(ValidationError):
            key("everything")
        assert not SystemSetting.objects.filter(key=MERGE_KEY).exists()


def test_new_always_makes_a_lead():
    """APP-3, the third setting."""
    lead = make_lead(EMAIL)
    campaign = make_campaign(known_address="new")
    leads = {apply(campaign).application.lead_id for _number in range(2)}
    assert len(leads) == 2 and lead.pk not in leads


class TestFlag:
    """FLAG-3, FLAG-4, FLAG-6 for 申込画面 追加申込 (application) and 自動マージ (auto_merge)."""

    def dead(self, registration="full", **values):
        return make_lead(
            "old@yamate.example.jp", last_name="山田", first_name="花子", phone="03-1234-5678", email_valid=False,
            email_failures=3, registration=registration, **values,
        )  # fmt: skip

    def applied(self, lead, way, email):
        """The two ways by which an application can change a lead's address: identified, and found by another key."""
        if way == "application":
            apply(make_campaign(), entry(email=email), way="my_page", lead=lead)
        else:
            key("name_phone")
            apply(make_campaign(known_address="merge"), entry(email=email, phone="03-1234-5678"))
        lead.refresh_from_db()
        assert (
            AuditEntry.objects.filter(action="lead.edit", target_id=str(lead.pk)).first().detail["way"] == way
        )
        return lead

    @pytest.mark.parametrize("way", ["application", "auto_merge"])
    def test_flag_3_a_new_address_is_valid_again(self, way):
        lead = self.applied(self.dead(), way, "new@yamate.example.jp")
        assert (lead.email, lead.email_valid, lead.email_failures) == ("new@yamate.example.jp", True, 0)

    @pytest.mark.parametrize("way", ["application", "auto_merge"])
    def test_flag_4_not_of_a_provisional_lead(self, way):
        lead = self.applied(self.dead("provisional"), way, "new@yamate.example.jp")
        assert (lead.email, lead.email_valid, lead.email_failures) == ("new@yamate.example.jp", False, 3)
        assert lead.registration == "provisional"

    @pytest.mark.parametrize("way", ["application", "auto_merge"])
    @pytest.mark.parametrize("registration", ["full", "provisional"])
    def test_flag_6_the_same_address_resets_nothing(self, way, registration):
        lead = self.applied(self.dead(registration), way, "OLD@yamate.example.jp")
        assert (lead.email_valid, lead.email_failures) == (False, 3)

    def test_flag_5_the_flag_cannot_be_entered(self):
        lead = self.dead()
        apply(make_campaign(), entry(email=lead.email, email_valid=True), way="my_page", lead=lead)
        lead.refresh_from_db()
        assert not lead.email_valid
