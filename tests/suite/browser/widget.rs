//! `<damper-rating>` on a page of another site, which has a strict policy: by mouse, by keyboard, in every state.

mod states;
mod trouble;

use serde_json::{Value, json};

use crate::support::browser::{Browser, key};
use crate::support::http::Http;
use crate::support::process::Process;
use crate::support::site::Site;
use crate::support::until;
use crate::support::world::World;

/// Damper, and a page of another site that may call it.
struct Stage {
    world: World,
    service: Process,
    site: Site,
    browser: Browser,
}

impl Stage {
    /// Starts both.
    fn set(world: World) -> Self {
        let site = Site::start();
        let world = world.with("api.cors_origins", format!("[\"{}\"]", site.origin()));
        let service = world.start_api();
        Self { world, service, site, browser: Browser::start() }
    }

    fn api(&self) -> Http {
        self.service.http()
    }

    /// Opens a page with `body`, in the language and direction of `html`.
    fn open(&self, html: &str, body: &str) {
        let damper = self.service.http().address().to_owned();
        let policy = format!(
            "content-security-policy: default-src 'none'; script-src http://{damper}; connect-src http://{damper}; \
             img-src 'self' http://{damper}; style-src 'self'; base-uri 'none'; require-trusted-types-for 'script'"
        );
        let page = format!(
            "<!doctype html><html {html}><meta charset=utf-8><meta name=color-scheme content='light dark'>
             <link rel=stylesheet href=/page.css><meta name=viewport content='width=device-width'><title>A site</title>
             <main><h1>A site</h1>{body}</main><script src='http://{damper}/widget.js' defer></script></html>"
        );
        self.site.put("/", &["content-type: text/html; charset=utf-8", &policy], &page);
        let style = "body { background: Canvas; color: CanvasText; font: 16px sans-serif }";
        self.site.put("/page.css", &["content-type: text/css"], style);
        self.browser.open(&format!("{}/", self.site.origin()));
        // What widgets say is kept.
        let listen = "window.heard = []; for (const name of ['rated', 'error', 'sign-in'])
            addEventListener(`damper-${name}`, (event) => heard.push([event.type, event.detail]))";
        self.browser.run(listen, json!([]));
    }

    /// The details of the events of that name so far.
    fn heard(&self, name: &str) -> Vec<Value> {
        let heard = self.browser.run("return heard", json!([]));
        let heard: Vec<(String, Value)> = serde_json::from_value(heard).expect("events");
        heard.into_iter().filter(|(kind, _)| kind == name).map(|(_, detail)| detail).collect()
    }

    /// Waits until the only widget's part contains `text`.
    #[track_caller]
    fn says(&self, part: &str, text: &str) {
        self.browser.until_text(&format!("damper-rating >>> [part={part}]"), text);
    }

    #[track_caller]
    fn click(&self, part: &str) {
        self.browser.find(&format!("damper-rating >>> {part}")).click();
    }

    /// Checks that the page broke no rule.
    #[track_caller]
    fn assert_clean(&self) {
        self.browser.assert_clean(&[self.site.address(), self.api().address()]);
    }
}

/// The own rating of a user, as the API shows it.
fn own(api: &Http, user: &str) -> Value {
    api.post_as("heat", user)["my_rating"].clone()
}

const WIDGET: &str = "<damper-rating post=heat user=ann></damper-rating>";

#[test]
fn a_visitor_rates_by_mouse_and_takes_it_back() {
    let stage = Stage::set(World::embedded());
    let api = stage.api();
    api.create("heat");
    stage.open("lang=en", WIDGET);
    stage.says("count", "No ratings yet");
    stage.says("own", "No rating from you");
    stage.click("[data-score='4']");
    stage.says("own", "Your rating: 4, counts from");
    assert_eq!(own(&api, "ann"), json!({"score": 4, "pending": true}));
    stage.click("[data-score='0']");
    stage.says("own", "Your rating: 0, counts from");
    assert_eq!(own(&api, "ann"), json!({"score": 0, "pending": true}));
    let heard = stage.heard("damper-rated");
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0]["post"] == "heat" && heard[0]["score"] == 4 && heard[0]["countsFrom"].is_string());
    stage.world.flush();
    stage.browser.run("document.querySelector('damper-rating').reload()", json!([]));
    stage.says("count", "1 rating · 1 being phased in");
    stage.says("average", "0.0");
    stage.click("[part=take-back]");
    stage.says("own", "Your rating is taken back, from");
    assert_eq!(own(&api, "ann"), json!({"score": null, "pending": true}));
    stage.world.flush();
    assert_eq!(own(&api, "ann"), Value::Null);
    stage.assert_clean();
}

