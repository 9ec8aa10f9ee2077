//! The files that pages load: style, script, icon. They are part of the program, and nothing is loaded from another host.
//!
//! A file's address holds the hash of its content, so a browser may keep it for ever and gets a changed one at once. They
//! are compressed like every long answer.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ring::digest::{SHA256, digest};

use crate::api::Problem;

/// Characters of the hash in an address.
const HASH_CHARS: usize = 12;
/// Of a file under its own hash: it never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A file that pages load.
pub struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    hash: LazyLock<String>,
}

/// Makes an [`Asset`] of a file in `src/pages/assets`.
macro_rules! asset {
    ($name:literal, $kind:literal) => {{
        const BYTES: &[u8] = include_bytes!(concat!("assets/", $name));
        Asset { name: $name, kind: $kind, bytes: BYTES, hash: LazyLock::new(|| hash(BYTES)) }
    }};
}

/// The look of every page.
pub static STYLE: Asset = asset!("damper.css", "text/css; charset=utf-8");
/// What makes the dashboard live.
pub static SCRIPT: Asset = asset!("damper.js", "text/javascript; charset=utf-8");
/// The look of the public listener's pages.
pub static PUBLIC_STYLE: Asset = asset!("public.css", "text/css; charset=utf-8");
/// What makes the public demo's page live.
pub static DEMO: Asset = asset!("demo.js", "text/javascript; charset=utf-8");
/// The widget, which has an address of its own.
pub static WIDGET: Asset = asset!("widget.js", "text/javascript; charset=utf-8");
/// The icon in a browser's tab.
pub static ICON: Asset = asset!("icon.svg", "image/svg+xml");

static ALL: [&Asset; 5] = [&STYLE, &SCRIPT, &PUBLIC_STYLE, &DEMO, &ICON];

impl Asset {
    /// Its address, as pages name it: `/assets/3f2a9c01b7de/damper.css`.
    pub fn path(&self) -> String {
        format!("/assets/{}/{}", *self.hash, self.name)
    }

    /// Its content.
    pub fn bytes(&self) -> &'static [u8] {
        self.bytes
    }

    /// Its content type.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The hash of its content.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// The hash that stands for a content, in addresses and entity tags.
pub fn hash(bytes: &[u8]) -> String {
    let hex = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    hex.chars().take(HASH_CHARS).collect()
}

/// `/assets/{hash}/{name}`. While programs of two versions run side by side, a page of one may ask the other: it gets the
/// file that there is, and is told not to keep it.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/assets/{hash}/{name}", get(serve))
}

async fn serve(Path((hash, name)): Path<(String, String)>) -> Response {
    let Some(asset) = ALL.iter().find(|asset| asset.name == name) else {
        return Problem::no_route(&format!("/assets/{hash}/{name}")).into_response();
    };
    let caching = if *asset.hash == hash { FOR_EVER } else { "no-cache" };
    ([(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, caching)], asset.bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_small_and_every_file_has_its_address() {
        assert!(SCRIPT.bytes.len() <= 15 << 10, "{} bytes", SCRIPT.bytes.len());
        for asset in ALL {
            assert!(!asset.bytes.is_empty() && asset.path().ends_with(asset.name), "{}", asset.path());
        }
    }
}
