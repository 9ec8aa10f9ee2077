-- First, since it takes a while on a large table: only drains wait for it, not readers.
-- Who has rated what: whether somebody had ever rated before, and what is to be erased with a user.
create index ratings_by_user on ratings (user_id, post_id);

-- Which of a post's ratings are held (null: those that the settings say), and how many are.
alter table posts add column hold text check (hold in ('off', 'surge', 'always'));
alter table posts add column held bigint not null default 0;

-- Ratings that are kept for a moderator; a counted one of the same user may stand in ratings beside it. An excluded
-- one is covered by an exclusion: it is neither approved nor let go until that is undone.
create table held (
    post_id text collate "C" not null,
    user_id text collate "C" not null,
    score smallint not null check (score between 0 and 5),
    status text not null check (status in ('held', 'excluded')),
    rated_at bigint not null,
    position bytea not null,
    primary key (post_id, user_id)
);
create index held_oldest on held (rated_at, post_id, user_id) where status = 'held';
create index held_by_user on held (user_id, post_id);

-- Since when a post has been in a surge or crowded; null when it is neither.
alter table ranking add column alerted_at bigint;
-- The beginning of the surge that a webhook was last told of.
alter table ranking add column told_at bigint;
create index ranking_alerted on ranking (alerted_at, post_id) where alerted_at is not null;

update installation set schema_version = 6;