#[test]
fn a_visitor_rates_by_keyboard_alone() {
    let stage = Stage::set(World::embedded());
    let (api, browser) = (stage.api(), &stage.browser);
    api.create("heat");
    stage.open("lang=en", WIDGET);
    stage.says("own", "No rating from you");
    let is = |score: i64| {
        until(&format!("a {score}"), || own(&api, "ann")["score"] == score);
        stage.says("own", &format!("Your rating: {score}, counts from"));
        let checked = browser.run(
            "const at = document.querySelector('damper-rating').shadowRoot;
             return [at.querySelectorAll('[aria-checked=true]').length, at.activeElement.dataset.score,
                     at.querySelectorAll('[role=radio][tabindex=\"0\"]').length]",
            json!([]),
        );
        assert_eq!(
            checked,
            json!([1, score.to_string(), 1]),
            "one is chosen, has the focus, and is reached by tab"
        );
    };
    // The group is one stop; the chosen score follows the arrows, and only the last one is sent.
    browser.keys(key::TAB);
    browser.keys(&[key::RIGHT, key::RIGHT, key::DOWN].concat());
    is(3);
    assert_eq!(stage.heard("damper-rated").len(), 1, "what was passed by is not sent");
    browser.keys(key::END);
    is(5);
    browser.keys(key::RIGHT);
    assert_eq!(
        browser.run(
            "return document.querySelector('damper-rating').shadowRoot.activeElement.dataset.score",
            json!([])
        ),
        "5"
    );
    browser.keys(key::HOME);
    is(0);
    browser.keys("4");
    is(4);
    browser.keys(key::UP);
    // Who leaves has chosen.
    browser.keys(key::TAB);
    stage.says("own", "Your rating: 3, counts from");
    assert_eq!(own(&api, "ann")["score"], 3);
    // The next stop takes it back.
    browser.keys(key::ENTER);
    stage.says("own", "Your rating is taken back");
    browser.keys(&["2", key::DELETE].concat());
    stage.says("own", "Your rating is taken back");
    until("the last word to be the withdrawal", || {
        own(&api, "ann") == json!({"score": null, "pending": true})
    });
    stage.assert_clean();
}

#[test]
fn in_a_language_from_right_to_left_arrows_and_stars_turn_round() {
    let stage = Stage::set(World::embedded());
    let api = stage.api();
    api.create("heat");
    let words = "word-own='דירגת {score}' word-pending='דירגת {score}, נספר החל מ־{time}' word-unrated='לא דירגת' \
                 word-none='אין דירוגים' word-ratings='{count} דירוגים' word-ratings-two='שני דירוגים' word-label='דירוג'";
    stage.open("lang=he dir=rtl", &format!("<damper-rating post=heat user=ann {words}></damper-rating>"));
    stage.says("own", "לא דירגת");
    let place =
        |score: u8| stage.browser.find(&format!("damper-rating >>> [data-score='{score}']")).place()[0];
    assert!(place(5) < place(4) && place(1) < place(0), "the highest is on the left");
    stage.browser.keys(key::TAB);
    stage.browser.keys(&[key::LEFT, key::LEFT, key::LEFT, key::RIGHT].concat());
    stage.says("own", "דירגת 2, נספר החל מ");
    until("a 2", || own(&api, "ann")["score"] == 2);
    api.rate("heat", "bob", 4);
    stage.world.flush();
    stage.browser.run("document.querySelector('damper-rating').reload()", json!([]));
    // The plural form of two.
    stage.says("count", "שני דירוגים");
    stage.browser.picture("widget-rtl");
    stage.assert_clean();
}

#[test]
fn the_ten_lines_of_the_documents_work() {
    let stage = Stage::set(World::embedded());
    let api = stage.api();
    api.create("heat");
    api.rate("heat", "bob", 4);
    stage.world.flush();
    let text = include_str!("../../../docs/EMBED.md");
    let page = text.split("```html\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a page");
    let page = page.replace("https://ratings.example", &format!("http://{}", api.address()));
    stage.site.put("/", &["content-type: text/html"], &page);
    stage.browser.open(&format!("{}/", stage.site.origin()));
    stage.says("count", "1 rating");
    stage.says("average", "4.0");
    stage.assert_clean();
}

#[test]
fn a_live_widget_follows_what_others_do() {
    let stage = Stage::set(World::embedded());
    let api = stage.api();
    api.create("heat");
    stage.open("lang=en", "<damper-rating post=heat live></damper-rating>");
    stage.says("count", "No ratings yet");
    stage.browser.until(
        "the stream of events",
        "performance.getEntriesByType('resource').some((one) => one.name.endsWith('/api/posts/heat'))",
    );
    for user in ["bob", "eve"] {
        api.rate("heat", user, 3);
    }
    stage.world.flush();
    stage.says("count", "2 ratings");
    stage.says("average", "3.0");
    stage.browser.run("document.querySelector('damper-rating').remove()", json!([]));
    stage.assert_clean();
}
