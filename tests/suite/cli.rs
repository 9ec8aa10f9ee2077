//! The command line: output for people, JSON for machines, and exit codes.

use serde_json::Value;

use crate::support::in_both_setups;
use crate::support::process::{Process, Program, Run};
use crate::support::spawn;
use crate::support::world::{World, variable};

/// A password that must appear in no output.
const CANARY: &str = "canary-5ecret";

in_both_setups!(
    an_import_is_flushed_shown_and_verified,
    bad_lines_are_reported_by_number_and_the_rest_is_imported,
    half_stars_are_rounded_up_and_reported,
    a_file_in_any_order_gives_the_same_averages,
    a_difference_is_named_and_fails,
    every_command_works_beside_a_running_service,
    a_missing_post_gives_a_one_line_error,
);

const RATINGS: &str = "film,ann,5,1700000000\nfilm,bob,0,1700000060.5\nbook,ann,3,2023-11-14T22:20:00Z\n\
                       film,ann,4,1700000300\n";

/// Runs `damper` in an empty folder with exactly these environment variables.
fn damper(args: &[&str], env: &[(&str, &str)]) -> Run {
    let env: Vec<_> = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let dir = spawn::temp_dir("cli-");
    Process::spawn(Program::Damper, args, &env, dir.path(), b"").finish()
}

fn an_import_is_flushed_shown_and_verified(world: World) {
    let file = world.file("ratings.csv", format!("post,user,score,timestamp\n{RATINGS}"));
    let imported = world.cli(&["import", &file]).expect(0).out;
    assert!(
        imported.contains("imported 4 of 4 lines into 2 posts") && imported.contains("2 of them new"),
        "{imported}"
    );
    assert_eq!(world.status()["waiting"], 4);

    let flushed = world.cli(&["flush"]).expect(0).out;
    assert!(flushed.contains("drained 4 entries into 2 posts"), "{flushed}");
    assert!(flushed.contains("4 applied, 0 quarantined, 0 waiting"), "{flushed}");
    assert!(flushed.contains("largest moves"), "{flushed}");

    let status = world.status();
    for (field, value) in [("accepted", 4), ("applied", 4), ("quarantined", 0), ("waiting", 0), ("posts", 2)]
    {
        assert_eq!(status[field], value, "{field} in {status}");
    }
    let screen = world.cli(&["status"]).expect(0).out;
    assert!(screen.contains("accepted 4 = applied 4 + quarantined 0 + waiting 0"), "{screen}");
    assert!(screen.contains("next tick"), "{screen}");

    let shown = world.cli(&["show", "film"]).expect(0).out;
    assert!(shown.contains("raw  2.00") && shown.contains("2 ratings"), "{shown}");
    assert!(shown.contains("  4 █") && shown.contains("  0 █") && shown.contains("arrivals"), "{shown}");
    let film = world.cli(&["show", "film", "--json"]).expect(0).json();
    assert_eq!((&film["count"], &film["sum"]), (&Value::from(2), &Value::from(4)));
    assert_eq!(film["histogram"], serde_json::json!([1, 0, 0, 0, 1, 0]));

    let verified = world.cli(&["verify"]).expect(0).out;
    assert!(
        verified.contains("verified 2 posts, 3 ratings") && verified.contains("no difference"),
        "{verified}"
    );
    let one = world.cli(&["verify", "book", "--json"]).expect(0).json();
    assert_eq!((&one["posts"], &one["ratings"]), (&Value::from(1), &Value::from(1)));

    let again = world.flush();
    for (field, value) in [("applied", 0), ("quarantined", 0), ("posts", 0), ("waiting", 0), ("batches", 0)] {
        assert_eq!(again[field], value, "{field} in {again}");
    }
    assert!(again["duration_ms"].is_u64() && again["complete"] == true, "{again}");
}

