"""The items of a form: defaults, order, choices that keep their keys, nothing answered is lost (APP-2)."""

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from campaigns.answers import answer_rows, answer_text, clean_answer
from campaigns.application_form import ApplicationForm
from campaigns.consent_texts import current_consent_text, set_consent_text
from campaigns.form_items import (
    ITEMS_MAX,
    LEAD_ITEMS,
    ItemValues,
    add_item,
    addable_lead_items,
    choices_of,
    copy_items,
    ensure_default_items,
    items_of,
    label_of,
    move_item,
    questions_of,
    restore_item,
    retire_item,
    save_item,
)
from campaigns.models import FormItem
from leads.edit import FIELDS
from leads.models import LeadColumn
from settings.models import AuditEntry
from tests.campaigns.forms import add_question, filled
from tests.factories import make_campaign, make_user

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def campaign(db):
    campaign = make_campaign()
    ensure_default_items(campaign)
    return campaign


def fields(campaign):
    return [item.field or item.label for item in items_of(campaign)]


def change(item, **values):
    kept = {
        n: getattr(item, n) for n in ("label", "label_en", "help", "help_en", "required", "type", "choices")
    }
    return save_item(item, ItemValues(**{**kept, **values}), user=None, now=NOW)


def item_of(campaign, field):
    return campaign.form_items.get(field=field)


def test_a_new_campaign_asks_for_the_usual_things_once(campaign):
    """APP-2"""
    expected = [
        "last_name",
        "first_name",
        "company",
        "department",
        "job_title",
        "email",
        "phone",
        "dm_permission",
    ]
    assert fields(campaign) == expected
    ensure_default_items(campaign)
    assert fields(campaign) == expected
    required = [item.field for item in items_of(campaign) if item.required]
    assert required == ["last_name", "first_name", "company", "email", "dm_permission"]
    assert label_of(item_of(campaign, "dm_permission"), "ja") == "資料送付・各種情報案内を希望しますか"


def test_a_campaign_without_stored_items_has_the_same_form(db):
    form = ApplicationForm(make_campaign())
    assert {"last_name", "email"} <= set(form.fields)


def test_only_what_attendees_may_say_can_be_asked():
    """FLAG-5, OPT-2"""
    assert set(LEAD_ITEMS) <= set(FIELDS)
    assert not {"kind", "registration", "email_valid", "note", "extra", "language"} & set(LEAD_ITEMS)


@pytest.mark.parametrize(
    "field", ["kind", "registration", "email_valid", "note", "unsubscribed_at", "", "email"]
)
def test_other_items_and_those_there_already_are_refused(campaign, field):
    with pytest.raises(ValidationError):
        add_item(campaign, "lead", field, values=ItemValues(), user=None, now=NOW)


@pytest.mark.parametrize("field", ["0", "99999", "x", "1" * 30, "１"])
def test_an_added_item_that_does_not_exist_is_refused(campaign, field):
    with pytest.raises(ValidationError):
        add_item(campaign, "column", field, values=ItemValues(), user=None, now=NOW)


def test_the_address_and_the_last_name_always_stay_and_are_required(campaign):
    for field in ("email", "last_name"):
        item = item_of(campaign, field)
        with pytest.raises(ValidationError):
            retire_item(item, user=None, now=NOW)
        assert change(item, required=False).required is True


def test_the_question_for_consent_is_never_optional(campaign):
    """OPT-10: nobody agrees by leaving something out"""
    assert change(item_of(campaign, "dm_permission"), required=False).required is True
    form = ApplicationForm(campaign)
    assert form["dm_permission"].value() is None


def test_items_move_one_place(campaign):
    first, second = items_of(campaign)[:2]
    assert move_item(second, up=True, user=None, now=NOW)
    assert fields(campaign)[:2] == ["first_name", "last_name"]
    assert not move_item(second, up=True, user=None, now=NOW)
    assert move_item(second, up=False, user=None, now=NOW)
    assert fields(campaign)[:2] == ["last_name", "first_name"]
    assert first.pk == items_of(campaign)[0].pk


