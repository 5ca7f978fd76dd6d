"""「一括削除」 and 「ブラックリスト」."""

import pytest
from django.urls import reverse
from django.utils import timezone

from mail.magazines import blacklist
from mail.magazines import readers as domain
from mail.models import Reader, ReaderChange
from settings.models import AuditEntry
from tests.factories import make_lead, make_user
from tests.mail.magazine_scene import make_magazine, make_reader

pytestmark = pytest.mark.django_db


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


@pytest.fixture
def magazine(misaki):
    return make_magazine()


def url(name, magazine, *args):
    return reverse(name, args=[magazine.pk, *args])


def html_of(response, status=200) -> str:
    assert response.status_code == status, (response.status_code, response.headers.get("Location"))
    return response.content.decode()


def check(client, magazine, **data):
    response = client.post(url("readers_bulk_check", magazine), data)
    html_of(response)
    return response


def emails(readers):
    return {reader.lead.email for reader in readers}


def test_pasted_addresses_are_checked_first_and_nothing_changes(client, magazine):
    """MAG-2: found, stopped already, no reader, no address."""
    make_reader(magazine, "a@yamate.example.jp")
    make_reader(magazine, "b@yamate.example.jp", state="stopped")
    make_reader(make_magazine("別誌"), "c@yamate.example.jp")
    response = check(
        client, magazine, addresses="A@yamate.example.jp \r\na@yamate.example.jp\n\nｂ@yamate.example.jp\nc@yamate.example.jp\n<b>x"
    )  # fmt: skip
    found = response.context["checked"]
    assert emails(found.found) == {"a@yamate.example.jp"}
    assert emails(found.stopped) == {"b@yamate.example.jp"}
    assert found.unknown == ["c@yamate.example.jp"]
    assert found.malformed == ["<b>x"]
    assert "<b>x" not in response.content.decode()
    assert Reader.objects.filter(state="stopped").count() == 1
    assert not ReaderChange.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(("act", "left"), [("stop", {"stopped"}), ("remove", set())])
def test_what_was_checked_is_what_is_done(client, magazine, act, left, misaki):
    """MAG-2, MAG-9: stopped or removed, on the blacklist, audited; whoever registers in between is left alone."""
    for name in "ab":
        make_reader(magazine, f"{name}@yamate.example.jp")
    checked = check(
        client, magazine, addresses="a@yamate.example.jp\nb@yamate.example.jp\nc@yamate.example.jp"
    )
    make_reader(magazine, "c@yamate.example.jp")
    ids = checked.context["form"]["ids"].value()
    response = client.post(url("readers_bulk_do", magazine), {"ids": ids, "act": act}, follow=True)
    assert "2人を" in html_of(response)
    states = set(Reader.objects.filter(lead__email__in=["a@yamate.example.jp", "b@yamate.example.jp"]).values_list("state", flat=True))  # fmt: skip
    assert states == left
    assert Reader.objects.get(lead__email="c@yamate.example.jp").state == "deliverable"
    assert blacklist.is_blacklisted(magazine, "a@yamate.example.jp")
    assert set(ReaderChange.objects.values_list("way", "user")) == {("bulk", misaki.pk)}
    assert AuditEntry.objects.get(action=f"reader.{act}_many").detail["readers"] == 2


def test_ticked_readers_and_filtered_ones(client, magazine):
    readers = [make_reader(magazine, f"{name}@yamate.example.jp") for name in "abc"]
    make_reader(magazine, lead=make_lead("d@yamate.example.jp", company="山手工業"))
    ticked = check(client, magazine, reader=[readers[0].pk, readers[2].pk])
    assert emails(ticked.context["checked"].found) == {"a@yamate.example.jp", "c@yamate.example.jp"}
    all_found = check(client, magazine, all="q=山手工業")
    assert emails(all_found.context["checked"].found) == {"d@yamate.example.jp"}
    html = html_of(client.get(url("readers", magazine) + "?q=山手工業"))
    assert "絞り込んだ1人を停止・削除" in html


def test_readers_of_another_magazine_are_never_touched(client, magazine):
    other = make_reader(make_magazine("別誌"), "a@yamate.example.jp")
    assert check(client, magazine, reader=[other.pk]).context["checked"].ids == []
    client.post(url("readers_bulk_do", magazine), {"ids": str(other.pk), "act": "remove"})
    other.refresh_from_db()
    assert other.state == "deliverable"


