//! Shared by all targets: Damper's public routes over a fresh data file, called without a network.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use damper::App;
use damper::api::{Gate, public};
use damper::config::Settings;
use damper::model::post::Post;
use damper::model::{PostId, Time};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

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
            let post =
                Post::named_by_id(PostId::parse("p").expect("an id"), Time::from_ms(1_790_000_000_000));
            app.catalogue().create_post(post).await.expect("a post");
            public(&Gate::open(app, CancellationToken::new()).expect("a gate")).expect("routes")
        });
        Site { runtime, routes, _folder: folder }
    })
}

/// Calls a route; passes unless the answer is a 5xx.
pub fn call(method: &str, path: &str, body: &[u8]) {
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
    assert!(answer.status() < StatusCode::INTERNAL_SERVER_ERROR, "{} {path}: {}", method, answer.status());
}
