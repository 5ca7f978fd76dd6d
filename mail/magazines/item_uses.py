"""Which stories count on a free item: in their filter, their days, or their text. Asked before an item is retired."""

from typing import Any

from mail.merging import TemplateError, check_source
from mail.models import ReaderItem, Story, StoryState

# Also written by filters.py and merge_values.py: one place for the spelling of an item.
FILTER_PREFIX = "reader."
MERGE_PREFIX = "読者項目_"


def filter_key(item: ReaderItem) -> str:
    """The key of a free item in a delivery filter (mail/magazines/filters.py)."""
    return f"{FILTER_PREFIX}{item.magazine_id}.item.{item.pk}"


def merge_names(item: ReaderItem) -> tuple[str, ...]:
    """How a text names it: by its label, or by its number, which never changes."""
    return (item.label, f"{MERGE_PREFIX}{item.pk}")


def uses_of(item: ReaderItem) -> list[str]:
    """The names of the stories that would miss it. One query."""
    stories = Story.objects.filter(magazine=item.magazine_id).exclude(state=StoryState.DELETED)
    return [story.name for story in stories.select_related("template") if _uses(story, item)]


def _uses(story: Story, item: ReaderItem) -> bool:
    if story.date_item_id == item.pk or filter_key(item) in _filter_keys(story.filter):
        return True
    template = story.template
    return any(
        _names(source) & set(merge_names(item))
        for source in (template.subject, template.text_body, template.html_body)
    )


def _filter_keys(condition: Any) -> set[str]:
    blocks = condition.get("blocks") if isinstance(condition, dict) else None
    return {str(block.get("item")) for block in blocks or [] if isinstance(block, dict)}


def _names(source: str) -> set[str]:
    try:
        return {reference.name for reference in check_source(source)}
    except TemplateError:  # a draft that cannot be merged yet counts on nothing
        return set()
