"""複合検索 and 検索条件一覧 as people use them, without JavaScript."""

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from leads.models import LeadColumn, SavedSearch
from settings.models import AuditEntry
from tests.factories import make_campaign, make_job, make_lead, make_template, make_user

pytestmark = pytest.mark.django_db
TOKYO = {"match": "all", "blocks": [{"item": "lead.prefecture", "operator": "is", "values": ["東京都"]}]}


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


def form(**values):
    return {
        "blocks": "1", "match": "all", "item-0": "lead.prefecture", "operator-0": "is", "values-0": ["東京都"], **values
    }  # fmt: skip


def post(client, action, url="/leads/search/", **values):
    return client.post(url, form(action=action, **values))


def test_add_choose_and_remove_without_javascript(client, misaki):
    added = post(client, "add")
    assert added.context["editor"].blocks[1].item is None
    two = {"blocks": "2", "item-1": "lead.company", "operator-1": "contains", "values-1": "髙島\n𠮷野家"}
    drawn = post(client, "refresh", **two).context["editor"].blocks[1]
    assert (drawn.item.key, drawn.inputs[0].values) == ("lead.company", ["髙島", "𠮷野家"])
    left = post(client, "remove-0", **two).context["editor"].blocks
    assert [block.item_key for block in left] == ["lead.company"]


@pytest.mark.parametrize("action", ["remove-99", "remove-x", "remove-٣", "nonsense", ""])
def test_odd_actions_change_nothing(client, misaki, action):
    response = post(client, action)
    assert (response.status_code, len(response.context["editor"].blocks)) == (200, 1)


def test_another_item_drops_values_that_do_not_fit(client, misaki):
    drawn = (
        post(client, "refresh", **{"item-0": "lead.created_at", "operator-0": "between"})
        .context["editor"]
        .blocks[0]
    )
    assert [field.kind for field in drawn.inputs] == ["datetime", "datetime"]


def test_count_before_saving(client, misaki):
    make_lead(prefecture="東京都")
    make_lead("b@example.jp", prefecture="大阪府")
    response = post(client, "count")
    assert response.context["counted"] == 1
    assert not SavedSearch.objects.exists()


def test_search_shows_leads_with_links_and_boxes(client, misaki):
    lead, other = make_lead(prefecture="東京都"), make_lead("b@example.jp", prefecture="大阪府")
    response = client.post(reverse("compound_search"), form(action="search"), follow=True)
    page = response.content.decode()
    assert [found.pk for found in response.context["page_obj"]] == [lead.pk]
    assert f'name="lead" value="{lead.pk}"' in page
    assert reverse("lead", args=[lead.pk]) in page
    assert f'name="lead" value="{other.pk}"' not in page


def test_wrong_values_are_named_beside_the_block(client, misaki):
    response = post(
        client, "search", **{"item-0": "lead.id", "operator-0": "is", "values-0": "1; DROP TABLE"}
    )
    assert response.status_code == 422
    assert "DROP TABLE" in response.context["editor"].blocks[0].errors[0]


def test_long_conditions_stand_in_the_session(client, misaki):
    lead = make_lead()
    ids = "\n".join(str(number) for number in range(lead.pk, lead.pk + 999))
    response = client.post(
        reverse("compound_search"),
        form(action="search", **{"item-0": "lead.id", "values-0": ids}),
        follow=True,
    )
    assert "kept=" in response.redirect_chain[0][0]
    assert [found.pk for found in response.context["page_obj"]] == [lead.pk]


@pytest.mark.parametrize(
    "query",
    ["where={", "where=[]", "where=null", "where=%00", "kept=x", "where=" + "[" * 3000, "page=x&where={}"],
)
def test_hostile_addresses_answer_kindly(client, misaki, query):
    assert client.get(f"{reverse('compound_search')}?{query}").status_code in {200, 422}


@pytest.mark.parametrize("query", ["search=x", "search=0", "search=9999999999999999999999", "search=٣"])
def test_unknown_searches_are_not_found(client, misaki, query):
    assert client.get(f"{reverse('compound_search')}?{query}").status_code == 404


def test_save_private_shared_and_overwrite(client, misaki):
    post(client, "save", name="  関東の\u3000製造業  ")
    search = SavedSearch.objects.get()
    assert (search.name, search.shared, search.owner, search.condition) == (
        "関東の 製造業",
        False,
        misaki,
        TOKYO,
    )
    post(client, "save_shared", name="共有")
    assert SavedSearch.objects.get(name="共有").shared
    post(client, "update", name="関東", search=str(search.pk), **{"values-0": ["大阪府"]})
    search.refresh_from_db()
    assert (search.name, search.condition["blocks"][0]["values"]) == ("関東", ["大阪府"])
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == [
        "search.create",
        "search.create",
        "search.change",
    ]


def test_names_are_unique_with_a_clear_error(client, misaki):
    post(client, "save", name="東京")
    response = post(client, "save", name="東京")
    assert "東京" in response.context["name_errors"][0]
    assert SavedSearch.objects.count() == 1
    assert post(client, "save", name=" ").context["name_errors"]
    assert post(client, "save", name="あ" * 101).context["name_errors"]


