-- Who is addressed, and why not: EXC-1..4, TGT-2..4, TGT-10, TGT-12, MAG-1, MAG-7. One statement decides for everyone in
-- scope, of the wizard, of step mails and of magazines.
--
-- {candidates} is the saved search (or the ticked ids, or a magazine's readers) compiled to SQL; it brings the lead's columns along, because
-- joining leads_lead a second time cost a quarter of the whole at 1,000,000 leads.
-- {few} narrows what is read of a template's past to the candidates, when they are a handful (resolve.py).
-- The reasons stand in EXC-1's order: CASE answers the first that applies. Where there are no readers, reader_state and
-- matches are constants.
WITH candidate (
    id, email, email_norm, email_malformed, email_valid, registration, dm_permission, unsubscribed_at, deleted_at,
    reader_state, matches
) AS ({candidates}),
-- EXC-2: what already went out, or is on its way, with this template. Test sends and failures do not count.
earlier AS (
    SELECT lead_id, max(id) AS id
    FROM mail_delivery
    WHERE template_id = %(template)s AND NOT %(include_sent)s {few}
      AND kind <> 'test' AND (
        state IN ('queued', 'deferred', 'claimed', 'handing_over', 'sent', 'unknown')
        -- By user and at once: decided, and waiting for the next free worker only.
        OR state = 'reserved' AND job_id IN (
            SELECT id FROM mail_sendjob WHERE scheduled_at IS NULL AND state IN ('preparing', 'resolving')))
    GROUP BY lead_id
),
judged AS (
    SELECT candidate.*, earlier.id AS earlier_id,
        CASE
            WHEN deleted_at IS NOT NULL THEN 'deleted'
            WHEN email_norm = '' THEN 'no_address'
            WHEN email_malformed THEN 'malformed_address'
            WHEN unsubscribed_at IS NOT NULL AND %(advertising)s THEN 'unsubscribed'
            WHEN NOT email_valid THEN 'invalid_address'
            WHEN registration = 'provisional' THEN 'provisional'
            WHEN reader_state = 'stopped' THEN 'reader_stopped'
            WHEN reader_state = 'error_stopped' THEN 'reader_error_stopped'
            WHEN dm_permission <> ALL (%(dm_permissions)s) THEN 'dm_permission'
            WHEN earlier.id IS NOT NULL THEN 'already_sent'
            WHEN NOT matches THEN 'filter'
            ELSE ''
        END AS reason
    FROM candidate LEFT JOIN earlier ON earlier.lead_id = candidate.id
),
-- EXC-3: of those who share an address and are otherwise mailable, the newest lead id is chosen. Only addresses that
-- are really shared come out of here, so that the join below stays small: materialized, so that it is so whatever the planner
-- believes (with stale statistics it grouped anew for each row).
chosen AS MATERIALIZED (
    SELECT email_norm, max(id) AS id
    FROM judged
    WHERE reason = '' AND %(skip_duplicates)s
    GROUP BY email_norm HAVING count(*) > 1
),
decision AS (
    SELECT judged.id AS lead_id, email AS address, email_valid, registration, dm_permission, unsubscribed_at,
        reader_state,
        CASE WHEN chosen.id <> judged.id THEN 'duplicate' ELSE reason END AS reason,
        CASE WHEN chosen.id <> judged.id THEN chosen.id WHEN reason = 'already_sent' THEN earlier_id END AS related_id
    FROM judged LEFT JOIN chosen ON chosen.email_norm = judged.email_norm AND judged.reason = ''
)
