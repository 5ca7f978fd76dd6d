-- A magazine's step stories: which is each reader's next, and when (MAG-8). mail/stories/turns.py puts it to use.
--
-- {who} are the leads it is about. A reader's next story is the first of the series, by position, that was neither decided nor
-- skipped for them; deleted leads have none.
--
-- Every lead is looked up by index, one after the other: LIMIT and the aggregate leave the planner no other way. Joins would be
-- a little faster with fresh statistics, and take minutes with stale ones, after an import for example.
WITH series AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY position, id) AS place, base, wait_days, wait_hours, at_time
    FROM mail_story
    WHERE magazine_id = %(magazine)s AND kind = 'step' AND state IN ('running', 'paused')
),
-- Where they stand: `registered_at` is NULL of who is no reader. The wait "after the previous story" counts from the last one that
-- was decided, or had its time; a story that was put in behind the reader's back, or deleted, is no previous one.
stood AS (
    SELECT who.lead_id, reader.registered_at, turns.*
    FROM ({who}) who
    LEFT JOIN LATERAL (
        SELECT reader.registered_at FROM mail_reader reader JOIN leads_lead lead ON lead.id = reader.lead_id
        WHERE reader.magazine_id = %(magazine)s AND reader.lead_id = who.lead_id AND lead.deleted_at IS NULL LIMIT 1
    ) reader ON true
    CROSS JOIN LATERAL (
        SELECT array_agg(story_id) FILTER (WHERE state <> 'waiting') AS over,
            max(decided_at) FILTER (WHERE state = 'decided' OR why IN ('overdue', 'too_late')) AS last_at,
            max(id) FILTER (WHERE state = 'waiting') AS turn_id,
            max(story_id) FILTER (WHERE state = 'waiting') AS waits_for,
            max(base_at) FILTER (WHERE state = 'waiting') AS waits_since,
            max(due_at) FILTER (WHERE state = 'waiting') AS waits_until
        FROM mail_storyturn turn WHERE turn.magazine_id = %(magazine)s AND turn.lead_id = who.lead_id
    ) turns
),
-- Who comes back after having been removed begins to count anew: never from before the registration.
based AS (
    SELECT stood.*, story.id AS story_id, story.place, story.base, story.wait_days, story.wait_hours, story.at_time,
        CASE story.base WHEN 'registration' THEN registered_at ELSE greatest(registered_at, last_at) END AS base_at
    FROM stood LEFT JOIN LATERAL (
        SELECT * FROM series
        WHERE stood.registered_at IS NOT NULL AND (stood.over IS NULL OR series.id <> ALL (stood.over))
        ORDER BY place LIMIT 1
    ) story ON true
),
timed AS (
    SELECT based.*, {ready: base_at; wait_days; wait_hours} AS planned_at FROM based
),
-- Never into the past. Who is behind gets it at the next start; of stories that count from the registration only one a day, so
-- that they do not come all at once. What is due stays due, so that it can be too late. Without a next story: NULL.
next AS MATERIALIZED (
    SELECT timed.*,
        CASE WHEN story_id IS NULL THEN NULL
            WHEN planned_at > %(now)s THEN planned_at
            WHEN waits_for = story_id AND waits_until <= %(now)s THEN waits_until
            WHEN base = 'registration' THEN greatest({ready: %(now)s; 0; 0}, {ready: last_at; 1; 0})
            ELSE {ready: %(now)s; 0; 0} END AS due_at
    FROM timed
)
