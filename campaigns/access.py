"""SYS-1: which campaigns a user may open."""

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from campaigns.models import Campaign
from settings.models import Role, User


def campaigns_of(user: User | AnonymousUser) -> QuerySet[Campaign]:
    """キャンペーン管理者: those they are members of. 特権管理者 and 閲覧者: all."""
    if not isinstance(user, User):
        return Campaign.objects.none()
    if user.role == Role.CAMPAIGN:
        return Campaign.objects.filter(members=user)
    return Campaign.objects.all()
