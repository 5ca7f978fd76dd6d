"""APP-5: manual merge of two to ten leads, and its undoing. FLAG-3, FLAG-4 and FLAG-6 for 手動マージ."""

from datetime import timedelta

import pytest
from django.utils import timezone

from campaigns.models import Application, Session
from leads.consent import unsubscribe
from leads.duplicates import find_duplicates
from leads.merge import MergeRefused, merge, survivor_of, undo
from leads.models import ConsentRecord, DmPermission, Lead, LeadColumn, LeadMerge, Registration
from mail.links import one_click_url, opt_out_url
from mail.models import Delivery
from settings.models import AuditEntry, Role
from tests.factories import (
    make_application,
    make_campaign,
    make_delivery,
    make_job,
    make_lead,
    make_user,
)

pytestmark = pytest.mark.django_db
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def misaki():
    return make_user("misaki")


def now():
    return timezone.now()


def merged(survivor, *others, user=None, chosen=None, **more):
    leads = [survivor.pk, *(lead.pk for lead in others)]
    chosen = {name: lead.pk for name, lead in (chosen or {}).items()}
    return merge(survivor.pk, leads, chosen=chosen, user=user, now=now(), **more)


def fresh(row):
    return type(row).objects.get(pk=row.pk)


# ---- values


def test_each_value_is_that_of_the_lead_it_was_chosen_from(misaki):
    """APP-5"""
    column = LeadColumn.objects.create(label="業種", type="text")
    first = make_lead("first@yamate.example.jp", company="旧社名", phone="03-1", extra={column.key: "製造"})
    second = make_lead(
        "second@yamate.example.jp", company="㈱髙﨑😀", phone="03-2", extra={column.key: "小売"}
    )
    merged(first, second, user=misaki, chosen={"company": second, f"extra.{column.key}": second})
    first = fresh(first)
    assert (first.company, first.phone, first.email) == ("㈱髙﨑😀", "03-1", "first@yamate.example.jp")
    assert first.extra == {column.key: "小売"}
    second = fresh(second)
    assert second.deleted_at is not None and second.merged_into_id == first.pk
    assert list(Lead.objects.existing()) == [first]


def test_two_to_ten(misaki):
    """APP-5"""
    leads = [make_lead(f"lead{n}@yamate.example.jp") for n in range(11)]
    with pytest.raises(MergeRefused, match="2件以上"):
        merged(leads[0], leads[0])
    with pytest.raises(MergeRefused, match="10"):
        merged(*leads)
    merged(*leads[:10])
    assert Lead.objects.existing().count() == 2


def test_a_value_of_a_stranger_and_a_deleted_lead_are_refused():
    """APP-5: nothing is half-done"""
    one, two, stranger = (make_lead(f"{name}@yamate.example.jp") for name in ("one", "two", "stranger"))
    with pytest.raises(MergeRefused):
        merged(one, two, chosen={"company": stranger})
    with pytest.raises(MergeRefused):
        merged(one, two, chosen={"unsubscribed_at": two})
    Lead.objects.filter(pk=two.pk).update(deleted_at=now())
    with pytest.raises(MergeRefused, match="削除またはマージ"):
        merged(one, two)
    assert not LeadMerge.objects.exists() and fresh(one).deleted_at is None


# ---- the stricter consent


def test_the_stricter_consent_wins():
    """APP-5, OPT-1"""
    survivor, refuser, stopped = (
        make_lead("a@yamate.example.jp"),
        make_lead("b@yamate.example.jp", dm_permission=DmPermission.UNWANTED),
        make_lead("c@yamate.example.jp"),
    )
    unsubscribe(stopped, evidence="opt_out_form", now=now())
    merged(survivor, refuser)
    assert fresh(survivor).dm_permission == DmPermission.UNWANTED
    assert fresh(survivor).unsubscribed_at is None
    merged(survivor, stopped)
    assert fresh(survivor).unsubscribed_at == fresh(stopped).unsubscribed_at
    records = ConsentRecord.objects.filter(lead=survivor, evidence="merge")
    assert records.count() == 2  # the merge says itself in the history of consent


