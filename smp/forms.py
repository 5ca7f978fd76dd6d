"""How forms are drawn: label, field, help and error beside the field (templates/forms/)."""

from django.forms.renderers import TemplatesSetting


class LookFormRenderer(TemplatesSetting):
    form_template_name = "forms/form.html"
    field_template_name = "forms/field.html"
