"""APP-1: campaigns as they are made, changed, published and copied."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from campaigns.campaign_values import RESERVED_SLUGS
from campaigns.campaigns import (
    MOVES,
    CampaignChanged,
    change_state,
    copy_campaign,
    refusals,
    save_campaign,
    set_members,
)
from campaigns.consent_texts import set_consent_text
from campaigns.models import Campaign, CampaignState
from leads.models import SavedSearch
from settings.models import AuditEntry, Role
from tests.factories import make_application, make_campaign, make_user

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db


def problems(values, campaign=None):
    with pytest.raises(ValidationError) as refused:
        save_campaign(values, campaign=campaign, user=None, now=NOW)
    return {name: texts[0] for name, texts in refused.value.message_dict.items()}


def make(**values):
    return save_campaign({"name": "製造業DXセミナー", **values}, user=None, now=NOW)


class TestSaving:
    def test_a_new_campaign_is_in_preparation_and_has_a_form(self):
        """APP-1"""
        misaki = make_user()
        made = save_campaign(
            {"name": "  髙橋①㈱のDXセミナー😀 ", "slug": "dx-2026"}, user=misaki, now=NOW, ip="192.0.2.1"
        )
        assert (made.name, made.state, made.created_by) == ("髙橋①㈱のDXセミナー😀", "draft", misaki)
        assert made.form_items.filter(field="email").exists()
        entry = AuditEntry.objects.get(action="campaign.create")
        assert (entry.user, entry.ip, entry.target_id) == (misaki, "192.0.2.1", str(made.pk))

    def test_without_a_slug_it_gets_one(self):
        first, second, english = make(), make(), make(name="DX Seminar: Spring!")
        assert first.slug.startswith("seminar-202611-") and first.slug != second.slug
        assert english.slug == "dx-seminar-spring"
        assert make(name="DX Seminar: Spring!").slug.startswith("dx-seminar-spring-")
        assert make(name="Confirm").slug not in RESERVED_SLUGS

    @pytest.mark.parametrize(
        "slug",
        [
            "a",
            "ab",
            "-abc",
            "abc-",
            "a--b",
            "a_b",
            "日本語",
            "a/b",
            "a b c",
            "confirm",
            "x" * 61,
            "abc\n",
            "a.b.c",
            "abc\0",
        ],
    )
    def test_slugs_that_are_refused(self, slug):
        # A line end at the edge is trimmed like a space.
        if slug.strip() != slug:
            assert make(slug=slug).slug == slug.strip()
        else:
            assert set(problems({"name": "セミナー", "slug": slug})) == {"slug"}

    def test_a_slug_is_read_as_typed_and_is_unique(self):
        assert make(slug=" ＤＸ-2026 ").slug == "dx-2026"
        assert "dx-2026" in problems({"name": "別のセミナー", "slug": "DX-2026"})["slug"]
        assert Campaign.objects.count() == 1

    def test_every_fault_is_named_at_once_in_both_languages(self, settings):
        from django.utils import translation

        wrong = {
            "name": " ",
            "slug": "confirm",
            "capacity": "-1",
            "venue_url": "javascript:alert(1)",
            "online_url": "ftp://example.jp/",
            "staff_addresses": "a@example.jp; b@example.jp",
            "place": "moon",
            "contact": "改行\nあり",
            "description": "あ" * 20_001,
            "starts_at": datetime(1800, 1, 1, tzinfo=UTC),
        }
        japanese = problems(wrong)
        with translation.override("en"):
            english = problems(wrong)
        assert set(japanese) == set(english) == set(wrong)
        assert all(japanese[name] != english[name] for name in wrong)

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"starts_at": NOW + DAY, "ends_at": NOW}, "ends_at"),
            ({"ends_at": NOW}, "starts_at"),
            ({"applications_from": NOW, "applications_until": NOW}, "applications_until"),
            ({"applications_from": NOW + DAY, "applications_until": NOW}, "applications_until"),
            ({"starts_at": NOW, "ends_at": NOW + DAY, "applications_from": NOW + DAY}, "applications_from"),
        ],
    )
    def test_the_order_of_dates(self, values, field):
        assert set(problems({"name": "セミナー", **values})) == {field}

    def test_the_order_is_judged_with_what_is_stored(self):
        campaign = make(starts_at=NOW + DAY, ends_at=NOW + 2 * DAY)
        assert set(problems({"starts_at": NOW + 3 * DAY}, campaign)) == {"ends_at"}
        same = save_campaign({"starts_at": NOW + 2 * DAY}, campaign=campaign, user=None, now=NOW)
        assert same.starts_at == same.ends_at

    @pytest.mark.parametrize(
        ("typed", "stored"), [("", None), (None, None), ("0", 0), (0, 0), ("３０", 30), ("1,000", 1000)]
    )
    def test_capacity(self, typed, stored):
        assert make(capacity=typed).capacity == stored

    @pytest.mark.parametrize("typed", ["-1", "1.5", "many", "1000001", "１２三", "\0"])
    def test_capacity_that_is_refused(self, typed):
        assert set(problems({"name": "セミナー", "capacity": typed})) == {"capacity"}

    def test_staff_addresses(self):
        campaign = make(staff_addresses=" Info@example.jp,info@example.jp ,tanto@example.jp,, ")
        assert campaign.staff_addresses == "Info@example.jp, tanto@example.jp"
        many = ",".join(f"a{n}@example.jp" for n in range(21))
        assert set(problems({"name": "セミナー", "staff_addresses": many})) == {"staff_addresses"}

    def test_a_change_is_audited_with_old_and_new_and_nothing_changed_is_not(self):
        campaign = make(capacity=10)
        later = NOW + DAY
        changed = save_campaign(
            {"capacity": 20, "name": campaign.name}, campaign=campaign, user=None, now=later
        )
        assert changed.updated_at == later
        assert AuditEntry.objects.get(action="campaign.edit").detail["changes"] == {"capacity": [10, 20]}
        save_campaign({"capacity": 20}, campaign=campaign, user=None, now=later + DAY)
        assert AuditEntry.objects.filter(action="campaign.edit").count() == 1

    def test_two_administrators_at_once(self):
        campaign = make()
        seen = campaign.updated_at
        save_campaign({"capacity": 5}, campaign=campaign, user=None, now=NOW + DAY, seen_at=seen)
        with pytest.raises(CampaignChanged):
            save_campaign({"capacity": 9}, campaign=campaign, user=None, now=NOW + 2 * DAY, seen_at=seen)
        campaign.refresh_from_db()
        assert campaign.capacity == 5

    def test_state_and_members_are_not_values(self):
        with pytest.raises(ValueError, match="state"):
            make(state="open")


class TestStates:
    def test_what_keeps_a_campaign_from_being_published(self):
        """APP-1: every reason at once, each with what to do."""
        campaign = make(session_choice="one")
        campaign.form_items.filter(field="email").delete()
        with pytest.raises(ValidationError) as refused:
            change_state(campaign, "open", user=None, now=NOW)
        assert len(refused.value.messages) == 3
        campaign.refresh_from_db()
        assert campaign.state == "draft" and not AuditEntry.objects.filter(action="campaign.state").exists()

    def test_the_way_of_a_campaign(self):
        """APP-1: in preparation → published → closed → archived, and back."""
        campaign = make(starts_at=NOW + DAY)
        for state in ("open", "draft", "open", "closed", "open", "closed", "archived", "closed"):
            campaign = change_state(campaign, state, user=None, now=NOW)
            assert campaign.state == state
        assert AuditEntry.objects.filter(action="campaign.state").count() == 8

    def test_twice_is_once(self):
        campaign = make(starts_at=NOW + DAY)
        change_state(campaign, "open", user=None, now=NOW)
        change_state(campaign, "open", user=None, now=NOW)
        assert AuditEntry.objects.filter(action="campaign.state").count() == 1

    def test_every_other_step_is_refused(self):
        for state in CampaignState.values:
            campaign = make_campaign(state=state)
            for wanted in set(CampaignState.values) - set(MOVES[state]) - {state}:
                assert refusals(campaign, wanted, now=NOW), (state, wanted)

    def test_back_to_preparation_only_while_nobody_applied(self):
        campaign = make_campaign()
        make_application(campaign, state="cancelled")
        assert refusals(campaign, "draft", now=NOW)

    def test_an_open_campaign_is_archived_only_when_it_is_over(self):
        campaign = make_campaign(starts_at=NOW, ends_at=NOW + DAY)
        assert refusals(campaign, "archived", now=NOW)
        assert not refusals(campaign, "archived", now=NOW + DAY)
        assert refusals(make_campaign(state="draft", starts_at=NOW, ends_at=NOW), "open", now=NOW)


class TestMembers:
    def test_campaign_administrators_are_assigned_and_audited(self):
        """SYS-1"""
        misaki, kenta = make_user(), make_user("kenta", role=Role.CAMPAIGN)
        campaign = make_campaign()
        assert set_members(campaign, [kenta], user=misaki, now=NOW)
        assert not set_members(campaign, [kenta], user=misaki, now=NOW)
        assert list(campaign.members.all()) == [kenta]
        assert set_members(campaign, [], user=misaki, now=NOW)
        entries = AuditEntry.objects.filter(action="campaign.members").order_by("pk")
        assert [entry.detail["changes"]["members"] for entry in entries] == [
            [[], ["鈴木 健太"]],
            [["鈴木 健太"], []],
        ]

    @pytest.mark.parametrize(
        "values",
        [{"role": Role.VIEWER}, {"role": Role.PRIVILEGED}, {"role": Role.CAMPAIGN, "is_active": False}],
    )
    def test_others_are_refused(self, values):
        """SYS-1"""
        with pytest.raises(ValidationError):
            set_members(make_campaign(), [make_user("yui", **values)], user=None, now=NOW)

    def test_who_has_another_role_now_keeps_the_assignment_asleep(self):
        yui, kenta = make_user("yui", role=Role.VIEWER), make_user("kenta", role=Role.CAMPAIGN)
        campaign = make_campaign(members=[yui])
        set_members(campaign, [kenta], user=None, now=NOW)
        assert set(campaign.members.all()) == {yui, kenta}


class TestCopying:
    def test_a_copy_has_everything_but_the_people_who_applied(self):
        """APP-1"""
        misaki, kenta = make_user(), make_user("kenta", role=Role.CAMPAIGN)
        original = make(
            slug="dx-2026", name_en="DX", capacity=30, starts_at=NOW + DAY, staff_addresses="a@example.jp",
            session_choice="several", known_address="merge", confirm_address=True,
        )  # fmt: skip
        set_members(original, [kenta], user=misaki, now=NOW)
        original.sessions.create(title="基調講演", capacity=10, position=1)
        set_consent_text(original, "同意の文です。", user=misaki, now=NOW)
        set_consent_text(original, "新しい同意の文です。", user=misaki, now=NOW)
        change_state(original, "open", user=misaki, now=NOW)
        make_application(original)

        copy = copy_campaign(original, user=misaki, now=NOW + DAY)
        assert (copy.state, copy.slug, copy.copied_from) == ("draft", "dx-2026-2", original)
        assert copy.name == "製造業DXセミナー(コピー)" and copy.name_en == ""
        for field in (
            "capacity",
            "starts_at",
            "staff_addresses",
            "session_choice",
            "known_address",
            "confirm_address",
        ):
            assert getattr(copy, field) == getattr(original, field), field
        assert list(copy.members.all()) == [kenta]
        assert [session.title for session in copy.sessions.all()] == ["基調講演"]
        assert [(text.version, text.text) for text in copy.consent_texts.all()] == [
            (1, "新しい同意の文です。")
        ]
        assert copy.form_items.count() == original.form_items.count() > 0
        assert not copy.applications.exists()
        assert str(original.pk) in AuditEntry.objects.get(action="campaign.copy").detail["copied_from"]
        assert copy_campaign(original, user=misaki, now=NOW).slug == "dx-2026-3"

    def test_a_long_name_and_address_can_be_copied(self):
        original = make(name="名" * 200, slug="x" * 60)
        first, second = (copy_campaign(original, user=None, now=NOW) for _time in range(2))
        assert len(first.name) <= 200 and len({original.slug, first.slug, second.slug}) == 3

    def test_its_searches_are_copied_with_the_keys_of_the_copy(self):
        """APP-1: unique names; a question that is on the form no more leaves its search behind."""
        misaki, yui = make_user(), make_user("yui", role=Role.VIEWER)
        original = make_campaign()
        asked = original.form_items.create(source="question", type="text", label="きっかけ", position=1)
        gone = original.form_items.create(
            source="question", type="text", label="旧", position=2, retired_at=NOW
        )
        session = original.sessions.create(title="基調講演")
        prefix = f"campaign.{original.pk}."

        def save(name, *blocks, **values):
            condition = {
                "match": "all",
                "blocks": [{"item": item, "operator": "is", "values": given} for item, given in blocks],
            }
            SavedSearch.objects.create(name=name, condition=condition, campaign_id=original.pk, **values)

        save("来場者", (prefix + "attended", ["yes"]), (f"{prefix}question.{asked.pk}", ["展示会"]),
             (prefix + "session", [str(session.pk)]), owner=yui, shared=True)  # fmt: skip
        save("私の", ("lead.company", ["山手"]), owner=misaki)
        save("他人の", ("lead.company", ["山手"]), owner=yui)
        save("旧質問", (f"{prefix}question.{gone.pk}", ["x"]), owner=misaki)
        copy = copy_campaign(original, user=misaki, now=NOW)
        copies = {search.name: search for search in SavedSearch.objects.filter(campaign_id=copy.pk)}
        assert set(copies) == {f"来場者 #{copy.pk}", f"私の #{copy.pk}"}
        blocks = copies[f"来場者 #{copy.pk}"].condition["blocks"]
        assert [block["item"] for block in blocks] == [
            f"campaign.{copy.pk}.attended",
            f"campaign.{copy.pk}.question.{copy.form_items.get(label='きっかけ').pk}",
            f"campaign.{copy.pk}.session",
        ]
        assert blocks[2]["values"] == [str(copy.sessions.get().pk)]
