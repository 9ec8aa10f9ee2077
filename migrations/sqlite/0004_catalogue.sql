-- How many posts repeat this one.
alter table posts add column reposts integer not null default 0;

-- How many posts an author has made on the last day (UTC, counted from the epoch) on which there was one.
create table daily_posts (
    user_id text primary key,
    day integer not null,
    posts integer not null
) without rowid, strict;

-- Which posts each of the last commits changed, for whoever follows the averages: "a b c", or null when they are too
-- many to be told. A commit went from "after" to "position".
create table changes (
    shard integer not null,
    position blob not null,
    after blob not null,
    posts text,
    primary key (shard, position)
) without rowid, strict;

update installation set schema_version = 4;
