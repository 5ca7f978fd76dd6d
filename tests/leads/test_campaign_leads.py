"""リード(申込者) inside one campaign (orange): lists, pages, searches and imports know its applicants and nobody else."""

import json
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns.models import CampaignState
from leads.imports import stage_import
from leads.imports.steps import upload
from leads.models import Lead, LeadImport, SavedSearch
from leads.search import EVERYONE, describe_condition, leads_matching, validate_condition
from leads.searches import usable_search, visible_searches
from settings.models import AuditEntry, Role
from smp.lib.finder import find
from tests.factories import make_application, make_campaign, make_lead, make_template, make_user
from tests.leads.importing import bring_in, counts, problems

TOKYO = {"match": "all", "blocks": [{"item": "lead.prefecture", "operator": "is", "values": ["東京都"]}]}


@pytest.fixture
def kenta(db):
    return make_user("kenta", role=Role.CAMPAIGN)


@pytest.fixture
def misaki(db):
    return make_user("misaki")


@pytest.fixture
def campaign(kenta):
    return make_campaign("製造業DXセミナー", members=[kenta])


@pytest.fixture
def other(db):
    return make_campaign("秘密の展示会")


@pytest.fixture
def mine(campaign):
    lead = make_lead("mine@yamate.example.jp", last_name="申込", first_name="花子", prefecture="東京都")
    make_application(campaign, lead)
    return lead


@pytest.fixture
def theirs(other):
    lead = make_lead("theirs@yamate.example.jp", last_name="他社", first_name="太郎", prefecture="東京都")
    make_application(other, lead)
    return lead


def at(campaign, path=""):
    return f"/c/{campaign.pk}/leads/{path}"


def text_of(response):
    return response.content.decode()


