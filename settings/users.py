"""SYS-1: who may log in. The only module that writes users; there is always somebody who can administer."""

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from settings import audit
from settings.models import Role, User

LAST_ADMINISTRATOR = _(
    "This is the last active privileged administrator. Give another user that role first, then change this one."
)
TAKEN = _("A user with this login ID exists already. Choose another one.")
WATCHED = ("username", "name", "email", "role", "language", "is_active")


def save_user(user: User, values: dict[str, Any], *, by: User | None, ip: str | None = None) -> list[str]:
    """Creates or changes a user; answers with the names of what changed ("password" among them).

    `values` may hold any of WATCHED and "password" (a new one; empty = keep). A new password and a deactivation
    end every session of that user. ValidationError {field: …} when it cannot be.
    """
    created = user.pk is None
    password = values.get("password") or ""
    with transaction.atomic():
        # Two administrators who demote each other at once wait here for each other.
        administrators = set(
            User.objects.select_for_update()
            .filter(role=Role.PRIVILEGED, is_active=True)
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        before = {} if created else User.objects.filter(pk=user.pk).values(*WATCHED).get()
        for name in WATCHED:
            if name in values:
                setattr(user, name, values[name])
        stays = user.is_active and user.role == Role.PRIVILEGED
        if administrators == {user.pk} and not stays:
            field = "is_active" if not user.is_active else "role"
            raise ValidationError({field: LAST_ADMINISTRATOR}, code="last_administrator")
        if password:
            try:
                validate_password(password, user)
            except ValidationError as error:
                raise ValidationError({"password": error.messages}) from error
            user.set_password(password)
        try:
            with transaction.atomic():
                user.save()
        except IntegrityError as error:
            raise ValidationError({"username": TAKEN}, code="taken") from error
        changes = {
            name: [before.get(name), getattr(user, name)]
            for name in WATCHED
            if before.get(name) != getattr(user, name)
        }
        changed = [*changes, *(["password"] if password else [])]
        if changed:
            detail: dict[str, Any] = {"changes": changes}
            if password and not created:
                detail["password"] = True
            audit.record(
                "user.create" if created else "user.edit", user=by, target=user, detail=detail, ip=ip
            )
    return changed
