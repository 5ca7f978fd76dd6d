-- What taking an import back would do to each row it wrote, at this moment: nothing that anybody changed since.
--   remove: the import made the reader, who is as it made them    turn_back: it made them 配信可能, and so they still are, not by their own word
--   restore: only values    kept: left, stopped, edited or gone since
SELECT row.id, row.lead_id, row.address_norm, row.before, reader.id AS reader_id, back.keys, back.old,
    CASE
        WHEN reader.id IS NULL THEN 'kept'
        WHEN NOT was.reader THEN CASE
            WHEN reader.state = 'deliverable' AND reader.state_at = %(committed)s
                AND reader."values" = jsonb_strip_nulls(COALESCE(row."values" -> 'items', '{}'))
                AND NOT EXISTS (
                    SELECT FROM mail_readerchange change
                    WHERE change.magazine_id = %(magazine)s AND change.lead_id = row.lead_id
                        AND change.at >= %(committed)s AND change.import_id IS DISTINCT FROM %(id)s)
            THEN 'remove' ELSE 'kept' END
        WHEN row."group" = 'turned' AND reader.state = 'deliverable' AND reader.state_at = %(committed)s
            AND NOT EXISTS (  -- who registered again since wants to stay
                SELECT FROM mail_readerchange change
                WHERE change.magazine_id = %(magazine)s AND change.lead_id = row.lead_id AND change.what = 'registered'
                    AND change.at >= %(committed)s AND change.import_id IS DISTINCT FROM %(id)s)
        THEN 'turn_back'
        WHEN cardinality(back.keys) > 0 THEN 'restore'
        ELSE 'kept'
    END AS verdict,
    -- A lead the import made is deleted only when nobody touched it and nothing else hangs on it. What keeps a lead from
    -- being deleted (leads.edit.register_obstacle) are its applications; here any application keeps it.
    row.lead_made AND lead.deleted_at IS NULL AND lead.updated_at = %(committed)s
        AND NOT EXISTS (SELECT FROM mail_reader other WHERE other.lead_id = row.lead_id AND other.magazine_id <> %(magazine)s)
        AND NOT EXISTS (SELECT FROM campaigns_application application WHERE application.lead_id = row.lead_id)
        AND NOT EXISTS (SELECT FROM mail_delivery delivery WHERE delivery.lead_id = row.lead_id AND delivery.state <> 'excluded')
        AS lead_goes
FROM mail_readerimportrow row
    CROSS JOIN LATERAL (SELECT COALESCE((row.before ->> 'reader')::boolean, FALSE) AS reader) was
    LEFT JOIN leads_lead lead ON lead.id = row.lead_id
    LEFT JOIN mail_reader reader ON reader.lead_id = row.lead_id AND reader.magazine_id = %(magazine)s
    -- The items that still are as the import wrote them, and what stood there before.
    CROSS JOIN LATERAL (
        SELECT COALESCE(array_agg(item.key), '{}') AS keys,
            COALESCE(jsonb_object_agg(item.key, row.before -> 'values' -> item.key)
                FILTER (WHERE row.before -> 'values' ? item.key), '{}') AS old
        FROM jsonb_each(row."values" -> 'items') item
        WHERE was.reader AND NULLIF(item.value, 'null') IS NOT DISTINCT FROM reader."values" -> item.key
            AND NULLIF(item.value, 'null') IS DISTINCT FROM row.before -> 'values' -> item.key
    ) back
WHERE row.reader_import_id = %(id)s AND row."group" IN ('new', 'updated', 'turned')
