-- Damper's tables, the same names and meanings in both databases. Times are milliseconds since the Unix epoch,
-- positions 16 bytes that sort, ids opaque text compared byte by byte, floats kept as their 8 bytes.

-- What the first migration fixes for good: a random name and the number of shards. One row.
create table installation (
    only_row integer primary key check (only_row = 1),
    id text not null,
    shards integer not null,
    schema_version integer not null
) strict;

create table posts (
    id text primary key,
    title text not null,
    content text,
    created_by text,
    repost_of text,
    created_at integer not null,
    revision integer not null
) without rowid, strict;
create index posts_newest on posts (created_at, id);

-- The exact truth: one row for each user and post. vest_clock, unvested_sum and unvested_count let an edit or a
-- removal be exact, and an audit recount the averages.
create table ratings (
    post_id text not null,
    user_id text not null,
    score integer not null check (score between 0 and 5),
    status text not null check (status in ('counted', 'excluded')),
    lane text not null check (lane in ('calm', 'surge')),
    rated_at integer not null,
    position blob not null,
    vest_clock real not null,
    unvested_sum real not null,
    unvested_count real not null,
    primary key (post_id, user_id)
) without rowid, strict;

-- Where a user's newest withdrawal of a rating stood in the log: a retried entry that is older does not bring the
-- rating back.
create table withdrawals (
    post_id text not null,
    user_id text not null,
    position blob not null,
    primary key (post_id, user_id)
) without rowid, strict;

-- A post's aggregate state, changed by commits only. count and sum are derived, so they cannot disagree.
create table averages (
    post_id text primary key,
    version blob not null,
    calm_count integer not null, calm_sum integer not null, calm_clock real not null,
    calm_vested real not null, calm_settled_count real not null, calm_settled_sum real not null,
    surge_count integer not null, surge_sum integer not null, surge_clock real not null,
    surge_vested real not null, surge_settled_count real not null, surge_settled_sum real not null,
    intensity real not null, born_at integer, last_at integer,
    count_0 integer not null, count_1 integer not null, count_2 integer not null, count_3 integer not null, count_4 integer not null, count_5 integer not null,
    count integer generated always as (calm_count + surge_count) stored,
    sum integer generated always as (calm_sum + surge_sum) stored
) without rowid, strict;

-- The state after the last entry of each clock hour, so that a reader can evaluate any moment.
create table history (
    post_id text not null,
    hour integer not null,
    arrivals integer not null,
    calm_count integer not null, calm_sum integer not null, calm_clock real not null,
    calm_vested real not null, calm_settled_count real not null, calm_settled_sum real not null,
    surge_count integer not null, surge_sum integer not null, surge_clock real not null,
    surge_vested real not null, surge_settled_count real not null, surge_settled_sum real not null,
    intensity real not null, born_at integer, last_at integer,
    count_0 integer not null, count_1 integer not null, count_2 integer not null, count_3 integer not null, count_4 integer not null, count_5 integer not null,
    count integer generated always as (calm_count + surge_count) stored,
    sum integer generated always as (calm_sum + surge_sum) stored,
    primary key (post_id, hour)
) without rowid, strict;

-- Serves sort=top: the published mean as of the drain that wrote it, -1 without ratings. It may lag.
create table ranking (
    post_id text primary key,
    smoothed real not null,
    as_of integer not null,
    moving integer not null
) without rowid, strict;
create index ranking_top on ranking (smoothed, post_id);
create index ranking_moving on ranking (as_of) where moving = 1;

-- Up to where each shard's log is in the averages; moved by compare-and-swap in the commit's transaction.
create table checkpoints (
    shard integer primary key,
    position blob not null,
    applied integer not null default 0,
    quarantined integer not null default 0,
    seen_appends integer not null default 0,
    seen_position blob not null,
    accepted_base integer not null default 0,
    lost integer not null default 0
) strict;

-- Entries that could not be read or applied, with the reason and what stood in the log.
create table quarantine (
    shard integer not null,
    position blob not null,
    reason text not null,
    payload blob not null,
    primary key (shard, position)
) without rowid, strict;

-- A row per run of the drain.
create table drains (
    id integer primary key autoincrement,
    started_at integer not null,
    started_by text not null,
    applied integer not null,
    quarantined integer not null,
    batches integer not null,
    duration_ms integer not null,
    error text
) strict;

-- The log of the embedded set-up: one shard. Ids are kept beside the payload to find a user's own entries.
create table buffer (
    position integer primary key,
    post_id text,
    user_id text,
    payload blob not null,
    held_at integer not null default (cast(unixepoch('subsec') * 1000 as integer))
) strict;
create index buffer_own on buffer (user_id, post_id);

-- The highest position and the count of appends; it moves in the append's own transaction. One row.
create table buffer_head (
    last integer not null,
    appends integer not null
) strict;
insert into buffer_head values (0, 0);