def test_an_administrator_may_say_otherwise_and_the_audit_log_knows(misaki):
    """APP-5"""
    survivor, stopped = make_lead("a@yamate.example.jp"), make_lead("b@yamate.example.jp")
    unsubscribe(stopped, evidence="opt_out_form", now=now())
    merged(survivor, stopped, user=misaki, loosen=True)
    assert fresh(survivor).unsubscribed_at is None
    assert fresh(survivor).dm_permission == DmPermission.WANTED
    entry = AuditEntry.objects.get(action="lead.merge")
    assert entry.detail["loosen"] is True and entry.user == misaki


def test_consent_records_go_along():
    """APP-5, OPT-10"""
    survivor, other = make_lead("a@yamate.example.jp"), make_lead("b@yamate.example.jp")
    unsubscribe(other, evidence="opt_out_form", now=now())
    merged(survivor, other)
    assert ConsentRecord.objects.filter(lead=survivor, evidence="opt_out_form").count() == 1


# ---- FLAG-3, FLAG-4, FLAG-6


@pytest.mark.parametrize(
    "registration, back",
    [(Registration.FULL, True), (Registration.PROVISIONAL, False)],
    ids=["full", "provisional"],
)
def test_a_merge_that_changes_the_address_brings_the_flag_back(registration, back):
    """FLAG-3 手動マージ, FLAG-4"""
    survivor = make_lead(
        "dead@yamate.example.jp", email_valid=False, email_failures=3, registration=registration
    )
    other = make_lead("alive@yamate.example.jp")
    merged(survivor, other, chosen={"email": other})
    survivor = fresh(survivor)
    assert survivor.email == "alive@yamate.example.jp"
    assert (survivor.email_valid, survivor.email_failures) == ((True, 0) if back else (False, 3))


def test_the_same_address_resets_nothing():
    """FLAG-6"""
    survivor = make_lead("same@yamate.example.jp", email_valid=False, email_failures=3)
    other = make_lead("Same@Yamate.example.jp", email_norm="same@yamate.example.jp")
    merged(survivor, other, chosen={"email": other})
    assert (fresh(survivor).email_valid, fresh(survivor).email_failures) == (False, 3)


def test_an_address_that_is_invalid_for_one_of_them_is_invalid():
    """APP-5: the stricter valid flag of those who have the address that stays"""
    survivor = make_lead("same@yamate.example.jp")
    other = make_lead("same@yamate.example.jp", email_valid=False, email_failures=3)
    elsewhere = make_lead("dead@yamate.example.jp", email_valid=False, email_failures=3)
    merged(survivor, elsewhere)
    assert fresh(survivor).email_valid is True  # another address says nothing of this one
    merged(survivor, other)
    assert (fresh(survivor).email_valid, fresh(survivor).email_failures) == (False, 3)


# ---- what goes along


def test_applications_go_along_and_one_of_two_stays(misaki):
    """APP-5, APP-6: the one with the seat stays, and the other's seat goes to who waits"""
    survivor, other, waiting = (make_lead(f"{name}@yamate.example.jp") for name in ("a", "b", "w"))
    full = make_campaign("満席", capacity=2)
    alone = make_campaign("ひとつ")
    mine, theirs = make_application(full, survivor), make_application(full, other)
    next_one = make_application(full, waiting, state="waiting")
    single = make_application(alone, other)
    done = merged(survivor, other, user=misaki)
    assert fresh(single).lead_id == survivor.pk
    assert fresh(mine).state == "applied"
    assert (fresh(theirs).state, fresh(theirs).cancelled_by) == ("cancelled", "merged")
    assert fresh(next_one).state == "applied"
    undo(done, user=misaki, now=now())
    assert fresh(single).lead_id == other.pk
    # The seat is gone meanwhile: nobody loses one, and nobody sits on somebody's lap.
    assert (fresh(theirs).state, fresh(theirs).lead_id) == ("waiting", other.pk)
    assert Application.objects.filter(campaign=full, state="applied").count() == 2


