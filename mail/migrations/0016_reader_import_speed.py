from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("mail", "0015_reader_request_mailbox")]

    operations = [
        migrations.RemoveIndex(model_name="readerimportrow", name="reader_import_norm"),
        # A staged row is judged, then gets its lead: the new version finds its place beside the old one, and no index changes.
        migrations.RunSQL(
            "ALTER TABLE mail_readerimportrow SET (fillfactor = 40)",
            "ALTER TABLE mail_readerimportrow RESET (fillfactor)",
        ),
    ]
