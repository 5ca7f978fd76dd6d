"""Merge fields of a magazine's mails: its free items and its name."""

from datetime import UTC, datetime

import pytest

from leads.models import LeadColumn
from mail.delivery.claim import claim
from mail.delivery.compose import Composer, Made
from mail.merge_fields import merge_fields, values_for
from mail.message import store_snapshot
from mail.stories.content import snapshot_of
from tests.factories import make_delivery
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def test_free_items_are_merged_under_their_label_and_their_number():
    magazine = make_magazine("週刊 製造業DX")
    shop, birthday = make_item(magazine, "店舗"), make_item(magazine, "誕生日", "date")
    a = make_reader(magazine, values={shop.key: "髙﨑店😀", birthday.key: "1992-02-29"})
    b = make_reader(magazine)
    names = ["店舗", f"読者項目_{shop.pk}", "誕生日", "メールマガジン名", "姓"]
    found = values_for([a.lead, b.lead], now=NOW, names=names, magazine_id=magazine.pk)
    assert found[a.lead_id] == {
        "店舗": "髙﨑店😀", f"読者項目_{shop.pk}": "髙﨑店😀", "誕生日": "1992年2月29日", "メールマガジン名": "週刊 製造業DX",
        "姓": a.lead.last_name,
    }  # fmt: skip
    assert found[b.lead_id]["店舗"] == ""


def test_they_exist_in_that_magazine_s_mails_only():
    magazine = make_magazine()
    item = make_item(magazine, "店舗")
    reader = make_reader(magazine, values={item.key: "本店"})
    for magazine_id in (None, make_magazine("別の号").pk):
        assert values_for([reader.lead], now=NOW, names=["店舗"], magazine_id=magazine_id) == {
            reader.lead_id: {}
        }


def test_a_name_that_means_something_else_is_not_taken_away():
    """The lead's 姓 stays the lead's; a column of leads yields to the magazine's own item."""
    magazine = make_magazine()
    item, shop = make_item(magazine, "姓"), make_item(magazine, "店舗")
    column = LeadColumn.objects.create(label="店舗", type="text")
    reader = make_reader(magazine, values={item.key: "自由項目の姓", shop.key: "読者の店"})
    reader.lead.extra = {column.key: "リードの店"}
    names = ["姓", f"読者項目_{item.pk}", "店舗", f"項目_{column.pk}"]
    found = values_for([reader.lead], now=NOW, names=names, magazine_id=magazine.pk)[reader.lead_id]
    assert found == {
        "姓": reader.lead.last_name, f"読者項目_{item.pk}": "自由項目の姓", "店舗": "読者の店", f"項目_{column.pk}": "リードの店",
    }  # fmt: skip


def test_a_retired_item_is_still_merged_by_its_number():
    magazine = make_magazine()
    item = make_item(magazine, "店舗", retired_at=NOW)
    assert [field.name for field in merge_fields(magazine.pk)][1] == f"読者項目_{item.pk}"


def test_a_batch_costs_as_many_queries_as_one_lead(django_assert_num_queries):
    magazine = make_magazine()
    items = [make_item(magazine, label) for label in ("店舗", "担当")]
    leads = [make_reader(magazine, values={items[0].key: "x"}).lead for _ in range(3)]
    for some in (leads[:1], leads):
        with django_assert_num_queries(3):  # items, columns, readers
            values_for(some, now=NOW, names=["店舗", "担当"], magazine_id=magazine.pk)


def test_a_start_s_mails_say_what_the_magazine_knows():
    """From the row to the finished mail: the snapshot names the magazine, and with it its readers' values."""
    magazine = make_magazine("週刊 製造業DX")
    shop = make_item(magazine, "店舗")
    reader = make_reader(magazine, values={shop.key: "髙﨑店"})
    story = make_story(
        magazine,
        template_values={
            "subject": "{{ 店舗 }}のみなさまへ",
            "text_body": "{{ メールマガジン名 }} {{ 店舗 }}",
        },
    )
    make_delivery(reader.lead, kind="magazine", snapshot=store_snapshot(snapshot_of(story)))
    [made] = Composer().make(claim(None, 10))
    assert isinstance(made, Made)
    assert made.mail.subject == "髙﨑店のみなさまへ"
    assert "週刊 製造業DX 髙﨑店" in made.mail.text
