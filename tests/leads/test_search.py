"""複合検索 as one QuerySet: every operator, 「一致しない」 against NOT, EXC-5's conditions, one statement."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from leads.models import Lead, LeadColumn
from leads.search import EVERYONE, leads_matching, validate_condition
from leads.search.registry import ARITY, IN_DAYS, ItemType, all_items
from mail.models import Delivery
from tests.factories import make_job, make_lead, make_template

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)  # 12:00 in Tokyo

pytestmark = pytest.mark.django_db


def block(item, operator="is", *values):
    return {"item": item, "operator": operator, "values": list(values)}


def found(*blocks, match="all", expression=""):
    condition = {"match": match, "blocks": list(blocks)}
    if match == "expression":
        condition["expression"] = expression
    leads = list(leads_matching(condition, now=NOW))
    assert len(leads) == len(set(leads)), "a lead was found twice"
    return {lead.last_name for lead in leads}


def mail(lead, *, state="sent", at=NOW, kind="wizard", **values):
    values.setdefault("reason", "dm_permission" if state == "excluded" else "")
    return Delivery.objects.create(
        lead=lead, state=state, kind=kind, decided_at=at, sent_at=at if state == "sent" else None, **values
    )


def test_everyone_leaves_out_deleted_leads():
    make_lead("a@example.jp", last_name="佐藤")
    make_lead("b@example.jp", last_name="鈴木", deleted_at=NOW)
    assert {lead.last_name for lead in leads_matching(EVERYONE, now=NOW)} == {"佐藤"}


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("is", ["株式会社山手製作所"], {"山手"}),
        ("is", ["ＡＢＣ商会", "株式会社山手製作所"], {"山手"}),
        ("is", ["abc商会"], {"大文字"}),
        ("is_not", ["株式会社山手製作所"], {"大文字", "なし", "記号"}),
        ("contains", ["山手"], {"山手"}),
        ("contains", ["bc商", "製作所"], {"山手", "大文字"}),
        ("contains", ["100%_"], {"記号"}),
        ("contains", ["%"], {"記号"}),
        ("not_contains", ["山手", "%"], {"大文字", "なし"}),
        ("starts_with", ["株式会社"], {"山手"}),
        ("empty", [], {"なし"}),
        ("not_empty", [], {"山手", "大文字", "記号"}),
    ],
)
def test_text(operator, values, expected):
    make_lead("a@example.jp", last_name="山手", company="株式会社山手製作所")
    make_lead("b@example.jp", last_name="大文字", company="ABC商会")
    make_lead("c@example.jp", last_name="なし", company="")
    make_lead("d@example.jp", last_name="記号", company="100%_確実")
    assert found(block("lead.company", operator, *values)) == expected


def test_email_is_compared_as_exc_4_says():
    """EXC-4: full-width and upper case are the same address."""
    make_lead("Yoshio@Yamate.example.jp", last_name="髙橋")
    make_lead("b@other.example.jp", last_name="鈴木")
    assert found(block("lead.email", "is", " ＹＯＳＨＩＯ@yamate.example.jp")) == {"髙橋"}
    assert found(block("lead.email", "contains", "@Yamate.")) == {"髙橋"}


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("is", ["2026-11-21"], {"今日"}),
        ("is", ["2026-11-20", "2026-11-21"], {"今日", "昨日"}),
        ("is", ["2026-11-21T00:00"], {"今日"}),
        ("is", ["2026/11/21 00:01"], set()),
        ("is_not", ["２０２６年１１月２１日"], {"昨日", "先月"}),
        ("lt", ["2026-11-20"], {"先月"}),
        ("le", ["2026-11-20"], {"昨日", "先月"}),
        ("gt", ["2026-11-20"], {"今日"}),
        ("ge", ["2026-11-20"], {"今日", "昨日"}),
        ("between", ["2026-10-01", "2026-11-20"], {"昨日", "先月"}),
        ("today", [], {"今日"}),
        ("within_days", ["1"], {"今日"}),
        ("within_days", ["2"], {"今日", "昨日"}),
        ("days_ago", ["1"], {"昨日", "先月"}),
        ("days_ago", ["2"], {"先月"}),
        ("this_month", [], {"今日", "昨日"}),
    ],
)
def test_datetimes_mean_whole_local_days(operator, values, expected):
    """A day begins at 00:00 in Tokyo, which is 15:00 UTC of the day before."""
    make_lead("a@example.jp", last_name="今日", created_at=datetime(2026, 11, 20, 15, 0, tzinfo=UTC))
    make_lead("b@example.jp", last_name="昨日", created_at=datetime(2026, 11, 20, 14, 59, 59, tzinfo=UTC))
    make_lead("c@example.jp", last_name="先月", created_at=datetime(2026, 10, 31, 14, 59, tzinfo=UTC))
    assert found(block("lead.created_at", operator, *values)) == expected


def test_id_and_numbers():
    first = make_lead("a@example.jp", last_name="一", email_failures=0)
    second = make_lead("b@example.jp", last_name="二", email_failures=3)
    assert found(block("lead.id", "is", first.pk, str(second.pk))) == {"一", "二"}
    assert found(block("lead.id", "is_not", first.pk)) == {"二"}
    assert found(block("lead.email_failures", "ge", "３")) == {"二"}
    assert found(block("lead.email_failures", "between", 0, 2)) == {"一"}
    assert found(block("lead.id", "is", 2**63 - 1)) == set()


def columns():
    return {
        kind: LeadColumn.objects.create(
            label=f"列{kind}", type=kind, choices=["製造", "小売"] if kind == "choice" else []
        )
        for kind in ("text", "number", "date", "choice")
    }


@pytest.mark.parametrize(
    ("kind", "operator", "values", "expected"),
    [
        ("text", "contains", ["会"], {"有"}),
        ("text", "empty", [], {"無", "空"}),
        ("text", "is_not", ["展示会"], {"無", "空"}),
        ("number", "ge", ["1.5"], {"有"}),
        ("number", "lt", ["2"], set()),
        ("number", "is", ["2.50"], {"有"}),
        ("number", "is_not", ["2.5"], {"無", "空"}),
        ("number", "empty", [], {"無", "空"}),
        ("number", "not_empty", [], {"有"}),
        ("date", "is", ["2026-12-01"], {"有"}),
        ("date", "next_days", ["11"], {"有"}),
        ("date", "next_days", ["10"], set()),
        ("date", "is_not", ["2026-12-01"], {"無", "空"}),
        ("date", "between", ["2026-11-30", "2026-12-01"], {"有"}),
        ("date", "lt", ["2200-01-01"], {"有"}),
        ("date", "empty", [], {"無", "空"}),
        ("choice", "is", ["製造", "小売"], {"有"}),
        ("choice", "is_not", ["製造"], {"無", "空"}),
        ("choice", "empty", [], {"無", "空"}),
    ],
)
def test_custom_columns(kind, operator, values, expected):
    made = columns()
    values_of = {"text": "展示会", "number": 2.5, "date": "2026-12-01", "choice": "製造"}
    make_lead("a@example.jp", last_name="有", extra={made[k].key: v for k, v in values_of.items()})
    make_lead("b@example.jp", last_name="無")
    make_lead("c@example.jp", last_name="空", extra={made[k].key: "" for k in values_of})
    assert found(block(f"column.{made[kind].pk}", operator, *values)) == expected


def test_exc_5_every_reason_can_be_searched():
    """EXC-5: the conditions behind EXC-1's reasons."""
    make_lead("", last_name="なし")
    make_lead("bad@", last_name="壊れ", email_malformed=True)
    make_lead("stop@example.jp", last_name="停止", unsubscribed_at=NOW)
    make_lead("invalid@example.jp", last_name="無効", email_valid=False, email_failures=3)
    make_lead("temp@example.jp", last_name="仮", registration="provisional")
    make_lead("no@example.jp", last_name="拒否", dm_permission="unwanted")
    make_lead("same@example.jp", last_name="古い")
    make_lead("SAME@example.jp", last_name="新しい")
    make_lead("same@example.jp", last_name="消した", deleted_at=NOW)
    assert found(block("lead.no_email", "is", "yes")) == {"なし"}
    assert found(block("lead.email_malformed", "is", "yes")) == {"壊れ"}
    assert found(block("lead.unsubscribed", "is", "yes")) == {"停止"}
    assert found(block("lead.email_valid", "is", "no")) == {"無効"}
    assert found(block("lead.registration", "is", "provisional")) == {"仮"}
    assert found(block("lead.dm_permission", "is", "unwanted")) == {"停止", "拒否"}
    assert found(block("lead.email_failures", "ge", "1")) == {"無効"}
    assert found(block("lead.address_shared", "is", "yes")) == {"古い", "新しい"}
    assert found(block("lead.address_newer", "is", "yes")) == {"古い"}
    assert found(block("lead.address_newer", "is", "no"), block("lead.address_shared", "is", "yes")) == {
        "新しい"
    }


