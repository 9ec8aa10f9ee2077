-- Who is signed in to the dashboard, by the hash of what their browser keeps. opened_with names the admin token, or the
-- keys, that they showed: with another one the session is over.
create table sessions (
    hash text primary key,
    user_id text not null,
    is_admin integer not null,
    opened_with text not null,
    expires_at integer not null
) without rowid, strict;
create index sessions_oldest on sessions (expires_at);

-- How far the published mean is from the raw one, in stars, and how many ratings' worth of weight is phasing in: as last
-- ranked, for posts that are not alerts too.
alter table ranking add column gap real not null default 0;
alter table ranking add column unvested real not null default 0;
create index ranking_gap on ranking (gap, post_id) where gap >= 0.005;
create index ranking_unvested on ranking (unvested, post_id) where unvested >= 0.5;

-- Posts are found by how their titles begin.
create index posts_by_title on posts (lower(substr(title, 1, 64)), id);

-- What a moderator has decided.
create index audit_by_moderator on audit (decided_by, position, shard);

update installation set schema_version = 11;