def test_a_lead_item_taken_away_comes_back_as_the_same_one(campaign):
    phone = item_of(campaign, "phone")
    assert retire_item(phone, user=None, now=NOW)
    assert not retire_item(phone, user=None, now=NOW)
    assert "phone" in addable_lead_items(items_of(campaign))
    again = add_item(campaign, "lead", "phone", values=ItemValues(label="携帯"), user=None, now=NOW)
    assert again.pk == phone.pk
    assert fields(campaign)[-1] == "phone"


def test_an_answered_question_is_retired_and_can_be_put_back(campaign):
    question = add_question(campaign, "choice", "業種")
    retire_item(question, user=None, now=NOW)
    assert "業種" not in fields(campaign)
    assert questions_of(campaign) == [question]
    assert answer_rows(questions_of(campaign), {question.key: ["a2"]}) == [(question, "小売")]
    assert restore_item(question, user=None, now=NOW)
    assert fields(campaign)[-1] == "業種"


def test_choices_keep_their_keys_whatever_happens_to_the_words(campaign):
    question = add_question(campaign, "choice", "業種")
    assert [choice["key"] for choice in question.choices] == ["a1", "a2"]
    renamed = change(question, choices=[{"key": "a2", "label": "小売・卸"}, {"key": "", "label": "その他"}])
    assert choices_of(renamed, "ja") == [("a2", "小売・卸"), ("a3", "その他")]
    assert answer_text(renamed, ["a1"]) == "製造"  # offered no more, still in words
    again = change(renamed, choices=[*renamed.choices, {"key": "", "label": "製造"}])
    assert ("a1", "製造") in choices_of(again, "ja")  # typed again: the same choice
    assert sorted(choice["key"] for choice in again.choices) == ["a1", "a2", "a3"]


@pytest.mark.parametrize(
    "choices",
    [
        [], [{"label": ""}], [{"label": "製造"}, {"label": "製造"}], [{"label": "A"}, {"label": "a"}],
        [{"label": "", "label_en": "x"}], [{"label": "x" * 201}], [{"label": "a\0b"}],
        [{"label": str(n)} for n in range(101)],
    ],
)  # fmt: skip
def test_choices_that_cannot_be_told_apart_are_refused(campaign, choices):
    with pytest.raises(ValidationError) as refused:
        add_question(campaign, "choice", choices=choices)
    assert "choices" in refused.value.error_dict


def test_a_question_needs_words_and_a_type(campaign):
    with pytest.raises(ValidationError) as refused:
        add_question(campaign, "nonsense", label=" ")
    assert set(refused.value.error_dict) == {"label", "type"}


def test_a_form_has_an_end(campaign):
    FormItem.objects.bulk_create(
        FormItem(campaign=campaign, source="question", type="text", label=str(n)) for n in range(ITEMS_MAX)
    )
    with pytest.raises(ValidationError):
        add_question(campaign)


def test_a_copied_campaign_has_the_same_form_of_its_own(campaign):
    question = add_question(campaign, "choice", "業種", choices=[{"label": "製造"}, {"label": "小売"}])
    change(question, choices=[{"key": "a2", "label": "小売"}])
    retire_item(item_of(campaign, "phone"), user=None, now=NOW)
    copy = make_campaign("写し")
    copy_items(campaign, copy)
    assert fields(copy) == fields(campaign)
    copied = copy.form_items.get(source="question")
    assert copied.pk != question.pk
    assert copied.choices == [{"key": "a2", "label": "小売", "label_en": ""}]


def test_changes_stand_in_the_audit_log(campaign):
    """SYS-2"""
    misaki = make_user("misaki")
    item = add_item(campaign, "question", values=ItemValues(label="業種", type="text"), user=misaki, now=NOW)
    save_item(item, ItemValues(label="ご職業", type="text"), user=misaki, now=NOW)
    retire_item(item, user=misaki, now=NOW)
    actions = list(AuditEntry.objects.filter(user=misaki).order_by("id").values_list("action", flat=True))
    assert actions == ["form_item.create", "form_item.edit", "form_item.retire"]
    assert AuditEntry.objects.get(action="form_item.edit").detail["changes"] == {"label": ["業種", "ご職業"]}


