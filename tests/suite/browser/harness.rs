//! The browser itself: that the checks of the other tests notice what they look for.

use serde_json::json;

use crate::support::browser::{Browser, Scheme, key};
use crate::support::site::Site;

const HTML: &str = "content-type: text/html; charset=utf-8";

#[test]
fn what_a_page_does_wrong_is_noticed() {
    let policy = "content-security-policy: default-src 'self'; img-src *";
    let page = "<!doctype html><title>t</title><script src=/wrong.js></script><script>document.title = 'inline'</script>
                <img src=http://elsewhere.example/pixel>";
    let site = Site::start();
    site.put("/", &[HTML, policy], page);
    site.put("/wrong.js", &["content-type: text/javascript"], "console.error('a fault of ours')");
    let browser = Browser::start();
    browser.open(&format!("{}/", site.origin()));
    assert_eq!(browser.run("return document.title", json!([])), "t");
    let reports = browser.reports();
    assert!(reports.iter().any(|report| report.starts_with("script-src")), "{reports:?}");
    let console = browser.console();
    assert!(console.iter().any(|line| line.contains("a fault of ours")), "{console:?}");
    let requests = browser.requests();
    assert!(requests.iter().any(|url| url == "http://elsewhere.example/pixel"), "{requests:?}");
    assert!(browser.requests().is_empty(), "each is named once");
}

#[test]
fn a_page_is_used_as_a_person_does() {
    let page = "<!doctype html><title>t</title><style>body { margin: 0 } #box { height: 100px; width: 300px }
        @media (prefers-color-scheme: dark) { body { color: rgb(1, 2, 3) } }</style>
        <div id=box></div><input><button>Go</button><p></p><script>
        let from;
        box.onmousedown = (event) => { from = event.offsetX };
        box.onmouseup = (event) => { document.querySelector('p').textContent = `dragged ${event.offsetX - from}` };
        document.querySelector('button').onclick = () => {
          setTimeout(() => { document.querySelector('p').textContent = document.querySelector('input').value }, 50)
        };
        document.querySelector('p').attachShadow({mode: 'open'}).innerHTML = '<i>deep</i><slot></slot>';
        </script>";
    let site = Site::start();
    site.put("/", &[HTML], page);
    let browser = Browser::start();
    browser.open(&format!("{}/", site.origin()));
    browser.find("input").keys("hello");
    browser.find("button").click();
    browser.until_text("p", "hello");
    browser.find("input").click();
    browser.keys(&format!("{}{}!", key::HOME, key::END));
    assert_eq!(browser.find("input").property("value"), "hello!");
    browser.drag((20, 50), (220, 50));
    browser.until_text("p", "dragged 200");
    assert_eq!(browser.text_of("p >>> i"), "deep");
    let color = "return getComputedStyle(document.body).color";
    browser.prefer(Scheme::Dark);
    assert_eq!(browser.run(color, json!([])), "rgb(1, 2, 3)");
    browser.prefer(Scheme::Light);
    assert_eq!(browser.run(color, json!([])), "rgb(0, 0, 0)");
    browser.resize(360, 700);
    assert_eq!(browser.run("return innerWidth", json!([])), 360);
    assert!(browser.picture("harness").starts_with(b"\x89PNG"));
    browser.assert_clean(&[site.address()]);
}
