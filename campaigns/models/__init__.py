"""Campaigns, their forms, and who applied. One file per noun; import them from here."""

from campaigns.models.application import (
    LIVE,
    Application,
    ApplicationSession,
    ApplicationState,
    ApplicationWay,
    CancelledBy,
    CheckIn,
)
from campaigns.models.campaign import (
    Campaign,
    CampaignState,
    ConsentText,
    KnownAddress,
    Place,
    Session,
    SessionChoice,
)
from campaigns.models.form_item import FormItem, ItemSource, QuestionType
from campaigns.models.my_page import AddressChange, MyPageAccount, MyPageRequest

__all__ = [
    "LIVE",
    "AddressChange",
    "Application",
    "ApplicationSession",
    "ApplicationState",
    "ApplicationWay",
    "Campaign",
    "CampaignState",
    "CancelledBy",
    "CheckIn",
    "ConsentText",
    "FormItem",
    "ItemSource",
    "KnownAddress",
    "MyPageAccount",
    "MyPageRequest",
    "Place",
    "QuestionType",
    "Session",
    "SessionChoice",
]
