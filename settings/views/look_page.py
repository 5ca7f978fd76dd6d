"""The living page of the look, in development only: every piece of docs/screens.md, to be looked at."""

from django import forms
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from settings.permissions import needs_administer


class Sample(forms.Form):
    name = forms.CharField(label="名前", help_text="姓と名のあいだは空けてください。")
    mail = forms.EmailField(label="E-mailアドレス")
    kind = forms.ChoiceField(
        label="種別", choices=[("a", "来場者"), ("b", "管理者"), ("c", "講演者")], widget=forms.RadioSelect
    )
    wanted = forms.MultipleChoiceField(
        label="DM許可", choices=[("w", "希望する"), ("u", "希望しない")], widget=forms.CheckboxSelectMultiple
    )
    place = forms.ChoiceField(label="都道府県", choices=[("", "選択してください"), ("13", "東京都")])
    count = forms.IntegerField(label="人数")
    day = forms.DateField(label="日付", widget=forms.DateInput(attrs={"type": "date"}))
    file = forms.FileField(label="ファイル", required=False)
    body = forms.CharField(label="本文", widget=forms.Textarea, required=False)
    agree = forms.BooleanField(
        label="個人情報の取り扱いに同意する", required=False, help_text="あとから変えられます。"
    )


@needs_administer
def look_page(request: HttpRequest) -> HttpResponse:
    wrong = Sample({"mail": "x", "kind": "z"}, prefix="wrong")
    page = Paginator(range(12480), 50).get_page(request.GET.get("page", 7))
    names = ["髙橋 𠮷男", "田中 結衣", "﨑山 ①㈱😀"]
    context = {"form": Sample(), "wrong": wrong, "page_obj": page, "now": timezone.now(), "names": names}
    return render(request, "settings/look_page.html", context)
