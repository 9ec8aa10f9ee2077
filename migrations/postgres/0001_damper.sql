-- Damper's tables, the same names and meanings in both databases. Times are milliseconds since the Unix epoch,
-- positions 16 bytes that sort, ids opaque text compared byte by byte, floats kept as their 8 bytes.

-- What the first migration fixes for good: a random name and the number of shards. One row.
create table installation (
    only_row smallint primary key check (only_row = 1),
    id text not null,
    shards integer not null,
    schema_version bigint not null
);

create table posts (
    id text collate "C" primary key,
    title text not null,
    content text,
    created_by text collate "C",
    repost_of text collate "C",
    created_at bigint not null,
    revision bigint not null
);
create index posts_newest on posts (created_at, id);

-- The exact truth: one row for each user and post. vest_clock, unvested_sum and unvested_count let an edit or a
-- removal be exact, and an audit recount the averages.
create table ratings (
    post_id text collate "C" not null,
    user_id text collate "C" not null,
    score smallint not null check (score between 0 and 5),
    status text not null check (status in ('counted', 'excluded')),
    lane text not null check (lane in ('calm', 'surge')),
    rated_at bigint not null,
    position bytea not null,
    vest_clock double precision not null,
    unvested_sum double precision not null,
    unvested_count double precision not null,
    primary key (post_id, user_id)
);

-- Where a user's newest withdrawal of a rating stood in the log: a retried entry that is older does not bring the
-- rating back.
create table withdrawals (
    post_id text collate "C" not null,
    user_id text collate "C" not null,
    position bytea not null,
    primary key (post_id, user_id)
);

-- A post's aggregate state, changed by commits only. count and sum are derived, so they cannot disagree.
create table averages (
    post_id text collate "C" primary key,
    version bytea not null,
    calm_count bigint not null, calm_sum bigint not null, calm_clock double precision not null,
    calm_vested double precision not null, calm_settled_count double precision not null, calm_settled_sum double precision not null,
    surge_count bigint not null, surge_sum bigint not null, surge_clock double precision not null,
    surge_vested double precision not null, surge_settled_count double precision not null, surge_settled_sum double precision not null,
    intensity double precision not null, born_at bigint, last_at bigint,
    count_0 bigint not null, count_1 bigint not null, count_2 bigint not null, count_3 bigint not null, count_4 bigint not null, count_5 bigint not null,
    count bigint generated always as (calm_count + surge_count) stored,
    sum bigint generated always as (calm_sum + surge_sum) stored
);

-- The state after the last entry of each clock hour, so that a reader can evaluate any moment.
create table history (
    post_id text collate "C" not null,
    hour bigint not null,
    arrivals bigint not null,
    calm_count bigint not null, calm_sum bigint not null, calm_clock double precision not null,
    calm_vested double precision not null, calm_settled_count double precision not null, calm_settled_sum double precision not null,
    surge_count bigint not null, surge_sum bigint not null, surge_clock double precision not null,
    surge_vested double precision not null, surge_settled_count double precision not null, surge_settled_sum double precision not null,
    intensity double precision not null, born_at bigint, last_at bigint,
    count_0 bigint not null, count_1 bigint not null, count_2 bigint not null, count_3 bigint not null, count_4 bigint not null, count_5 bigint not null,
    count bigint generated always as (calm_count + surge_count) stored,
    sum bigint generated always as (calm_sum + surge_sum) stored,
    primary key (post_id, hour)
);

-- Serves sort=top: the published mean as of the drain that wrote it, -1 without ratings. It may lag.
create table ranking (
    post_id text collate "C" primary key,
    smoothed double precision not null,
    as_of bigint not null,
    moving smallint not null
);
create index ranking_top on ranking (smoothed, post_id);
create index ranking_moving on ranking (as_of) where moving = 1;

-- Up to where each shard's log is in the averages; moved by compare-and-swap in the commit's transaction.
create table checkpoints (
    shard smallint primary key,
    position bytea not null,
    applied bigint not null default 0,
    quarantined bigint not null default 0,
    seen_appends bigint not null default 0,
    seen_position bytea not null,
    accepted_base bigint not null default 0,
    lost bigint not null default 0
);

-- Entries that could not be read or applied, with the reason and what stood in the log.
create table quarantine (
    shard smallint not null,
    position bytea not null,
    reason text not null,
    payload bytea not null,
    primary key (shard, position)
);

-- A row per run of the drain.
create table drains (
    id bigint generated always as identity primary key,
    started_at bigint not null,
    started_by text not null,
    applied bigint not null,
    quarantined bigint not null,
    batches bigint not null,
    duration_ms bigint not null,
    error text
);
