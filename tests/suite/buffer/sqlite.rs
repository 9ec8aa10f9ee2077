//! What only the SQLite buffer promises: an append is one transaction, whatever stops it.

use std::time::{Duration, Instant};

use damper::entry::Position;

use super::{Engine, POST, SHARD, ratings};
use crate::support::log::{START, entry};
use crate::support::until;

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_fails_half_way_leaves_nothing() {
    let engine = Engine::sqlite().await;
    let first = engine.append(&ratings(1)).await;
    engine.world.db().change(
        "create trigger refusal before insert on buffer when new.user_id = 'bad'
         begin select raise(abort, 'refused'); end",
    );
    let entries = [entry(POST, "good", Some(1), START), entry(POST, "bad", Some(1), START)];
    engine.buffer.append(SHARD, &entries, None).await.expect_err("the trigger refuses");
    let backlog = engine.buffer.backlog(SHARD, Position::START).await.unwrap();
    assert_eq!((backlog.waiting, backlog.appends, backlog.last), (1, 1, first[0]));
    engine.world.db().change("drop trigger refusal");
    let next = engine.append(&entries).await;
    assert_eq!(next[0], Position::new(0, first[0].low + 1), "the refused positions are handed out again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_cannot_be_written_in_time_is_refused_and_never_comes_late() {
    let engine = Engine::sqlite().await;
    let path = engine.world.path().join("test.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut stranger = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("begin immediate").execute(&mut stranger).await.unwrap();
    let refused = engine.buffer.append(SHARD, &ratings(2), None).await;
    assert!(matches!(refused, Err(damper::Error::Unavailable(_))), "{refused:?}");
    sqlx::query("rollback").execute(&mut stranger).await.unwrap();
    // The writer is handed out in order: when this append has ended, the one given up has ended too.
    engine.append(&ratings(1)).await;
    assert_eq!(engine.buffer.backlog(SHARD, Position::START).await.unwrap().appends, 1);
}

/// Processes take turns at the file: one that writes without a pause leaves every second turn to another.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_beside_an_import_waits_for_one_of_its_transactions() {
    /// Entries of one of the import's transactions.
    const TRANSACTION: u64 = 4_000;
    let engine = Engine::sqlite().await;
    let lines = (0..200_000).map(|i| format!("p{},u{i},{},1790000000\n", i % 100, i % 6)).collect::<String>();
    let mut import =
        engine.world.spawn_cli(&["import", "-"], format!("post,user,score,timestamp\n{lines}").as_bytes());
    until("the import to begin", || engine.world.db().count("select count(*) from buffer") > 0);
    let appended = async || engine.buffer.backlog(SHARD, Position::START).await.unwrap().appends;
    let (mut waits, mut passed) = (Vec::new(), 0);
    while import.is_running() {
        let (asked, before) = (Instant::now(), appended().await);
        engine.append(&ratings(1)).await;
        passed = passed.max(appended().await - before);
        waits.push(asked.elapsed());
        // As a user does who rates now and then: what waits has the next turn.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    import.finish().expect(0);
    waits.sort();
    let (median, slowest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    eprintln!("{} appends beside an import: {median:?} in the middle, {slowest:?} at most", waits.len());
    // The one under way, and one each that came between a look and the append.
    assert!(waits.len() > 20 && passed <= 3 * TRANSACTION + 1, "{} appends, {passed} passed", waits.len());
}
