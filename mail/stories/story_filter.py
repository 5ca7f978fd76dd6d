"""MAG-7: changing the delivery filter of a story. It holds for every start from then on; a reserved issue keeps the one it was
reserved with, as a reserved mailing keeps its condition (TGT-8)."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from mail.magazines.filters import check_filter, describe_filter
from mail.models import Story, StoryKind, StoryState
from mail.refused import Refused
from settings import audit
from settings.models import User


def why_not(story: Story) -> str:
    """Why the filter cannot be changed any more; "" when it can."""
    if story.state == StoryState.DELETED:
        return _("This story was deleted.")
    if story.kind == StoryKind.EXTRA and story.state != StoryState.DRAFT:
        return _(
            "This issue is reserved or was sent: its filter stays as it was. Delete the reservation first, or copy the issue."
        )
    return ""


def set_filter(
    story: Story, condition: Any, *, user: User | None, now: datetime, ip: str | None = None
) -> Story:
    """Stores the filter in canonical form. ValidationError names the block that is wrong; Refused("filter_fixed")."""
    clean = check_filter(condition, story.magazine_id)
    with transaction.atomic():
        stored = Story.objects.select_for_update(of=("self",)).select_related("magazine").get(pk=story.pk)
        if why := why_not(stored):
            raise Refused("filter_fixed", why)
        before, stored.filter = stored.filter, clean
        if before != clean:
            stored.updated_at = now
            stored.save(update_fields=["filter", "updated_at"])
            detail = {"changes": {"filter": [describe_filter(before), describe_filter(clean)]}}
            audit.record("story.filter", user=user, target=stored, detail=detail, ip=ip)
    return stored
