"""Templates of the sample data: text, HTML, multipart, ISO-2022-JP and English; advertising with all legal lines."""

FOOTER = """
--------------------------------------------------
送信者: 株式会社エスエムピー セミナー事務局
住所: 〒100-0005 東京都千代田区丸の内1-1-1
お問い合わせ: info@seminar.example.jp / 03-0000-0000
配信停止をご希望の方はこちら: {{ 配信停止URL }}
--------------------------------------------------
"""
PLAIN_FOOTER = FOOTER.replace("配信停止をご希望の方はこちら: {{ 配信停止URL }}\n", "")


def page(
    title: str, lead: str, rows: list[tuple[str, str]], button: str, url: str, *, colour: str = "#1f5fbf"
) -> str:
    """A mail in one column of 600 px that also reads well on a phone; tables and inline styles, as mail readers need."""
    cells = "".join(
        f'<tr><td style="padding:10px 0;border-bottom:1px solid #e6eaf0;color:#6b7687;width:96px;vertical-align:top">{name}</td>'
        f'<td style="padding:10px 0;border-bottom:1px solid #e6eaf0">{value}</td></tr>'
        for name, value in rows
    )
    return f"""<!doctype html>
<html lang="ja"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body style="margin:0;background:#f2f5f9;font-family:'Hiragino Kaku Gothic ProN','Noto Sans JP',Meiryo,sans-serif;color:#1c2430;line-height:1.8">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center" style="padding:24px 12px">
<table role="presentation" width="600" cellpadding="0" cellspacing="0" style="max-width:600px;width:100%;background:#fff;border-radius:10px;overflow:hidden">
<tr><td style="background:{colour};color:#fff;padding:28px 32px"><div style="font-size:13px;opacity:.85">株式会社エスエムピー</div>
<div style="font-size:24px;font-weight:bold;line-height:1.5">{title}</div></td></tr>
<tr><td style="padding:28px 32px;font-size:15px">
<p style="margin:0 0 16px">{{{{ 会社名 }}}}<br>{{{{ 部署名 }}}} {{{{ 氏名 }}}} 様</p>
<p style="margin:0 0 16px">{lead}</p>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="font-size:14px;margin:0 0 24px">{cells}</table>
<table role="presentation" cellpadding="0" cellspacing="0"><tr><td style="background:{colour};border-radius:6px">
<a href="{url}" style="display:inline-block;padding:12px 32px;color:#fff;text-decoration:none;font-weight:bold">{button}</a></td></tr></table>
</td></tr>
<tr><td style="padding:20px 32px;background:#f7f9fc;color:#6b7687;font-size:12px">
送信者: 株式会社エスエムピー セミナー事務局<br>住所: 〒100-0005 東京都千代田区丸の内1-1-1<br>
お問い合わせ: info@seminar.example.jp / 03-0000-0000<br>
<a href="{{{{ 配信停止URL }}}}" style="color:#6b7687">配信停止はこちら</a></td></tr>
</table></td></tr></table></body></html>
"""


SEMINAR_ROWS = [
    ("日時", "2026年12月10日(木) 13:30〜17:00(13:00 受付開始)"),
    ("会場", "東京都千代田区 丸の内ホール 7階 + オンライン配信"),
    ("参加費", "無料(事前登録制・先着300名)"),
    ("内容", "現場データの集め方から始める工場DX / 予知保全の実践 / 検査AI導入の落とし穴"),
]
FAIR_ROWS = [
    ("会期", "2027年1月20日(水)〜22日(金) 10:00〜17:00"),
    ("会場", "東京ビッグサイト 東3ホール"),
    ("ブース", "E-12「つながる工場」体験コーナー"),
]
TOUR_ROWS = [
    ("日時", "2026年12月17日(木) 14:00〜16:00"),
    ("場所", "さいたま工場(JR大宮駅から送迎バス)"),
    ("定員", "40名(お申し込み多数の場合は抽選)"),
]

