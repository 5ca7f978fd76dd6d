"""Registering, leaving, changing (MAG-1, MAG-2, MAG-6, MAG-9, OPT-10)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from leads.consent import unsubscribe
from leads.models import ConsentRecord, Lead
from mail.magazines import blacklist
from mail.magazines.readers import (
    Outcome,
    change_reader,
    find_readers,
    lead_for,
    leave,
    register,
    remove,
    stop,
)
from mail.models import Reader, ReaderChange, ReaderFailure
from mail.refused import Refused
from settings.models import AuditEntry
from tests.factories import make_lead, make_user
from tests.mail.magazine_scene import make_item, make_magazine, make_reader

pytestmark = pytest.mark.django_db
YOSHIO = "yoshio@yamate.example.jp"


def by_form(magazine, address=YOSHIO, *, proved=True, now=None, **values):
    """As the form does it."""
    now = now or timezone.now()
    lead = lead_for(magazine, address, values, way="form", now=now, proved=proved)
    return register(
        magazine, lead, way="form", now=now, evidence="form", source="form 1", ip="192.0.2.7", proved=proved
    )


def by_admin(magazine, lead, **values):
    return register(magazine, lead, way="admin", now=timezone.now(), evidence="trade", **values)


def failed(reader, group="refused", number=1):
    """Counted failures, as failures.py leaves them."""
    start = ReaderFailure.objects.count()
    ReaderFailure.objects.bulk_create(
        ReaderFailure(
            delivery_id=start + place + 1, magazine_id=reader.magazine_id, lead_id=reader.lead_id, group=group,
            cause=group, domain="yamate.example.jp", at=timezone.now(),
        )
        for place in range(number)
    )  # fmt: skip
    setattr(reader, f"failures_{group}", number)
    reader.save()


# ---- registering


def test_a_new_reader():
    """MAG-1, OPT-10: deliverable from the start, with the evidence of how; the lead does not want the wizard's mail."""
    magazine = make_magazine()
    registered = by_form(magazine, last_name="髙橋")
    assert registered.outcome == Outcome.NEW
    reader = registered.reader
    assert (reader.state, reader.way, reader.lead.email) == ("deliverable", "form", YOSHIO)
    assert (reader.lead.dm_permission, reader.lead.registration) == ("unwanted", "full")
    assert reader.lead.last_name == "髙橋"
    change = ReaderChange.objects.get()
    assert (change.what, change.way, change.before, change.after) == ("registered", "form", "", "deliverable")
    assert (change.evidence, change.source, change.ip) == ("form", "form 1", "192.0.2.7")
    assert ConsentRecord.objects.get(lead=reader.lead).change == "refused"


@pytest.mark.parametrize(
    ("double_opt_in", "proved", "registration"),
    [(True, True, "full"), (True, False, "provisional"), (False, False, "full"), (False, True, "full")],
)
def test_the_lead_of_a_new_reader(double_opt_in, proved, registration):
    """仮登録 only where the magazine asks for a proof that was not given."""
    magazine = make_magazine(double_opt_in=double_opt_in)
    lead = lead_for(magazine, YOSHIO, {}, way="form", now=timezone.now(), proved=proved)
    assert lead.registration == registration


def test_whose_address_it_is():
    """A reader's lead comes first, then the newest; the address counts after EXC-4. Deleted leads are nobody's."""
    magazine = make_magazine()
    now = timezone.now()
    first, second = make_lead(YOSHIO), make_lead(YOSHIO)
    make_lead(YOSHIO, deleted_at=now)
    typed = " ＹＯＳＨＩＯ@Yamate.example.jp "
    assert lead_for(magazine, typed, {}, way="form", now=now) == second
    make_reader(magazine, lead=first)
    assert lead_for(magazine, typed, {}, way="form", now=now) == first
    assert [one.lead for one in find_readers(magazine, YOSHIO)] == [first]
    assert find_readers(make_magazine("別"), YOSHIO) == []
    assert find_readers(magazine, "") == []


def test_a_stranger_changes_no_known_lead():
    """Somebody may have typed another person's address: the lead's values stay. The owner fills what is empty."""
    magazine, lead = make_magazine(), make_lead(YOSHIO, company="")
    typed = {"last_name": "悪意", "company": "よその会社", "nonsense": "x"}
    now = timezone.now()
    assert lead_for(magazine, YOSHIO, typed, way="form", now=now).company == ""
    assert lead_for(magazine, YOSHIO, typed, way="form", now=now, proved=True).company == "よその会社"
    lead.refresh_from_db()
    assert (lead.last_name, lead.dm_permission) == ("髙橋", "wanted")


