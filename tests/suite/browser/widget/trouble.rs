//! What the widget does when a rating is not taken: limits, servers that are away, tokens.

use serde_json::json;

use super::{Stage, WIDGET, own};
use crate::identity::{keyed, seconds, sign, token};
use crate::support::until;
use crate::support::world::World;

#[test]
fn beyond_a_limit_the_rating_is_sent_again_by_itself() {
    const PER_MINUTE: usize = 6;
    let stage = Stage::set(World::embedded().with("limits.ratings_per_minute_per_user", PER_MINUTE));
    let api = stage.api();
    api.create("heat");
    stage.open("lang=en", WIDGET);
    stage.says("own", "No rating from you");
    // All that the user may send, and what comes back meanwhile.
    let rate = || api.post("/api/posts/heat/rate", &json!({"user_id": "ann", "score": 1}));
    until("the limit to be reached", || rate().status == 429);
    stage.click("[data-score='5']");
    stage.says("error", "Too many ratings in a minute");
    stage.says("own", "Your rating: 5, counts from");
    assert_eq!(stage.browser.text_of("damper-rating >>> [part=error]"), "");
    assert_eq!(own(&api, "ann")["score"], 5);
    let errors = stage.heard("damper-error");
    assert!(errors[0]["status"] == 429 && errors[0]["type"] == "/problems/rate-limited", "{errors:?}");
}

#[test]
fn while_the_servers_are_away_the_rating_waits_in_the_page() {
    let stage = Stage::set(World::servers().with("buffer.append_timeout_ms", 300));
    let api = stage.api();
    api.create("heat");
    stage.open("lang=en", WIDGET);
    stage.says("own", "No rating from you");
    stage.world.redis().pause();
    stage.click("[data-score='4']");
    stage.says("own", "Your rating: 4, being saved");
    stage.says("error", "The ratings do not answer. Trying again in a moment.");
    stage.browser.picture("widget-away");
    stage.world.redis().resume();
    stage.click("[part=retry]");
    stage.says("own", "Your rating: 4, counts from");
    // Reads have a connection of their own, which may be back later than that of appends.
    let kept = json!({"score": 4, "pending": true});
    until("readers to see waiting ratings again", || own(&api, "ann") == kept);
    assert_eq!(stage.heard("damper-error")[0]["status"], 503);
}

#[test]
fn a_token_names_the_visitor_however_the_page_gives_it() {
    let stage = Stage::set(keyed(World::embedded()));
    let api = stage.api();
    let ann = api.with_token(&token("ann", &[]));
    ann.post("/api/posts", &json!({"id": "heat", "title": "Heat"})).expect(201);
    let own = || ann.get("/api/posts/heat").expect(200)["my_rating"]["score"].clone();
    let run = |script: &str, given: &str| {
        let script = format!("const at = document.querySelector('damper-rating'); {script}");
        stage.browser.run(&script, json!([given]))
    };
    stage.open("lang=en", "<damper-rating post=heat></damper-rating>");
    stage.says("own", "No rating from you");
    // Without one, the page is asked to sign its visitor in.
    stage.click("[data-score='5']");
    stage.says("error", "Sign in to rate");
    assert_eq!(stage.heard("damper-sign-in").len(), 1);
    run("at.token = arguments[0]", &token("ann", &[]));
    stage.click("[data-score='3']");
    stage.says("own", "Your rating: 3, counts from");
    assert_eq!(own(), 3);
    run("at.token = undefined; at.setAttribute('token', arguments[0])", &token("bob", &[]));
    stage.says("own", "No rating from you");
    stage.assert_clean();
    // A callback is asked once more when its token is refused.
    let stale = sign(&json!({"sub": "ann", "exp": seconds() - 600}));
    let callback = "window.asked = []; const [old, fresh] = arguments[0].split(' ');
        at.removeAttribute('token');
        at.token = async (isAgain) => { asked.push(isAgain); return isAgain ? fresh : old; }";
    run(callback, &format!("{stale} {}", token("ann", &[])));
    stage.says("own", "Your rating: 3");
    assert_eq!(stage.browser.run("return asked", json!([])), json!([false, true]));
    stage.click("[data-score='1']");
    until("a 1", || own() == 1);
    stage.says("own", "Your rating: 1, counts from");
    // With a stale one only, it is shown to anybody, and asks for a better one to rate.
    run("at.token = arguments[0]", &stale);
    stage.says("own", "No rating from you");
    stage.click("[data-score='2']");
    stage.says("error", "Sign in to rate");
    assert_eq!(own(), 1);
}
