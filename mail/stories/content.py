"""What a story sends: its own text, with the magazine's sender above and the magazine's footer below (LAW-1). The one source
of that for the checks, the preview, the test send and the start. Nothing here writes a story or a template.

    template = composed(story)               # for reading only: saving it would put the footer into the story
    snapshot_of(story), problems(story), counting_of(story)
"""

import re
from dataclasses import dataclass
from typing import Any

from django.utils.html import escape
from django.utils.translation import gettext as _

from mail.click_count import countable_in, default_choice
from mail.counted_links import FoundUrl, add_at_end
from mail.merge_fields import ADDRESS, OPT_OUT, known_names
from mail.merging import normalise_newlines
from mail.message import snapshot_content
from mail.models import Magazine, MailTemplate, Story
from mail.models.template import Purpose
from mail.template_check import Problem, bodies, check_content, check_template, visible_text

_OF_STORY = ("name", "subject", "form", "charset")
_OF_MAGAZINE = ("from_name", "from_address", "reply_to", "errors_to")
_OPT_OUT_FIELD = re.compile(r"\{\{\s*(?:" + OPT_OUT + r"|unsubscribe_url)\s*\}\}")


@dataclass(frozen=True)
class StoryProblem(Problem):
    """`of_magazine`: it is mended in the magazine's 基本設定 (sender, footer), not in the story."""

    of_magazine: bool = False


def composed(story: Story) -> MailTemplate:
    """An unsaved copy of the story's template as it would go out now. It keeps the primary key, by which its attachments
    are found; never save it. One mail to one reader: neither CC nor BCC."""
    own, magazine = story.template, story.magazine
    text = normalise_newlines(own.text_body)
    html = normalise_newlines(own.html_body)
    return MailTemplate(
        pk=own.pk,
        magazine_id=story.magazine_id,
        purpose=Purpose.ADVERTISING,
        to=f"{{{{ {ADDRESS} }}}}",
        text_body=_with_text_footer(text, normalise_newlines(magazine.footer_text)),
        html_body=_with_html_footer(html, html_footer(magazine)),
        **{field: getattr(own, field) for field in _OF_STORY},
        **{field: getattr(magazine, field) for field in _OF_MAGAZINE},
    )


def html_footer(magazine: Magazine) -> str:
    """The footer of HTML mails: the magazine's own, or else its text footer as a paragraph whose opt-out URL is a link."""
    if magazine.footer_html.strip():
        return normalise_newlines(magazine.footer_html).strip("\n")
    text = normalise_newlines(magazine.footer_text).strip()
    if not text:
        return ""
    markup = _OPT_OUT_FIELD.sub(
        lambda found: f'<a href="{found.group()}">{found.group()}</a>', escape_around_fields(text)
    )
    return f"<p>{markup.replace(chr(10), '<br>' + chr(10))}</p>"


def escape_around_fields(text: str) -> str:
    """Plain text as HTML; merge fields stay as they are written."""
    parts = re.split(r"(\{\{.*?\}\}|\{%.*?%\})", text)
    return "".join(part if number % 2 else str(escape(part)) for number, part in enumerate(parts))


def _with_text_footer(text: str, footer: str) -> str:
    footer = footer.strip("\n")
    return f"{text.rstrip()}\n\n{footer}\n" if footer else text


def _with_html_footer(html: str, footer: str) -> str:
    return add_at_end(html, f"\n{footer}\n") if footer else html


def snapshot_of(story: Story) -> dict[str, Any]:
    """The content of the snapshot of a start. With "magazine" 配信停止URL and List-Unsubscribe are the reader's (OPT-7)."""
    return snapshot_content(composed(story)) | {"magazine": story.magazine_id}


def problems(story: Story) -> list[StoryProblem]:
    """What stands between this story and its sending, errors first: the rules of templates, on what would go out."""
    names, own = field_names(story.magazine_id), story.template
    # What the text has by itself is mended there; everything else in it comes with the footer.
    alone = {_place(problem) for problem in check_content(_uncomposed(own), names)}
    found = [
        StoryProblem(
            problem.field,
            problem.line,
            problem.text,
            problem.severity,
            problem.field in _OF_MAGAZINE or (problem.field in bodies(own) and _place(problem) not in alone),
        )
        for problem in check_template(composed(story), names=names)
    ]
    for field in bodies(own):  # with its footer no mail is empty
        if not visible_text(own, field).strip():
            found.append(StoryProblem(field, None, _("The text of this form is empty.")))
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda problem: order[problem.severity])


def _place(problem: Problem) -> tuple[str, object]:
    return problem.field, problem.line if problem.line is not None else problem.text


def _uncomposed(own: MailTemplate) -> MailTemplate:
    """The story's text without LAW-1, which the footer meets."""
    values = {field: getattr(own, field) for field in (*_OF_STORY, *_OF_MAGAZINE, "text_body", "html_body")}
    return MailTemplate(purpose=Purpose.NOTICE, **values)


def field_names(magazine_id: int) -> list[str]:
    """Every name that stories of this magazine may merge. Two queries."""
    return known_names(magazine_id)


def countable(story: Story) -> dict[str, FoundUrl]:
    """{URL as written: what was found} that clicks can be counted of (TRK-1), those of the footer too."""
    return countable_in(composed(story))


def counting_of(story: Story) -> dict[str, Any]:
    """What a start of the story counts, as values of its job: of 「開封・クリックを計測する」 every URL that can be, under the
    names of the register, and opens unless it is a text mail (TRK-2)."""
    if not story.count_clicks:
        return {"count_clicks": False, "count_opens": False, "counted_urls": None}
    chosen = default_choice(composed(story))
    urls = [{"url": url, "name": name} for url, name in chosen.urls.items()]
    return {"count_clicks": True, "count_opens": story.count_opens and chosen.opens, "counted_urls": urls}
