"""EXC-6: one sentence for any lead and any job."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from leads.models import Lead
from mail.models import Delivery, SendJobLead
from mail.recipients.explain import explain, explain_delivery
from mail.recipients.reasons import Reason
from tests.factories import make_job, make_lead

NOW = datetime(2026, 11, 24, 1, 0, 3, tzinfo=UTC)  # 10:00:03 in Tokyo


def delivery(**values):
    values = {"state": "sent", "decided_at": NOW, "address": "yoshio@yamate.example.jp"} | values
    return Delivery(pk=7, **values)


@pytest.mark.parametrize("reason", Reason.values)
@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_reason_has_its_own_sentence(reason, language):
    """EXC-6: no reason falls back to its bare label."""
    with translation.override(language):
        sentence = explain_delivery(
            delivery(state="excluded", reason=reason, related_id=42, unsubscribed_at=NOW)
        ).sentence
    start = {"ja": "送られません。", "en": "Not sent: "}[language]
    assert sentence.startswith(start)
    assert sentence != f"{start}{Reason(reason).label}"


def test_sentence_names_the_value_and_the_moment():
    answer = explain_delivery(delivery(state="excluded", reason="dm_permission", dm_permission="unwanted"))
    assert (
        answer.sentence
        == "送られません。2026-11-24 10:00:03 の時点でDM許可が「希望しない」で、この送信の対象ではありませんでした。"
    )
    assert (answer.decision, answer.reason, answer.decided_at) == ("excluded", "dm_permission", NOW)
    assert answer.values["dm_permission"] == "unwanted"


def test_the_servers_own_words_are_evidence():
    answer = explain_delivery(delivery(state="error", code=42550, reply="550 5.1.1 <b>User</b> unknown"))
    assert "42550" in answer.sentence
    assert any("550 5.1.1 <b>User</b> unknown" in line for line in answer.evidence)


def test_not_ticked(db):
    """TGT-2: a by-user job never reaches anybody else."""
    job = make_job(rule="by_user", condition=None, state="sending", decided_at=NOW)
    SendJobLead.objects.create(job=job, lead=make_lead())
    answer = explain(job, make_lead("b@example.jp"), now=NOW)
    assert (answer.decision, answer.reason) == ("none", "not_in_scope")
    assert "送信ユーザ指定: 1 人" in answer.evidence


def test_reserved_by_search_tells_the_outlook(db):
    """TGT-3: nothing is decided before the start; what would be decided now is said as such."""
    job = make_job(state="reserved", scheduled_at=NOW + timedelta(hours=1))
    refuser = make_lead(dm_permission="unwanted")
    answer = explain(job, refuser, now=NOW)
    assert (answer.decision, answer.reason) == ("none", "not_decided")
    assert answer.evidence == ["今の時点の見込み: DM許可が送信対象外"]


@pytest.mark.parametrize("job", [{"state": "reserved"}, {"state": "done", "decided_at": NOW}])
def test_a_condition_that_names_something_gone_is_told(db, job):
    """EXC-6: the question is answered all the same, before and after the start."""
    gone = {"match": "all", "blocks": [{"item": "lead.column.99", "operator": "is", "values": ["x"]}]}
    lead = make_lead(created_at=NOW - timedelta(days=1))
    answer = explain(make_job(condition=gone, **job), lead, now=NOW)
    assert answer.decision == "none"
    assert any("lead.column.99" in line for line in answer.evidence)


def test_registered_after_the_start(db):
    job = make_job(state="done", decided_at=NOW)
    lead = make_lead(created_at=NOW + timedelta(minutes=1))
    answer = explain(job, lead, now=NOW + timedelta(days=1))
    assert answer.reason == "not_in_scope"
    assert answer.evidence[1].startswith("このリードはそのあとに登録されました")


def test_did_not_match_then(db):
    condition = {
        "match": "all",
        "blocks": [{"item": "lead.prefecture", "operator": "is", "values": ["東京都"]}],
    }
    job = make_job(state="done", decided_at=NOW, condition=condition)
    lead = make_lead(prefecture="大阪府", created_at=NOW - timedelta(days=9))
    assert explain(job, lead, now=NOW).evidence[1] == "今のデータでも条件に一致しません。"
    Lead.objects.filter(pk=lead.pk).update(prefecture="東京都")
    lead.refresh_from_db()
    assert (
        explain(job, lead, now=NOW).evidence[1]
        == "今のデータでは条件に一致しますが、その時点では一致していませんでした。"
    )


def test_explaining_is_one_query(db, django_assert_num_queries):
    """DESIGN §9: by the unique key (job, lead), whatever the size of the ledger."""
    job, lead = make_job(), make_lead()
    Delivery.objects.create(job=job, lead=lead, state="sent", decided_at=NOW)
    with django_assert_num_queries(1):
        explain(job, lead, now=NOW)
