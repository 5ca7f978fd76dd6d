"""NAV-1, APP-1: how /c/<id>/ may be written, and what is not a way into another campaign."""

import pytest

from settings.models import Role
from tests.factories import make_campaign, make_user

pytestmark = pytest.mark.django_db


def test_each_page_of_a_campaign_has_one_address(client):
    """SYS-1: a campaign administrator gets out of their campaigns by no spelling"""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    mine, other = make_campaign("担当", members=[kenta]), make_campaign("ほかの部署")
    client.force_login(kenta)
    assert client.get(f"/c/{mine.pk}/leads/").status_code == 200
    assert client.get(f"/c/{other.pk}/leads/").status_code == 403
    wide = str(mine.pk).translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    for path in (
        f"/c/0{mine.pk}/leads/",
        f"/c/{wide}/leads/",
        f"//c/{other.pk}/leads/",
        f"/c/{mine.pk}/c/{other.pk}/leads/",
        f"/c/{mine.pk}//c/{other.pk}/leads/",
        f"/c/{mine.pk}/../{other.pk}/leads/",
        f"/c/{mine.pk}%2f..%2f{other.pk}/leads/",
        f"/c/{mine.pk}/c/{mine.pk}/leads/",
        "/c/9223372036854775808/leads/",
    ):
        assert client.get(path).status_code == 404, path
    # Pages for everybody belong to no campaign.
    for path in (f"/e/{other.slug}/", "/t/test", "/my/", "/api/v1/leads"):
        assert client.get(f"/c/{mine.pk}{path}").status_code == 404, path
