//! Every state of the widget at once: what it says, that everybody can use it, and how it looks.

use serde_json::{Value, json};

use super::Stage;
use crate::identity::admin_token::told;
use crate::support::axe::assert_accessible;
use crate::support::browser::Scheme;
use crate::support::http::JSON;
use crate::support::world::World;

/// The posts of the page, with what their widgets are given.
const STATES: [(&str, &str); 9] = [
    ("fresh", "user=ann"),
    ("rated", "user=ann"),
    ("pending", "user=ann"),
    ("held", "user=ann"),
    ("frozen", "user=ann"),
    ("crowded", "user=ann"),
    ("shown", "readonly post=rated"),
    ("half", "readonly"),
    ("missing", "user=ann"),
];

/// Damper with a post for every state but the missing one.
fn stage() -> Stage {
    let old = "rated,ann,4,1700000000\nrated,bob,5,1700000001\nrated,eve,3,1700000002\n\
               half,ann,4,1700000000\nhalf,bob,3,1700000001\nfrozen,ann,5,1700000000\n";
    let crowd: String = (0..480).map(|i| format!("crowded,u{i},{},{}\n", i % 2, 1_700_000_000 + i)).collect();
    let world = World::embedded();
    world.import(&format!("{old}{crowd}"));
    world.flush();
    let stage = Stage::set(world);
    let api = stage.api();
    for post in ["fresh", "pending", "held"] {
        api.create(post);
    }
    let admin = stage.service.admin().with_token(&told(&stage.service).expect("a token"));
    for (post, policy) in [("held", json!({"hold": "always"})), ("frozen", json!({"frozen": true}))] {
        let mut policy: Value = policy;
        policy["reason"] = "a test".into();
        let path = format!("/api/admin/posts/{post}/policy");
        admin.send("PUT", &path, &[JSON], Some(policy.to_string().as_bytes())).expect(200);
    }
    api.rate("held", "ann", 2);
    stage.world.flush();
    api.rate("pending", "ann", 4);
    stage
}

#[test]
fn each_state_says_what_it_is() {
    let stage = stage();
    let widget = |(name, given): (&str, &str)| {
        let post = if given.contains("post=") { String::new() } else { format!("post={name}") };
        format!("<h2>{name}</h2><damper-rating id={name} {post} {given}></damper-rating>")
    };
    stage.open("lang=en", &STATES.map(widget).concat());
    let says = |name: &str, part: &str, text: &str| {
        stage.browser.until_text(&format!("#{name} >>> [part={part}]"), text);
    };
    says("fresh", "count", "No ratings yet");
    says("fresh", "own", "No rating from you");
    says("rated", "own", "Your rating: 4");
    says("rated", "count", "3 ratings");
    says("pending", "own", "Your rating: 4, counts from");
    says("held", "own", "Your rating: 2, held for a moderator");
    says("frozen", "own", "Your rating: 5 · No ratings are taken for now");
    says("crowded", "count", "480 ratings");
    says("missing", "error", "There is nothing to rate here.");
    let parts = |name: &str, of: &str| {
        let script = "return [...document.getElementById(arguments[0]).shadowRoot.querySelectorAll('.star')]
            .map((star) => star.style.getPropertyValue('--part'))";
        assert_eq!(
            stage.browser.run(script, json!([name])),
            serde_json::from_str::<Value>(of).expect("JSON"),
            "{name}"
        );
    };
    says("half", "average", "3.5");
    parts("half", r#"["100%","100%","100%","50%","0%"]"#);
    parts("shown", r#"["100%","100%","100%","100%","0%"]"#);
    let shown = stage.browser.find("#half >>> [part=stars]");
    assert_eq!(shown.attribute("role"), "img");
    assert_eq!(shown.attribute("aria-label"), "3.5 of 5, 2 ratings");
    assert!(stage.browser.try_find("#half >>> [role=radio]").is_none());
    // A frozen post takes nothing.
    stage.browser.find("#frozen >>> [data-score='1']").click();
    assert!(stage.heard("damper-rated").is_empty());
    assert!(
        stage.heard("damper-error").iter().all(|error| error["post"] == "missing" && error["status"] == 404)
    );
    // A missing post is the site's mistake, and is on the console; nothing else is.
    let console = stage.browser.console();
    assert!(
        console.iter().all(|line| line.contains("/api/posts/missing") && line.contains("404")),
        "{console:?}"
    );
    assert_eq!(stage.browser.reports(), Vec::<String>::new());
    for scheme in Scheme::ALL {
        for (width, height) in [(360, 1400), (1280, 1400)] {
            stage.browser.prefer(scheme);
            stage.browser.resize(width, height);
            let name = format!("widget-{}-{width}", scheme.name());
            let is_too_wide = "return document.documentElement.scrollWidth > innerWidth";
            assert_eq!(stage.browser.run(is_too_wide, json!([])), false, "{name} scrolls sideways");
            assert_accessible(&stage.browser, &name);
            stage.browser.picture(&name);
        }
    }
    let moves = "return getComputedStyle(document.querySelector('#fresh').shadowRoot.querySelector('.star')).transitionDuration";
    assert_ne!(stage.browser.run(moves, json!([])), "0s");
    stage.browser.emulate("prefers-reduced-motion", "reduce");
    assert_eq!(stage.browser.run(moves, json!([])), "0s");
}

#[test]
fn a_page_changes_what_the_widget_shows() {
    let stage = stage();
    stage.open("lang=en", "<damper-rating post=rated user=ann></damper-rating>");
    stage.says("own", "Your rating: 4");
    let run = |script: &str| {
        stage.browser.run(&format!("const at = document.querySelector('damper-rating'); {script}"), json!([]))
    };
    let told = json!(["rated", 4, 4, 3]);
    assert_eq!(run("return [at.post, at.value, at.average, at.count]"), told);
    run("at.readonly = true");
    assert!(stage.browser.try_find("damper-rating >>> [role=radio]").is_none());
    run("at.readonly = false; at.user = 'eve'");
    stage.says("own", "Your rating: 3");
    run("at.post = 'half'");
    stage.says("average", "3.5");
    stage.says("own", "No rating from you");
    run("at.rate(1)");
    stage.says("own", "Your rating: 1, counts from");
    run("at.remove(); document.querySelector('main').append(at)");
    stage.says("own", "Your rating: 1, counts from");
    assert_eq!(run("try { at.rate(6) } catch (error) { return error.name }"), "RangeError");
    stage.assert_clean();
}