fn bad_lines_are_reported_by_number_and_the_rest_is_imported(world: World) {
    let text = "post,user,score,timestamp\nfilm,ann,5,1700000000\nfilm,bob,7,1700000000\n\
                film,cat,4,yesterday\na b,dan,4,1700000000\nfilm,eve,4\nfilm,fay,2.5,1700000000\nfilm,gus,1,1700000000\n";
    let run = world.cli_with_input(&["import", "-"], text.as_bytes()).expect(1);
    assert!(run.out.contains("imported 2 of 7 lines into 1 post"), "{}", run.out);
    let line = |number: &str| {
        run.out.lines().find(|line| line.contains(&format!("line {number} "))).unwrap_or_default()
    };
    assert!(line("3").contains("score 7 is outside 0..=5"), "{}", run.out);
    assert!(line("4").contains("\"yesterday\" is neither Unix seconds nor RFC 3339"), "{}", run.out);
    assert!(line("5").contains("a space"), "{}", run.out);
    assert!(line("6").contains("3 fields instead of 4"), "{}", run.out);
    assert!(line("7").contains("no whole number"), "{}", run.out);
    let json = world.cli_with_input(&["import", "-", "--json"], text.as_bytes()).expect(1).json();
    assert_eq!((&json["imported"], &json["refused"], &json["new_posts"]), (&2.into(), &5.into(), &0.into()));
    assert_eq!(json["bad_lines"][0], serde_json::json!({"line": 3, "reason": "score 7 is outside 0..=5"}));
    assert_eq!(world.status()["accepted"], 4);

    let unknown = world.cli_with_input(&["import", "-"], b"item,who,stars,when\n").expect(1);
    assert!(unknown.err.contains("not a known header"), "{}", unknown.err);
    let absent = world.cli(&["import", "nowhere.csv"]).expect(1);
    assert!(absent.err.contains("nowhere.csv"), "{}", absent.err);
    assert_eq!(world.status()["accepted"], 4);
}

fn half_stars_are_rounded_up_and_reported(world: World) {
    let text =
        "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,31,4.0,1260759179\n3,31,0.5,1260759182\n";
    let run = world.cli_with_input(&["import", "-"], text.as_bytes()).expect(0);
    assert!(run.out.contains("2 half stars rounded up"), "{}", run.out);
    world.flush();
    let post = world.cli(&["show", "31", "--json"]).expect(0).json();
    assert_eq!(post["histogram"], serde_json::json!([0, 1, 0, 1, 1, 0]));
}

fn a_file_in_any_order_gives_the_same_averages(world: World) {
    // Ordered by user, as exports often are, so a user's ratings lie hours apart.
    let line = |post: &str, user: u64, hour: u64| {
        format!("{post},u{user},{},{}\n", user % 6, 1_700_000_000 + hour * 3_600 + user)
    };
    let by_user: String = (0..40)
        .flat_map(|user| (0..5).map(move |hour| (user, hour * 30 + user)))
        .map(|(user, hour)| line("a", user, hour))
        .collect();
    let mut by_time: Vec<(u64, String)> = by_user
        .lines()
        .map(|line| {
            (line.rsplit(',').next().unwrap().parse().unwrap(), format!("{}\n", line.replacen('a', "b", 1)))
        })
        .collect();
    by_time.sort_by_key(|(at, _)| *at);
    let by_time: String = by_time.into_iter().map(|(_, line)| line).collect();

    world.import(&by_user);
    let text = format!("post,user,score,timestamp\n{by_time}");
    world.cli_with_input(&["import", "--sorted", "-"], text.as_bytes()).expect(0);
    world.flush();
    let of = |post: &str| {
        let mut shown = world.cli(&["show", post, "--json"]).expect(0).json();
        shown.as_object_mut().unwrap().retain(|name, _| name != "id" && name != "title");
        shown
    };
    assert_eq!(of("a"), of("b"));
    assert_eq!(of("a")["count"], 40);

    let backwards = "post,user,score,timestamp\nc,u1,5,1700000100\nc,u2,5,1700000000\n";
    let run = world.cli_with_input(&["import", "--sorted", "-"], backwards.as_bytes()).expect(0);
    assert!(run.out.contains("\n1 line was older than a line before, and"), "{}", run.out);
}

