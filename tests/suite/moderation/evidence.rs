//! Evidence: which ratings arrived, when and from which accounts.

use damper::model::Time;
use serde_json::{Value, json};

use super::{DAY_MS, HOUR_MS, line, moderator, put};
use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(arrivals_are_counted_by_steps_scores_and_accounts);

fn time(ms: i64) -> Value {
    json!(Time::from_ms(ms))
}

fn arrivals_are_counted_by_steps_scores_and_accounts(world: World) {
    let (world, service, admin) = moderator(world);
    let day = 1_700_006_400_000; // Midnight, 15 November 2023.
    let rated = [("old", 5, 0), ("ann", 0, 10), ("bob", 0, 70_000), ("cat", 3, HOUR_MS), ("ann", 1, DAY_MS)];
    let earlier = line("other", "old", 1, day - DAY_MS);
    world.import(&(earlier + &rated.map(|(user, score, ms)| line("p", user, score, day + ms)).concat()));
    let known = |user: &str, at: i64| {
        world.db().change(&format!(
            "insert into users (id, username, created_at) values ('{user}', '{user}', {at})"
        ));
    };
    known("bob", day - 8 * DAY_MS);
    known("cat", day - 6 * DAY_MS);
    world.flush();
    let ask = |query: &str| admin.get(&format!("/api/admin/posts/p/arrivals?{query}")).expect(200);
    let two_days = format!(
        "from={}&to={}",
        time(day).as_str().expect("a time"),
        time(day + 2 * DAY_MS).as_str().expect("a time")
    );
    let hours = ask(&two_days)["steps"].clone();
    // Only each user's latest rating counts: ann's is that of the second day.
    assert_eq!(
        hours,
        json!([
            {"at": time(day), "ratings": 2, "by_score": [1, 0, 0, 0, 0, 1], "never_rated_before": 0.5,
             "younger_than_a_week": 0.0, "known_accounts": 1},
            {"at": time(day + HOUR_MS), "ratings": 1, "by_score": [0, 0, 0, 1, 0, 0],
             "never_rated_before": 1.0, "younger_than_a_week": 1.0, "known_accounts": 1},
            {"at": time(day + DAY_MS), "ratings": 1, "by_score": [0, 1, 0, 0, 0, 0],
             "never_rated_before": 1.0, "younger_than_a_week": null, "known_accounts": 0},
        ])
    );
    let days = ask(&format!("{two_days}&by=day"))["steps"].clone();
    assert_eq!((&days[0]["ratings"], &days[1]["at"]), (&json!(3), &time(day + DAY_MS)));
    let minutes = ask(&format!("{two_days}&by=minute"))["steps"].clone();
    assert_eq!((&minutes[1]["at"], &minutes[1]["ratings"]), (&time(day + 60_000), &json!(1)));
    // Excluded and held ratings are arrivals too.
    let body = json!({"from": time(day), "to": time(day + HOUR_MS), "reason": "r"});
    admin.post("/api/admin/posts/p/exclusions", &body).expect(200);
    put(&admin, "/api/admin/posts/p/policy", &json!({"hold": "always", "reason": "r"})).expect(200);
    world.import(&line("p", "new", 2, day + 5));
    world.flush();
    let steps = ask(&two_days)["steps"].clone();
    assert_eq!((&steps[0]["ratings"], &steps[0]["by_score"][2]), (&json!(3), &json!(1)));
    assert_eq!(ask("")["steps"], json!([]), "without times it is the last three days");
    for (query, problem, parameter) in [
        ("by=week", "invalid-query", json!("by")),
        ("from=soon", "invalid-time", json!("from")),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "invalid-window", json!("from")),
        ("from=2020-01-01T00:00:00Z&by=minute", "invalid-window", json!("from")),
    ] {
        let problem_body = admin.get(&format!("/api/admin/posts/p/arrivals?{query}")).problem(422, problem);
        assert_eq!(problem_body["parameter"], parameter, "{query}: {problem_body}");
    }
    admin.get("/api/admin/posts/none/arrivals").problem(404, "not-found");
    drop(service);
}
