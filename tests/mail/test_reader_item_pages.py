"""The pages of 自由項目 and of the delivery filter (MAG-7)."""

import pytest
from django.urls import reverse

from mail.models import ReaderItem, Story
from tests.factories import make_user
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db


@pytest.fixture
def editor(client):
    client.force_login(make_user())
    return client


def test_items_are_made_changed_retired_and_used_again(editor):
    magazine = make_magazine()
    assert (
        "自由項目はまだありません" in editor.get(reverse("reader_items", args=[magazine.pk])).content.decode()
    )
    new = reverse("reader_item_new", args=[magazine.pk])
    posted = {"label": "業種", "type": "choice", "choices_text": "製造\n小売", "on_form": "on"}
    assert editor.post(new, posted).status_code == 302
    item = ReaderItem.objects.get()
    assert (item.label, item.choices, item.on_form, item.required) == ("業種", ["製造", "小売"], True, False)
    assert editor.post(new, posted).status_code == 422  # there is one of this name
    edit = reverse("reader_item_edit", args=[magazine.pk, item.pk])
    make_reader(magazine, values={item.key: "小売"})
    refused = editor.post(edit, {**posted, "choices_text": "製造"})
    assert refused.status_code == 422 and "小売" in refused.content.decode()
    retire = reverse("reader_item_retire", args=[magazine.pk, item.pk])
    assert editor.get(retire).status_code == 200
    assert ReaderItem.objects.get().retired_at is None
    editor.post(retire, {"confirmed": "1"})
    assert ReaderItem.objects.get().retired_at is not None
    editor.post(reverse("reader_item_restore", args=[magazine.pk, item.pk]))
    assert ReaderItem.objects.get().retired_at is None


def test_a_label_is_shown_as_text(editor):
    magazine = make_magazine()
    make_item(magazine, "<script>x</script>髙﨑")
    page = editor.get(reverse("reader_items", args=[magazine.pk])).content.decode()
    assert "<script>x" not in page and "髙﨑" in page


PAGES = ["reader_item_edit", "reader_item_retire", "reader_item_move", "reader_item_restore"]


@pytest.mark.parametrize("name", PAGES)
def test_items_of_another_magazine_are_not_found(editor, name):
    magazine, item = make_magazine(), make_item(make_magazine("別の号"))
    assert editor.post(reverse(name, args=[magazine.pk, item.pk]), {"confirmed": "1"}).status_code == 404


def test_viewers_look_only(client):
    client.force_login(make_user("look", role="viewer"))
    magazine = make_magazine()
    item, story = make_item(magazine), make_story(magazine)
    assert client.get(reverse("reader_items", args=[magazine.pk])).status_code == 200
    assert client.post(reverse("reader_item_move", args=[magazine.pk, item.pk])).status_code == 403
    assert client.get(reverse("story_filter", args=[magazine.pk, story.pk])).status_code == 403
    assert client.get(reverse("story_filter_card", args=[magazine.pk, story.pk])).status_code == 200


def block(number, item, operator, *values):
    return {f"item-{number}": item, f"operator-{number}": operator, f"values-{number}": list(values)}


def test_a_filter_is_built_counted_and_saved(editor):
    """MAG-7: the page says in a sentence whom it reaches, before it is saved."""
    magazine = make_magazine()
    item = make_item(magazine, "業種", "choice")
    make_reader(magazine, values={item.key: "製造"})
    make_reader(magazine, state="stopped", values={item.key: "製造"})
    make_reader(magazine, values={item.key: "小売"})
    story = make_story(magazine, state="draft")
    url = reverse("story_filter", args=[magazine.pk, story.pk])
    key = f"reader.{magazine.pk}.item.{item.pk}"
    posted = {"match": "all", "blocks": "1", **block(0, key, "is", "製造")}
    builder = editor.get(url).content.decode()  # in the menu of the magazine, at the list of its kind
    assert f'href="{reverse("story_extras", args=[magazine.pk])}" aria-current="page"' in builder
    said = "配信可能の読者のうち、「業種」が「製造」に一致する1人に配信します。"
    assert said in editor.post(url, {**posted, "action": "count"}).content.decode()
    assert Story.objects.get().filter == {"match": "all", "blocks": []}
    assert editor.post(url, {**posted, "action": "save"}).status_code == 302
    assert Story.objects.get().filter["blocks"] == [{"item": key, "operator": "is", "values": ["製造"]}]
    assert said in editor.get(reverse("story_filter_card", args=[magazine.pk, story.pk])).content.decode()
    assert "自由項目" in editor.get(url).content.decode()
    editor.post(url, {"match": "all", "blocks": "0", "action": "save"})
    assert Story.objects.get().filter == {"match": "all", "blocks": []}


def test_a_wrong_filter_is_refused_beside_its_block(editor):
    magazine = make_magazine()
    item = make_item(magazine, "契約期限", "date")
    story = make_story(magazine, state="draft")
    url = reverse("story_filter", args=[magazine.pk, story.pk])
    posted = block(0, f"reader.{magazine.pk}.item.{item.pk}", "in_days_exactly", "あした")
    page = editor.post(url, {"match": "all", "blocks": "1", "action": "save", **posted})
    assert page.status_code == 422 and "36500" in page.content.decode()
    assert Story.objects.get().filter == {"match": "all", "blocks": []}


def test_the_filter_of_a_reserved_issue_stays(editor):
    """TGT-8: as it was reserved."""
    magazine = make_magazine()
    story = make_story(magazine, state="running")
    url = reverse("story_filter", args=[magazine.pk, story.pk])
    posted = block(0, "lead.prefecture", "is", "東京都")
    editor.post(url, {"match": "all", "blocks": "1", "action": "save", **posted})
    assert Story.objects.get().filter == {"match": "all", "blocks": []}
    running = make_story(magazine, kind="loop")
    url = reverse("story_filter", args=[magazine.pk, running.pk])
    editor.post(url, {"match": "all", "blocks": "1", "action": "save", **posted})
    assert Story.objects.get(pk=running.pk).filter["blocks"]


def test_a_story_of_another_magazine_is_not_found(editor):
    story = make_story(make_magazine("別の号"))
    magazine = make_magazine()
    for name in ("story_filter", "story_filter_card"):
        assert editor.get(reverse(name, args=[magazine.pk, story.pk])).status_code == 404
