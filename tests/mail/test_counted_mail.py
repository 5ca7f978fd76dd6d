"""TRK-1, TRK-2, RSV-4: the bytes of counted mails."""

import re
from datetime import UTC, datetime

import pytest

from mail import links
from mail.counted_links import find_urls
from mail.message import Skeleton, as_test, uncounted
from tests.mail.test_message import CONTENT, VALUES, assert_safe_bytes, parsed, parts

NOW = datetime(2026, 11, 24, 1, 0, 3, tzinfo=UTC)
TEXT = """{{ 氏名 }} 様

▼お申し込み
https://x.example/apply?a=1&b=2
▼地図（https://x.example/map?id={{ リードID }}）
停止 {{ 配信停止URL }}
"""
HTML = """<html><body><p>{{ 氏名 }} 様</p>
<p><a href="https://x.example/apply?a=1&amp;b=2">https://x.example/apply?a=1&amp;b=2</a></p>
<p><a href="https://x.example/other">他</a> <a href="{{ 配信停止URL }}">停止</a></p></body></html>
"""
APPLY, MAP = "https://x.example/apply?a=1&b=2", "https://x.example/map?id={{ リードID }}"
COUNTED = CONTENT | {
    "form": "multipart", "text_body": TEXT, "html_body": HTML, "counted": {APPLY: 11, MAP: 12}, "opens": True,
}  # fmt: skip


def build(content, *, delivery_id=7, **values):
    given = VALUES | {"リードID": "3", "配信停止URL": "https://smp.example/u/x"} | values
    return Skeleton(content).build(given, delivery_id=delivery_id, lead_id=3, sent_at=NOW)


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp"])
@pytest.mark.parametrize("name", ["高橋 良夫", "髙﨑 𠮷男", "a" * 1500])
def test_counted_links_and_the_image_stand_in_the_mail(charset, name):
    """TRK-1: our link in the place of each counted URL in both parts; the others, and what people read, as written."""
    mail = build(COUNTED | {"charset": charset}, 氏名=name)
    assert_safe_bytes(mail.data)
    read = parts(parsed(mail))
    apply, way = links.click_url(7, 11), links.click_url(7, 12)
    assert read["text/plain"] == (
        f"{name} 様\n\n▼お申し込み\n{apply}\n▼地図（{way}）\n停止 https://smp.example/u/x\n"
    )
    assert read["text/html"] == (
        f'<html><body><p>{name} 様</p>\n<p><a href="{apply}">https://x.example/apply?a=1&amp;b=2</a></p>\n'
        '<p><a href="https://x.example/other">他</a> <a href="https://smp.example/u/x">停止</a></p>'
        f'<img src="{links.open_url(7)}" alt="" width="1" height="1"></body></html>\n'
    )


def test_the_same_ids_give_the_same_bytes_and_others_others():
    """RSV-4: what was sent can be shown for ever; every mail has links of its own."""
    assert build(COUNTED).data == build(COUNTED).data
    assert links.click_url(7, 11).encode() not in build(COUNTED, delivery_id=8).data
    skeleton = Skeleton(COUNTED)
    first = skeleton.build(VALUES, delivery_id=7, lead_id=3, sent_at=NOW)
    other = skeleton.build(VALUES, delivery_id=8, lead_id=3, sent_at=NOW)
    assert first.data == skeleton.build(VALUES, delivery_id=7, lead_id=3, sent_at=NOW).data
    assert first.text != other.text


def test_a_body_that_merges_nothing_else_has_links_of_its_own_in_every_mail():
    skeleton = Skeleton(COUNTED | {"form": "text", "text_body": f"{APPLY}\n"})
    one, two = (skeleton.build(VALUES, delivery_id=number, lead_id=3, sent_at=NOW) for number in (1, 2))
    assert (one.text, two.text) == (f"{links.click_url(1, 11)}\n", f"{links.click_url(2, 11)}\n")


def test_text_mails_have_no_opens():
    """TRK-2."""
    mail = build(COUNTED | {"form": "text"})
    assert "/o/" not in mail.text
    assert links.click_url(7, 11) in mail.text


def test_an_html_part_without_end_gets_the_image_too():
    mail = build(COUNTED | {"form": "html", "html_body": "<p>a</p>", "counted": {}})
    assert mail.html == f'<p>a</p><img src="{links.open_url(7)}" alt="" width="1" height="1">\n'


def test_test_mails_count_nothing():
    """TEST-5: a test mail's links are as written, and nothing sees that it is opened."""
    mail = Skeleton(as_test(COUNTED)).build(
        VALUES, delivery_id=7, lead_id=None, sent_at=NOW, address="me@x.example"
    )
    assert APPLY in mail.text
    assert not re.search("/[lo]/", mail.text + mail.html)


def test_names_are_those_of_the_template():
    """The merge values are kept by these names: a link's own field must stay among them, our marks must not."""
    assert Skeleton(COUNTED).names == Skeleton(uncounted(COUNTED)).names
    assert "リードID" in Skeleton(COUNTED | {"form": "text", "text_body": MAP, "subject": "x"}).names


def test_a_template_at_its_limits_can_be_counted():
    """Our marks count neither as the template's merge fields nor into its length."""
    text = "{{ 姓 }}" * 900 + "\n" + "".join(f"http://x.example/{number}\n" for number in range(2_000))
    text += "あ" * (499_000 - len(text))
    content = COUNTED | {"form": "text", "text_body": text}
    counted = {one.url: number for number, one in enumerate(find_urls(content), start=10**12)}
    mail = build(content | {"counted": counted})
    assert mail.text.count("/l/") == 2_000
    assert "x.example" not in mail.text


def test_a_url_that_is_gone_from_the_template_changes_nothing():
    """TRK-5: counted is what stands there, found by URL."""
    assert (
        build(COUNTED | {"counted": {"https://x.example/app": 1}, "opens": False}).data
        == build(uncounted(COUNTED)).data
    )
