"""Words that several pages of my page say."""

from django.utils.translation import ngettext


def wait_words(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return ngettext(
        "There were too many tries. Please try again in %(minutes)s minute.",
        "There were too many tries. Please try again in %(minutes)s minutes.",
        minutes,
    ) % {"minutes": minutes}
