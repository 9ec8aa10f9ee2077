-- The hash of the token that operators show while Damper is open. One row, or none.
create table admin_token (
    only_row integer primary key check (only_row = 1),
    hash text not null
) strict;

update installation set schema_version = 2;
