-- What is left of a rating that was withdrawn: its lane (null: nothing), that lane's clock when its weight was 1, and the
-- time of the withdrawal. So a user who returns brings only what is new.
alter table withdrawals add column lane text check (lane in ('calm', 'surge'));
alter table withdrawals add column vest_clock double precision not null default 0;
alter table withdrawals add column withdrawn_at bigint not null default 0;

-- The same of a held rating. Those that are held already arrive in the surge lane, now.
alter table held add column lane text not null default 'surge' check (lane in ('calm', 'surge'));
alter table held add column vest_clock double precision not null default 0;
update held set vest_clock =
    coalesce((select surge_clock from averages where averages.post_id = held.post_id), 0);

update installation set schema_version = 7;
