"""mail/stories/content.py: what a story sends (MAG-8, LAW-1, TRK-1)."""

import pytest

from mail.message import Skeleton
from mail.models import MailTemplate, TemplateAttachment
from mail.stories.content import composed, countable, counting_of, problems, snapshot_of
from tests.mail.magazine_scene import make_magazine, make_story

pytestmark = pytest.mark.django_db
FOOTER = "--\n送信者: 山手機械株式会社\n住所: 東京都港区芝1-1\nお問い合わせ: info@yamate.example.jp\n配信停止はこちら: {{ 配信停止URL }}\n"


def story_of(magazine=None, **template_values):
    magazine = magazine or make_magazine(footer_text=FOOTER)
    template_values = {"subject": "第1号", "text_body": "こんにちは\n"} | template_values
    return make_story(magazine, template_values=template_values)


def test_sender_and_footer_are_the_magazines_the_text_is_the_storys():
    magazine = make_magazine(
        footer_text=FOOTER, from_name="編集部", reply_to="reply@example.jp", errors_to="errors@example.jp"
    )
    story = story_of(magazine, from_address="old@example.jp", cc="boss@example.jp", purpose="notice")
    made = composed(story)
    assert (made.from_name, made.from_address) == ("編集部", "info@seminar.example.jp")
    assert (made.reply_to, made.errors_to, made.cc) == ("reply@example.jp", "errors@example.jp", "")
    assert made.text_body == "こんにちは\n\n" + FOOTER
    assert made.purpose == "advertising"
    story.template.refresh_from_db()
    assert story.template.text_body == "こんにちは\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>a</p>", "<p>a</p>\n<hr>\n"),
        ("<html><body><p>a</p></BODY></html>", "<html><body><p>a</p>\n<hr>\n</BODY></html>"),
        (
            "<body><!-- </body> --><p>a</p></body>\n</html>",
            "<body><!-- </body> --><p>a</p>\n<hr>\n</body>\n</html>",
        ),
    ],
)
def test_the_html_footer_stands_inside_the_body(body, expected):
    story = story_of(make_magazine(footer_html="<hr>"), form="html", html_body=body)
    assert composed(story).html_body == expected


def test_without_an_html_footer_the_text_footer_is_shown_with_a_link():
    story = story_of(
        make_magazine(footer_text="A & B <株>\n停止: {{ 配信停止URL }}"), form="html", html_body="<p>a</p>"
    )
    assert composed(story).html_body == (
        '<p>a</p>\n<p>A &amp; B &lt;株&gt;<br>\n停止: <a href="{{ 配信停止URL }}">{{ 配信停止URL }}</a></p>\n'
    )


def test_snapshot_names_the_magazine_and_brings_the_attachments():
    story = story_of()
    TemplateAttachment.objects.create(
        template=story.template, file_name="a.txt", content_type="text/plain", size=1, content=b"a"
    )
    content = snapshot_of(story)
    assert content["magazine"] == story.magazine_id
    assert [part["name"] for part in content["attachments"]] == ["a.txt"]
    assert content["text_body"].endswith("{{ 配信停止URL }}\n")
    Skeleton(content)
    assert MailTemplate.objects.get().text_body == "こんにちは\n"


def test_law_1_is_met_by_the_footer():
    assert problems(story_of()) == []


def test_a_missing_footer_is_the_magazines_to_mend():
    found = problems(story_of(make_magazine(footer_text="", from_name="")))
    assert {problem.field for problem in found} == {"text_body"}
    assert all(problem.of_magazine and problem.severity == "error" for problem in found)
    assert len(found) == 5


def test_a_mistake_in_the_text_is_the_storys_and_one_in_the_footer_the_magazines():
    story = story_of(text_body="{{ 姓名 }}\n")
    assert [(problem.field, problem.line, problem.of_magazine) for problem in problems(story)] == [
        ("text_body", 1, False)
    ]
    magazine = make_magazine("別の", footer_text=FOOTER + "{{ 姓名 }}")
    found = [problem for problem in problems(story_of(magazine)) if problem.severity == "error"]
    assert [(problem.field, problem.of_magazine) for problem in found] == [("text_body", True)]


def test_a_wrong_sender_is_the_magazines_to_mend():
    found = problems(story_of(make_magazine(from_address="not an address", footer_text=FOOTER)))
    assert [(problem.field, problem.of_magazine) for problem in found] == [("from_address", True)]


def test_an_empty_text_is_no_mail_even_with_its_footer():
    story = story_of(text_body=" \n", subject="")
    assert {(problem.field, problem.of_magazine) for problem in problems(story)} == {
        ("text_body", False),
        ("subject", False),
    }


def test_trk_1_every_url_of_text_and_footer_is_counted_and_opens_of_html_only():
    magazine = make_magazine(footer_text=FOOTER + "https://yamate.example.jp/privacy\n")
    story = story_of(magazine, text_body="https://yamate.example.jp/news\n")
    assert list(countable(story)) == ["https://yamate.example.jp/news", "https://yamate.example.jp/privacy"]
    assert counting_of(story)["counted_urls"] is None
    story.count_clicks = story.count_opens = True
    counting = counting_of(story)
    assert [one["url"] for one in counting["counted_urls"]] == list(countable(story))
    assert (counting["count_clicks"], counting["count_opens"]) == (True, False)
    story.template.form, story.template.html_body = "html", "<p>a</p>"
    assert counting_of(story)["count_opens"] is True