class TestPermissions:
    """Inside a campaign: Misaki is privileged, Kenta its administrator, Yui a viewer."""

    @pytest.fixture(autouse=True)
    def people(self):
        self.misaki, self.kenta, self.yui = (
            make_user("misaki"),
            make_user("kenta", role="campaign"),
            make_user("yui", role="viewer"),
        )
        self.campaign = make_campaign(members=[self.kenta])
        self.private = SavedSearch.objects.create(
            name="美咲の秘密", condition=TOKYO, owner=self.misaki, campaign_id=self.campaign.pk
        )
        self.shared = SavedSearch.objects.create(
            name="みんなの", condition=TOKYO, owner=self.misaki, shared=True, campaign_id=self.campaign.pk
        )
        self.kentas = SavedSearch.objects.create(
            name="健太の", condition=TOKYO, owner=self.kenta, shared=True, campaign_id=self.campaign.pk
        )

    def at(self, name, *args):
        return f"/c/{self.campaign.pk}{reverse(name, args=args)}"

    def names(self, client, user):
        client.force_login(user)
        return {search.name for search, _said, _change in client.get(self.at("searches")).context["rows"]}

    def test_private_searches_are_their_owners(self, client):
        """SYS-1."""
        assert self.names(client, self.misaki) == {"美咲の秘密", "みんなの", "健太の"}
        for user in (self.kenta, self.yui):
            assert self.names(client, user) == {"みんなの", "健太の"}
            assert client.get(f"{self.at('compound_search')}?search={self.private.pk}").status_code == 404
            assert client.get(self.at("search_count", self.private.pk)).status_code == 404
            assert (
                client.post(f"{self.at('compound_search_export')}?search={self.private.pk}").status_code
                == 404
            )

    def test_who_changes_and_deletes(self, client):
        client.force_login(self.kenta)
        assert client.post(self.at("search_delete", self.private.pk)).status_code == 404
        assert client.post(self.at("search_delete", self.shared.pk)).status_code == 403
        assert (
            post(
                client, "update", self.at("compound_search"), name="x", search=str(self.shared.pk)
            ).status_code
            == 403
        )
        client.post(self.at("search_copy", self.shared.pk))
        copy = SavedSearch.objects.latest("id")
        assert (copy.owner, copy.shared, copy.condition) == (self.kenta, False, TOKYO)
        assert client.post(self.at("search_copy", self.private.pk)).status_code == 404
        client.force_login(self.misaki)
        client.post(self.at("search_delete", self.kentas.pk))
        assert not SavedSearch.objects.filter(pk=self.kentas.pk).exists()

    def test_viewers_look_but_do_not_keep(self, client):
        client.force_login(self.yui)
        assert client.get(f"{self.at('compound_search')}?search={self.shared.pk}&run=1").status_code == 200
        assert post(client, "save", self.at("compound_search"), name="y").status_code == 403
        assert client.post(self.at("search_copy", self.shared.pk)).status_code == 403
        assert client.get(self.at("search_delete", self.shared.pk)).status_code == 403
        assert client.post(f"{self.at('compound_search_export')}?search={self.shared.pk}").status_code == 200
        assert AuditEntry.objects.get().action == "lead.export"
        assert SavedSearch.objects.count() == 3


def test_deleting_warns_of_reserved_mailings(client, misaki):
    """RSV-1, TGT-8: the job keeps its own copy of the condition."""
    search = SavedSearch.objects.create(name="東京", condition=TOKYO, owner=misaki)
    job = make_job(
        make_template("第1報"),
        search=search,
        condition=TOKYO,
        state="reserved",
        scheduled_at=timezone.now() + timedelta(days=1),
    )
    assert f"#{job.pk}" in client.get(reverse("search_delete", args=[search.pk])).context["uses"][0]
    assert SavedSearch.objects.exists()
    client.post(reverse("search_delete", args=[search.pk]))
    job.refresh_from_db()
    assert (job.search, job.condition) == (None, TOKYO)


def test_export_is_safe_and_complete(client, misaki):
    """CSV-3."""
    column = LeadColumn.objects.create(label="業種", type="text")
    make_lead(prefecture="東京都", company="=cmd()", phone="0312345678", extra={column.key: "製造"})
    make_lead("b@example.jp", prefecture="大阪府", company="出さない")
    response = client.post(reverse("compound_search_export", query={"where": json.dumps(TOKYO)}))
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    assert "'=cmd()" in text and "0312345678" in text and "製造" in text and "業種" in text
    assert "出さない" not in text
    assert AuditEntry.objects.get().action == "lead.export"


def test_as_many_queries_for_one_as_for_three(client, misaki, django_assert_num_queries):
    template = make_template()
    condition = {
        "match": "all",
        "blocks": [{"item": "mail.template", "operator": "is", "values": [str(template.pk)]}],
    }
    SavedSearch.objects.create(name="0", condition=condition, owner=misaki)
    make_lead("0@example.jp")

    def queries(url):
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        return len(captured)

    everyone = f"{reverse('compound_search')}?where={json.dumps({'match': 'all', 'blocks': []})}"
    queries(reverse("searches"))
    one = (queries(reverse("searches")), queries(everyone))
    for number in "12":
        SavedSearch.objects.create(name=number, condition=condition, owner=misaki, shared=True)
        make_lead(f"{number}@example.jp")
    assert (queries(reverse("searches")), queries(everyone)) == one


def test_get_changes_nothing_and_htmx_gets_the_part(client, misaki):
    search = SavedSearch.objects.create(name="東京", condition=TOKYO, owner=misaki)
    assert client.get(reverse("search_copy", args=[search.pk])).status_code == 405
    part = client.get(reverse("search_count", args=[search.pk]), headers={"hx-request": "true"})
    assert b"<html" not in part.content and b"<b>0</b>" in part.content
    posted = client.post(reverse("compound_search"), form(action="add"), headers={"hx-request": "true"})
    assert b"<html" not in posted.content and posted.content.count(b'class="block"') == 2
