"""自由項目 of a magazine: their values, and the items themselves."""

import time
from datetime import UTC, datetime
from threading import Thread

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from mail.magazines.item_uses import filter_key
from mail.magazines.items import (
    clean_values,
    items_of,
    move_item,
    restore_item,
    retire_item,
    save_item,
    value_text,
)
from mail.models import ReaderItem
from mail.stories.stories import save_story
from settings.models import AuditEntry
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def save(magazine, label="業種", type="text", **values):
    return save_item(magazine, label=label, type=type, user=None, now=NOW, **values)


def test_values_are_typed_and_blank_ones_left_out():
    magazine = make_magazine()
    text, number, day, choice = (
        make_item(magazine, "備考"),
        make_item(magazine, "人数", "number"),
        make_item(magazine, "誕生日", "date"),
        make_item(magazine, "業種", "choice"),
    )
    typed = {text.key: " 髙﨑𠮷①㈱😀 ", number.key: "1,200", day.key: "1990年2月29日", choice.key: "製造"}
    with pytest.raises(ValidationError) as problem:
        clean_values(magazine, typed)
    assert set(problem.value.message_dict) == {f"item_{day.key}"}  # 1990 has no such day
    typed[day.key] = "1992/2/29"
    assert clean_values(magazine, typed) == {
        text.key: "髙﨑𠮷①㈱😀", number.key: 1200, day.key: "1992-02-29", choice.key: "製造",
    }  # fmt: skip
    assert clean_values(magazine, {text.key: "  ", number.key: None}) == {}


def test_every_problem_is_said_at_once_and_by_field():
    magazine, other = make_magazine(), make_magazine("別の号")
    number = make_item(magazine, "人数", "number", required=True)
    choice = make_item(magazine, "業種", "choice")
    foreign = make_item(other, "秘密")
    with pytest.raises(ValidationError) as problem:
        clean_values(
            magazine, {number.key: "たくさん", choice.key: "農業", foreign.key: "x"}, all_required=True
        )
    assert set(problem.value.message_dict) == {f"item_{number.key}", f"item_{choice.key}", "items"}
    with pytest.raises(ValidationError) as problem:
        clean_values(magazine, {}, all_required=True)
    assert set(problem.value.message_dict) == {f"item_{number.key}"}


@pytest.mark.parametrize("text", ["a\x00b", "𠮷" * 1001])
def test_what_cannot_be_stored_is_refused(text):
    magazine = make_magazine()
    item = make_item(magazine)
    with pytest.raises(ValidationError):
        clean_values(magazine, {item.key: text})


def test_texts_of_values():
    magazine = make_magazine()
    day, number = make_item(magazine, "誕生日", "date"), make_item(magazine, "人数", "number")
    assert value_text(day, "1992-02-29") == "1992年2月29日"
    assert value_text(day, "1992-02-29", "en") == "1992-02-29"
    assert value_text(number, 3.0) == "3"
    assert value_text(number, None) == ""


def test_items_are_made_changed_moved_and_audited():
    magazine = make_magazine()
    first = save(magazine)
    second = save(magazine, "担当", "choice", choices=["営業", "営業", " 製造 "])
    assert second.choices == ["営業", "製造"]
    save_item(magazine, item=first, label="業界", type="number", user=None, now=NOW)
    first.refresh_from_db()
    assert (first.label, first.type) == ("業界", "text")  # the type stays: values are stored by it
    assert move_item(second, up=True, user=None)
    assert not move_item(second, up=True, user=None)
    assert [item.label for item in items_of(magazine)] == ["担当", "業界"]
    assert AuditEntry.objects.filter(action__startswith="reader_item.").count() == 4


def test_two_items_never_have_one_name_and_retired_ones_give_theirs_away():
    magazine = make_magazine()
    first = save(magazine)
    with pytest.raises(ValidationError) as problem:
        save(magazine, "業種")
    assert "label" in problem.value.message_dict
    save(make_magazine("別の号"), "業種")  # of another magazine
    retire_item(first, user=None, now=NOW)
    second = save(magazine, "業種")
    assert items_of(magazine) == [second]
    with pytest.raises(ValidationError):
        restore_item(first, user=None, now=NOW)


def test_a_choice_that_readers_have_cannot_be_taken_away():
    magazine = make_magazine()
    item = save(magazine, "業種", "choice", choices=["製造", "小売"])
    make_reader(magazine, values={item.key: "小売"})
    with pytest.raises(ValidationError, match="小売"):
        save_item(magazine, item=item, label="業種", type="choice", choices=["製造"], user=None, now=NOW)
    save_item(magazine, item=item, label="業種", type="choice", choices=["小売"], user=None, now=NOW)


def test_an_item_that_a_story_counts_on_is_not_retired():
    magazine = make_magazine()
    filtered, merged, dated, free = (
        make_item(magazine, "業種"),
        make_item(magazine, "担当者"),
        make_item(magazine, "誕生日", "date"),
        make_item(magazine, "備考"),
    )
    key = f"reader.{magazine.pk}.item.{filtered.pk}"
    make_story(
        magazine, name="A",
        filter={"match": "all", "blocks": [{"item": key, "operator": "is", "values": ["製造"]}]},
    )  # fmt: skip
    make_story(magazine, name="B", template_values={"text_body": "{{ 担当者 }} {{ 配信停止URL }}"})
    make_story(magazine, kind="loop", name="C", rule="yearly", date_item=dated)
    for item, name in ((filtered, "A"), (merged, "B"), (dated, "C")):
        with pytest.raises(ValidationError, match=name):
            retire_item(item, user=None, now=NOW)
    retire_item(free, user=None, now=NOW)
    assert ReaderItem.objects.get(pk=free.pk).retired_at == NOW


@pytest.mark.django_db(transaction=True)
def test_a_story_saved_at_the_same_moment_is_seen():
    """MAG-7: of who retires an item and who makes a filter of it the second one is refused, however close they are."""
    magazine = make_magazine()
    item, story = make_item(magazine, "店舗"), make_story(magazine, state="draft")
    block = {"item": filter_key(item), "operator": "empty", "values": []}
    said = []

    def retire():
        try:
            retire_item(item, user=None, now=NOW)
            said.append("retired")
        except ValidationError as problem:
            said.append(problem.code)
        finally:
            connection.close()

    other = Thread(target=retire)
    with transaction.atomic():
        save_story({"filter": {"match": "all", "blocks": [block]}}, story=story, user=None, now=NOW)
        other.start()
        until = time.monotonic() + 20
        while not said and not _somebody_waits() and time.monotonic() < until:
            time.sleep(0.01)
    other.join(20)
    assert said == ["in_use"]
    item.refresh_from_db()
    assert item.retired_at is None


def _somebody_waits():
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return cursor.fetchone()[0]
