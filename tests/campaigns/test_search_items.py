"""EXC-5, APP-1: applications and answers in 複合検索, against plain Python; one campaign's items are nobody else's."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.models import ApplicationSession
from campaigns.search_items import searches_using
from leads.models import Lead, SavedSearch
from leads.search import describe_conditions, leads_matching, validate_condition
from leads.search.editor import editor_for
from leads.search.registry import all_items
from tests.factories import make_application, make_campaign, make_lead, make_user

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def block(item, operator="is", *values):
    return {"item": item, "operator": operator, "values": list(values)}


def found(*blocks, match="all", expression="", campaign=None):
    condition = {"match": match, "blocks": list(blocks)}
    if match == "expression":
        condition["expression"] = expression
    leads = list(leads_matching(condition, now=NOW, campaign_id=campaign and campaign.pk))
    assert len(leads) == len(set(leads)), "a lead was found twice"
    return {lead.last_name for lead in leads}


def question(campaign, type="text", label="きっかけ", **values):
    if type in {"choice", "select", "multiple"}:
        values.setdefault("choices", [{"key": key, "label": f"選択肢{key}"} for key in ("a1", "a2", "a3")])
    return campaign.form_items.create(source="question", type=type, label=label, **values)


class TestAllCampaigns:
    def test_applied_cancelled_and_attended_campaign_x(self):
        """EXC-5"""
        x, y = make_campaign("X"), make_campaign("Y")
        applied, cancelled, came, both = (
            make_lead(f"{n}@example.jp", last_name=n) for n in ("applied", "cancelled", "came", "both")
        )
        make_lead("none@example.jp", last_name="none")
        make_application(x, applied)
        make_application(x, cancelled, state="cancelled")
        make_application(x, came, attended_at=NOW)
        make_application(x, both, state="waiting")
        make_application(y, both)

        def application(**parts):
            return block("application", "is", {"campaign": [str(x.pk)], **parts})

        assert found(application(state=["applied"])) == {"applied", "came"}
        assert found(application(state=["cancelled"])) == {"cancelled"}
        assert found(application(attended=["attended"])) == {"came"}
        assert found(application(state=["applied"], attended=["not_attended"])) == {"applied"}
        # One application for X, another one with a seat: no single application is both.
        assert "both" not in found(application(state=["applied"]))

    def test_does_not_match_is_not_the_same_as_not(self):
        """EXC-5: 「一致しない」 = has some other application; NOT = has none for X."""
        x, y = make_campaign("X"), make_campaign("Y")
        only_x, only_y, both = (
            make_lead(f"{n}@example.jp", last_name=n) for n in ("only_x", "only_y", "both")
        )
        make_lead("none@example.jp", last_name="none")
        for campaign, lead in ((x, only_x), (y, only_y), (x, both), (y, both)):
            make_application(campaign, lead)
        parts = {"campaign": [str(x.pk)]}
        assert found(block("application", "is_not", parts)) == {"only_y", "both"}
        assert found(block("application", "is", parts), match="expression", expression="NOT 1") == {
            "only_y",
            "none",
        }

    def test_merged_applications_are_no_rows_of_their_own(self):
        """APP-5"""
        x, lead = make_campaign(), make_lead(last_name="髙橋")
        make_application(x, lead, state="cancelled", cancelled_by="merged")
        assert found(block("application", "is", {"campaign": [str(x.pk)]})) == set()

    def test_answers(self):
        """EXC-5"""
        x, y = make_campaign("X"), make_campaign("Y")
        how, what, when = question(x), question(x, "multiple", "業種"), question(y, "number", "人数")
        one, two, three = (make_lead(f"{n}@example.jp", last_name=n) for n in ("one", "two", "three"))
        make_lead("none@example.jp", last_name="none")
        make_application(x, one, answers={how.key: "展示会で100%", what.key: ["a1", "a2"]})
        make_application(x, two, answers={what.key: ["a3"]})
        make_application(y, three, answers={when.key: 30})
        assert found(block("answer", "is", {"choice": [f"{what.pk}:a2"]})) == {"one"}
        assert found(block("answer", "is", {"choice": [f"{what.pk}:a2", f"{what.pk}:a3"]})) == {"one", "two"}
        assert found(block("answer", "is", {"question": [str(what.pk)]})) == {"one", "two"}
        assert found(block("answer", "is", {"text": ["100%"]})) == {"one"}
        # The label of a choice is read, its key is not.
        what.choices = [{"key": "a1", "label": "製造", "label_en": "Making"}, {"key": "a3", "label": "小売"}]
        what.save()
        assert found(block("answer", "is", {"text": ["a3"]})) == set()
        assert found(block("answer", "is", {"text": ["making", "見つからない"]})) == {"one"}
        assert found(block("answer", "is_not", {"text": ["製造"]})) == {"one", "two", "three"}
        assert found(block("application", "is", {"way": ["proxy"]})) == set()
        assert found(block("answer", "is", {"question": [str(when.pk)], "text": ["30"]})) == {"three"}
        assert (
            found(block("answer", "is", {"question": [str(when.pk)], "choice": [f"{what.pk}:a1"]})) == set()
        )
        # Some other answer: of "one" the other question's, of "two" none.
        assert found(block("answer", "is_not", {"question": [str(what.pk)]})) == {"one", "three"}
        no = found(
            block("answer", "is", {"question": [str(what.pk)]}), match="expression", expression="NOT 1"
        )
        assert no == {"three", "none"}

    @pytest.mark.parametrize("choice", ["nothing", ":", "1:", "x:a1", "9" * 30 + ":a1", "1:\\", "１:a1"])
    def test_a_choice_of_another_shape_finds_nobody(self, choice):
        question(make_campaign(), "choice")
        assert found(block("answer", "is", {"choice": [choice]})) == set()

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_the_same_as_plain_python(self, data, transactional_data):
        """EXC-5"""
        campaigns, leads, rows = transactional_data
        parts = {
            "campaign": data.draw(st.lists(st.sampled_from([str(c.pk) for c in campaigns]), unique=True)),
            "state": data.draw(st.lists(st.sampled_from(["applied", "cancelled", "waiting"]), unique=True)),
            "attended": data.draw(st.lists(st.sampled_from(["attended", "not_attended"]), unique=True)),
        }
        parts = {name: values for name, values in parts.items() if values} or {"state": ["applied"]}

        def fits(row):
            _lead, campaign, state, came = row
            return (
                (not parts.get("campaign") or str(campaign.pk) in parts["campaign"])
                and (not parts.get("state") or state in parts["state"])
                and (
                    not parts.get("attended") or ("attended" if came else "not_attended") in parts["attended"]
                )
            )

        of = {lead: [row for row in rows if row[0] == lead] for lead in leads}
        yes = {lead.last_name for lead in leads if any(fits(row) for row in of[lead])}
        other = {lead.last_name for lead in leads if any(not fits(row) for row in of[lead])}
        names = {lead.last_name for lead in leads}
        assert found(block("application", "is", parts)) == yes
        assert found(block("application", "is_not", parts)) == other
        assert found(block("application", "is", parts), match="expression", expression="NOT 1") == names - yes


@pytest.fixture
def transactional_data():
    """Every lead has another mix of applications."""
    campaigns = [make_campaign(name) for name in ("X", "Y")]
    kinds = [None, ("applied", False), ("applied", True), ("cancelled", False), ("waiting", False)]
    leads, rows = [], []
    for number in range(len(kinds) ** 2):
        lead = make_lead(f"{number}@example.jp", last_name=str(number))
        leads.append(lead)
        for campaign, kind in zip(campaigns, (kinds[number % 5], kinds[number // 5]), strict=True):
            if kind:
                state, came = kind
                make_application(campaign, lead, state=state, attended_at=NOW if came else None)
                rows.append((lead, campaign, state, came))
    return campaigns, leads, rows


class TestOneCampaign:
    def test_items_are_offered_in_their_campaign_only(self):
        """APP-1"""
        x, y = make_campaign("X"), make_campaign("Y")
        mine = question(x)
        keys = {key for key in all_items(x.pk) if key.startswith("campaign.")}
        assert keys == {
            *(f"campaign.{x.pk}.{name}" for name in ("state", "attended", "applied_at", "way", "session")),
            f"campaign.{x.pk}.question.{mine.pk}",
        }
        assert {"application", "answer"} <= set(all_items()) and not {"application", "answer"} & set(
            all_items(x.pk)
        )
        this = {"match": "all", "blocks": [block(f"campaign.{x.pk}.state", "is", "applied")]}
        assert validate_condition(this, campaign_id=x.pk) == this
        for other in (None, y.pk):
            with pytest.raises(ValidationError) as refused:
                validate_condition(this, campaign_id=other)
            assert refused.value.error_list[0].code == "unknown_item"
        with pytest.raises(ValidationError):
            validate_condition(
                {"blocks": [block("application", "is", {"state": ["applied"]})]}, campaign_id=x.pk
            )

    @pytest.mark.parametrize(
        ("key", "operator", "values", "expected"),
        [
            ("state", "is", ["applied"], {"again", "came"}),
            ("state", "is_not", ["applied"], {"left"}),
            ("state", "is", ["cancelled"], {"left"}),
            ("attended", "is", ["yes"], {"came"}),
            ("attended", "is", ["no"], {"again", "left"}),
            ("attended", "is", ["yes", "no"], {"again", "left", "came"}),
            ("way", "is", ["proxy"], {"came"}),
            ("applied_at", "within_days", ["1"], {"again", "left"}),
            ("applied_at", "lt", ["2026-11-20"], {"came"}),
        ],
    )  # fmt: skip
    def test_the_present_application_counts(self, key, operator, values, expected):
        x = make_campaign()
        again, left, came = (make_lead(f"{n}@example.jp", last_name=n) for n in ("again", "left", "came"))
        make_application(x, again, state="cancelled", created_at=NOW)
        make_application(x, again, created_at=NOW)
        make_application(x, left, state="cancelled", created_at=NOW)
        make_application(x, left, state="cancelled", created_at=NOW)
        make_application(x, came, attended_at=NOW, way="proxy", created_at=NOW - timedelta(days=3))
        make_application(make_campaign("Y"), make_lead("y@example.jp", last_name="y"))
        assert found(block(f"campaign.{x.pk}.{key}", operator, *values), campaign=x) == expected

    def test_sessions(self):
        x = make_campaign()
        a, b = x.sessions.create(title="A"), x.sessions.create(title="B")
        for name, chosen in (("a", [a]), ("ab", [a, b]), ("none", [])):
            application = make_application(x, make_lead(f"{name}@example.jp", last_name=name))
            for session in chosen:
                ApplicationSession.objects.create(application=application, session=session)
        key = f"campaign.{x.pk}.session"
        assert found(block(key, "is", str(b.pk)), campaign=x) == {"ab"}
        assert found(block(key, "is_not", str(b.pk)), campaign=x) == {"a", "ab"}
        assert found(block(key, "empty"), campaign=x) == {"none"}

    @pytest.mark.parametrize(
        ("type", "answers", "operator", "values", "expected"),
        [
            ("text", ["展示会", "Ｗｅｂ", None], "contains", ["展示"], {0}),
            ("text", ["展示会", "web", None], "is_not", ["WEB"], {0, 2}),
            ("long", ["一行\n二行", None], "empty", [], {1}),
            ("number", [3, 20, 2.5, None], "lt", ["10"], {0, 2}),
            ("number", [3, 20, 2.5, None], "is_not", ["3"], {1, 2, 3}),
            ("number", [3, "壊れ", None], "not_empty", [], {0}),
            ("date", ["2026-11-21", "2026-12-01", None], "today", [], {0}),
            ("date", ["2026-11-21", "2026-12-01", None], "is_not", ["2026-11-21"], {1, 2}),
            ("choice", [["a1"], ["a2"], None], "is", ["a1", "a3"], {0}),
            ("select", [["a1"], ["a2"], None], "is_not", ["a1"], {1, 2}),
            ("multiple", [["a1", "a2"], ["a1"], None], "is", ["a1"], {0, 1}),
            ("multiple", [["a1", "a2"], ["a1"], None], "is_not", ["a1"], {0}),
            ("agreement", [["yes"], None], "is", ["yes"], {0}),
            ("agreement", [["yes"], None], "empty", [], {1}),
        ],
    )  # fmt: skip
    def test_questions_are_typed(self, type, answers, operator, values, expected):
        """EXC-5"""
        x = make_campaign()
        asked = question(x, type)
        for number, answer in enumerate(answers):
            lead = make_lead(f"{number}@example.jp", last_name=str(number))
            make_application(x, lead, answers={} if answer is None else {asked.key: answer})
        this = block(f"campaign.{x.pk}.question.{asked.pk}", operator, *values)
        assert found(this, campaign=x) == {str(number) for number in expected}

    def test_every_item_and_operator_splits_the_applicants(self):
        """Nobody is lost to NULL, and each is one statement without joins beside the scope's."""
        x = make_campaign()
        session = x.sessions.create(title="A")
        for type in ("text", "long", "choice", "select", "multiple", "number", "date", "agreement"):
            question(x, type)
        for state in ("applied", "cancelled", "waiting", "provisional"):
            make_application(x, make_lead(f"{state}@example.jp", last_name=state), state=state)
        everyone = set(Lead.objects.values_list("last_name", flat=True))
        sample = {
            "number": ["1", "2"],
            "date": ["2026-01-01"] * 2,
            "datetime": ["2026-01-01"] * 2,
            "text": ["値"],
        }
        for key, item in all_items(x.pk).items():
            if not key.startswith("campaign."):
                continue
            for operator in item.allowed():
                values = (
                    [str(session.pk)] if item.reference else sample.get(item.type) or [item.choices()[0][0]]
                )
                many = {"empty": 0, "not_empty": 0, "today": 0, "this_month": 0, "between": 2}
                values = ["3"] if "days" in operator else values[: many.get(operator, 1)]
                this = block(key, operator, *values)
                no = found(this, match="expression", expression="NOT 1", campaign=x)
                yes = found(this, campaign=x)
                assert (yes | no, yes & no) == (everyone, set()), (key, operator)


