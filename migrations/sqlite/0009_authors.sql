-- Whose post it is, as posts.created_by says, so that an author's posts are found in the order of their means.
alter table ranking add column author text;
update ranking set author = posts.created_by from posts
where posts.id = ranking.post_id and posts.created_by is not null;
create index ranking_by_author on ranking (author, smoothed, post_id) where author is not null;

update installation set schema_version = 9;