class TestList:
    def test_shows_the_applicants_and_nobody_else(self, client, kenta, campaign, mine, theirs):
        """APP-1, SYS-1"""
        client.force_login(kenta)
        page = text_of(client.get(at(campaign)))
        assert "申込 花子" in page and "他社" not in page
        assert "theirs" not in text_of(client.get(at(campaign, f"?q={theirs.pk}")))
        assert client.get("/leads/").status_code == 403

    def test_tells_what_became_of_the_application(self, client, kenta, campaign, mine):
        """APP-1: the columns 申込/キャンセル, 申込日時, 来場; the application that lives counts, else the newest."""
        make_application(campaign, mine, state="cancelled", created_at=timezone.now() + timedelta(hours=1))
        gone = make_lead("gone@yamate.example.jp", last_name="取消")
        make_application(campaign, gone, state="cancelled")
        here = make_lead("here@yamate.example.jp", last_name="来場")
        make_application(campaign, here, attended_at=timezone.now())
        client.force_login(kenta)
        response = client.get(at(campaign))
        told = {
            lead.last_name: [str(cell.text) for cell in cells] for lead, cells in response.context["rows"]
        }
        assert [told[name][0] for name in ("申込", "取消", "来場")] == ["申込", "キャンセル", "申込"]
        assert told["申込"][2] == "None" and told["来場"][2] != "None"
        assert all(header in text_of(response) for header in ("申込/キャンセル", "申込日時", "来場日時"))

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("application=applied", {"申込"}), ("application=cancelled", {"取消"}), ("application=waiting", {"待ち"}),
            ("attended=yes", {"申込"}), ("attended=no", {"取消", "待ち"}), ("application=odd", set()),
            ("applied_from=2200-01-01", set()), ("applied_to=2200-01-01", {"申込", "取消", "待ち"}),
        ],
    )  # fmt: skip
    def test_narrows_down_by_the_application(self, client, kenta, campaign, other, query, found):
        """APP-1: 項目「申込/キャンセル」; an application of another campaign says nothing here."""
        for name, state in (("申込", "applied"), ("取消", "cancelled"), ("待ち", "waiting")):
            lead = make_lead(f"{state}@yamate.example.jp", last_name=name)
            attended = timezone.now() if name == "申込" else None
            make_application(campaign, lead, state=state, attended_at=attended)
            make_application(other, lead, attended_at=timezone.now())
        make_application(campaign, Lead.objects.get(last_name="申込"), state="cancelled")
        client.force_login(kenta)
        rows = client.get(at(campaign, f"?{query}")).context["rows"]
        assert {lead.last_name for lead, _cells in rows} == found

    def test_sorts_by_the_application(self, client, kenta, campaign):
        for number in (2, 1, 3):
            lead = make_lead(f"{number}@yamate.example.jp", last_name=str(number))
            make_application(campaign, lead, created_at=timezone.now() - timedelta(days=number))
        client.force_login(kenta)
        for sort, order in (("applied_at", "321"), ("-applied_at", "123")):
            rows = client.get(at(campaign, f"?sort={sort}")).context["rows"]
            assert "".join(lead.last_name for lead, _cells in rows) == order

    def test_as_many_queries_for_one_as_for_three(self, client, kenta, campaign, mine):
        client.force_login(kenta)

        def queries():
            with CaptureQueriesContext(connection) as captured:
                assert client.get(at(campaign)).status_code == 200
            return len(captured)

        queries()
        one = queries()
        make_application(campaign)
        make_application(campaign)
        assert queries() == one

    def test_export_has_the_columns_and_goes_back_in(self, client, kenta, campaign, mine, theirs):
        """CSV-3, CSV-1, SYS-2"""
        client.force_login(kenta)
        response = client.post(at(campaign, "export/"))
        text = b"".join(response.streaming_content).decode("utf-8-sig")
        assert "申込/キャンセル,申込日時,来場日時" in text and "theirs@" not in text
        assert AuditEntry.objects.get(action="lead.export").detail["campaign"] == campaign.pk
        back = upload(
            [text.encode()], file_name="x.csv", mode="update", key="id", evidence="import", user=kenta,
            campaign_id=campaign.pk,
        )  # fmt: skip
        stage_import(back)
        back.refresh_from_db()
        assert back.error is None and counts(back)["wrong"] == 0 and counts(back)["unchanged"] == 1

    def test_blue_has_no_columns_of_a_campaign(self, client, misaki, mine):
        client.force_login(misaki)
        assert "申込/キャンセル" not in text_of(client.get("/leads/"))

    def test_a_new_lead_comes_with_an_application(self, client, kenta, campaign):
        """APP-2: no bare lead inside a campaign"""
        client.force_login(kenta)
        assert f"/c/{campaign.pk}/campaigns/proxy/" in text_of(client.get(at(campaign, "new/")))
        client.post(at(campaign, "new/"), {"last_name": "申込なし", "dm_permission": "wanted"})
        assert Lead.objects.count() == 0

    def test_the_search_box_finds_applicants_only(self, kenta, campaign, mine, theirs):
        """NAV-3, SYS-1"""
        names = lambda campaign_id: [  # noqa: E731
            result.title
            for finder, results in find(kenta, "yamate", campaign_id)
            if finder.key == "leads"
            for result in results
        ]
        assert names(campaign.pk) == ["申込 花子"]
        assert names(None) == []

    def test_the_menu_is_the_same_in_both_modes(self, client, misaki, campaign):
        """NAV-1"""
        client.force_login(misaki)
        labels = [
            [page["label"] for group in client.get(url).context["menu"] for page in group["pages"]]
            for url in ("/leads/", at(campaign))
        ]
        blue, orange = ([str(label) for label in some] for some in labels)
        assert [
            label for label in blue if label != "アクセス履歴"
        ] == orange  # page views belong to no campaign
        assert "CSV一括更新" in map(str, labels[1])

    def test_home_counts_the_applicants(self, client, kenta, campaign, mine, theirs):
        client.force_login(kenta)
        cards = client.get(f"/c/{campaign.pk}/").context["cards"]
        assert next(card["content"]["total"] for card in cards if card["key"] == "leads") == 1
        assert not any(card["key"] == "leads" for card in client.get("/").context["cards"])


