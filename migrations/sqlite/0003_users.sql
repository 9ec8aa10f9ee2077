-- Users who have told a name. Others rate and post under their ids alone.
create table users (
    id text primary key,
    username text not null unique,
    created_at integer not null
) without rowid, strict;
create index users_newest on users (created_at, id);
create index posts_by_author on posts (created_by, created_at, id) where created_by is not null;

update installation set schema_version = 3;
