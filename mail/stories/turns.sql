-- A magazine's step stories: which is each reader's next, and when (MAG-8). mail/stories/turns.py puts it to use.
--
-- {leads} narrows it to some readers. A reader's next story is the first of the series, by position, that was neither decided
-- nor skipped for them; deleted leads have none.
WITH series AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY position, id) AS place, base, wait_days, wait_hours, at_time
    FROM mail_story
    WHERE magazine_id = %(magazine)s AND kind = 'step' AND state IN ('running', 'paused')
),
reader AS (
    SELECT reader.lead_id, reader.registered_at
    FROM mail_reader reader JOIN leads_lead lead ON lead.id = reader.lead_id
    WHERE reader.magazine_id = %(magazine)s AND lead.deleted_at IS NULL {leads_of_reader}
),
-- Where they stand. The wait "after the previous story" counts from the last one that was decided, or had its time; a story that
-- was put in behind the reader's back, or deleted, is no previous one.
stood AS (
    SELECT lead_id,
        array_agg(story_id) FILTER (WHERE state <> 'waiting') AS over,
        max(decided_at) FILTER (WHERE state = 'decided' OR why IN ('overdue', 'too_late')) AS last_at,
        max(story_id) FILTER (WHERE state = 'waiting') AS waits_for,
        max(due_at) FILTER (WHERE state = 'waiting') AS waits_until
    FROM mail_storyturn turn
    WHERE magazine_id = %(magazine)s {leads_of_turn}
    GROUP BY lead_id
),
-- Who comes back after having been removed begins to count anew: never from before the registration.
based AS (
    SELECT reader.lead_id, story.id AS story_id, story.place, story.base, story.wait_days, story.wait_hours, story.at_time,
        stood.waits_for, stood.waits_until, stood.last_at,
        CASE story.base WHEN 'registration' THEN reader.registered_at
            ELSE greatest(reader.registered_at, stood.last_at) END AS base_at
    FROM reader LEFT JOIN stood USING (lead_id) CROSS JOIN LATERAL (
        SELECT * FROM series WHERE stood.over IS NULL OR series.id <> ALL (stood.over) ORDER BY place LIMIT 1) story
),
timed AS (
    SELECT based.*, {ready: base_at; wait_days; wait_hours} AS planned_at
    FROM based
),
-- Never into the past. Who is behind gets it at the next start; of stories that count from the registration only one a day, so
-- that they do not come all at once. What is due stays due, so that it can be too late.
next AS MATERIALIZED (
    SELECT lead_id, story_id, place, base_at, planned_at, waits_for, waits_until,
        CASE WHEN planned_at > %(now)s THEN planned_at
            WHEN waits_for = story_id AND waits_until <= %(now)s THEN waits_until
            WHEN base = 'registration' THEN greatest({ready: %(now)s; 0; 0}, {ready: last_at; 1; 0})
            ELSE {ready: %(now)s; 0; 0} END AS due_at
    FROM timed
)
