-- How many posts repeat this one.
alter table posts add column reposts bigint not null default 0;

-- How many posts an author has made on the last day (UTC, counted from the epoch) on which there was one.
create table daily_posts (
    user_id text collate "C" primary key,
    day bigint not null,
    posts bigint not null
);

-- Which posts each of the last commits changed, for whoever follows the averages: "a b c", or null when they are too
-- many to be told. A commit went from "after" to "position".
create table changes (
    shard smallint not null,
    position bytea not null,
    after bytea not null,
    posts text,
    primary key (shard, position)
);

update installation set schema_version = 4;