@pytest.mark.parametrize("ids", ["", "x", "1;2", "-1", "1" * 30, "1,,2"])
def test_strange_ids_do_nothing(client, magazine, ids):
    reader = make_reader(magazine)
    response = client.post(url("readers_bulk_do", magazine), {"ids": ids, "act": "stop"})
    assert response.status_code in (200, 302)
    reader.refresh_from_db()
    assert reader.state == "deliverable"


def test_what_is_done_has_to_be_chosen(client, magazine):
    reader = make_reader(magazine)
    response = client.post(url("readers_bulk_do", magazine), {"ids": str(reader.pk)})
    html_of(response)
    assert "act" in response.context["form"].errors


def test_ten_thousand_addresses_are_taken_and_one_more_is_refused(client, magazine):
    make_reader(magazine, "r5@yamate.example.jp")
    lines = [f"r{n}@yamate.example.jp" for n in range(10_000)]
    response = check(client, magazine, addresses="\n".join(lines))
    assert len(response.context["checked"].unknown) == 9_999
    response = check(client, magazine, addresses="\n".join([*lines, "one@more.example.jp"]))
    assert "10,000件までです(現在10,001件)" in response.content.decode()


def test_nothing_pasted_is_said_beside_the_field(client, magazine):
    response = check(client, magazine, addresses=" \n")
    assert "addresses" in response.context["form"].errors


# ---- ブラックリスト


def test_the_page_counts_and_names_nobody(client, magazine):
    """MAG-9."""
    left, put = (
        make_reader(magazine, "left@yamate.example.jp"),
        make_reader(magazine, "put@yamate.example.jp"),
    )
    domain.leave(magazine, left.lead, way="form", now=timezone.now())
    domain.stop(magazine, [put.pk], way="bulk", user=None, now=timezone.now())
    html = html_of(client.get(url("blacklist", magazine)))
    assert "<b>1</b><span>読者自身が配信解除" in html
    assert "<b>1</b><span>管理者が停止・削除" in html
    assert "@yamate" not in html


def test_one_address_is_looked_up_with_its_time_and_whose_act_it_was(client, magazine, misaki):
    """MAG-9, EXC-4."""
    put = make_reader(magazine, "put@yamate.example.jp")
    domain.stop(magazine, [put.pk], way="bulk", user=misaki, now=timezone.now())
    response = client.post(url("blacklist", magazine), {"address": "ＰＵＴ@yamate.example.jp"})
    html = html_of(response)
    assert "ブラックリストにあります" in html
    assert "管理者が停止または削除しました" in html
    assert "佐藤 美咲" in html.split("ブラックリストにあります")[1]
    html = html_of(client.post(url("blacklist", magazine), {"address": "nobody@yamate.example.jp"}))
    assert "ブラックリストにありません" in html
    other = make_magazine("別誌")
    assert "ブラックリストにありません" in html_of(client.post(url("blacklist", other), {"address": "put@yamate.example.jp"}))  # fmt: skip
    html = html_of(client.post(url("blacklist", magazine), {"address": "<b>x"}))
    assert "<b>x" not in html


def test_what_an_administrator_put_there_is_taken_off_with_a_reason(client, magazine, misaki):
    """MAG-9, SYS-2."""
    put = make_reader(magazine, "put@yamate.example.jp")
    domain.remove(magazine, [put.pk], way="bulk", user=misaki, now=timezone.now())
    page = url("blacklist_release", magazine)
    response = client.post(page, {"address": "put@yamate.example.jp", "reason": ""})
    assert "reason" in response.context["answer"]["release"].errors
    assert blacklist.is_blacklisted(magazine, "put@yamate.example.jp")
    client.post(page, {"address": "put@yamate.example.jp", "reason": "誤って削除"})
    assert not blacklist.is_blacklisted(magazine, "put@yamate.example.jp")
    entry = AuditEntry.objects.get(action="magazine.blacklist_release")
    assert (entry.detail["reason"], entry.user) == ("誤って削除", misaki)


def test_who_left_themselves_comes_back_themselves_only(client, magazine):
    """MAG-9: no button, and a forged post is refused with the reason."""
    left = make_reader(magazine, "left@yamate.example.jp")
    domain.leave(magazine, left.lead, way="one_click", now=timezone.now())
    html = html_of(client.post(url("blacklist", magazine), {"address": "left@yamate.example.jp"}))
    assert "ご本人が配信解除しました" in html
    assert url("blacklist_release", magazine) not in html
    response = client.post(
        url("blacklist_release", magazine), {"address": "left@yamate.example.jp", "reason": "頼まれた"}, follow=True
    )  # fmt: skip
    assert 'role="alert"' in html_of(response)
    assert blacklist.is_blacklisted(magazine, "left@yamate.example.jp")