class TestScreens:
    def test_conditions_are_described_wherever_they_stand(self, django_assert_max_num_queries):
        """APP-1: histories name conditions of several campaigns, in as many queries for one as for many."""
        conditions = []
        for name in ("X", "Y", "Z"):
            campaign = make_campaign(name)
            asked = question(campaign, "choice", label=f"{name}の質問")
            conditions.append({"blocks": [
                block(f"campaign.{campaign.pk}.state", "is", "applied"),
                block(f"campaign.{campaign.pk}.question.{asked.pk}", "is", "a2"),
                block("application", "is", {"campaign": [str(campaign.pk)]}),
                block("answer", "is", {"choice": [f"{asked.pk}:a1"], "text": ["100%"]}),
            ]})  # fmt: skip
        with django_assert_max_num_queries(8):
            told = describe_conditions(conditions)
        for name, sentence in zip(("X", "Y", "Z"), told, strict=True):
            assert (
                f"{name}の質問" in sentence
                and "選択肢a2" in sentence
                and "選択肢a1" in sentence
                and "100%" in sentence
            )
        assert (
            "削除された項目"
            in describe_conditions([{"blocks": [block("campaign.999.question.7", "is", "x")]}])[0]
        )

    def test_the_editor_draws_each_part(self):
        question(make_campaign("X"), "choice")
        drawn = editor_for({"blocks": [block("answer", "is", {"text": ["展示会"]}), block("application")]})
        kinds = [[field.kind for field in view.inputs] for view in drawn.blocks]
        assert kinds == [["checks", "checks", "lines"], ["checks", "checks", "checks", "checks"]]
        assert drawn.blocks[0].inputs[2].text == "展示会"

    def test_who_uses_a_choice(self):
        x = make_campaign()
        asked, other = question(x, "choice"), question(x, "choice", label="別の")
        owner = make_user()
        for name, blocks, campaign in (
            ("青", [block("answer", "is", {"choice": [f"{asked.pk}:a1"]})], None),
            ("質問", [block("answer", "is", {"question": [str(asked.pk)]})], None),
            ("橙", [block(f"campaign.{x.pk}.question.{asked.pk}", "is", "a2")], x.pk),
            ("無関係", [block("lead.company", "is", "a1")], None),
        ):
            SavedSearch.objects.create(
                name=name, owner=owner, campaign_id=campaign, condition={"match": "all", "blocks": blocks}
            )
        assert searches_using(asked, "a1") == ["青"]
        assert searches_using(asked, "a2") == ["橙"]
        assert set(searches_using(asked)) == {"青", "質問", "橙"}
        assert searches_using(other) == searches_using(asked, "a3") == []