def test_mails_go_along_and_a_job_keeps_one_row_a_lead():
    """APP-5, TGT-12, EXC-2: the survivor has the row that says what the person received"""
    survivor, other = make_lead("a@yamate.example.jp"), make_lead("a@yamate.example.jp")
    both, single = make_job(), make_job()
    excluded = make_delivery(survivor, job=both, state="excluded", reason="duplicate", related_id=other.pk)
    sent = make_delivery(other, job=both, state="sent")
    only = make_delivery(other, job=single, state="sent")
    done = merged(survivor, other)
    assert (fresh(sent).lead_id, fresh(excluded).lead_id, fresh(only).lead_id) == (
        survivor.pk, other.pk, survivor.pk,
    )  # fmt: skip
    undo(done, user=None, now=now())
    assert (fresh(sent).lead_id, fresh(excluded).lead_id, fresh(only).lead_id) == (
        other.pk, survivor.pk, other.pk,
    )  # fmt: skip
    assert not Delivery.objects.filter(lead_id__lt=0).exists()


def test_opt_out_links_of_merged_leads_stop_the_survivor(client):
    """APP-5, OPT-1, OPT-5: a link in an old mail works for ever"""
    survivor, other = make_lead("new@yamate.example.jp"), make_lead("old@yamate.example.jp")
    third = make_lead("third@yamate.example.jp")
    merged(other, third)
    merged(survivor, other)
    assert survivor_of(third.pk) == survivor
    path = opt_out_url(third.pk).partition("/u/")[2]
    assert "third" not in client.get(f"/u/{path}").content.decode()
    client.post(f"/u/{path}", {"email": "nobody@yamate.example.jp"})
    assert fresh(survivor).unsubscribed_at is None
    client.post(f"/u/{path}", {"email": "third@yamate.example.jp"})
    assert fresh(survivor).unsubscribed_at is not None
    Lead.objects.filter(pk=survivor.pk).update(unsubscribed_at=None)
    client.post("/u1/" + one_click_url(other.pk, 7).partition("/u1/")[2], ONE_CLICK)
    assert fresh(survivor).unsubscribed_at is not None


# ---- the way back


def test_undoing_brings_everything_back_but_what_was_changed_since(misaki):
    """APP-5: undoable for 30 days"""
    survivor = make_lead("a@yamate.example.jp", company="旧社名", phone="03-1")
    other = make_lead("b@yamate.example.jp", company="新社名", phone="03-2")
    unsubscribe(other, evidence="opt_out_form", now=now())
    chosen = {"email": other, "company": other, "phone": other}
    done = merged(survivor, other, user=misaki, chosen=chosen)
    Lead.objects.filter(pk=survivor.pk).update(phone="090-9")
    left = undo(done, user=misaki, now=now() + timedelta(days=29, hours=23))
    survivor, other = fresh(survivor), fresh(other)
    assert (survivor.email, survivor.company, survivor.phone) == ("a@yamate.example.jp", "旧社名", "090-9")
    assert left == ["phone"]
    assert survivor.unsubscribed_at is None and survivor.dm_permission == DmPermission.WANTED
    assert other.deleted_at is None and other.merged_into_id is None and other.unsubscribed_at is not None
    assert AuditEntry.objects.filter(action="lead.merge_undo", user=misaki).count() == 1
    with pytest.raises(MergeRefused, match="すでに"):
        undo(done, user=misaki, now=now())


def test_who_unsubscribed_after_the_merge_stays_so():
    """APP-5, OPT-1"""
    survivor, other = make_lead("a@yamate.example.jp"), make_lead("b@yamate.example.jp")
    LATER = {"dm_permission": DmPermission.UNWANTED}
    Lead.objects.filter(pk=other.pk).update(**LATER)
    done = merged(survivor, other)
    unsubscribe(fresh(survivor), evidence="opt_out_form", now=now())
    left = undo(done, user=None, now=now())
    assert fresh(survivor).unsubscribed_at is not None and "unsubscribed_at" in left