class TestOneLead:
    def test_what_is_edited_is_audited_with_the_campaign(self, client, kenta, campaign, mine):
        """SYS-2, FLAG-3"""
        client.force_login(kenta)
        form = client.get(at(campaign, f"{mine.pk}/edit/")).context["form"]
        data = {name: form[name].value() or "" for name in form.fields} | {"company": "山手製作所"}
        assert client.post(at(campaign, f"{mine.pk}/edit/"), data)["Location"] == at(campaign, f"{mine.pk}/")
        mine.refresh_from_db()
        assert mine.company == "山手製作所"
        assert AuditEntry.objects.get(action="lead.edit").detail["campaign"] == campaign.pk

    @pytest.mark.parametrize("path", ["", "edit/", "delete/"])
    def test_of_another_campaign_is_not_found(self, client, kenta, misaki, campaign, theirs, path):
        """SYS-1, APP-1"""
        for user in (kenta, misaki):
            client.force_login(user)
            assert client.get(at(campaign, f"{theirs.pk}/{path}")).status_code == 404
            assert client.post(at(campaign, f"{theirs.pk}/{path}"), {"confirmed": "1"}).status_code == 404
        assert Lead.objects.existing().filter(pk=theirs.pk).exists()

    def test_no_page_names_another_campaign(self, client, kenta, campaign, other, mine):
        """SYS-1: history and consent tell the person's values, not where else they were"""
        make_application(other, mine)
        record = mine.consent_records.create(
            change="granted", evidence="form", source="秘密の展示会 v1", ip="192.0.2.9"
        )
        AuditEntry.objects.create(
            action="lead.edit", user_name="他の担当", target_type="lead", target_id=str(mine.pk),
            detail={"changes": {"company": ["", "山手"]}, "source": "秘密の展示会", "campaign": other.pk},
        )  # fmt: skip
        client.force_login(kenta)
        page = text_of(client.get(at(campaign, f"{mine.pk}/")))
        assert "秘密の展示会" not in page and "192.0.2.9" not in page
        assert "山手" in page and str(record.get_change_display()) in page

    def test_a_live_application_is_cancelled_before_the_lead_is_deleted(
        self, client, misaki, kenta, campaign, mine
    ):
        """APP-6: no seat is kept by nobody"""
        for user, url in ((kenta, at(campaign, f"{mine.pk}/delete/")), (misaki, f"/leads/{mine.pk}/delete/")):
            client.force_login(user)
            assert "先に申込をキャンセル" in text_of(client.get(url))
            assert client.post(url, {"confirmed": "1"}).status_code == 409
        assert Lead.objects.existing().filter(pk=mine.pk).exists()

    def test_whom_a_campaign_administrator_may_delete(self, client, misaki, kenta, campaign, other):
        """SYS-1: only who is known through this campaign alone"""
        now = timezone.now()
        own = make_lead("own@yamate.example.jp", created_at=now)
        known = make_lead("known@yamate.example.jp", created_at=now - timedelta(days=9))
        both = make_lead("both@yamate.example.jp", created_at=now)
        for lead in (own, known, both):
            make_application(campaign, lead, state="cancelled", created_at=now)
        make_application(other, both)
        client.force_login(kenta)
        for lead, status in ((own, 302), (known, 409), (both, 409)):
            response = client.post(at(campaign, f"{lead.pk}/delete/"), {"confirmed": "1"})
            assert response.status_code == status
            assert "秘密の展示会" not in text_of(response)
        assert AuditEntry.objects.get(action="lead.delete").detail["campaign"] == campaign.pk
        client.force_login(misaki)
        assert client.post(at(campaign, f"{known.pk}/delete/"), {"confirmed": "1"}).status_code == 302