@pytest.mark.parametrize(
    ("type", "entered", "stored"),
    [
        ("text", " 髙﨑𠮷①㈱😀 ", "髙﨑𠮷①㈱😀"),
        ("text", "か\u3099", "が"),
        ("text", "", None),
        ("long", "一行目\r\n二行目", "一行目\n二行目"),
        ("number", "１，０００", 1000),
        ("number", "-2.5", -2.5),
        ("date", "2026年1月5日", "2026-01-05"),
        ("choice", "a1", ["a1"]),
        ("multiple", ["a2", "a1", "a1"], ["a1", "a2"]),
        ("multiple", [], None),
        ("agreement", True, ["yes"]),
        ("agreement", False, None),
    ],
)
def test_answers_are_stored_in_one_shape_per_type(campaign, type, entered, stored):
    """CHR-6"""
    assert clean_answer(add_question(campaign, type), entered) == stored


@pytest.mark.parametrize(
    ("type", "entered"),
    [
        ("text", "a\nb"), ("text", "x" * 501), ("long", "x" * 5001), ("long", "a\0"), ("number", "たくさん"), ("number", "1e99"),
        ("date", "2026-02-30"), ("choice", "a9"), ("choice", ["a1", "a2"]), ("multiple", ["a1", "x"]), ("agreement", ["no"]),
    ],
)  # fmt: skip
def test_answers_that_cannot_be_are_refused(campaign, type, entered):
    with pytest.raises(ValidationError):
        clean_answer(add_question(campaign, type), entered)


def test_the_form_gives_an_entry_with_typed_values(campaign):
    """APP-2"""
    seats = LeadColumn.objects.create(label="参加人数", type="number")
    add_item(campaign, "column", seats.key, values=ItemValues(), user=None, now=NOW)
    question = add_question(campaign, "multiple", "テーマ")
    data = filled(campaign, **{f"column_{seats.pk}": "３", f"question_{question.pk}": ["a1"]})
    form = ApplicationForm(campaign, querydict(data), language="en")
    assert form.is_valid(), form.errors
    entry = form.entry()
    assert entry.values["extra"] == {seats.key: 3}
    assert "phone" not in entry.values  # blank: clears nothing
    assert entry.answers == {question.key: ["a1"]}
    assert (entry.language, entry.evidence) == ("en", "")


def test_an_added_item_that_was_deleted_is_asked_no_more(campaign):
    column = LeadColumn.objects.create(label="旧項目", type="text")
    add_item(campaign, "column", column.key, values=ItemValues(required=True), user=None, now=NOW)
    column.delete()
    assert not [name for name in ApplicationForm(campaign).fields if name.startswith("column_")]


def querydict(data):
    from django.http import QueryDict

    query = QueryDict(mutable=True)
    for name, value in data.items():
        query.setlist(name, value if isinstance(value, list) else [value])
    return query


# ---- the consent text
def test_a_changed_consent_text_is_a_new_version(campaign):
    """OPT-10"""
    first = set_consent_text(campaign, "A", user=None, now=NOW)
    assert set_consent_text(campaign, " A ", user=None, now=NOW) == first
    second = set_consent_text(campaign, "A\r\nB", "English", user=None, now=NOW)
    assert (first.version, second.version) == (1, 2)
    assert second.text == "A\nB"
    assert campaign.consent_texts.get(version=1).text == "A"
    assert set_consent_text(campaign, "", user=None, now=NOW) is None
    assert current_consent_text(campaign) is None
    assert campaign.consent_texts.count() == 3


def test_english_alone_is_no_consent_text(campaign):
    with pytest.raises(ValidationError):
        set_consent_text(campaign, "", "English", user=None, now=NOW)