def test_registering_twice():
    """MAG-1: one reader a lead and magazine; a proved consent given again is evidence again (OPT-10)."""
    magazine = make_magazine()
    by_form(magazine)
    assert by_form(magazine).outcome == Outcome.ALREADY
    assert by_form(magazine, proved=False).outcome == Outcome.ALREADY
    assert Reader.objects.count() == Lead.objects.count() == 1
    assert ReaderChange.objects.filter(what="registered").count() == 2


def test_values_of_items():
    magazine = make_magazine()
    item, other = make_item(magazine), make_item(magazine, "業種")
    reader = make_reader(magazine, values={other.key: "製造"})
    by_admin(magazine, reader.lead, values={item.key: "100人", other.key: ""})
    reader.refresh_from_db()
    assert reader.values == {item.key: "100人"}
    change = ReaderChange.objects.get()
    assert change.what == "edited"
    assert change.detail == {"changes": {item.key: [None, "100人"], other.key: ["製造", None]}}


@pytest.mark.parametrize("proved", [True, False])
def test_a_stranger_changes_no_known_reader(proved):
    """Somebody may have typed another person's address: what is known of the reader changes with the proof only."""
    magazine = make_magazine(double_opt_in=False)
    reader = make_reader(magazine, YOSHIO, values={"1": "own"})
    register(
        magazine,
        reader.lead,
        way="form",
        now=timezone.now(),
        evidence="form",
        values={"1": "typed"},
        proved=proved,
    )
    reader.refresh_from_db()
    assert reader.values == {"1": "typed" if proved else "own"}


def test_who_cannot_be_registered():
    magazine = make_magazine(archived_at=timezone.now())
    with pytest.raises(Refused) as refused:
        by_admin(magazine, make_lead())
    assert refused.value.code == "archived"
    with pytest.raises(Refused) as refused:
        by_admin(make_magazine("別"), make_lead(deleted_at=timezone.now()))
    assert refused.value.code == "deleted"


# ---- leaving


@pytest.mark.parametrize("way", ["form", "one_click", "complaint", "empty_mail"])
def test_leaving_stops(way):
    """MAG-2, OPT-10: in this magazine only (OPT-7); the second time nothing happens."""
    magazine, other = make_magazine(), make_magazine("別のマガジン")
    reader = make_reader(magazine, YOSHIO)
    there = make_reader(other, lead=reader.lead)
    now = timezone.now()
    assert leave(magazine, reader.lead, way=way, now=now, source="page 1", ip="192.0.2.9", delivery_id=7)
    assert not leave(magazine, reader.lead, way=way, now=now + timedelta(days=1))
    reader.refresh_from_db()
    assert (reader.state, reader.state_at) == ("stopped", now)
    change = ReaderChange.objects.get()
    assert (change.what, change.before, change.after, change.way) == ("state", "deliverable", "stopped", way)
    assert (change.source, change.ip, change.delivery_id) == ("page 1", "192.0.2.9", 7)
    evidence = {"form": "opt_out_form", "empty_mail": "opt_out_form"}
    assert change.evidence == evidence.get(way, way)
    assert blacklist.is_blacklisted(magazine, YOSHIO)
    there.refresh_from_db()
    there.lead.refresh_from_db()
    assert there.state == "deliverable"
    assert not blacklist.is_blacklisted(other, YOSHIO)
    assert there.lead.unsubscribed_at is None


def test_leaving_removes():
    """MAG-2: where the magazine says so; history and blacklist stay (MAG-9)."""
    magazine = make_magazine(leave_does="remove")
    reader = make_reader(magazine, YOSHIO)
    failed(reader, number=2)
    assert leave(magazine, reader.lead, way="one_click", now=timezone.now())
    assert not leave(magazine, reader.lead, way="one_click", now=timezone.now())
    assert not Reader.objects.exists()
    assert list(ReaderChange.objects.values_list("what", "before", "after")) == [
        ("removed", "deliverable", "")
    ]
    assert blacklist.is_blacklisted(magazine, YOSHIO)
    assert not ReaderFailure.objects.filter(reset_at=None).exists()