class TestSearches:
    def test_find_applicants_only(self, campaign, mine, theirs):
        """APP-1"""
        now = timezone.now()
        assert set(leads_matching(EVERYONE, now=now, campaign_id=campaign.pk)) == {mine}
        assert set(leads_matching(TOKYO, now=now)) == {mine, theirs}
        never = {
            "match": "expression", "expression": "NOT 1",
            "blocks": [{"item": "lead.last_name", "operator": "is", "values": ["申込"]}],
        }  # fmt: skip
        assert set(leads_matching(never, now=now, campaign_id=campaign.pk)) == set()

    def test_belong_to_one_mode(self, client, kenta, misaki, campaign, other):
        """APP-1: a search of one mode is not usable in the other"""
        searches = {
            None: SavedSearch.objects.create(name="全体の", condition=TOKYO, shared=True),
            campaign.pk: SavedSearch.objects.create(
                name="ここの", condition=TOKYO, shared=True, campaign_id=campaign.pk
            ),
            other.pk: SavedSearch.objects.create(
                name="よその", condition=TOKYO, shared=True, campaign_id=other.pk
            ),
        }
        for mode in searches:
            assert set(visible_searches(misaki, mode)) == {searches[mode]}
            for owner, search in searches.items():
                if owner == mode:
                    assert usable_search(search.pk, misaki, mode) == search
                    continue
                refusals = []
                for wanted in (search.pk, 999_999):
                    with pytest.raises(ValidationError) as refused:
                        usable_search(wanted, misaki, mode)
                    refusals.append(refused.value.messages[0].replace(str(wanted), "ID"))
                assert refusals[0] == refusals[1]  # not even that it is there
        client.force_login(kenta)
        page = text_of(client.get(at(campaign, "searches/")))
        assert "ここの" in page and "全体の" not in page and "よその" not in page
        for search in (searches[None], searches[other.pk]):
            for path in (f"searches/{search.pk}/count/", f"search/?search={search.pk}"):
                assert client.get(at(campaign, path)).status_code == 404
            for path in (f"searches/{search.pk}/copy/", f"searches/{search.pk}/delete/"):
                assert client.post(at(campaign, path)).status_code == 404

    def test_are_saved_into_the_campaign_under_a_name_nobody_has(self, client, kenta, campaign, other):
        """APP-1: names are unique in the whole system; a taken one does not tell where"""
        SavedSearch.objects.create(name="来場のお礼", condition=TOKYO, campaign_id=other.pk)
        client.force_login(kenta)
        form = {
            "blocks": "1", "match": "all", "item-0": "lead.prefecture", "operator-0": "is", "values-0": ["東京都"],
            "action": "save_shared",
        }  # fmt: skip
        taken = client.post(at(campaign, "search/"), form | {"name": "来場のお礼"})
        assert "既に使われています" in taken.context["name_errors"][0]
        assert "秘密の展示会" not in text_of(taken)
        client.post(at(campaign, "search/"), form | {"name": "東京の申込者"})
        saved = SavedSearch.objects.get(name="東京の申込者")
        assert (saved.campaign_id, saved.shared, saved.owner) == (campaign.pk, True, kenta)
        client.post(at(campaign, f"searches/{saved.pk}/copy/"))
        assert SavedSearch.objects.latest("pk").campaign_id == campaign.pk

    def test_name_no_template_of_others(self, client, kenta, campaign, other):
        """SYS-1: an id in a condition tells no name"""
        template = make_template("よそのテンプレート", campaign=other)
        block = {"item": "mail.template", "operator": "is", "values": [str(template.pk)]}
        where = json.dumps({"match": "all", "blocks": [block]})
        client.force_login(kenta)
        assert "よそのテンプレート" not in text_of(client.get(at(campaign, "search/"), {"where": where}))
        assert "よそのテンプレート" not in describe_condition(json.loads(where), inside=campaign.pk)

    def test_by_command(self, capsys, campaign, mine, theirs):
        call_command("search_leads", where=json.dumps(TOKYO), campaign=campaign.pk, count=True)
        assert capsys.readouterr().out.strip() == "1"
        blue = SavedSearch.objects.create(name="全体の", condition=TOKYO)
        with pytest.raises(CommandError, match="この管理モードには"):
            call_command("search_leads", search=blue.pk, campaign=campaign.pk)

    def test_an_item_of_another_mode_is_refused(self, campaign, other):
        """APP-1"""
        strange = {"item": f"campaign.{other.pk}.state", "operator": "is", "values": ["applied"]}
        with pytest.raises(ValidationError):
            validate_condition({"match": "all", "blocks": [strange]}, campaign_id=campaign.pk)