class TestMails:
    """W:S28: 「次の値と一致しない」 = has some other; NOT = has none, those without any mail included."""

    def setup_method(self):
        self.first, self.second = make_template("第1報"), make_template("第2報")
        self.only_first = make_lead("a@example.jp", last_name="第1報だけ")
        self.only_second = make_lead("b@example.jp", last_name="第2報だけ")
        self.both = make_lead("c@example.jp", last_name="両方")
        self.none = make_lead("d@example.jp", last_name="なし")
        for lead, template in (
            (self.only_first, self.first), (self.only_first, self.first), (self.only_second, self.second),
            (self.both, self.first), (self.both, self.second),
        ):  # fmt: skip
            mail(lead, template=template)

    def test_is_is_not_and_not(self):
        """EXC-5."""
        wanted = block("mail.template", "is", self.first.pk)
        assert found(wanted) == {"第1報だけ", "両方"}
        assert found(block("mail.template", "is_not", self.first.pk)) == {"第2報だけ", "両方"}
        assert found(wanted, match="expression", expression="NOT 1") == {"第2報だけ", "なし"}
        assert found(block("mail.template", "empty")) == {"なし"}
        assert found(block("mail.template", "not_empty")) == {"第1報だけ", "第2報だけ", "両方"}

    @pytest.mark.parametrize("state", ["queued", "deferred", "claimed", "handing_over", "sent", "unknown"])
    def test_sent_means_what_already_sent_means(self, state):
        """EXC-2: the same states as the recipients' statement."""
        mail(self.none, template=self.first, state=state)
        assert "なし" in found(block("mail.template", "is", self.first.pk))

    @pytest.mark.parametrize(
        ("state", "kind"),
        [("excluded", "wizard"), ("error", "wizard"), ("reserved", "wizard"), ("sent", "test")],
    )
    def test_what_never_counts_as_sent(self, state, kind):
        """TEST-6, EXC-2."""
        mail(self.none, template=self.first, state=state, kind=kind)
        assert "なし" not in found(block("mail.template", "is", self.first.pk))

    def test_single_mails_without_a_template_are_not_some_other_template(self):
        mail(self.none, kind="single")
        assert found(block("mail.template", "is_not", self.first.pk)) == {"第2報だけ", "両方"}

    def test_jobs(self):
        job, other = make_job(self.first), make_job(self.first)
        mail(self.only_first, job=job, template=self.first)
        mail(self.none, job=job, state="excluded")
        mail(self.both, job=other, template=self.first)
        assert found(block("mail.job", "is", job.pk)) == {"第1報だけ"}
        assert found(block("mail.job_scope", "is", job.pk)) == {"第1報だけ", "なし"}
        assert found(block("mail.job", "is_not", job.pk)) == {"両方"}

    def test_parts_of_a_result_are_asked_of_the_same_mail(self):
        mail(self.both, template=self.first, state="error", code=42550)
        assert found(block("mail.result", "is", {"state": ["error"]})) == {"両方"}
        assert found(
            block(
                "mail.result", "is", {"state": ["error"], "template": [str(self.first.pk)], "code": ["42550"]}
            )
        ) == {"両方"}
        # the second template was sent, only the first failed
        assert (
            found(block("mail.result", "is", {"state": ["error"], "template": [str(self.second.pk)]}))
            == set()
        )
        assert found(block("mail.result", "is_not", {"state": ["sent"]})) == {"両方"}
        mail(self.none, state="excluded", reason="duplicate")
        assert found(block("mail.result", "is", {"reason": ["duplicate"]})) == {"なし"}
        assert found(
            block("mail.result", "is", {"code": [42550]}), match="expression", expression="NOT 1"
        ) == {"第1報だけ", "第2報だけ", "なし"}

    def test_sent_at(self):
        mail(self.none, at=NOW - timedelta(days=40))
        assert found(block("mail.sent_at", "within_days", 7)) == {"第1報だけ", "第2報だけ", "両方"}
        assert found(block("mail.sent_at", "days_ago", 30)) == {"なし"}
        assert found(block("mail.sent_at", "empty")) == set()


