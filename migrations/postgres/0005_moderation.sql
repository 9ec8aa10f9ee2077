-- What moderators have made of a post: whether it takes no ratings, and how many of its ratings they took out.
alter table posts add column frozen smallint not null default 0;
alter table posts add column excluded bigint not null default 0;
create index posts_frozen on posts (id) where frozen = 1;

-- Windows whose ratings were taken out. A rating is kept out while any that covers it is not undone.
create table exclusions (
    post_id text collate "C" not null,
    position bytea not null,
    from_at bigint not null,
    to_at bigint not null,
    scores text not null,
    decided_by text collate "C" not null,
    decided_at bigint not null,
    reason text not null,
    excluded bigint not null,
    undone smallint not null,
    primary key (post_id, position)
);

-- A row for every decision, with what came of it. Nothing deletes any.
create table audit (
    shard smallint not null,
    position bytea not null,
    post_id text collate "C" not null,
    decided_at bigint not null,
    decided_by text collate "C" not null,
    decision text not null,
    outcome text not null,
    primary key (shard, position)
);
create index audit_newest on audit (position, shard);
create index audit_by_post on audit (post_id, position, shard);

update installation set schema_version = 5;
