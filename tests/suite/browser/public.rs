//! The public listener's pages: `/`, `/demo`, `/docs` and `/widget.js`.

use serde_json::json;

use crate::identity::{keyed, token};
use crate::support::axe::assert_accessible;
use crate::support::browser::{Browser, Scheme};
use crate::support::http::{Answer, Http};
use crate::support::until_some;
use crate::support::world::World;

/// A page's HTML, in bytes.
const HTML_BYTES_MAX: usize = 60 << 10;
/// Titles that a page must survive.
const TITLES: [(&str, &str); 4] = [
    ("plain", "Harbour Lights"),
    ("markup", "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>&amp;"),
    ("arabic", "مراجعة طويلة جدا عن قنبلة التقييم"),
    ("a~b:c@d+e=f|g", "An id of every kind of character"),
];

/// Whether the page scrolls sideways.
fn is_too_wide(browser: &Browser) -> bool {
    browser.run("return document.documentElement.scrollWidth > innerWidth", json!([])) == true
}

fn create(api: &Http, id: &str, title: &str) {
    api.post("/api/posts", &json!({"id": id, "title": title})).expect(201);
}

#[test]
fn every_page_fits_is_clean_and_can_be_used_by_everybody() {
    let world = World::embedded();
    let service = world.start_api();
    let api = service.http();
    let emoji = "🎬".repeat(300);
    create(&api, "emoji", &emoji);
    for (id, title) in TITLES {
        create(&api, id, title);
    }
    let browser = Browser::start();
    for page in ["/", "/demo"] {
        for scheme in Scheme::ALL {
            for (width, height) in [(360, 740), (1280, 800)] {
                let name = format!("public{}-{}-{width}", page.replace('/', "-"), scheme.name());
                browser.prefer(scheme);
                browser.resize(width, height);
                browser.open(&format!("http://{}{page}", api.address()));
                if page == "/demo" {
                    browser.until(
                        "every widget to show its post",
                        "[...document.querySelectorAll('damper-rating')]
                        .every((at) => at.shadowRoot.querySelector('[part=count]').textContent)",
                    );
                }
                assert!(!is_too_wide(&browser), "{name} scrolls sideways");
                assert_accessible(&browser, &name);
                browser.picture(&name);
                browser.assert_clean(&[api.address()]);
            }
        }
    }
}

#[test]
fn a_visitor_of_an_empty_damper_makes_posts_rates_and_sees_it_count() {
    let world = World::embedded();
    let service = world.start_api();
    let api = service.http();
    let browser = Browser::start();
    browser.open(&format!("http://{}/", api.address()));
    browser.until_text(".state", "All is well");
    browser.find("a[href='/demo']").click();
    browser.find("#create").click();
    let first = "damper-rating[post=demo-lantern]";
    browser.until_text(&format!("{first} >>> [part=count]"), "No ratings yet");
    browser.find(&format!("{first} >>> [data-score='4']")).click();
    browser.until_text(&format!("{first} >>> [part=own]"), "Your rating: 4, counts from");
    let name = browser.text_of("#name");
    assert_eq!(api.post_as("demo-lantern", &name)["my_rating"]["score"], 4);
    world.flush();
    // The page follows by itself.
    browser.until_text(&format!("{first} >>> [part=count]"), "1 rating");
    browser.until("the own rating to count", &format!(
        "document.querySelector('{first}').shadowRoot.querySelector('[part=own]').textContent === 'Your rating: 4'"));
    browser.find("#other").click();
    browser.until_text(&format!("{first} >>> [part=own]"), "No rating from you");
    browser.assert_clean(&[api.address()]);
}

