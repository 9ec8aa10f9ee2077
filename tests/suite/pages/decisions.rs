//! What is decided by forms is what the API decides, and the pages say what came of it.

use serde_json::{Value, json};

use super::Visitor;
use crate::support::http::Http;
use crate::support::in_both_setups;
use crate::support::process::Process;
use crate::support::world::World;

in_both_setups!(
    a_bomb_is_excluded_and_taken_back,
    held_ratings_are_decided_one_many_and_all,
    a_policy_is_set_and_says_when_nothing_changes,
    the_quarantine_is_retried_and_dropped,
    lists_are_found_sorted_and_turned,
);

/// A moment some hours ago, as a form sends it.
pub fn hours_ago(hours: i64) -> String {
    (chrono::Utc::now() - chrono::TimeDelta::hours(hours)).format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// 200 ratings of `film` over three months, up to a week ago, as lines of an import.
pub fn calm() -> String {
    let begin = chrono::Utc::now().timestamp() - 100 * 86_400;
    (0..200).map(|i| format!("film,u{i},{},{}\n", 3 + i % 3, begin + i * 40_000)).collect()
}

/// 150 zeros of `film` at the beginning of one clock hour, one to three hours ago, as lines of an import. The pages
/// offer whole hours, so a bomb over two of them would be offered in halves.
pub fn bomb() -> String {
    let begin = (chrono::Utc::now().timestamp() / 3_600 - 2) * 3_600;
    (0..150).map(|i| format!("film,b{i},0,{}\n", begin + i * 10)).collect()
}

/// An established post and a bomb, all of it merged.
pub fn bombed(world: &World) -> (Process, Visitor) {
    world.import(&(calm() + &bomb()));
    world.flush();
    let service = world.start_api();
    let visitor = Visitor::admin(&service);
    (service, visitor)
}

fn figures(api: &Http) -> Value {
    let post = api.read("film");
    json!([post["average"], post["raw_average"], post["count"]])
}

fn a_bomb_is_excluded_and_taken_back(world: World) {
    let (service, visitor) = bombed(&world);
    let api = service.http();
    let before = figures(&api);
    let home = visitor.page("/");
    assert!(
        home.contains("href=\"/posts/film\"") && home.contains("<span class=\"flag\">"),
        "it needs a look: {home}"
    );
    let (from, to) = (hours_ago(3), hours_ago(1));
    let page = visitor.page(&format!("/posts/film?from={from}&to={to}&score=0"));
    assert!(page.contains("Exclude 150 ratings") && page.contains("class=\"ghost\""), "{page}");
    assert!(page.contains("had never rated before</dt><dd>100 %"), "{page}");
    assert_eq!(figures(&api), before, "a preview changes nothing");
    let window = [("from", from.as_str()), ("to", to.as_str()), ("score", "0"), ("reason", "a bomb")];
    let said = visitor.act("/posts/film/exclude", &window);
    assert!(said.contains("150 ratings excluded"), "{said}");
    let post = api.read("film");
    assert_eq!((post["count"].as_u64(), post["histogram"][0].as_u64()), (Some(200), Some(0)));
    let page = visitor.page("/posts/film?range=7d");
    assert!(page.contains("class=\"shade\"") && page.contains("a bomb"), "{page}");
    let id = page
        .split("name=\"exclusion\" value=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("an id");
    let said = visitor.act("/posts/film/undo", &[("exclusion", id), ("reason", "a mistake")]);
    assert!(said.contains("150 ratings restored"), "{said}");
    assert_eq!(figures(&api)[2], before[2]);
    let audit = visitor.page("/audit?post=film&by=admin");
    assert!(audit.contains("undo the exclusion") && audit.contains("exclude scores 0"), "{audit}");
    assert!(visitor.page("/audit?by=nobody").contains("No decision matches"));
    for (field, value) in
        [("from", ""), ("to", "yesterday"), ("to", "2999-01-01T00:00"), ("score", "7"), ("reason", " ")]
    {
        let wrong = window.map(|(name, old)| (name, if name == field { value } else { old }));
        let said = visitor.act("/posts/film/exclude", &wrong);
        assert!(!said.contains("excluded"), "{field} {value}: {said}");
    }
    assert_eq!(world.db().count("select count(*) from audit"), 2, "nothing of these was decided");
    assert!(
        visitor.act("/posts/film/undo", &[("exclusion", id), ("reason", "again")]).contains("undone already")
    );
    world.assert_consistent();
}

fn held_ratings_are_decided_one_many_and_all(world: World) {
    let world = world.with("moderation.hold", "always");
    let service = world.start_api();
    let (api, visitor) = (service.http(), Visitor::admin(&service));
    for post in ["a", "b"] {
        api.create(post);
        for (user, score) in [("ann", 5), ("bob", 0), ("eve", 0), ("joe", 4)] {
            api.rate(post, user, score);
        }
    }
    assert!(visitor.act("/flush", &[]).contains("Merged 8 entries"));
    let page = visitor.page("/held");
    assert_eq!(page.matches("name=\"pick\"").count(), 8, "{page}");
    assert!(
        page.contains("Held <span class=\"count\">8</span>") && page.contains("counts in 2 d 23 h"),
        "{page}"
    );
    let home = visitor.page("/");
    assert!(home.contains("held 4, oldest"), "posts with held ratings need a look: {home}");
    let picks = [("pick", "a ann 5"), ("pick", "b ann 5"), ("pick", "a bob 3"), ("pick", "a nobody 1")];
    let said = visitor.act("/held", &[&picks[..], &[("verdict", "approve"), ("reason", "fine")]].concat());
    assert!(
        said.contains("2 ratings approved, 1 changed since you saw the score, and still held, 1 refused"),
        "{said}"
    );
    assert_eq!(api.read("a")["count"], 1);
    let all = [("score", "0"), ("verdict", "reject"), ("reason", "the storm")];
    assert!(visitor.act("/posts/a/held", &all).contains("2 ratings rejected"));
    assert_eq!(visitor.page("/posts/a").matches("name=\"pick\"").count(), 1);
    assert!(visitor.act("/held", &[("verdict", "approve"), ("reason", "x")]).contains("nothing is selected"));
    assert!(
        visitor
            .act("/held", &[("pick", "a joe 4"), ("verdict", "burn"), ("reason", "x")])
            .contains("approve or reject")
    );
    assert!(visitor.act("/held", &[("pick", "a joe 4"), ("verdict", "approve")]).contains("reason"));
    let said = visitor.act(
        "/held",
        &[("pick", "a joe 4"), ("verdict", "reject"), ("reason", "x"), ("back", "//evil.example")],
    );
    assert!(said.contains("1 rating rejected"), "{said}");
    world.assert_consistent();
}

fn a_policy_is_set_and_says_when_nothing_changes(world: World) {
    let service = world.start_api();
    let (api, visitor) = (service.http(), Visitor::admin(&service));
    api.create("p");
    let set = |hold: &str, frozen: &str| {
        visitor.act("/posts/p/policy", &[("hold", hold), ("frozen", frozen), ("reason", "a storm")])
    };
    assert!(set("always", "yes").contains("Done"));
    api.post("/api/posts/p/rate", &json!({"user_id": "ann", "score": 1})).problem(423, "post-frozen");
    let page = visitor.page("/posts/p");
    assert!(page.contains("value=\"always\" checked") && page.contains("value=\"yes\" checked"), "{page}");
    assert!(set("always", "yes").contains("nothing was decided"));
    assert!(set("sometimes", "no").contains("hold is default, off, surge or always"));
    assert!(set("default", "no").contains("Done"));
    api.rate("p", "ann", 1);
    assert_eq!(visitor.get("/posts/none").status, 404);
}

fn the_quarantine_is_retried_and_dropped(world: World) {
    let service = world.start_api();
    let visitor = Visitor::admin(&service);
    assert!(visitor.page("/system").contains("every entry could be read and applied"));
    let blob = if world.is_embedded() {
        "x'00000000000000000000000000000007'"
    } else {
        "decode('00000000000000000000000000000007', 'hex')"
    };
    let payload =
        if world.is_embedded() { "cast('1 r <b> x' as blob)" } else { "convert_to('1 r <b> x', 'UTF8')" };
    world.db().change(&format!(
        "insert into quarantine (shard, position, reason, payload) values (0, {blob}, 'no <i>', {payload})"
    ));
    let page = visitor.page("/system?doctor=1");
    assert!(page.contains("0/0-7") && page.contains("&#60;b&#62;") && !page.contains("<b> x"), "{page}");
    assert!(
        visitor
            .act("/system/quarantine", &[("id", "0/0-7"), ("act", "retry")])
            .contains("stays in the quarantine")
    );
    assert!(visitor.act("/system/quarantine", &[("id", "0/0-7"), ("act", "drop")]).contains("is gone"));
    assert!(
        visitor
            .act("/system/quarantine", &[("id", "0/0-7"), ("act", "drop")])
            .contains("no longer in the quarantine")
    );
    assert!(
        visitor.act("/system/quarantine", &[("id", "x"), ("act", "drop")]).contains("no quarantined entry")
    );
}

fn lists_are_found_sorted_and_turned(world: World) {
    let lines: String = (0..60).map(|i| format!("film{i:02},u,{},1700000000\n", i % 6)).collect();
    world.import(&lines);
    world.flush();
    let service = world.start_api();
    let (api, visitor) = (service.http(), Visitor::admin(&service));
    for (id, title) in [("x1", "Heat"), ("x2", "heathers"), ("X3", "The Heat"), ("p%", "100% of it_")] {
        api.post("/api/posts", &json!({"id": id.replace('%', "~"), "title": title})).expect(201);
    }
    let found = |search: &str| {
        let page = visitor.page(&format!("/posts?search={search}"));
        page.split("<td class=\"title\"><a href=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found("hEaT"), ["/posts/x1", "/posts/x2"]);
    assert_eq!(found("film1").len(), 10);
    assert_eq!(found("100%25"), ["/posts/p~"]);
    assert_eq!(found("%25"), Vec::<String>::new(), "nothing stands for anything");
    let (mut path, mut seen) = ("/posts?sort=top".to_owned(), Vec::new());
    loop {
        let page = visitor.page(&path);
        seen.extend(
            page.split("<td class=\"title\"><a href=\"")
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap_or_default().to_owned()),
        );
        let Some(next) = page.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next())
        else {
            break;
        };
        path = next.replace("&#38;", "&").replace("&amp;", "&");
    }
    assert_eq!(seen.len(), 64);
    seen.dedup();
    assert_eq!(seen.len(), 64, "each once");
    for sort in ["shift", "phasing", "new"] {
        visitor.page(&format!("/posts?sort={sort}"));
    }
    for wrong in ["/posts?sort=worst", "/posts?cursor=zz", "/posts?sort=top&cursor=6e2031206131"] {
        let answer = visitor.get(wrong);
        assert_eq!(answer.status, 422, "{wrong}");
        assert!(answer.text.starts_with("<!doctype html>"), "{}", answer.text);
    }
}
