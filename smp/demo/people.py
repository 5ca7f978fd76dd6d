"""Names and companies of the sample leads. All invented; every address is on a domain reserved for examples."""

# name, kana, romaji
LAST_NAMES = """
佐藤 サトウ sato|鈴木 スズキ suzuki|髙橋 タカハシ takahashi|田中 タナカ tanaka|伊藤 イトウ ito|渡邊 ワタナベ watanabe
山本 ヤマモト yamamoto|中村 ナカムラ nakamura|小林 コバヤシ kobayashi|加藤 カトウ kato|吉田 ヨシダ yoshida|山田 ヤマダ yamada
佐々木 ササキ sasaki|山口 ヤマグチ yamaguchi|松本 マツモト matsumoto|井上 イノウエ inoue|木村 キムラ kimura|林 ハヤシ hayashi
斎藤 サイトウ saito|清水 シミズ shimizu|山﨑 ヤマザキ yamazaki|森 モリ mori|池田 イケダ ikeda|橋本 ハシモト hashimoto
阿部 アベ abe|石川 イシカワ ishikawa|前田 マエダ maeda|藤田 フジタ fujita|小川 オガワ ogawa|岡田 オカダ okada
後藤 ゴトウ goto|長谷川 ハセガワ hasegawa|村上 ムラカミ murakami|近藤 コンドウ kondo|石井 イシイ ishii|坂本 サカモト sakamoto
遠藤 エンドウ endo|青木 アオキ aoki|藤井 フジイ fujii|西村 ニシムラ nishimura|福田 フクダ fukuda|太田 オオタ ota
三浦 ミウラ miura|岡本 オカモト okamoto|松田 マツダ matsuda|中島 ナカジマ nakajima|中野 ナカノ nakano|原田 ハラダ harada
小野 オノ ono|田村 タムラ tamura|竹内 タケウチ takeuchi|金子 カネコ kaneko|和田 ワダ wada|中山 ナカヤマ nakayama
石田 イシダ ishida|上田 ウエダ ueda|森田 モリタ morita|柴田 シバタ shibata|酒井 サカイ sakai|宮崎 ミヤザキ miyazaki
"""
FIRST_NAMES = """
大輔 ダイスケ daisuke|誠 マコト makoto|直樹 ナオキ naoki|健一 ケンイチ kenichi|浩二 コウジ koji|翔太 ショウタ shota
拓也 タクヤ takuya|和也 カズヤ kazuya|亮 リョウ ryo|隆 タカシ takashi|修 オサム osamu|聡 サトシ satoshi
剛 ツヨシ tsuyoshi|智之 トモユキ tomoyuki|雄一 ユウイチ yuichi|達也 タツヤ tatsuya|洋平 ヨウヘイ yohei|俊介 シュンスケ shunsuke
正人 マサト masato|哲也 テツヤ tetsuya|蓮 レン ren|悠斗 ユウト yuto|陽向 ヒナタ hinata|𠮷男 ヨシオ yoshio
美咲 ミサキ misaki|陽子 ヨウコ yoko|由美子 ユミコ yumiko|恵 メグミ megumi|久美子 クミコ kumiko|真由美 マユミ mayumi
愛 アイ ai|さくら サクラ sakura|優子 ユウコ yuko|智子 トモコ tomoko|裕子 ヒロコ hiroko|香織 カオリ kaori
彩 アヤ aya|麻衣 マイ mai|千尋 チヒロ chihiro|結衣 ユイ yui|葵 アオイ aoi|凛 リン rin
紗希 サキ saki|奈々 ナナ nana|舞 マイ mai|里奈 リナ rina|美穂 ミホ miho|綾香 アヤカ ayaka
"""
COMPANY_HEADS = """
山手 yamate|東都 toto|みなと minato|富士見 fujimi|桜川 sakuragawa|大和精機 yamato-seiki|北斗 hokuto|瑞穂 mizuho-kogyo
日の出 hinode|三ツ星 mitsuboshi|丸の内 marunouchi|関東 kanto|京浜 keihin|多摩 tama|武蔵野 musashino|湘南 shonan
つくば tsukuba|利根 tone|浪速 naniwa|六甲 rokko|尾張 owari|博多 hakata|青葉 aoba|信濃 shinano
"""
# business, romaji, its 業種
COMPANY_TAILS = """
製作所 works 製造|精工 seiko 製造|電機 denki 製造|化学 chemical 製造|食品 foods 製造|商事 trading 卸売|物流 logistics 運輸
システムズ systems 情報通信|ソフト soft 情報通信|建設 construction 建設|不動産 estate 不動産|ストア store 小売
"""
DEPARTMENTS = [
    "生産技術部",
    "製造部",
    "品質保証部",
    "設計開発部",
    "情報システム部",
    "DX推進室",
    "営業部",
    "営業企画部",
    "経営企画室",
    "総務部",
    "購買部",
    "物流管理部",
    "マーケティング部",
    "研究所",
]
TITLES = [
    "",
    "",
    "主任",
    "係長",
    "課長",
    "課長",
    "課長代理",
    "部長",
    "次長",
    "室長",
    "マネージャー",
    "リーダー",
    "取締役",
    "工場長",
    "代表取締役社長",
]
# prefecture, city, start of the postal code, weight
PLACES = (
    ("東京都", "千代田区丸の内", "100", 22), ("東京都", "港区芝浦", "108", 12), ("東京都", "大田区蒲田", "144", 8),
    ("神奈川県", "横浜市西区みなとみらい", "220", 12), ("神奈川県", "川崎市川崎区", "210", 6), ("埼玉県", "さいたま市大宮区", "330", 8),
    ("千葉県", "千葉市美浜区", "261", 7), ("茨城県", "つくば市", "305", 4), ("栃木県", "宇都宮市", "320", 2), ("群馬県", "太田市", "373", 3),
    ("愛知県", "名古屋市中村区", "450", 8), ("静岡県", "浜松市中央区", "430", 3), ("大阪府", "大阪市北区", "530", 8), ("兵庫県", "神戸市中央区", "650", 3),
    ("京都府", "京都市下京区", "600", 2), ("福岡県", "福岡市博多区", "812", 3), ("広島県", "広島市中区", "730", 2), ("宮城県", "仙台市青葉区", "980", 2),
    ("北海道", "札幌市中央区", "060", 2), ("長野県", "松本市", "390", 2), ("石川県", "金沢市", "920", 1), ("沖縄県", "那覇市", "900", 1),
)  # fmt: skip
INDUSTRIES = ["製造", "卸売", "小売", "情報通信", "運輸", "建設", "不動産", "その他"]
PRODUCTS = [
    "生産管理システム",
    "IoTセンサー",
    "予知保全サービス",
    "在庫最適化クラウド",
    "検査AI",
    "電子帳票",
    "セキュリティ診断",
    "物流ロボット",
]


def triples(text: str) -> list[tuple[str, ...]]:
    return [tuple(entry.split()) for line in text.strip().splitlines() for entry in line.split("|")]