@pytest.mark.parametrize("leave_does", ["stop", "remove"])
def test_everybody_with_the_address_leaves(leave_does):
    """EXC-4: the person has one mailbox, however often they are a lead."""
    magazine = make_magazine(leave_does=leave_does)
    reader, twin = make_reader(magazine, YOSHIO), make_reader(magazine, "Yoshio@Yamate.Example.JP")
    nobody, other_nobody = (
        make_reader(magazine, lead=make_lead("")),
        make_reader(magazine, lead=make_lead("")),
    )
    leave(magazine, reader.lead, way="form", now=timezone.now())
    left = Reader.objects.filter(state="deliverable").values_list("pk", flat=True)
    assert set(left) == {nobody.pk, other_nobody.pk}
    assert ReaderChange.objects.filter(lead__in=[reader.lead, twin.lead]).count() == 2
    leave(magazine, nobody.lead, way="one_click", now=timezone.now())
    assert Reader.objects.get(state="deliverable") == other_nobody


def test_leaving_while_stopped_by_errors():
    """MAG-2: the person's will counts more than the errors."""
    reader = make_reader(make_magazine(), state="error_stopped")
    assert leave(reader.magazine, reader.lead, way="form", now=timezone.now())
    reader.refresh_from_db()
    assert reader.state == "stopped"


def test_leaving_after_an_administrators_stop():
    """MAG-9: from now on it is their own act, which no administrator takes back."""
    magazine, now = make_magazine(), timezone.now()
    reader = make_reader(magazine, YOSHIO)
    stop(magazine, [reader.pk], way="bulk", user=None, now=now)
    assert leave(magazine, reader.lead, way="form", now=now)
    assert not leave(magazine, reader.lead, way="form", now=now)
    assert ReaderChange.objects.filter(way="form", before="stopped", after="stopped").count() == 1
    with pytest.raises(Refused) as refused:
        blacklist.release(magazine, YOSHIO, user=None, now=now)
    assert refused.value.code == "own_act"


def test_leaving_is_nobody_elses():
    reader = make_reader(make_magazine())
    with pytest.raises(ValueError, match="no act of the reader"):
        leave(reader.magazine, reader.lead, way="admin", now=timezone.now())


# ---- coming back


@pytest.mark.parametrize("own_act", [True, False])
@pytest.mark.parametrize("leave_does", ["stop", "remove"])
def test_coming_back_by_oneself(leave_does, own_act):
    """MAG-9: the person's own proved registration takes the address off; typed without a proof it changes nothing."""
    magazine, now = make_magazine(leave_does=leave_does), timezone.now()
    reader = make_reader(magazine, YOSHIO, registered_at=now - timedelta(days=300))
    if own_act:
        leave(magazine, reader.lead, way="form", now=now)
    else:
        (stop if leave_does == "stop" else remove)(magazine, [reader.pk], way="bulk", user=None, now=now)
    assert by_form(magazine, proved=False).outcome == Outcome.UNPROVED
    assert blacklist.is_blacklisted(magazine, YOSHIO)
    assert not Reader.objects.filter(state="deliverable").exists()
    back = by_form(magazine, now=now)
    assert back.outcome == (Outcome.RETURNED if leave_does == "stop" else Outcome.NEW)
    reader = Reader.objects.get()
    assert (reader.state, reader.registered_at) == ("deliverable", now)
    assert not blacklist.is_blacklisted(magazine, YOSHIO)


def test_a_proof_starts_the_failures_anew():
    """MAG-3: the link of the confirmation mail was followed, so mail arrives: the next start does not stop them again."""
    magazine = make_magazine()
    reader = make_reader(magazine, YOSHIO, state="error_stopped")
    failed(reader, number=3)
    assert by_form(magazine, proved=False).outcome == Outcome.UNPROVED
    assert by_form(magazine).outcome == Outcome.RETURNED
    reader.refresh_from_db()
    assert (reader.state, reader.failures_refused) == ("deliverable", 0)
    assert not ReaderFailure.objects.filter(reset_at=None).exists()


def test_who_unsubscribed_asks_for_a_magazine():
    """MAG-12, OPT-2: 配信停止 of the lead would keep it from them for ever; DM許可 stays 希望しない, for they asked for
    nothing else."""
    lead = make_lead(YOSHIO, unsubscribed_at=timezone.now(), registration="provisional")
    magazine = make_magazine()
    assert by_form(magazine, proved=False).outcome == Outcome.UNPROVED
    assert by_form(magazine).outcome == Outcome.NEW
    lead.refresh_from_db()
    assert (lead.unsubscribed_at, lead.dm_permission, lead.registration) == (None, "unwanted", "full")
    record = ConsentRecord.objects.get(lead=lead, change="lifted")
    assert (record.evidence, record.ip) == ("form", "192.0.2.7")
    assert AuditEntry.objects.filter(action="lead.resubscribe").count() == 1


