//! The plans of hot statements, as the store executes them on both databases: by their indexes, and no table is read
//! whole.

use damper::database::plans::Plans;
use damper::entry::{Action, Batch, Entry, Line, Position, Shard};
use damper::model::{PostId, UserId};
use damper::smoothing::{Knobs, Params};
use damper::store::{Motion, PageKey, Sort, Store};

use crate::support::in_both_setups;
use crate::support::log::START;
use crate::support::world::World;

in_both_setups!(async
    hot_statements_go_by_their_indexes,
);

/// Posts and users; everyone rates so many posts.
const POSTS: i64 = 12_000;
const RATED: i64 = 5;
/// The columns of an average.
const STATE: &str = "calm_count, calm_sum, calm_clock, calm_vested, calm_settled_count, calm_settled_sum, surge_count, \
                     surge_sum, surge_clock, surge_vested, surge_settled_count, surge_settled_sum, intensity, \
                     count_0, count_1, count_2, count_3, count_4, count_5";
/// Tables that grow, by the names that statements give them.
const BIG: [&str; 12] =
    ["posts", "p", "ratings", "r", "held", "h", "ranking", "averages", "a", "history", "users", "audit"];

/// Rows enough that a planner would rather not read them all.
fn fill(world: &World) {
    let numbers =
        format!("with recursive n (i) as (select 1 union all select i + 1 from n where i < {POSTS})");
    let (number, place): (fn(String) -> String, &str) = if world.is_embedded() {
        (|i: String| format!("printf('%05d', {i})"), "zeroblob(16)")
    } else {
        (|i: String| format!("lpad(({i})::text, 5, '0')"), "decode(repeat('00', 16), 'hex')")
    };
    let (db, start, post) = (world.db(), START.ms(), format!("'p' || {}", number("i".into())));
    let author = format!("'u' || {}", number("i".into()));
    db.change(&format!(
        "insert into posts (id, title, created_by, created_at, revision)
         {numbers} select {post}, 'title', {author}, {start} + i, 1 from n"
    ));
    db.change(&format!(
        "insert into ranking (post_id, author, smoothed, gap, unvested, as_of, moving, shift, alerted_at)
         {numbers} select {post}, {author}, i * 0.001, i * 0.0001, i, i, case when i % 100 = 0 then 1 else 0 end,
             case when i % 100 = 0 then 0.2 + i * 0.0001 else -1 end,
             case when i % 100 = 0 then {start} + i end from n"
    ));
    let zeros = vec!["0"; STATE.split(", ").count()].join(", ");
    db.change(&format!(
        "insert into averages (post_id, version, {STATE}) {numbers} select {post}, {place}, {zeros} from n"
    ));
    db.change(&format!(
        "insert into history (post_id, hour, arrivals, {STATE}) {numbers} select {post}, 0, 0, {zeros} from n"
    ));
    db.change(&format!(
        "insert into users (id, username, created_at) {numbers} select {author}, {author}, {start} + i from n"
    ));
    let place_of = if world.is_embedded() {
        "cast(printf('%016d', i) as blob)"
    } else {
        "convert_to(lpad(i::text, 16, '0'), 'UTF8')"
    };
    db.change(&format!(
        "insert into audit (shard, position, post_id, decided_at, decided_by, decision, outcome)
         {numbers} select 0, {place_of}, {post}, {start} + i, {author},
             '{{\"deed\": \"freeze\", \"reason\": \"a storm\"}}',
             '{{\"before\": {{}}, \"after\": {{}}, \"touched\": 0, \"refused\": null}}' from n"
    ));
    for other in 0..RATED {
        let rater = format!("'u' || {}", number(format!("i + {other}")));
        db.change(&format!(
            "insert into ratings (post_id, user_id, score, status, lane, rated_at, position, vest_clock,
                 unvested_sum, unvested_count)
             {numbers} select {post}, {rater}, 3, 'counted', 'calm', {start} + i, {place}, 0.0, 0.0, 0.0 from n"
        ));
        db.change(&format!(
            "insert into held (post_id, user_id, score, status, rated_at, position)
             {numbers} select {post}, {rater}, 3, 'held', {start} + i, {place} from n"
        ));
    }
    if !world.is_embedded() {
        db.change("create table analyzed (done integer); analyze");
    }
}