def test_expression_any_and_all():
    make_lead("a@example.jp", last_name="甲", prefecture="東京都", company="製造")
    make_lead("b@example.jp", last_name="乙", prefecture="大阪府", company="製造")
    make_lead("c@example.jp", last_name="丙", prefecture="東京都", company="小売")
    blocks = [block("lead.prefecture", "is", "東京都"), block("lead.company", "is", "製造")]
    assert found(*blocks) == {"甲"}
    assert found(*blocks, match="any") == {"甲", "乙", "丙"}
    assert found(*blocks, match="expression", expression="１　かつ（２でない）") == {"丙"}
    assert found(*blocks, match="expression", expression="not (1 and 2)") == {"乙", "丙"}


def sample_values(item, operator):
    least, _most = ARITY[operator]
    if item.type == ItemType.RECORD:
        samples = {
            "state": ["sent", "waiting"],
            "code": ["40000"],
            "reason": ["duplicate"],
            "text": ["値"],
        }
        return [
            {
                part.key: [part.choices()[0][0]]
                if part.type == ItemType.CHOICE and part.closed and not part.reference
                else samples.get(part.key) or ["1"]
                for part in item.parts
                if part.key in samples or part.reference
            }
        ]
    if operator in IN_DAYS:
        return ["7"]
    if item.reference or item.type == ItemType.NUMBER:
        return ["1", "2"][:least]
    if item.type in {ItemType.DATE, ItemType.DATETIME}:
        return ["2026-11-20", "2026-11-21"][:least]
    if item.choices():
        return [item.choices()[0][0]][:least]
    return ["値"][:least]


