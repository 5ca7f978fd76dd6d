"""What the pages inside one magazine share: whose they are, and what may be changed."""

from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from mail.models import Magazine, Reader


def magazine_of(magazine_id: int) -> Magazine:
    """One to look at; archived ones too."""
    return get_object_or_404(Magazine, pk=magazine_id)


def magazine_in_use(magazine_id: int) -> Magazine:
    """One to change: 404 once it is archived."""
    return get_object_or_404(Magazine, pk=magazine_id, archived_at=None)


def may_change_in(request: HttpRequest, magazine: Magazine) -> bool:
    """Whether this user sees what changes something."""
    return bool(request.user.may_edit and magazine.archived_at is None)


def reader_of(magazine: Magazine, reader_id: int) -> Reader:
    """404 for a reader of another magazine."""
    return get_object_or_404(Reader.objects.select_related("lead"), pk=reader_id, magazine=magazine)
