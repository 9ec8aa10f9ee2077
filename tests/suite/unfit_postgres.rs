//! A Postgres in which Damper cannot work is refused at start and by the doctor, with the remedy, before anything is
//! changed in it.

use sqlx::{Connection, PgConnection};

use crate::support::postgres::Postgres;
use crate::support::process::Program;
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::world::World;

/// A plain role, as people give it to a service.
const ROLE: &str = "app";

/// A world whose database is empty, and whose role is a plain one that may do what Damper needs.
fn world() -> World {
    let world = World::on(Redis::start_with(&["--appendfsync", "always"]), Postgres::shared_durable());
    // Another test may create the role at the same moment.
    world.db().change(&format!(
        "do $$ begin create role {ROLE} login; exception when duplicate_object or unique_violation then null; end $$;
         alter schema public owner to {ROLE}"
    ));
    let url = world.database_url().replace("damper@", &format!("{ROLE}@"));
    world.with("database_url", url)
}

/// The name of a world's database.
fn name(world: &World) -> String {
    world.db().one::<(String,)>("select current_database()::text").0
}

/// A start and the doctor both say this, and end with 78; no table of Damper's is created.
#[track_caller]
fn assert_refused(world: &World, check: &str, said: &[&str]) {
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    let before = world.db().count(tables);
    for command in ["status", "serve"] {
        let run = world.cli(&[command]).expect(78);
        assert_eq!(run.err.lines().count(), 1, "{}", run.err);
        for text in said {
            assert!(run.err.contains(text), "{text:?} in {}", run.err);
        }
    }
    let report = world.cli(&["doctor", "--json"]).expect(78).json();
    let all = report["findings"].as_array().expect("a list");
    let found = all.iter().find(|it| it["part"] == "postgres" && it["check"] == check);
    let found = found.unwrap_or_else(|| panic!("{check} in {report}"));
    assert_eq!((&found["verdict"], &found["at_risk"]), (&"refused".into(), &"a start is refused".into()));
    for text in said {
        assert!(found.to_string().replace("\\\"", "\"").contains(text), "{text:?} in {found}");
    }
    let others = all.iter().filter(|it| it["check"] != check && it["verdict"] == "refused");
    assert_eq!(others.count(), 0, "{report}");
    let screen = world.cli(&["doctor"]).expect(78).out;
    assert!(screen.ends_with("\na start is refused\n"), "{screen}");
    assert_eq!(world.db().count(tables), before, "nothing was created");
}

#[test]
fn a_login_that_is_refused_is_no_server_that_is_away() {
    let world = world();
    let right = world.database_url();
    let base = right.rsplit_once('/').expect("a database").0;
    let stranger = right.replace("damper@", "nobody_of_that_name@");
    assert_ne!(stranger, right);
    for (url, why) in
        [(format!("{base}/no_such_database"), "no_such_database"), (stranger, "nobody_of_that_name")]
    {
        let world = World::on(Redis::start_with(&["--appendfsync", "always"]), Postgres::shared_durable());
        let run = world.with("database_url", url).cli(&["serve"]).expect(78);
        for text in ["refuses the login", why, "DAMPER_DATABASE_URL says who and which database"] {
            assert!(run.err.contains(text), "{text:?} in {}", run.err);
        }
        assert_eq!(run.err.lines().count(), 1, "{}", run.err);
    }
}

#[test]
fn a_role_without_rights_is_told_what_to_grant() {
    let world = world();
    let database = name(&world);
    let (tables, temporary) = (
        format!("grant create on schema \"public\" to \"{ROLE}\""),
        format!("grant temporary on database \"{database}\" to \"{ROLE}\""),
    );
    world.db().change("alter schema public owner to damper");
    world.db().change(&format!("revoke temporary on database {database} from public"));
    let said = ["the role app cannot create tables in the schema public, nor create temporary tables"];
    assert_refused(&world, "rights", &said);
    assert_refused(&world, "rights", &[&tables, &temporary]);
    // What it says is enough.
    world.db().change(&tables);
    assert_refused(&world, "rights", &[&temporary]);
    world.db().change(&temporary);
    world.cli(&["flush"]).expect(0);
    world.cli(&["doctor"]).expect(0);
}