def test_every_item_and_operator_is_one_statement_without_joins():
    """Each block splits the leads in two with NOT, whatever their data: nobody is lost to NULL."""
    made = columns()
    make_lead(
        "a@example.jp",
        last_name="有",
        extra={made["text"].key: "値", made["number"].key: 1, made["date"].key: "2026-11-20"},
    )
    make_lead("", last_name="無", created_at=NOW)
    mail(make_lead("c@example.jp", last_name="送"), code=40000, template=make_template())
    everyone = set(Lead.objects.values_list("last_name", flat=True))
    for item in all_items().values():
        for operator in item.allowed():
            this = block(item.key, operator, *sample_values(item, operator))
            leads = leads_matching({"match": "all", "blocks": [this]}, now=NOW)
            sql, params = leads.values("id").query.sql_with_params()
            assert "JOIN" not in sql, (item.key, operator)
            with connection.cursor() as cursor:
                cursor.execute(f"WITH candidate AS ({sql}) SELECT count(*) FROM candidate", params)
                count = cursor.fetchone()[0]
            yes, no = found(this), found(this, match="expression", expression="NOT 1")
            assert len(yes) == count
            assert (yes | no, yes & no) == (everyone, set()), (item.key, operator)


def test_one_query_whatever_the_condition(django_assert_num_queries):
    make_lead()
    blocks = [
        block("lead.prefecture", "is", "東京都"),
        block("mail.template", "is", 1),
        block("lead.address_shared", "is", "no"),
    ]
    with django_assert_num_queries(1):
        list(leads_matching({"match": "any", "blocks": blocks}, now=NOW))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ([], "JSON"),
        ({"match": "none"}, "match"),
        ({"match": "any", "blocks": []}, ""),
        ({"blocks": [block("lead.x", "is", "1")]}, "lead.x"),
        ({"blocks": [block("lead.company", "between", "1", "2")]}, "between"),
        ({"blocks": [block("lead.company", "is")]}, ""),
        ({"blocks": [block("lead.company", "is", "\x00")]}, "NUL"),
        ({"blocks": [block("lead.company", "is", "\ud800")]}, "NUL"),
        ({"blocks": [block("lead.company", "is", "あ" * 1001)]}, "1000"),
        ({"blocks": [block("lead.id", "is", "1; DROP TABLE leads_lead")]}, "DROP"),
        ({"blocks": [block("lead.id", "is", "1.5")]}, "1.5"),
        ({"blocks": [block("lead.id", "is", 10**30)]}, ""),
        ({"blocks": [block("lead.dm_permission", "is", "maybe")]}, "maybe"),
        ({"blocks": [block("lead.created_at", "is", "2026-02-30")]}, "2026-02-30"),
        ({"blocks": [block("lead.created_at", "between", "2026-02-03", "2026-02-01")]}, ""),
        ({"blocks": [block("lead.created_at", "within_days", "99999")]}, "36500"),
        ({"blocks": [block("mail.result", "is", {})]}, ""),
        ({"blocks": [block("mail.result", "is", {"state": ["nope"]})]}, "nope"),
        ({"blocks": [block("mail.template", "is", "abc")]}, "abc"),
        ({"blocks": [{"item": "lead.company", "operator": "is", "values": ["1"], "sql": "1"}]}, "sql"),
        ({"blocks": [block("lead.company", "is", True)]}, ""),
        ({"blocks": [block("lead.company", "empty")] * 31}, "30"),
        ({"match": "expression", "expression": "1 AND", "blocks": [block("lead.company", "empty")]}, "6"),
        ({"match": "all", "expression": "\x00", "blocks": []}, "expression"),
    ],
)
def test_what_is_wrong_is_said(condition, message):
    with pytest.raises(ValidationError) as caught:
        validate_condition(condition)
    assert message in " ".join(caught.value.messages)
    with pytest.raises(ValidationError):
        leads_matching(condition, now=NOW)


def test_every_wrong_block_is_named():
    with pytest.raises(ValidationError) as caught:
        validate_condition(
            {"blocks": [block("lead.id", "is", "x"), block("lead.company", "empty"), block("lead.id", "is")]}
        )
    assert [error.params for error in caught.value.error_list] == [{"block": 1}, {"block": 3}]


def test_canonical_form_is_stored():
    assert validate_condition(
        {
            "blocks": [block("lead.id", "is", "００７", 7), block("lead.company", "empty", "old")],
            "match": "all",
        }
    ) == {
        "match": "all",
        "blocks": [block("lead.id", "is", "7"), block("lead.company", "empty")],
    }