#[test]
fn with_keys_a_visitor_rates_by_a_token() {
    let world = keyed(World::embedded());
    let service = world.start_api();
    let api = service.http();
    let ann = api.with_token(&token("ann", &[]));
    ann.post("/api/posts", &json!({"id": "hello", "title": "Hello"})).expect(201);
    let browser = Browser::start();
    browser.open(&format!("http://{}/demo", api.address()));
    browser.find("damper-rating >>> [data-score='5']").click();
    browser.until_text("damper-rating >>> [part=error]", "Sign in to rate");
    browser.find("#token").keys(&token("ann", &[]));
    browser.find("form button").click();
    browser.find("damper-rating >>> [data-score='5']").click();
    browser.until_text("damper-rating >>> [part=own]", "Your rating: 5, counts from");
    assert_eq!(ann.get("/api/posts/hello").expect(200)["my_rating"]["score"], 5);
    browser.assert_clean(&[api.address()]);
}

#[test]
fn pages_say_what_they_can_without_scripts() {
    let world = World::embedded();
    let service = world.start_api();
    let api = service.http();
    create(&api, "hello", "Hello");
    let browser = Browser::start();
    browser.scripting(false);
    browser.open(&format!("http://{}/demo", api.address()));
    let picture = api.get("/demo").text;
    assert!(picture.contains("<noscript><img src=\"/api/posts/hello/badge.svg\""), "{picture}");
    let requests = until_some("the badge to be asked for", || {
        let requests = browser.requests();
        requests.iter().any(|url| url.ends_with("/api/posts/hello/badge.svg")).then_some(requests)
    });
    assert!(!requests.iter().any(|url| url.contains("/api/events")), "{requests:?}");
}

#[test]
fn the_docs_are_read_without_the_admin_listener() {
    let world = World::embedded();
    let service = world.start_api();
    let api = service.http();
    let browser = Browser::start();
    browser.open(&format!("http://{}/docs/", api.address()));
    browser.until_text("#swagger-ui", "/api/posts/{id}/rate");
    assert!(
        !browser.text_of("#swagger-ui").contains("/api/admin"),
        "operators' calls are no stranger's business"
    );
    browser.assert_clean(&[api.address()]);
}

/// Checks that an answer says how it may be kept, and that asking again costs no body.
#[track_caller]
fn assert_kept(api: &Http, path: &str, caching: &str) -> Answer {
    let answer = api.get(path);
    assert_eq!((answer.status, answer.header("cache-control")), (200, caching), "{path}");
    let etag = answer.header("etag").to_owned();
    if !etag.is_empty() {
        let again = api.send("GET", path, &[("if-none-match", &etag)], None);
        assert_eq!((again.status, again.text.as_str()), (304, ""), "{path}");
    }
    answer
}

#[test]
fn pages_are_small_kept_and_held_to_a_policy() {
    let world = World::embedded();
    let service = world.start_api();
    let api = service.http();
    for page in ["/", "/demo"] {
        let answer = assert_kept(&api, page, "no-cache");
        assert!(!answer.header("etag").is_empty() && answer.text.len() < HTML_BYTES_MAX);
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let assets = answer.text.split('"').filter(|text| text.starts_with("/assets/"));
        for asset in assets {
            assert_kept(&api, asset, "public, max-age=31536000, immutable");
        }
    }
    let caching = "public, max-age=3600, stale-while-revalidate=86400";
    let script = assert_kept(&api, "/widget.js", caching);
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(script.header("cross-origin-resource-policy"), "cross-origin");
    let packed = api.send("GET", "/widget.js", &[("accept-encoding", "gzip")], None);
    assert_eq!(packed.header("content-encoding"), "gzip");
}

#[test]
fn a_page_says_when_its_servers_are_away() {
    let world = World::servers();
    let service = world.start_api();
    let api = service.http();
    world.redis().pause();
    // What was seen a moment ago is not asked again.
    until_some("the page to say so", || {
        let home = api.get("/");
        assert_eq!(home.status, 200);
        home.text.contains("Not well.").then_some(())
    });
    world.redis().resume();
    until_some("the page to be well again", || api.get("/").text.contains("All is well.").then_some(()));
}
