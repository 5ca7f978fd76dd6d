"""A customer's web site, for the demo: three pages that carry the tracking script, as 設定 › トラッキング設定 shows it (WEB-1).

Served under another host name than the product's own pages (localhost beside 127.0.0.1), as in real life: what the browser
keeps for the one it does not show the other.
"""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from campaigns.models import Campaign, CampaignState
from settings.permissions import public
from tracking.models import TrackedSite
from tracking.sites import tag_of

HOST = "localhost"
# Page → its title, what it says; in Japanese only: it is somebody else's site.
PAGES: dict[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "": (
        "つながる工場のエスエムピー",
        "現場のデータを、次の一手に。工場の設備をつなぎ、止まる前に気づくしくみをお届けします。",
        (("設備モニタリング", "既設の設備にセンサーを後付けし、稼働の様子を一つの画面に。"),
         ("予知保全", "振動と電流のわずかな変化から、故障の兆しを知らせます。"),
         ("導入支援", "現場の担当者と一緒に、最初の1ラインから始めます。")),
    ),
    "products": (
        "製品紹介 つながる工場シリーズ",
        "1台からはじめられる、後付けの設備モニタリングです。",
        (("センサーボックス SB-20", "磁石で取り付け、電池で3年。配線の工事は要りません。"),
         ("ゲートウェイ GW-5", "1台で200個のセンサー。工場のネットワークとは分けて使えます。"),
         ("見える化クラウド", "稼働率・停止の理由・電力を、ラインごとに。")),
    ),
    "price": (
        "料金",
        "初期費用と月額だけの、わかりやすい料金です。",
        (("おためし(1ライン・3か月)", "98,000円"), ("スタンダード(5ラインまで)", "月額 48,000円"),
         ("工場まるごと", "お見積もりいたします")),
    ),
}  # fmt: skip


@public
@require_GET
def page(request: HttpRequest, name: str = "") -> HttpResponse:
    if name not in PAGES:
        raise Http404
    title, lead, rows = PAGES[name]
    site = TrackedSite.objects.filter(domain=request.get_host().lower(), active=True).first()
    response = render(
        request,
        "demo_site/page.html",
        {
            "name": name, "title": title, "lead": lead, "rows": rows,
            "tag": tag_of(site) if site else "",
            "seminars": Campaign.objects.filter(state=CampaignState.OPEN).order_by("starts_at", "pk")[:3],
            "product": settings.BASE_URL,
        },
    )  # fmt: skip
    # As a site's own policy would be: the tag's script, and what it sends, come from and go to the product.
    response["Content-Security-Policy"] = (
        f"default-src 'none'; script-src {settings.BASE_URL}; connect-src {settings.BASE_URL}; style-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return response
