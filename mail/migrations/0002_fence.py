from django.db import migrations


class Migration(migrations.Migration):
    """The fence of the sending promise: every claim gets a number no other claim ever had (mail/delivery/claim.py)."""

    dependencies = [("mail", "0001_initial")]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE mail_fence AS bigint", "DROP SEQUENCE mail_fence"),
    ]