def test_asking_for_one_magazine_does_not_bring_back_the_others():
    """OPT-7, MAG-12: whoever stopped all mails asked for this magazine, not for those that 配信停止 kept from them."""
    lead = make_lead(YOSHIO)
    asked, kept, stopped = make_magazine("A"), make_magazine("B"), make_magazine("C")
    others = [make_reader(kept, lead=lead), make_reader(stopped, lead=lead, state="stopped")]
    before = others[1].state_at
    unsubscribe(lead, evidence="one_click", now=timezone.now())
    assert by_form(asked).outcome == Outcome.NEW
    for reader in others:
        reader.refresh_from_db()
        assert reader.state == "stopped"
    assert others[1].state_at == before
    change = ReaderChange.objects.get(magazine=kept)
    assert (change.before, change.after, change.evidence) == ("deliverable", "stopped", "opt_out_form")
    assert blacklist.is_blacklisted(kept, lead.email_norm)
    # Who never stopped all mails keeps what they read.
    other = make_reader(kept, "other@yamate.example.jp")
    register(asked, other.lead, way="form", now=timezone.now(), evidence="form", proved=True)
    other.refresh_from_db()
    assert other.state == "deliverable"


def test_an_administrator_does_not_bring_them_back():
    """MAG-9 「一度配信解除されたメールアドレスを管理者は再登録しない」: refused while the blacklist is on, and noted."""
    magazine, now = make_magazine(), timezone.now()
    reader = make_reader(magazine, YOSHIO)
    leave(magazine, reader.lead, way="form", now=now)
    assert by_admin(magazine, reader.lead).outcome == Outcome.REFUSED
    with pytest.raises(Refused) as refused:
        change_reader(reader, {}, state="deliverable", reset_failures=True, user=make_user(), now=now)
    assert refused.value.code == "blacklisted"
    reader.refresh_from_db()
    assert reader.state == "stopped"
    assert ReaderChange.objects.filter(what="refused", way="admin").count() == 1


def test_an_administrator_does_not_bring_back_who_was_removed():
    magazine = make_magazine(leave_does="remove")
    reader = make_reader(magazine, YOSHIO)
    leave(magazine, reader.lead, way="form", now=timezone.now())
    assert by_admin(magazine, reader.lead).outcome == Outcome.REFUSED
    assert by_admin(magazine, make_lead("Yoshio@YAMATE.example.jp")).outcome == Outcome.REFUSED
    assert not Reader.objects.exists()


def test_without_the_blacklist():
    """MAG-9: off, administrators make them deliverable, and the address comes off the list; it was listed nevertheless."""
    magazine = make_magazine(blacklist=False)
    first, second = make_reader(magazine, YOSHIO), make_reader(magazine, "second@yamate.example.jp")
    now = timezone.now()
    for reader in (first, second):
        leave(magazine, reader.lead, way="form", now=now)
    assert blacklist.is_blacklisted(magazine, YOSHIO)
    assert by_admin(magazine, first.lead).outcome == Outcome.RETURNED
    change_reader(second, {}, state="deliverable", reset_failures=False, user=None, now=now)
    assert Reader.objects.filter(state="deliverable").count() == 2
    assert not blacklist.listed(magazine, [YOSHIO, "second@yamate.example.jp"])


def test_what_administrators_listed_they_take_off():
    """MAG-9: an operator's own stop, on the blacklist page."""
    magazine, now, user = make_magazine(), timezone.now(), make_user()
    reader = make_reader(magazine, YOSHIO)
    change_reader(reader, {}, state="stopped", reset_failures=False, user=user, now=now)
    assert by_admin(magazine, reader.lead).outcome == Outcome.REFUSED
    assert not blacklist.release(magazine, "nobody@yamate.example.jp", user=user, now=now)
    assert blacklist.release(magazine, " Yoshio@YAMATE.example.jp", user=user, now=now)
    assert by_admin(magazine, reader.lead).outcome == Outcome.RETURNED
    assert AuditEntry.objects.filter(action="magazine.blacklist_release", user=user).count() == 1


# ---- an administrator's edit


