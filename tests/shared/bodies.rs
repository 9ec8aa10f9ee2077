//! What is done with bytes from outside, whatever they are: nothing panics, and every answer is a proper one.
//!
//! The fuzzers (`fuzz/`) choose the bytes by what they reach in the code, `suite/fuzz.rs` by chance, on stable Rust. Both
//! call these bodies.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use damper::App;
use damper::api::Gate;
use damper::config::Settings;
use damper::entry::Entry;
use damper::import::{Lines, Options};
use damper::model::post::Post;
use damper::model::{PostId, Time};
use damper::pages;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const NOW: Time = Time::from_ms(1_790_000_000_000);

/// Bodies for the two calls that take one.
pub fn body(bytes: &[u8]) {
    call("POST", "/api/posts/p/rate", bytes);
    call("POST", "/api/posts", bytes);
}

/// Settings from flags, one NAME=VALUE a line. Flags are typed like environment variables.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let flags: Vec<(String, String)> = pairs.map(|(name, value)| (name.into(), value.into())).collect();
    if let Ok(settings) = Settings::load(None, &flags) {
        settings.effective();
    }
}

/// Files of ratings: every line gives an entry, or an error with its line number.
pub fn csv(bytes: &[u8]) {
    let Ok(mut lines) = Lines::new(bytes, Options::default(), NOW) else { return };
    let mut count = 0;
    while let Ok(Some(line)) = lines.next_line() {
        count += 1;
        if let Err(bad) = line {
            assert!(bad.line >= 1 && !bad.reason.is_empty());
        }
        assert!(count <= bytes.len() as u64 + 1, "it ends");
    }
}

/// List cursors, in either order, plain and as hexadecimal digits.
pub fn cursor(bytes: &[u8]) {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let escaped: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    for sort in ["new", "top"] {
        for cursor in [&digits, &escaped] {
            call("GET", &format!("/api/posts?sort={sort}&cursor={cursor}"), b"");
        }
    }
}

/// Log entries: a readable one survives being written and read again.
pub fn entry(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(Entry::decode(entry.encode().as_bytes()).as_ref(), Ok(&entry));
    }
}

/// Damper's public routes over a fresh data file, called without a network.
struct Site {
    runtime: Runtime,
    routes: Router,
    _folder: tempfile::TempDir,
}

fn site() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("fuzz.db").display().to_string();
        let flags = [
            ("data".to_owned(), data),
            ("limits.ratings_per_minute_per_user".to_owned(), "0".to_owned()),
            ("limits.ratings_per_minute_per_address".to_owned(), "0".to_owned()),
        ];
        let config = Settings::load(None, &flags).expect("settings").config;
        let runtime = Runtime::new().expect("a runtime");
        let routes = runtime.block_on(async {
            let app = App::open(config).await.expect("an app");
            let post = Post::named_by_id(PostId::parse("p").expect("an id"), NOW);
            app.catalogue().create_post(post).await.expect("a post");
            pages::public(&Gate::open(app, CancellationToken::new()).expect("a gate")).expect("routes")
        });
        Site { runtime, routes, _folder: folder }
    })
}

/// Calls a route; passes unless the answer is a 5xx, other than 503: a slow disk is no fault of the bytes.
fn call(method: &str, path: &str, body: &[u8]) {
    let Ok(request) = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_vec()))
    else {
        return;
    };
    let site = site();
    let answer = site.runtime.block_on(site.routes.clone().oneshot(request)).expect("an answer");
    let status = answer.status();
    let is_proper = status < StatusCode::INTERNAL_SERVER_ERROR || status == StatusCode::SERVICE_UNAVAILABLE;
    assert!(is_proper, "{method} {path}: {status}");
}
