-- What moderators have made of a post: whether it takes no ratings, and how many of its ratings they took out.
alter table posts add column frozen integer not null default 0;
alter table posts add column excluded integer not null default 0;
create index posts_frozen on posts (id) where frozen = 1;

-- Windows whose ratings were taken out. A rating is kept out while any that covers it is not undone.
create table exclusions (
    post_id text not null,
    position blob not null,
    from_at integer not null,
    to_at integer not null,
    scores text not null,
    decided_by text not null,
    decided_at integer not null,
    reason text not null,
    excluded integer not null,
    undone integer not null,
    primary key (post_id, position)
) without rowid, strict;

-- A row for every decision, with what came of it. Nothing deletes any.
create table audit (
    shard integer not null,
    position blob not null,
    post_id text not null,
    decided_at integer not null,
    decided_by text not null,
    decision text not null,
    outcome text not null,
    primary key (shard, position)
) without rowid, strict;
create index audit_newest on audit (position, shard);
create index audit_by_post on audit (post_id, position, shard);

update installation set schema_version = 5;