#[test]
fn tables_that_belong_to_another_role_are_named() {
    let world = world();
    world.status();
    world.db().change("alter table ratings owner to damper");
    assert_refused(&world, "rights", &["cannot read and write the tables ratings", "owner to \"app\""]);
}

#[test]
fn a_database_that_cannot_hold_every_text_is_refused() {
    let world = world();
    let latin = format!("{}_latin", name(&world));
    world.db().change(&format!(
        "create database {latin} encoding 'LATIN1' template template0 locale 'C' owner {ROLE}"
    ));
    let url = format!("{}_latin", world.database_url().replace("damper@", "app@"));
    let world = world.with("database_url", &url);
    assert_refused(&world, "encoding", &["is encoded in LATIN1", "create one with encoding UTF8"]);
    Postgres::drop_database(&url.replace("app@", "damper@"));
}

#[test]
fn tables_and_migrations_of_another_program_are_left_alone() {
    let sqlx = "create table _sqlx_migrations (version bigint primary key, description text not null,
                    installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null,
                    execution_time bigint not null);
                insert into _sqlx_migrations values (1, 'accounts', now(), true, 'x', 1),
                    (20230101120000, 'users', now(), true, 'x', 1)";
    for (theirs, said) in [
        ("create table users (id text)", "holds users, which Damper did not create"),
        ("create view posts_newest as select 1 as one", "holds posts_newest, which Damper did not create"),
        (sqlx, "migrations of another program"),
        ("create table _sqlx_migrations (name text)", "migrations of another program"),
    ] {
        let world = world();
        world.db().change(&format!("alter role {ROLE} login; set role {ROLE}; {theirs}"));
        assert_refused(&world, "tables", &[said, "give Damper a database of its own"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_s_time_limits_end_no_migration() {
    let world = world();
    world.status();
    let database = name(&world);
    world.db().change(&format!("alter role {ROLE} in database {database} set statement_timeout = '100ms'"));
    world.db().change(&format!("alter role {ROLE} in database {database} set lock_timeout = '100ms'"));
    let mut other = PgConnection::connect(&world.database_url()).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query("lock table _sqlx_migrations in access exclusive mode").execute(&mut *held).await.unwrap();
    let status = world.spawn_cli(&["status"], b"");
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
                 and clock_timestamp() - query_start > interval '300 ms'";
    until("the start to wait for longer than its role may", || world.db().count(waits) > 0);
    held.rollback().await.unwrap();
    status.finish().expect(0);
}

#[test]
fn settings_that_a_session_does_not_keep_are_refused() {
    let world = world();
    let database = name(&world);
    // Answers, and sets nothing.
    world.db().change(
        "create schema deaf; grant usage on schema deaf to public;
         create function deaf.set_config(text, text, boolean) returns text language sql as 'select $2'",
    );
    for setting in ["search_path = public, deaf, pg_catalog", "synchronous_commit = off"] {
        world.db().change(&format!("alter role {ROLE} in database {database} set {setting}"));
    }
    let run = world.cli(&["serve"]).expect(78);
    for text in ["did not keep what was set for the session", "synchronous_commit is off, not on"] {
        assert!(run.err.contains(text), "{}", run.err);
    }
}

#[test]
fn a_commit_is_durable_and_limited_whatever_its_role_says() {
    let world = world();
    let database = name(&world);
    for setting in ["synchronous_commit = off", "statement_timeout = '1h'", "lock_timeout = '1ms'"] {
        world.db().change(&format!("alter role {ROLE} in database {database} set {setting}"));
    }
    world.status();
    // What a commit's own session says while it moves the checkpoint.
    world.db().change(
        "create table said (words text);
         create function say() returns trigger language plpgsql security definer as $$ begin
             insert into said values (concat_ws(' ', current_setting('synchronous_commit'),
                 current_setting('statement_timeout'), current_setting('lock_timeout'),
                 current_setting('idle_in_transaction_session_timeout')));
             return null;
         end $$;
         create trigger say after update on checkpoints execute function say()",
    );
    let service = world.start(Program::Damper);
    service.http().create("p");
    service.http().rate("p", "ann", 5);
    world.flush();
    world.assert_consistent();
    let said: Vec<(String,)> = world.db().all("select distinct words from said");
    assert_eq!(said, [("on 30s 2s 5s".to_owned(),)]);
}