/// A store that notes its plans.
async fn noting(world: &World) -> (Store, Plans) {
    let (database, plans) = world.database().await.noting_plans();
    (Store::open(database, 1).await.expect("the store opens"), plans)
}

#[track_caller]
fn expect_indexes(what: &str, plans: &Plans) {
    let noted = plans.take();
    assert!(!noted.is_empty(), "{what} asks something");
    for (sql, lines) in noted {
        // SQLite names a list `json_each`, or by its place in the statement; "USING" names an index.
        let is_whole = |line: &&String| {
            let line = line.trim_start_matches([' ', '-', '>']);
            let is_scan = line.starts_with("Seq Scan") || line.starts_with("SCAN") && !line.contains("USING");
            is_scan && BIG.iter().any(|table| line.split(' ').any(|word| word == *table))
        };
        let whole: Vec<&String> = lines.iter().filter(is_whole).collect();
        assert!(whole.is_empty(), "{what} reads a table whole by\n{sql}\n{}", lines.join("\n"));
    }
}

async fn hot_statements_go_by_their_indexes(world: World) {
    drop(world.store().await);
    fill(&world);
    let (store, plans) = noting(&world).await;
    plans.take();
    let posts: Vec<PostId> = (1..=20).map(|i| PostId::parse(&format!("p{:05}", i * 30)).unwrap()).collect();
    let user = UserId::parse("u00100").unwrap();
    let (at, limit) = (START.plus_ms(1_000), 50);
    macro_rules! hot {
        ($what:literal, $asked:expr) => {{
            $asked.await.unwrap();
            expect_indexes($what, &plans);
        }};
    }
    hot!("posts", store.posts(&posts));
    hot!("existing", store.existing(&posts));
    hot!("averages", store.averages(&posts));
    hot!("ratings_of", store.ratings_of(&user, &posts));
    let keys: Vec<_> = posts.iter().map(|post| (post.clone(), user.clone())).collect();
    hot!("newest_of", store.newest_of(&keys));
    hot!("held_of", store.held_of(&user, &posts));
    hot!("held_by", store.held_by(&user, None, limit));
    hot!("held_page", store.held_page(None, None, limit, false));
    hot!("held_page of a post", store.held_page(Some(&posts[0]), None, limit, true));
    hot!("held_before", store.held_before(at, limit));
    hot!("ratings_page", store.ratings_page(&posts[0], None, limit));
    hot!("page by new", store.page(Sort::New, None, None, limit));
    hot!("page by top", store.page(Sort::Top, None, None, limit));
    let after = PageKey::New(at, posts[0].clone());
    hot!("a later page", store.page(Sort::New, None, Some(&after), limit));
    hot!("page of an author", store.page(Sort::New, Some(&user), None, limit));
    hot!("best of an author", store.page(Sort::Top, Some(&user), None, limit));
    hot!("moving by gap", store.moving(Motion::Gap, None, limit));
    hot!("moving by weight", store.moving(Motion::PhasingIn, Some(&(9.0, posts[0].clone())), limit));
    hot!("beginning with", store.beginning_with("p000", limit));
    hot!("oldest held", store.oldest_held(None, None, limit));
    hot!("oldest held of a post", store.oldest_held(Some(&posts[0]), Some(&(at, keys[0].clone())), limit));
    hot!("count_held", store.count_held(limit));
    hot!("history between", store.history_between(&posts[0], (START, at), 96));
    hot!("session", store.session("none"));
    hot!("audit", store.audit_page(None, None, None, limit));
    hot!("audit of a moderator", store.audit_page(None, Some(&user), None, limit));
    hot!("frozen", store.frozen());
    hot!("alerted", store.alerted(None, limit));
    hot!("untold", store.untold(limit));
    hot!("history", store.history(&posts[0], at, 200));
    hot!("changed", store.changed(Shard(0), Position::START, Position::new(0, 9), 500));
    hot!("users", store.users(None, limit));
    let lines = posts.iter().zip(1..).map(|(post, i)| {
        let mut entry = Entry::new(post.clone(), user.clone(), at, Action::Withdraw);
        entry.origin = Some(Position::new(0, i));
        Line { position: Position::new(0, i), entry: Ok(entry) }
    });
    let batch = Batch::of(Shard(0), Position::START, lines.collect()).unwrap();
    hot!("load", store.load(&batch));
    let params = Params::new(&Knobs::default()).unwrap();
    hot!("rerank", store.rerank((at, &params), limit));
}
