-- Users who have told a name. Others rate and post under their ids alone.
create table users (
    id text collate "C" primary key,
    username text collate "C" not null unique,
    created_at bigint not null
);
create index users_newest on users (created_at, id);
create index posts_by_author on posts (created_by, created_at, id) where created_by is not null;

update installation set schema_version = 3;