def test_failures_stay_unless_they_are_reset():
    """MAG-6 「不達情報をリセットする」."""
    user, now = make_user(), timezone.now()
    reader = make_reader(make_magazine(), state="error_stopped")
    failed(reader, number=3)
    change_reader(reader, {}, state="deliverable", reset_failures=False, user=user, now=now)
    reader.refresh_from_db()
    assert (reader.state, reader.failures_refused) == ("deliverable", 3)
    change_reader(reader, {}, state="deliverable", reset_failures=True, user=user, now=now)
    reader.refresh_from_db()
    assert reader.failures_refused == 0
    assert not ReaderFailure.objects.filter(reset_at=None).exists()
    assert [(one.what, one.before, one.after, one.detail) for one in ReaderChange.objects.order_by("pk")] == [
        ("state", "error_stopped", "deliverable", {}),
        ("failures_reset", "deliverable", "deliverable", {"failures": {"refused": 3}}),
    ]
    assert AuditEntry.objects.filter(action="reader.edit", user=user).count() == 2


def test_two_administrators_at_once():
    reader, now = make_reader(make_magazine()), timezone.now()
    seen = reader.updated_at
    change_reader(reader, {}, state="stopped", reset_failures=False, user=None, now=now, seen_at=seen)
    with pytest.raises(Refused) as refused:
        change_reader(reader, {}, state="deliverable", reset_failures=False, user=None, now=now, seen_at=seen)
    assert refused.value.code == "changed"
    remove(reader.magazine, [reader.pk], way="bulk", user=None, now=now)
    with pytest.raises(Refused) as refused:
        change_reader(reader, {}, state="stopped", reset_failures=False, user=None, now=now)
    assert refused.value.code == "gone"


def test_nobody_is_stopped_by_errors_by_hand():
    """MAG-3: automatically only. What is so already stays so."""
    reader, now = make_reader(make_magazine()), timezone.now()
    with pytest.raises(Refused) as refused:
        change_reader(reader, {}, state="error_stopped", reset_failures=False, user=None, now=now)
    assert refused.value.code == "state"
    stopped = make_reader(reader.magazine, state="error_stopped")
    change_reader(stopped, {"1": "x"}, state="error_stopped", reset_failures=False, user=None, now=now)
    stopped.refresh_from_db()
    assert (stopped.state, stopped.values) == ("error_stopped", {"1": "x"})


def test_nothing_changed():
    reader = make_reader(make_magazine(), values={"1": "x"})
    change_reader(
        reader, {"1": "x"}, state="deliverable", reset_failures=False, user=None, now=timezone.now()
    )
    assert not ReaderChange.objects.exists()
    assert not AuditEntry.objects.exists()


# ---- many at once


@pytest.mark.parametrize("act", [stop, remove])
def test_many_at_once(act, django_assert_max_num_queries):
    """MAG-2, MAG-9: statements, not loops; readers of other magazines are passed over."""
    magazine, user, now = make_magazine(), make_user(), timezone.now()
    readers = [make_reader(magazine) for _place in range(5)]
    make_reader(magazine, state="stopped")
    elsewhere = make_reader(make_magazine("別"))
    failed(readers[0])
    ids = [one.pk for one in (*readers, elsewhere)]
    with django_assert_max_num_queries(16):
        assert act(magazine, ids, way="bulk", user=user, now=now, source="一括削除") == 5
    assert act(magazine, ids, way="bulk", user=user, now=now) == 0
    elsewhere.refresh_from_db()
    assert elsewhere.state == "deliverable"
    assert Reader.objects.filter(magazine=magazine).count() == (6 if act is stop else 1)
    norms = [one.lead.email_norm for one in readers]
    assert blacklist.listed(magazine, [*norms, elsewhere.lead.email_norm]) == set(norms)
    changes = ReaderChange.objects.filter(magazine=magazine, way="bulk", user=user, source="一括削除")
    after = ("state", "stopped") if act is stop else ("removed", "")
    assert set(changes.values_list("lead_id", "before", "what", "after")) == {
        (one.lead_id, "deliverable", *after) for one in readers
    }
    assert AuditEntry.objects.get(target_type="magazine").detail["readers"] == 5
    assert ReaderFailure.objects.filter(reset_at=None).count() == (1 if act is stop else 0)


def test_an_import_that_is_taken_back_lists_nobody():
    """MAG-10: its readers never left."""
    magazine = make_magazine()
    reader = make_reader(magazine, YOSHIO)
    assert remove(magazine, [reader.pk], way="import_undo", user=None, now=timezone.now(), import_id=3) == 1
    assert not blacklist.is_blacklisted(magazine, YOSHIO)
    assert ReaderChange.objects.get().import_id == 3