fn a_difference_is_named_and_fails(world: World) {
    world.import(RATINGS);
    world.flush();
    world.cli(&["verify"]).expect(0);
    world.db().change("update ratings set score = 1 where post_id = 'film' and user_id = 'bob'");
    let run = world.cli(&["verify"]).expect(1);
    assert!(run.out.contains("1 post differs") && run.out.contains("film"), "{}", run.out);
    assert!(run.out.contains("sum") && run.out.contains("histogram 0"), "{}", run.out);
    world.cli(&["verify", "book"]).expect(0);
    let json = world.cli(&["verify", "film", "--json"]).expect(1).json();
    assert_eq!(json["posts_with_differences"], 1);
}

fn every_command_works_beside_a_running_service(world: World) {
    let service = world.start(Program::Damper);
    world.import(RATINGS);
    world.flush();
    world.cli(&["status"]).expect(0);
    world.cli(&["verify"]).expect(0);
    world.cli(&["show", "film"]).expect(0);
    world.cli(&["config"]).expect(0);
    // The service sees the changes.
    let answer = service.http().get("/api/posts/film");
    assert_eq!(answer.json()["count"], 2, "{}", answer.json());
    let second = world.spawn_cli(&["serve"], b"");
    if world.is_embedded() {
        let refused = second.finish().expect(78);
        assert!(refused.err.contains("another damper serves this file"), "{}", refused.err);
    } else {
        // On servers any number of services may run.
        second.await_ready();
    }
}

fn a_missing_post_gives_a_one_line_error(world: World) {
    for args in [["show", "nothing"], ["verify", "nothing"]] {
        let run = world.cli(&args).expect(1);
        assert!(run.err.ends_with("damper: there is no post nothing\n"), "{}", run.err);
    }
    let run = world.cli(&["show", "a b"]).expect(1);
    assert!(run.err.contains("post id holds a space"), "{}", run.err);
}

#[test]
fn wrong_usage_and_wrong_settings_have_their_own_exit_codes() {
    damper(&["--help"], &[]).expect(0);
    damper(&["--version"], &[]).expect(0);
    damper(&["dance"], &[]).expect(2);
    damper(&["flush", "--timeout", "soon"], &[]).expect(2);
    for (env, said) in [
        (("DAMPER_COLOUR", "blue"), "no setting colour"),
        (("DAMPER_DRAIN__BATCH_MAX", "0"), "drain.batch_max 0 is outside"),
        (("DAMPER_DRAIN__BATCH_MAX", "many"), "drain.batch_max"),
        (("DAMPER_TICK", "hourly"), "six fields"),
        (("DAMPER_SMOOTHING__GRACE_MASS", "-1"), "grace_mass"),
        (("DAMPER_REDIS_URL", "redis://localhost"), "set DAMPER_DATABASE_URL"),
        (("DAMPER_DATABASE_URL", "postgres://localhost/x"), "set DAMPER_REDIS_URL"),
        (("DAMPER_LISTEN", "somewhere"), "listen"),
        (("DAMPER_CONFIG", "nowhere.toml"), "nowhere.toml"),
        (("DAMPER_DATA", "no/such/folder/damper.db"), "no/such/folder/damper.db"),
    ] {
        let run = damper(&["status"], &[env]).expect(78);
        assert!(run.err.starts_with("damper: ") && run.err.contains(said), "{env:?}: {}", run.err);
        assert_eq!(run.err.lines().count(), 1, "{}", run.err);
    }
    let run = damper(&["serve"], &[("DAMPER_LISTEN", "0.0.0.0:0")]).expect(78);
    assert!(run.err.contains("DAMPER_OPEN=anywhere"), "{}", run.err);
}

#[test]
fn an_unreachable_server_is_named() {
    let unused = spawn::free_port();
    let database = format!("postgres://damper:{CANARY}@127.0.0.1:{unused}/damper");
    let redis = format!("redis://:{CANARY}@127.0.0.1:{unused}");
    let run =
        damper(&["status"], &[("DAMPER_DATABASE_URL", &database), ("DAMPER_REDIS_URL", &redis)]).expect(69);
    assert!(
        run.err.contains("no answer from postgres at 127.0.0.1") && run.err.contains("Is it running?"),
        "{}",
        run.err
    );
    assert!(!run.err.contains(CANARY), "{}", run.err);

    let world = World::servers().with("redis_url", &redis);
    let run = world.cli(&["status"]).expect(69);
    assert!(run.err.contains("no answer from redis at 127.0.0.1"), "{}", run.err);
    assert!(!run.err.contains(CANARY), "{}", run.err);
}

