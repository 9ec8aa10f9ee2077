//! The dashboard in a browser: a moderator's walk by mouse, and every page on small and large screens, light and dark.

use serde_json::json;

use crate::identity::admin_token::told;
use crate::pages::decisions::{bomb, bombed, calm, hours_ago};
use crate::support::axe::assert_accessible;
use crate::support::browser::{Browser, Scheme, key};
use crate::support::process::Process;
use crate::support::world::World;

/// Signs in on the first page.
fn sign_in(browser: &Browser, service: &Process, token: &str) {
    browser.open(&format!("http://{}/", service.admin().address()));
    browser.find("#token").keys(&format!("{token}{}", key::ENTER));
    browser.until_text("#cards", "Waiting");
}

fn new_token(world: &World) -> String {
    world.cli(&["admin-token"]).expect(0).out.trim_end().to_owned()
}

#[test]
fn a_moderator_sees_a_bomb_arrive_excludes_it_and_takes_it_back() {
    let world = World::embedded();
    world.import(&calm());
    world.flush();
    let service = world.start_api();
    let (api, browser) = (service.http(), Browser::start());
    // So that the picture of the preview has the whole panel.
    browser.resize(1280, 880);
    sign_in(&browser, &service, &told(&service).expect("a token"));
    browser.until_text("#look", "Nothing");
    // It arrives while the page is open.
    world.import(&bomb());
    browser.until_text("#cards", "150");
    browser.find("form[action='/flush'] button").click();
    browser.until_text("#note", "Merged 150 entries");
    browser.until_text("#look", "film");
    browser.find("#look a[href='/posts/film']").click();
    browser.until_text("h1", "film");
    browser.find(".tabs a[href='/posts/film?range=24h']").click();
    browser.until(
        "the day's chart",
        "location.search === '?range=24h' && document.querySelector('svg.chart.wide .hit')",
    );
    browser.run("document.querySelector('#chart').scrollIntoView()", json!([]));
    // Drags over the last five hours of the day.
    let [x, y, width, height] = browser.find("svg.chart.wide .hit").place();
    browser.hover((x + width / 2, y + height / 2));
    browser.until_text("#readout", "published");
    browser.drag((x + width * 19 / 24, y + height / 2), (x + width - 2, y + height / 2));
    browser.until_text("#selection", "Exclude 150 ratings");
    browser.until("the ghost", "document.querySelector('svg.chart.wide path.ghost')");
    assert_eq!(api.read("film")["count"], 350, "a preview changes nothing");
    browser.picture("dashboard-preview");
    browser.find("#selection form[method=post] input[name=reason]").keys("a review bomb");
    browser.find("#selection form[method=post] button").click();
    browser.until_text("#note", "150 ratings excluded");
    browser.until_text("#exclusions", "a review bomb");
    assert_eq!(api.read("film")["count"], 200);
    browser.find("#exclusions input[name=reason]").keys("a mistake");
    browser.find("#exclusions form button").click();
    browser.until_text("#note", "150 ratings restored");
    browser.until_text("#exclusions", "undone");
    assert_eq!(api.read("film")["count"], 350);
    // A hold, and a verdict on what it keeps.
    browser.find("#policy input[name=hold][value=always]").click();
    browser.find("#policy input[name=reason]").keys("a storm");
    browser.find("#policy form button").click();
    browser.until_text("#note", "Done");
    api.rate("film", "late", 4);
    world.flush();
    browser.until_text("#held", "late");
    browser.find("#held input[name=pick]").click();
    browser.find("#held form[action='/held'] input[name=reason]").keys("honest");
    browser.find("#held form[action='/held'] button[value=approve]").click();
    browser.until_text("#note", "1 rating approved");
    assert_eq!(api.read("film")["count"], 351);
    browser.assert_clean(&[service.admin().address()]);
    browser.find(".who button").click();
    browser.find("#token");
    world.assert_consistent();
}

#[test]
fn every_page_fits_is_clean_and_can_be_used_by_everybody() {
    let world = World::embedded();
    let (service, _) = bombed(&world);
    let api = service.http();
    for (id, title) in [
        ("emoji", "🎬".repeat(300)),
        ("rtl", "מלחמת הכוכבים: אחרוני הג׳דיי".into()),
        ("none", "Nothing yet".into()),
    ] {
        api.post("/api/posts", &json!({"id": id, "title": title})).expect(201);
    }
    world.cli(&["status"]).expect(0);
    let browser = Browser::start();
    sign_in(&browser, &service, &new_token(&world));
    let (from, to) = (hours_ago(3), hours_ago(1));
    let film = format!("/posts/film?range=7d&from={from}&to={to}&score=0");
    let pages = [
        "/",
        "/posts",
        &film,
        "/posts/emoji",
        "/posts/rtl",
        "/posts/none",
        "/held",
        "/audit",
        "/system",
        "/nothing",
    ];
    for page in pages {
        for scheme in Scheme::ALL {
            for (width, height) in [(360, 740), (1280, 900)] {
                let short = page.split('?').next().unwrap_or_default().replace('/', "-");
                let name = format!("dashboard{short}-{}-{width}", scheme.name());
                browser.prefer(scheme);
                browser.resize(width, height);
                browser.open(&format!("http://{}{page}", service.admin().address()));
                browser.find("main");
                let wide = browser.run("return document.documentElement.scrollWidth > innerWidth", json!([]));
                assert_eq!(wide, false, "{name} scrolls sideways");
                browser.picture(&name);
                assert_accessible(&browser, &name);
                let faults: Vec<String> =
                    browser.console().into_iter().filter(|line| !line.contains("404")).collect();
                assert!(
                    faults.is_empty() && browser.reports().is_empty(),
                    "{name}: {faults:?} {:?}",
                    browser.reports()
                );
                browser.assert_stays(&[service.admin().address()]);
            }
        }
    }
}

#[test]
fn the_walk_needs_no_script() {
    let world = World::embedded();
    let (service, _) = bombed(&world);
    let browser = Browser::start();
    browser.scripting(false);
    sign_in(&browser, &service, &new_token(&world));
    browser.find("#look a[href='/posts/film']").click();
    browser.find("#selection a[data-select]").click();
    browser.until_text("#selection", "Exclude 150 ratings");
    browser.find("#selection form[method=post] input[name=reason]").keys(&format!("a bomb{}", key::ENTER));
    browser.until_text("#note", "150 ratings excluded");
    assert_eq!(service.http().read("film")["count"], 200);
}
