from leads.models import Lead


def test_database_is_real_postgresql(db):
    assert Lead.objects.count() == 0
