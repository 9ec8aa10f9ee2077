-- How far the published mean has yet to move, in stars, where that is enough for an alert to go on; -1 elsewhere.
alter table ranking add column shift real not null default -1;
-- told_at is now the beginning of the alert that a webhook was sent, until its end is sent too. Alerts that are over were
-- never sent their end, and are not any more.
update ranking set told_at = null where told_at is not null and (alerted_at is null or alerted_at <> told_at);
-- The greatest first.
drop index ranking_alerted;
create index ranking_alerted on ranking (shift, post_id) where alerted_at is not null;
-- What a webhook has to be sent: a beginning, or an end.
create index ranking_untold on ranking (post_id) where coalesce(alerted_at, 0) <> coalesce(told_at, 0);

update installation set schema_version = 8;
