-- A decision over many ratings is merged in steps that each commit: how many of them are (0: none is under way), and
-- how far it has come. It is whole when the checkpoint moves.
alter table checkpoints add column step bigint not null default 0;
alter table checkpoints add column under_way text;

update installation set schema_version = 10;