SEMINAR = {
    "name": "製造業DXセミナー 2026冬 ご案内",
    "subject": "【12/10 無料】{{ 姓 }}様、製造業DXセミナーのご案内",
    "form": "multipart",
    "html_body": page(
        "製造業DXセミナー 2026冬", "いつもお世話になっております。現場のデータを活かす実践例を、導入企業3社の担当者が語ります。",
        SEMINAR_ROWS, "参加を申し込む", "https://seminar.example.jp/dx2026w",
    ),
    "text_body": "{{ 会社名 }}\n{{ 氏名 }} 様\n\nいつもお世話になっております。SMPセミナー事務局です。\n製造業DXセミナー 2026冬のご案内です。\n\n"
    + "".join(f"■{name} {value}\n" for name, value in SEMINAR_ROWS)
    + "\nお申し込み: https://seminar.example.jp/dx2026w\n" + FOOTER,
}  # fmt: skip
FAIR = {
    "name": "スマート工場展 2027 出展のお知らせ",
    "subject": "スマート工場展 2027 に出展します(招待券のご案内)",
    "form": "multipart",
    "html_body": page(
        "スマート工場展 2027 に出展します", "日頃のご愛顧に感謝を込めて、{{ 姓 }}様に無料の招待券をご用意しました。",
        FAIR_ROWS, "招待券を受け取る", "https://seminar.example.jp/fair2027", colour="#176f42",
    ),
    "text_body": "{{ 氏名 }} 様\n\nスマート工場展 2027 に出展します。無料の招待券をご用意しました。\n\n"
    + "".join(f"■{name} {value}\n" for name, value in FAIR_ROWS) + "\n招待券: https://seminar.example.jp/fair2027\n" + FOOTER,
}  # fmt: skip
TOUR = {
    "name": "工場見学会のご案内",
    "subject": "工場見学会のご案内({{ 都道府県 }}のお客様へ)",
    "form": "html",
    "html_body": page(
        "さいたま工場 見学会", "組立から検査まで、センサーとAIでつながった製造ラインを間近でご覧いただけます。",
        TOUR_ROWS, "見学会に申し込む", "https://seminar.example.jp/tour", colour="#6b4fa0",
    ),
}  # fmt: skip
MAGAZINE = {
    "name": "ものづくり通信 12月号",
    "subject": "ものづくり通信 12月号 予知保全の始め方",
    "form": "text",
    "charset": "iso-2022-jp",
    "text_body": "{{ 氏名 }} 様\n\n今月の特集は「予知保全の始め方」です。\n\n"
    "1. 止まる前に気づく: 振動センサーの選び方\n   https://seminar.example.jp/mag/1\n"
    "2. 導入事例: 月40時間の点検を6時間に\n   https://seminar.example.jp/mag/2\n"
    "3. 年末の設備点検チェックリスト\n   https://seminar.example.jp/mag/3\n" + FOOTER,
}  # fmt: skip
HOLIDAYS = {
    "name": "年末年始休業のお知らせ",
    "subject": "年末年始休業のお知らせ(12/29〜1/4)",
    "form": "text",
    "purpose": "notice",
    "text_body": "{{ 会社名 }}\n{{ 氏名 }} 様\n\n平素より格別のお引き立てを賜り、厚く御礼申し上げます。\n"
    "誠に勝手ながら、12月29日(火)から1月4日(月)まで休業いたします。\n1月5日(火)より通常どおり営業いたします。\n" + PLAIN_FOOTER,
}  # fmt: skip
ENGLISH = {
    "name": "Factory DX Seminar (English)",
    "subject": "{{ last_name }}, you are invited: Factory DX Seminar in Tokyo",
    "form": "text",
    "text_body": "Dear {{ full_name }},\n\nOn 10 December three manufacturers show how they use their factory data.\n"
    "Register: https://seminar.example.jp/en/dx2026w\n\n--\nSender: SMP Inc., Seminar Office\n"
    "Address: 1-1-1 Marunouchi, Chiyoda-ku, Tokyo 100-0005, Japan\nContact: info@seminar.example.jp\n"
    "To stop receiving our mail (unsubscribe): {{ unsubscribe_url }}\n",
}  # fmt: skip
# From the domain whose SPF, DKIM and DMARC are not in order (zones.py): the send wizard refuses it and says why.
EXHIBITION = {
    "name": "展示会ご来場のお礼",
    "subject": "{{ 姓 }}様 展示会ご来場のお礼と資料のご案内",
    "form": "text",
    "from_address": "booth@exhibition.example.com",
    "text_body": "{{ 会社名 }}\n{{ 氏名 }} 様\n\n先日は弊社ブースにお立ち寄りいただき、ありがとうございました。\n"
    "ご覧いただいた製品の資料はこちらです。\nhttps://seminar.example.jp/booth\n" + FOOTER,
}

SITE = "https://www.site.invalid/"  # stands for the demo's own site (sample_data.py)
PRODUCTS = {
    "name": "つながる工場シリーズ 製品のご案内",
    "subject": "{{ 姓 }}様、1台から始められる設備モニタリングのご案内",
    "form": "multipart",
    "html_body": page(
        "つながる工場シリーズ", f'既設の設備に後付けできる3製品をご紹介します。<a href="{SITE}price/?lead={{{{ リードID }}}}" style="color:#0f5c4a">料金はこちら</a>をご覧ください。',
        [("センサー", "磁石で取り付け、電池で3年"), ("ゲートウェイ", "1台で200個のセンサー"), ("見える化", "稼働率・停止の理由・電力をラインごとに")],
        "製品を見る", f"{SITE}products/", colour="#0f5c4a",
    ),
    "text_body": "{{ 会社名 }}\n{{ 氏名 }} 様\n\n既設の設備に後付けできる3製品をご紹介します。\n\n"
    f"製品を見る: {SITE}products/\n料金: {SITE}price/?lead={{{{ リードID }}}}\n" + FOOTER,
}  # fmt: skip

TEMPLATES = {
    "seminar": SEMINAR,
    "products": PRODUCTS,
    "fair": FAIR,
    "tour": TOUR,
    "magazine": MAGAZINE,
    "holidays": HOLIDAYS,
    "english": ENGLISH,
    "exhibition": EXHIBITION,
}