def test_after_thirty_days_and_after_a_further_merge_it_cannot_be_undone():
    """APP-5"""
    one, two, three = (make_lead(f"{name}@yamate.example.jp") for name in ("one", "two", "three"))
    done = merged(one, two)
    with pytest.raises(MergeRefused, match="30日"):
        undo(done, user=None, now=now() + timedelta(days=30, minutes=1))
    again = merged(three, one)
    with pytest.raises(MergeRefused, match="先にそのマージ"):
        undo(done, user=None, now=now())
    undo(again, user=None, now=now())
    undo(LeadMerge.objects.get(pk=done.pk), user=None, now=now())
    assert Lead.objects.existing().count() == 3


# ---- the screens


def test_misaki_finds_duplicates_chooses_confirms_and_undoes(client, misaki):
    """APP-5"""
    client.force_login(misaki)
    first = make_lead("same@yamate.example.jp", company="山手工業")
    second = make_lead("same@yamate.example.jp", company="山手工業(株)", phone="03-2")
    ids = f"lead={first.pk}&lead={second.pk}"
    assert (
        f"/leads/merge/choose/?lead={first.pk}&amp;lead={second.pk}"
        in client.get("/leads/merge/").content.decode()
    )
    page = client.get(f"/leads/merge/choose/?{ids}").content.decode()
    assert "山手工業(株)" in page and "03-2" in page
    data = {"lead": [first.pk, second.pk], "survivor": first.pk, "value_company": second.pk}
    page = client.post("/leads/merge/choose/", data).content.decode()
    assert "このリードをマージする" in page or "マージする" in page
    assert Lead.objects.existing().count() == 2  # nothing yet
    response = client.post("/leads/merge/do/", data, follow=True)
    done = LeadMerge.objects.get()
    assert response.redirect_chain[-1][0] == f"/leads/merges/{done.pk}/"
    assert "山手工業 → 山手工業(株)" in response.content.decode()
    assert f"/leads/{first.pk}/" in client.get(f"/leads/{second.pk}/").content.decode()
    log = client.get("/settings/audit/").content.decode()
    assert f"/leads/merges/{done.pk}/" in log  # undoable from the audit log
    client.post(f"/leads/merges/{done.pk}/undo/")
    assert Lead.objects.existing().count() == 2


def test_the_list_offers_the_merge_of_ticked_leads(client, misaki):
    """APP-5"""
    client.force_login(misaki)
    leads = [make_lead(f"lead{n}@yamate.example.jp") for n in range(3)]
    assert "/leads/merge/choose/" in client.get("/leads/").content.decode()
    page = client.post("/leads/merge/choose/", {"lead": [lead.pk for lead in leads]})
    assert page.status_code == 200 and 'name="survivor"' in page.content.decode()
    for wrong in ({}, {"lead": [leads[0].pk]}, {"ids": "abc 99999999999999999999 -1 ①"}):
        assert client.post("/leads/merge/choose/", wrong).status_code == 302


def test_kenta_merges_only_people_of_his_campaigns(client):
    """APP-5, SYS-1"""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    mine, other = make_campaign("担当", members=[kenta]), make_campaign("担当外")
    first, second, both, stranger = (make_lead(f"{name}@yamate.example.jp") for name in "abcd")
    for lead in (first, second, both):
        make_application(mine, lead)
    make_application(other, both)
    make_application(other, stranger)
    client.force_login(kenta)
    at = f"/c/{mine.pk}/leads/merge/do/"
    client.post(at, {"lead": [first.pk, stranger.pk], "survivor": first.pk})
    client.post(at, {"lead": [first.pk, both.pk], "survivor": first.pk})
    assert not LeadMerge.objects.exists()
    client.post(at, {"lead": [first.pk, second.pk], "survivor": first.pk})
    done = LeadMerge.objects.get()
    assert client.get(f"/c/{mine.pk}/leads/merges/{done.pk}/").status_code == 200
    misaki = make_user("misaki")
    theirs = merge(both.pk, [both.pk, stranger.pk], chosen={}, user=misaki, now=now())
    other_campaign = make_campaign("三つ目", members=[kenta])
    assert client.get(f"/c/{other_campaign.pk}/leads/merges/{theirs.pk}/").status_code == 404