class TestImports:
    def test_overwrite_applicants_only(self, campaign, mine, theirs):
        """CSV-1, SYS-1: a row of somebody else is wrong, whether there is such a lead or not"""
        file = f"リードID,会社名\n{mine.pk},山手\n{theirs.pk},山手\n99999999,山手\n"
        made = bring_in(file, mode="update", campaign_id=campaign.pk, skip_wrong=True)
        assert counts(made) == {"new": 0, "update": 1, "unchanged": 0, "wrong": 2}
        assert problems(made) == [(3, "リードID", "not_applicant"), (4, "リードID", "not_applicant")]
        mine.refresh_from_db(), theirs.refresh_from_db()
        assert (mine.company, theirs.company) == ("山手", "")
        assert AuditEntry.objects.get(action="lead_import.commit").detail["campaign"] == campaign.pk

    def test_by_address_the_same(self, campaign, mine, theirs):
        """CSV-1: a lead of others with the same address neither counts nor is told"""
        make_lead(mine.email, last_name="同じアドレス")
        file = (
            f"E-mailアドレス,会社名\n{mine.email},山手\n{theirs.email},山手\nnobody@yamate.example.jp,山手\n"
        )
        made = bring_in(file, mode="update", key="email", campaign_id=campaign.pk, skip_wrong=True)
        assert counts(made) == {"new": 0, "update": 1, "unchanged": 0, "wrong": 2}
        assert {code for _line, _column, code in problems(made)} == {"not_applicant"}
        mine.refresh_from_db()
        assert mine.company == "山手"

    def test_are_listed_in_their_mode(self, client, kenta, misaki, campaign, other, mine):
        """APP-1"""
        made = {
            mode: upload([b"x"], file_name=f"{mode}.csv", mode="update", key="id", evidence="import", user=misaki, campaign_id=mode)
            for mode in (None, campaign.pk, other.pk)
        }  # fmt: skip
        client.force_login(kenta)
        page = text_of(client.get(at(campaign, "imports/")))
        assert f"{campaign.pk}.csv" in page and "None.csv" not in page and f"{other.pk}.csv" not in page
        for mode in (None, other.pk):
            for path in ("", "progress/", "wrong-rows/"):
                assert client.get(at(campaign, f"imports/{made[mode].pk}/{path}")).status_code == 404
            for path in ("commit/", "cancel/"):
                assert client.post(at(campaign, f"imports/{made[mode].pk}/{path}")).status_code == 404
        assert set(LeadImport.objects.values_list("state", flat=True)) == {"uploaded"}

    def test_add_nobody_without_an_application(self, client, kenta, campaign):
        """CSV-1, APP-2"""
        client.force_login(kenta)
        file = SimpleUploadedFile("leads.csv", "姓,E-mailアドレス\n佐藤,a@example.jp\n".encode())
        client.post(
            at(campaign, "imports/"), {"mode": "add", "key": "id", "evidence": "import", "file": file}
        )
        assert LeadImport.objects.get().mode == "update"


def test_an_archived_campaign_is_no_reason_to_show_its_people(client, kenta, campaign, other, theirs):
    """SYS-1"""
    other.state = CampaignState.ARCHIVED
    other.save()
    client.force_login(kenta)
    assert client.get(at(campaign, f"{theirs.pk}/")).status_code == 404
