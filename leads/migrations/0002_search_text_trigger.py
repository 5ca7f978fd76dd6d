from django.db import migrations

from leads.search_text import trigger_sql


class Migration(migrations.Migration):
    """Lead.search_text is never stale, whoever writes a lead (leads/search_text.py)."""

    dependencies = [("leads", "0001_initial")]

    operations = [
        migrations.RunSQL(
            trigger_sql(),
            "DROP TRIGGER fold_new_lead ON leads_lead; DROP TRIGGER fold_changed_lead ON leads_lead; "
            "DROP FUNCTION fold_lead()",
        ),
    ]
