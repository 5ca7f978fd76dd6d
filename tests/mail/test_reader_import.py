"""MAG-9, MAG-10, MAG-11: what a file of readers does to a magazine."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads.models import ConsentRecord, Lead
from mail.magazines import blacklist
from mail.models import BlacklistedAddress, Reader, ReaderChange
from tests.factories import make_lead
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story
from tests.mail.reader_importing import (
    black,
    bring_in,
    check,
    commit,
    counts,
    groups,
    problems,
    reasons,
    states,
)

pytestmark = pytest.mark.django_db


def left(magazine, address, *, own_act=True, **values):
    """A reader who left, and is on the blacklist."""
    reader = make_reader(magazine, address, state="stopped", **values)
    blacklist.put(magazine, [reader.lead.email_norm], own_act=own_act, now=timezone.now())
    return reader


def test_every_group_of_mag_10_with_the_blacklist_on():
    """MAG-9, MAG-10: nobody comes back who left; the others are new, updated or as they were."""
    magazine = make_magazine()
    item = make_item(magazine, "会社の規模")
    make_reader(magazine, "same@a.example.jp", values={item.key: "大"})
    make_reader(magazine, "changed@a.example.jp", values={item.key: "小"})
    left(magazine, "stopped@a.example.jp")
    blacklist.put(magazine, ["removed@a.example.jp"], own_act=True, now=timezone.now())
    broken = make_reader(magazine, "broken@a.example.jp", state="error_stopped", failures_full=5)
    done = bring_in(
        magazine,
        "メールアドレス,会社の規模\nnew@a.example.jp,中\nsame@a.example.jp,大\nchanged@a.example.jp,大\n"
        "stopped@a.example.jp,大\nremoved@a.example.jp,大\nbroken@a.example.jp,大\nbad@@a.example.jp,大\n",
    )
    assert groups(done) == {
        "new@a.example.jp": "new",
        "same@a.example.jp": "unchanged",
        "changed@a.example.jp": "updated",
        "stopped@a.example.jp": "refused",
        "removed@a.example.jp": "refused",
        "broken@a.example.jp": "updated",
        "bad@@a.example.jp": "malformed",
    }
    assert counts(done) == {"new": 1, "updated": 2, "refused": 2, "malformed": 1, "unchanged": 1}
    assert states(magazine) == {
        "new@a.example.jp": "deliverable",
        "same@a.example.jp": "deliverable",
        "changed@a.example.jp": "deliverable",
        "stopped@a.example.jp": "stopped",
        "broken@a.example.jp": "error_stopped",
    }
    assert black(magazine) == 2
    broken.refresh_from_db()
    assert (broken.values, broken.failures_full) == ({item.key: "大"}, 5)
    assert reasons(done, "stopped@a.example.jp") == ["stopped"]
    assert reasons(done, "removed@a.example.jp") == ["removed"]
    assert reasons(done, "broken@a.example.jp") == ["error_stopped", "stays_stopped"]


def test_import_with_the_blacklist_off():
    """MAG-9: importing somebody who left makes them 配信可能 and takes them off the list; failures are kept."""
    magazine = make_magazine(blacklist=False)
    since = timezone.now() - timedelta(days=9)
    stopped = left(magazine, "stopped@a.example.jp", registered_at=since)
    left(magazine, "elsewhere@a.example.jp")
    blacklist.put(magazine, ["removed@a.example.jp"], own_act=True, now=since)
    broken = make_reader(magazine, "broken@a.example.jp", state="error_stopped", failures_full=5)
    checked = check(
        magazine,
        "メールアドレス\nstopped@a.example.jp\nremoved@a.example.jp\nbroken@a.example.jp\nnew@a.example.jp\n",
    )
    assert counts(checked) == {"new": 1, "turned": 3}
    assert (states(magazine)["stopped@a.example.jp"], black(magazine)) == (
        "stopped",
        3,
    )  # nothing happened yet
    commit(checked)
    assert states(magazine) == {
        "broken@a.example.jp": "deliverable",
        "elsewhere@a.example.jp": "stopped",
        "new@a.example.jp": "deliverable",
        "removed@a.example.jp": "deliverable",
        "stopped@a.example.jp": "deliverable",
    }
    assert black(magazine) == 1
    stopped.refresh_from_db()
    assert (stopped.registered_at, stopped.state_at > since) == (since, True)
    broken.refresh_from_db()
    assert broken.failures_full == 5
    assert reasons(checked, "broken@a.example.jp") == ["error_stopped", "keeps_failures"]
    change = ReaderChange.objects.get(lead=stopped.lead_id)
    assert (change.what, change.before, change.after, change.way) == (
        "state",
        "stopped",
        "deliverable",
        "import",
    )


def test_new_readers_are_leads_who_want_no_mail_of_the_wizard():
    """MAG-10, OPT-10: a new lead is DM許可 希望しない; how they came is kept with the reader and the lead."""
    magazine = make_magazine()
    number = make_item(magazine, "従業員数", "number")
    day = make_item(magazine, "契約期限", "date")
    choice = make_item(magazine, "業種", "choice")
    done = bring_in(
        magazine,
        "E-mailアドレス,姓,名,会社名,従業員数,契約期限,業種,登録日時,DM許可\n"
        'takahashi@a.example.jp,髙橋,𠮷子😀,㈱①,"1,200",2026年11月5日,小売,2025/4/1 9:30,希望する\n',
        evidence="card",
    )
    lead = Lead.objects.get(email="takahashi@a.example.jp")
    assert (lead.last_name, lead.first_name, lead.company) == ("髙橋", "𠮷子😀", "㈱①")
    assert (lead.dm_permission, lead.registration, lead.kind) == ("unwanted", "full", "visitor")
    assert "高橋" in lead.search_text
    reader = magazine.readers.get()
    assert (reader.lead, reader.way, reader.state) == (lead, "import", "deliverable")
    assert reader.values == {number.key: 1200, day.key: "2026-11-05", choice.key: "小売"}
    assert timezone.localtime(reader.registered_at).isoformat() == "2025-04-01T09:30:00+09:00"
    record = ConsentRecord.objects.get(lead=lead)
    assert (record.change, record.evidence, record.source) == ("refused", "card", "読者.csv")
    change = ReaderChange.objects.get(lead=lead)
    assert (change.what, change.way, change.evidence, change.source) == (
        "registered",
        "import",
        "card",
        "読者.csv",
    )
    assert change.import_id == done.pk


def test_a_lead_keeps_its_values():
    """MAG-10: a file of readers overwrites nothing of a lead; who exists already, by whatever spelling, is no second lead."""
    magazine = make_magazine()
    make_lead("Taro@A.example.jp", last_name="古い方")
    newer = make_lead("taro@a.example.jp", last_name="山田", company="")
    bring_in(magazine, "メールアドレス,姓,会社名\nＴＡＲＯ@a.example.jp,鈴木,新社\n")
    newer.refresh_from_db()
    assert (newer.last_name, newer.company, Lead.objects.count()) == ("山田", "", 2)
    assert magazine.readers.get().lead == newer


def test_who_is_a_reader_already_is_meant_rather_than_the_newest_lead():
    magazine = make_magazine()
    item = make_item(magazine)
    reader = make_reader(magazine, "taro@a.example.jp")
    make_lead("taro@a.example.jp")
    bring_in(magazine, f"メールアドレス,{item.label}\ntaro@a.example.jp,大\n")
    assert [(r.pk, r.values) for r in magazine.readers.all()] == [(reader.pk, {item.key: "大"})]


def test_the_same_address_twice_in_the_file():
    """EXC-4: the first row counts, unless something is wrong with it; the others say which."""
    magazine = make_magazine()
    item = make_item(magazine, "人数", "number")
    done = bring_in(
        magazine,
        "メールアドレス,人数\nA@a.example.jp,abc\na@a.example.jp,1\nＡ@A.example.jp,2\n",
    )
    assert problems(done) == [(2, "人数", "number"), (4, "メールアドレス", "same_address")]
    assert counts(done) == {"new": 1, "malformed": 1, "unchanged": 1}
    assert magazine.readers.get().values == {item.key: 1}


def test_blank_cells_clear_items_and_columns_left_out_keep_them():
    """CSV-2."""
    magazine = make_magazine()
    kept, cleared = make_item(magazine, "残る"), make_item(magazine, "消える")
    reader = make_reader(magazine, "a@a.example.jp", values={kept.key: "1", cleared.key: "2"})
    bring_in(magazine, "メールアドレス,消える\na@a.example.jp,\n")
    reader.refresh_from_db()
    assert reader.values == {kept.key: "1"}
    change = ReaderChange.objects.get(lead=reader.lead_id)
    assert (change.what, change.detail) == ("edited", {"changes": {cleared.key: ["2", None]}})


def test_who_is_not_mailed_all_the_same_is_told():
    """MAG-12: unsubscribed as a lead, an invalid address, a provisional registration."""
    magazine = make_magazine()
    make_lead("out@a.example.jp", dm_permission="unwanted", unsubscribed_at=timezone.now())
    make_lead("dead@a.example.jp", email_valid=False)
    make_lead("maybe@a.example.jp", registration="provisional")
    done = bring_in(magazine, "メールアドレス\nout@a.example.jp\ndead@a.example.jp\nmaybe@a.example.jp\n")
    assert done.counts["reasons"] == {"lead_unsubscribed": 1, "lead_invalid": 1, "lead_provisional": 1}
    assert magazine.readers.count() == 3


def test_who_is_stopped_in_another_magazine_is_told():
    """MAG-11: by address, whatever lead they are there; also those who were removed after leaving."""
    magazine, other, third = make_magazine(), make_magazine("月刊"), make_magazine("季刊")
    make_lead("taro@a.example.jp")
    left(other, "TARO@a.example.jp")
    make_reader(other, "fine@a.example.jp")
    blacklist.put(third, ["taro@a.example.jp", "gone@a.example.jp"], own_act=True, now=timezone.now())
    checked = check(magazine, "メールアドレス\ntaro@a.example.jp\nfine@a.example.jp\ngone@a.example.jp\n")
    assert checked.counts["elsewhere"] == {str(other.pk): 1, str(third.pk): 2}
    assert checked.counts["elsewhere_rows"] == 2
    assert reasons(checked, "fine@a.example.jp") == []


def test_readers_of_other_magazines_stay_as_they_are():
    """MAG-1: state and blacklist belong to one magazine."""
    magazine, other = make_magazine(blacklist=False), make_magazine("月刊")
    left(other, "taro@a.example.jp")
    bring_in(magazine, "メールアドレス\ntaro@a.example.jp\n")
    assert (states(other), black(other), states(magazine)) == (
        {"taro@a.example.jp": "stopped"},
        1,
        {"taro@a.example.jp": "deliverable"},
    )


def test_new_readers_get_their_turn_in_the_step_stories():
    """MAG-8."""
    magazine = make_magazine()
    story = make_story(magazine, "step")
    bring_in(magazine, "メールアドレス\na@a.example.jp\n")
    turn = story.turns.get()
    reader = magazine.readers.get()
    assert (turn.lead_id, turn.state, turn.base_at) == (reader.lead_id, "waiting", reader.registered_at)


def test_deleted_leads_are_nobody():
    magazine = make_magazine()
    make_reader(magazine, lead=make_lead("a@a.example.jp", deleted_at=timezone.now()), state="stopped")
    done = bring_in(magazine, "メールアドレス\na@a.example.jp\n")
    assert counts(done) == {"new": 1}
    assert Reader.objects.filter(lead__deleted_at=None).count() == 1


@pytest.mark.parametrize("blacklist_on", [True, False])
def test_a_thousand_rows_take_as_many_queries_as_two(blacklist_on):
    """MAG-10: set-based."""
    magazines = [make_magazine(name, blacklist=blacklist_on) for name in "ab"]
    for magazine in magazines:
        left(magazine, f"{magazine.name}@a.example.jp")
        left(magazine, f"{magazine.name}@stays-on-the-list.example.jp")
    numbers = []
    for magazine, rows in zip(magazines, (2, 1000), strict=True):
        some = "".join(f"{magazine.name}{n}@b.example.jp\n" for n in range(rows))
        with CaptureQueriesContext(connection) as captured:
            bring_in(magazine, f"メールアドレス\n{some}{magazine.name}@a.example.jp\n")
        numbers.append(len(captured))
    assert numbers[0] == numbers[1]


def test_addresses_survive_only_as_hashes():
    """MAG-9: the blacklist survives the removal of the reader, and names nobody."""
    magazine = make_magazine()
    reader = left(magazine, "taro@a.example.jp")
    reader.delete()
    done = bring_in(magazine, "メールアドレス\nTaro@A.example.jp\nok@a.example.jp\n")
    assert counts(done) == {"new": 1, "refused": 1}
    assert b"taro" not in bytes(BlacklistedAddress.objects.get(magazine=magazine).address_hash)