#[test]
fn config_shows_every_setting_its_source_and_no_password() {
    let default = damper(&["config", "--default"], &[]).expect(0).out;
    assert!(default.contains("batch_max") && default.contains("# "), "{default}");
    let url = format!("postgres://damper:{CANARY}@db.example/damper?password={CANARY}");
    let redis = format!("redis://:{CANARY}@redis.example");
    let env = [("DAMPER_DATABASE_URL", url.as_str()), ("DAMPER_REDIS_URL", redis.as_str())];
    for args in [&["config"][..], &["config", "--json"], &["config", "--set", "drain.batch_max=7"]] {
        let out = damper(args, &env).expect(0).out;
        assert!(out.contains("db.example") && !out.contains(CANARY), "{out}");
    }
    let table = damper(&["config", "--set", "drain.batch_max=7", "--tick", "0 * * * * *"], &[]).expect(0).out;
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(row("drain.batch_max").contains("7") && row("drain.batch_max").contains("flag"), "{table}");
    assert!(row("tick").contains("0 * * * * *"), "{table}");
    assert!(row("listen").contains("config/default.toml"), "{table}");
}

#[test]
fn every_setting_can_be_set_by_variable_and_by_file() {
    let rows = damper(&["config", "--json"], &[]).expect(0).json();
    let rows = rows.as_array().expect("a list").clone();
    assert!(rows.len() > 25, "the settings were found");
    for row in rows {
        let (name, value) = (row["name"].as_str().unwrap(), row["value"].as_str().unwrap());
        // The two URLs belong together; an empty one counts as not set.
        let shown = damper(&["config", "--json"], &[(&variable(name), value)]).expect(0).json();
        let found = shown.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
        assert_eq!((&found["value"], &found["source"]), (&row["value"], &"environment".into()), "{name}");
    }
    let dir = spawn::temp_dir("config-");
    let file = dir.path().join("my.toml");
    std::fs::write(&file, "tick = \"0 * * * * *\"\n[drain]\nbatch_max = 9\n").unwrap();
    let file = file.display().to_string();
    let shown = damper(&["config", "--config", &file], &[("DAMPER_DRAIN__BATCH_MAX", "11")]).expect(0).out;
    let row = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(row("tick").contains("my.toml"), "{shown}");
    assert!(
        row("drain.batch_max").contains("11") && row("drain.batch_max").contains("environment"),
        "{shown}"
    );
    std::fs::write(dir.path().join("my.toml"), "[drain]\nbatch_size = 9\n").unwrap();
    let run = damper(&["config", "--config", &file], &[]).expect(78);
    assert!(run.err.contains("no setting drain.batch_size") && run.err.contains("my.toml"), "{}", run.err);
}

#[test]
fn a_flush_that_runs_out_of_time_says_so() {
    let world = World::embedded();
    world.import(RATINGS);
    let run = world.cli(&["flush", "--timeout", "0"]).expect(1);
    assert!(run.err.contains("not done within 0 s"), "{}", run.err);
    assert_eq!(world.status()["waiting"], 4);
    world.cli(&["flush"]).expect(0);
    assert_eq!(world.status()["waiting"], 0);
}

#[test]
fn after_a_clean_stop_the_data_file_alone_is_complete() {
    let world = World::embedded();
    world.import(RATINGS);
    world.flush();
    let data = world.config().data;
    std::fs::copy(&data, world.path().join("copy.db")).expect("a copy");
    let copy = world.cli(&["status", "--json", "--data", "copy.db"]).expect(0).json();
    assert_eq!((&copy["applied"], &copy["balanced"]), (&4.into(), &true.into()), "{copy}");
}
