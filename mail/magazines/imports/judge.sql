-- What an import of readers would do at this moment: the rows that nothing is wrong with, each put into one of MAG-10's groups.
--
-- An address means the reader who has it already, else the newest lead who has it (EXC-4, as readers.lead_for), else somebody new.
-- %(listed)s: the addresses that are on this magazine's blacklist, and whether by the person's own act (hashes: only Python
-- can tell). With the blacklist on nobody comes back who left; with it off everybody in the file becomes 配信可能 (MAG-9).
WITH staged AS MATERIALIZED (
    SELECT id, address_norm, "values" -> 'items' AS items FROM mail_readerimportrow
    WHERE reader_import_id = %(id)s AND problems IS NULL
),
listed AS (
    SELECT * FROM unnest(%(listed)s::text[], %(own)s::boolean[]) AS listed(address_norm, own_act)
),
person AS (
    SELECT DISTINCT ON (lead.email_norm) lead.email_norm, lead.id AS lead_id,
        lead.unsubscribed_at IS NOT NULL AS unsubscribed, lead.email_valid, lead.registration,
        reader.id AS reader_id, reader.state, reader.state_at, reader."values"
    FROM leads_lead lead LEFT JOIN mail_reader reader ON reader.lead_id = lead.id AND reader.magazine_id = %(magazine)s
    WHERE lead.deleted_at IS NULL AND lead.email_norm IN (SELECT address_norm FROM staged)
    ORDER BY lead.email_norm, (reader.id IS NULL), lead.id DESC
),
found AS (
    SELECT staged.id, person.*, listed.own_act, listed.address_norm IS NOT NULL AS is_listed,
        CASE
            WHEN reader_id IS NULL AND listed.address_norm IS NULL THEN 'new'
            WHEN reader_id IS NULL AND %(blacklist)s THEN 'refused'
            WHEN reader_id IS NULL THEN 'turned'
            WHEN state <> 'deliverable' AND NOT %(blacklist)s THEN 'turned'
            WHEN state = 'stopped' OR (state <> 'deliverable' AND listed.address_norm IS NOT NULL) THEN 'refused'
            WHEN jsonb_strip_nulls(person."values" || COALESCE(staged.items, '{}')) = person."values" THEN 'unchanged'
            ELSE 'updated'
        END AS "group"
    FROM staged LEFT JOIN person ON person.email_norm = staged.address_norm
        LEFT JOIN listed ON listed.address_norm = staged.address_norm
),
judged AS (
    SELECT found.*, NULLIF(
        CASE
            WHEN state = 'stopped' THEN jsonb_build_array(jsonb_build_array(NULL, 'stopped', jsonb_build_object('at', state_at)))
            WHEN state = 'error_stopped' THEN jsonb_build_array(
                jsonb_build_array(NULL, 'error_stopped', jsonb_build_object('at', state_at)),
                jsonb_build_array(NULL, CASE WHEN "group" = 'turned' THEN 'keeps_failures' ELSE 'stays_stopped' END, '{}'::jsonb))
            WHEN reader_id IS NULL AND is_listed THEN jsonb_build_array(jsonb_build_array(NULL, 'removed', '{}'::jsonb))
            ELSE '[]'
        END
        || CASE
            WHEN "group" = 'refused' OR lead_id IS NULL THEN '[]'
            WHEN unsubscribed THEN jsonb_build_array(jsonb_build_array(NULL, 'lead_unsubscribed', '{}'::jsonb))
            WHEN NOT email_valid THEN jsonb_build_array(jsonb_build_array(NULL, 'lead_invalid', '{}'::jsonb))
            WHEN registration <> 'full' THEN jsonb_build_array(jsonb_build_array(NULL, 'lead_provisional', '{}'::jsonb))
            ELSE '[]'
        END, '[]'::jsonb) AS reasons,
        CASE WHEN lead_id IS NULL AND NOT is_listed THEN NULL ELSE jsonb_build_object(
            'reader', reader_id IS NOT NULL, 'state', state, 'state_at', state_at, 'values', "values", 'own_act', own_act)
        END AS before
    FROM found
)
UPDATE mail_readerimportrow row SET
    "group" = judged."group", lead_id = judged.lead_id, lead_made = FALSE, reasons = judged.reasons, before = judged.before
FROM judged WHERE row.id = judged.id
    -- The commit judges what the check has judged: it rewrites only what is another now.
    AND (row."group", row.lead_id, row.lead_made, row.reasons, row.before)
        IS DISTINCT FROM (judged."group", judged.lead_id, FALSE, judged.reasons, judged.before)
