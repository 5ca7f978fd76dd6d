"""SPEC's story of STEP-4, all the way: the script's beacon, the public form, the spool, the waits, the mails."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from leads.models import Lead
from mail.models import Delivery
from mail.step_due import decide_due
from mail.step_settings import BEFORE_KNOWN
from settings.system_settings import set_setting
from tests.campaigns.forms import campaign_with_form, send
from tests.factories import make_user
from tests.mail.step_scene import active_step
from tests.tracking.views_support import AGENT, SITE, make_site, new_visitor, send_view, store
from tracking.models import PageView
from tracking.sites import forget_sites

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh():
    cache.clear()
    forget_sites()
    yield
    forget_sites()


@pytest.mark.parametrize(("enabled", "mails"), [(True, 3), (False, 0)])
def test_three_anonymous_visits_then_an_application(client, enabled, mails):
    """STEP-4, STEP-3, WEB-1: with 有効 each earlier view brings its mail, with 無効 none; a view afterwards always does."""
    if enabled:
        set_setting(BEFORE_KNOWN, True, user=make_user())
    step = active_step(url_pattern="www.yamate.example.jp/seminar/*", include_sent=True, wait_minutes=10)
    site, visitor = make_site(), new_visitor()
    for page in ("a", "b", "c"):
        send_view(client, site.key, visitor, f"{SITE}/seminar/{page}")
    send_view(client, site.key, visitor, f"{SITE}/about")
    send_view(client, site.key, new_visitor(), f"{SITE}/seminar/a")  # somebody else's browser
    store()
    assert not step.waits.exists()

    client.cookies["smp_v"] = visitor  # as the script hands it over
    client.defaults["HTTP_USER_AGENT"] = AGENT
    assert send(client, campaign_with_form(), dm_permission="wanted").status_code == 302
    lead = Lead.objects.get()
    store()
    assert PageView.objects.filter(lead_id=lead.pk).count() == 4
    assert step.waits.count() == mails
    store()
    assert step.waits.count() == mails  # told once

    send_view(client, site.key, visitor, f"{SITE}/seminar/a")
    store()
    assert decide_due(timezone.now()) == 0
    assert decide_due(timezone.now() + timedelta(minutes=11)) == mails + 1
    rows = Delivery.objects.filter(kind="step", step_mail_id=step.pk)
    assert {(row.state, row.lead_id) for row in rows} == {("queued", lead.pk)} and len(rows) == mails + 1