def test_duplicates_in_a_fixed_number_of_queries(django_assert_num_queries):
    """APP-5"""
    for group in range(4):
        for _copy in range(2):
            make_lead(
                f"same{group}@yamate.example.jp", last_name="佐藤", first_name=f"人{group}", company="山手"
            )
    with django_assert_num_queries(2):
        groups = find_duplicates(Lead.objects.existing(), "email", limit=3)
    assert [len(group) for group in groups] == [2, 2, 2]
    assert len(find_duplicates(Lead.objects.existing(), "name_company", limit=50)) == 4
    assert find_duplicates(Lead.objects.existing(), "name_phone", limit=50) == []


# ---- what must not get lost on the way back


def test_merges_into_one_lead_are_undone_newest_first():
    """APP-5, OPT-1, TGT-12: a 配信停止 that both brought, and a job's one row, belong to the last merge"""
    survivor, first, second = (make_lead(f"{name}@yamate.example.jp") for name in ("s", "a", "b"))
    job = make_job()
    rows = [
        make_delivery(lead, job=job, state=state)
        for lead, state in ((survivor, "error"), (first, "unknown"), (second, "sent"))
    ]
    for lead in (first, second):
        unsubscribe(lead, evidence="opt_out_form", now=now())
    one, two = merged(survivor, first), merged(survivor, second)
    with pytest.raises(MergeRefused, match="新しいマージから"):
        undo(one, user=None, now=now())
    assert fresh(survivor).unsubscribed_at is not None
    undo(two, user=None, now=now())
    assert fresh(survivor).unsubscribed_at is not None
    undo(one, user=None, now=now())
    assert fresh(survivor).unsubscribed_at is None
    assert [fresh(row).lead_id for row in rows] == [survivor.pk, first.pk, second.pk]


def test_who_unsubscribes_after_the_merge_did_so_for_all_of_them():
    """APP-5, OPT-1: also where the merge had stopped the survivor already, and their own act changed nothing"""
    survivor, stopped, other = (make_lead(f"{name}@yamate.example.jp") for name in ("s", "a", "b"))
    unsubscribe(stopped, evidence="opt_out_form", now=now())
    done = merged(survivor, stopped, other)
    for _twice in range(2):
        assert not unsubscribe(fresh(survivor), evidence="one_click", source="mail 7", now=now())
    assert ConsentRecord.objects.filter(lead=survivor, evidence="one_click").count() == 1
    left = undo(done, user=None, now=now())
    assert "unsubscribed_at" in left
    assert not Lead.objects.filter(unsubscribed_at=None).exists()
    assert not Lead.objects.filter(dm_permission=DmPermission.WANTED).exists()


def test_an_opt_out_link_of_a_lead_merged_long_ago_and_often():
    """APP-5, OPT-1"""
    first = last = make_lead("0@yamate.example.jp")
    for number in range(1, 14):
        survivor = make_lead(f"{number}@yamate.example.jp")
        merged(survivor, last)
        last = survivor
    assert survivor_of(first.pk) == last
    # Read before the merge, and written after it.
    assert unsubscribe(first, evidence="opt_out_form", now=now())
    assert fresh(last).unsubscribed_at is not None


def test_an_application_comes_back_to_a_full_session_as_waiting():
    """APP-5, APP-6"""
    survivor, other, third = (make_lead(f"{name}@yamate.example.jp") for name in ("s", "a", "b"))
    campaign = make_campaign(session_choice="one")
    session = Session.objects.create(campaign=campaign, title="午前", capacity=1)
    make_application(campaign, survivor)
    theirs = make_application(campaign, other)
    theirs.sessions.add(session)
    done = merged(survivor, other)
    make_application(campaign, third).sessions.add(session)
    undo(done, user=None, now=now())
    assert fresh(theirs).state == "waiting" and fresh(theirs).waiting_since is not None


def test_kenta_takes_no_merge_back_that_moves_applications_of_others():
    """SYS-1"""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    survivor, other = make_lead("s@yamate.example.jp"), make_lead("a@yamate.example.jp")
    make_application(make_campaign(members=[kenta]), survivor)
    make_application(make_campaign("ほかの部署"), other)
    done = merged(survivor, other)
    with pytest.raises(MergeRefused):
        undo(done, user=kenta, now=now())
    assert fresh(other).deleted_at is not None
