"""MAG-10: an import is taken back: what it did, and nothing that anybody changed since."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from leads.models import Lead
from mail.magazines import blacklist
from mail.magazines.imports import steps, undoing
from mail.magazines.readers import change_reader, leave, register
from mail.models import ReaderChange, ReaderImport, StoryTurn
from settings.models import AuditEntry
from tests.factories import make_application, make_campaign, make_delivery, make_lead
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story
from tests.mail.reader_importing import black, bring_in, states, take_back

pytestmark = pytest.mark.django_db


def addresses(*names):
    return "メールアドレス\n" + "".join(f"{name}@a.example.jp\n" for name in names)


def test_everything_is_as_before():
    """MAG-9, MAG-10: new readers and leads go, values and stops come back, and so does the blacklist."""
    magazine = make_magazine(blacklist=False)
    item = make_item(magazine)
    since = timezone.now() - timedelta(days=40)
    stopped = make_reader(
        magazine, "stopped@a.example.jp", state="stopped", registered_at=since, values={item.key: "旧"}
    )
    broken = make_reader(magazine, "broken@a.example.jp", state="error_stopped", failures_full=5)
    changed = make_reader(magazine, "changed@a.example.jp", values={item.key: "旧"})
    make_lead("known@a.example.jp")
    blacklist.put(magazine, ["stopped@a.example.jp"], own_act=True, now=since)
    blacklist.put(magazine, ["removed@a.example.jp"], own_act=False, now=since)
    before = (states(magazine), Lead.objects.existing().count())
    text = f"メールアドレス,{item.label}\n" + "".join(
        f"{name}@a.example.jp,新\n" for name in ("stopped", "broken", "changed", "known", "removed", "new")
    )
    done = bring_in(magazine, text)
    assert (black(magazine), len(states(magazine))) == (0, 6)
    outlook = undoing.preview(done)
    assert outlook == {"readers_removed": 3, "turned_back": 2, "restored": 3, "kept": 0, "leads_deleted": 2}
    undone = take_back(done)
    assert (undone.state, undone.counts["undone"]) == ("undone", outlook)
    assert (states(magazine), Lead.objects.existing().count()) == before
    for reader in (stopped, broken, changed):
        reader.refresh_from_db()
    assert (stopped.values, stopped.state, stopped.state_at) == ({item.key: "旧"}, "stopped", since)
    assert (broken.values, broken.failures_full, changed.values) == ({}, 5, {item.key: "旧"})
    listed = magazine.blacklisted.order_by("own_act").values_list("address_hash", "own_act")
    assert [(bytes(digest), own) for digest, own in listed] == [
        (blacklist.address_hash(magazine.pk, "removed@a.example.jp"), False),
        (blacklist.address_hash(magazine.pk, "stopped@a.example.jp"), True),
    ]
    ways = (
        ReaderChange.objects.filter(lead=stopped.lead_id)
        .order_by("id")
        .values_list("what", "way", "before", "after")
    )
    assert sorted(ways) == [
        ("edited", "import", "deliverable", "deliverable"),
        ("edited", "import_undo", "deliverable", "deliverable"),
        ("state", "import", "stopped", "deliverable"),
        ("state", "import_undo", "deliverable", "stopped"),
    ]
    assert AuditEntry.objects.filter(action="reader_import.undo").count() == 1


def test_what_changed_since_stays():
    """MAG-10: who left, was edited or stopped since is left alone."""
    magazine = make_magazine(blacklist=False)
    item, other = make_item(magazine), make_item(magazine, "別の項目")
    turned = make_reader(magazine, "turned@a.example.jp", state="stopped")
    edited = make_reader(magazine, "edited@a.example.jp", values={item.key: "旧", other.key: "旧"})
    done = bring_in(
        magazine,
        f"メールアドレス,{item.label},別の項目\n"
        + "".join(
            f"{name}@a.example.jp,新,新\n" for name in ("turned", "edited", "left", "touched", "quiet")
        ),
    )
    now = timezone.now()
    for reader in (turned, magazine.readers.get(lead__email="left@a.example.jp")):
        leave(magazine, reader.lead, way="one_click", now=now)
    touched = magazine.readers.get(lead__email="touched@a.example.jp")
    for reader in (touched, edited):
        change_reader(
            reader,
            {item.key: "手で"},
            state="deliverable",
            reset_failures=False,
            user=None,
            now=timezone.now(),
        )
    undone = take_back(done)
    assert undone.counts["undone"] == {
        "readers_removed": 1, "turned_back": 0, "restored": 2, "kept": 2, "leads_deleted": 1,
    }  # fmt: skip
    assert states(magazine) == {
        "edited@a.example.jp": "deliverable",
        "left@a.example.jp": "stopped",
        "touched@a.example.jp": "deliverable",
        "turned@a.example.jp": "stopped",
    }
    edited.refresh_from_db()
    touched.refresh_from_db()
    assert edited.values == {item.key: "手で", other.key: "旧"}
    assert touched.values == {item.key: "手で", other.key: "新"}
    # Who left by their own act while the list was off is on it, by that act.
    assert list(magazine.blacklisted.values_list("own_act", flat=True)) == [True, True]


def test_who_registered_by_themselves_since_stays():
    """MAG-10: their own proved word is newer than the import, though it changed no state."""
    magazine = make_magazine(blacklist=False)
    said, silent = (
        make_reader(magazine, f"{name}@a.example.jp", state="stopped") for name in ("said", "silent")
    )
    done = bring_in(magazine, "メールアドレス\nsaid@a.example.jp\nsilent@a.example.jp\nnew@a.example.jp\n")
    for lead in (said.lead, magazine.readers.get(lead__email="new@a.example.jp").lead):
        register(magazine, lead, way="form", proved=True, evidence="form", now=timezone.now())
    take_back(done)
    assert states(magazine) == {
        "new@a.example.jp": "deliverable", "said@a.example.jp": "deliverable", "silent@a.example.jp": "stopped",
    }  # fmt: skip
    assert blacklist.listed(magazine, [said.lead.email_norm, silent.lead.email_norm]) == set()


def test_leads_with_something_that_hangs_on_them_stay():
    """MAG-10: a lead the import made is deleted only when nothing else came of it."""
    magazine, other = make_magazine(), make_magazine("月刊")
    done = bring_in(magazine, addresses("plain", "applied", "mailed", "reads", "edited"))
    leads = {lead.email.split("@")[0]: lead for lead in Lead.objects.all()}
    make_application(make_campaign(), leads["applied"])
    make_delivery(leads["mailed"], state="sent")
    make_reader(other, lead=leads["reads"])
    Lead.objects.filter(pk=leads["edited"].pk).update(updated_at=timezone.now())
    undone = take_back(done)
    assert (undone.counts["undone"]["readers_removed"], undone.counts["undone"]["leads_deleted"]) == (5, 1)
    assert magazine.readers.count() == 0
    assert [lead.email for lead in Lead.objects.exclude(deleted_at=None)] == ["plain@a.example.jp"]


def test_who_is_gone_gets_no_story():
    """MAG-8: the waiting turn goes with the reader."""
    magazine = make_magazine()
    make_story(magazine, "step")
    done = bring_in(magazine, addresses("a", "b"))
    assert StoryTurn.objects.count() == 2
    take_back(done)
    assert StoryTurn.objects.count() == 0


def test_once_only_and_for_thirty_days():
    magazine = make_magazine()
    done = bring_in(magazine, addresses("a"))
    late = timezone.now() + timedelta(days=31)
    with pytest.raises(ValidationError):
        steps.request_undo(done, user=None, now=late)
    assert steps.request_undo(done, user=None, now=timezone.now())
    assert not steps.request_undo(done, user=None, now=timezone.now())
    steps.undo(done)
    bring_in(magazine, addresses("a"))
    steps.undo(done)  # a hint that came twice
    assert states(magazine) == {"a@a.example.jp": "deliverable"}


def test_files_and_rows_are_forgotten_after_thirty_days():
    """MAG-10: they hold personal data; the counts stay."""
    magazine = make_magazine()
    done, waits = bring_in(magazine, addresses("a")), bring_in(magazine, addresses("b"))
    steps.forget_old_files(timezone.now() + timedelta(days=29))
    assert done.lines.count() == 1
    ReaderImport.objects.filter(pk=waits.pk).update(finished_at=timezone.now() + timedelta(days=2))
    steps.forget_old_files(timezone.now() + timedelta(days=31))
    forgotten = ReaderImport.objects.get(pk=done.pk)
    assert (bytes(forgotten.content), done.lines.count(), forgotten.counts["new"]) == (b"", 0, 1)
    assert (waits.lines.count(), bytes(ReaderImport.objects.get(pk=waits.pk).content) != b"") == (1, True)
