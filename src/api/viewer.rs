//! `/docs`: Swagger UI, which shows a listener's descriptions without a network.
//!
//! Its files are unpacked, when asked for, from a crate that holds nothing but the project's own zip archive: so the
//! program and its dependencies stay small. `openapi` makes the descriptions.

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::Redirect;
use axum::routing::get;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use serde_json::{Value, json};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED as ARCHIVE;

use super::openapi;
use super::problem::Problem;
use crate::error::Error;

/// Where the viewer is, and the page that is shown there.
pub const PAGE: &str = "/docs/";
pub const PAGE_INDEX: &str = "/docs/index.html";
/// The files that the page asks for, besides its starting script.
const FILES: [(&str, &str); 7] = [
    ("index.html", "text/html"),
    ("index.css", "text/css"),
    ("swagger-ui.css", "text/css"),
    ("swagger-ui-bundle.js", "text/javascript"),
    ("swagger-ui-standalone-preset.js", "text/javascript"),
    ("favicon-16x16.png", "image/png"),
    ("favicon-32x32.png", "image/png"),
];
/// The largest of them has 1.5 MB.
const FILE_BYTES_MAX: usize = 4 << 20;
/// What the viewer may load, run and show. It draws its icons from addresses that hold them, and gives elements styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The starting script; `URLS` are the descriptions. The page may try the calls of its own listener.
const SCRIPT: &str = r##"window.onload = () => {
  window.ui = SwaggerUIBundle({
    dom_id: "#swagger-ui",
    urls: URLS,
    deepLinking: true,
    layout: "StandaloneLayout",
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl]
  });
};
"##;

/// The viewer, and the descriptions that it loads: the name, the path and the content of each.
pub fn routes<S: Clone + Send + Sync + 'static>(descriptions: &[(&str, &str, &Value)]) -> Router<S> {
    let urls: Vec<_> =
        descriptions.iter().map(|(name, path, _)| json!({"name": name, "url": path})).collect();
    let script = SCRIPT.replace("URLS", &Value::from(urls).to_string());
    let script = async move || ([(CONTENT_TYPE, "text/javascript")], script);
    let described = descriptions.iter().map(|(_, path, api)| openapi::route(path, api));
    let routes = described
        .fold(Router::new(), Router::merge)
        .route("/docs", get(async || Redirect::to(PAGE)))
        .route("/docs/swagger-initializer.js", get(script));
    FILES.into_iter().fold(routes, |routes, (name, kind)| {
        let file = async move || {
            let bytes = unpack(name).ok_or_else(|| Error::Internal(format!("{name} cannot be unpacked")))?;
            Ok::<_, Problem>(([(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY)], bytes))
        };
        routes.route(&format!("/docs/{name}"), get(file))
    })
}

/// A file of the archive's folder `dist`. The numbers are places of fields in PKWARE's APPNOTE.TXT, sections 4.3.7,
/// 4.3.12 and 4.3.16.
fn unpack(name: &str) -> Option<Vec<u8>> {
    let end = ARCHIVE.get(ARCHIVE.windows(4).rposition(|bytes| bytes == b"PK\x05\x06")?..)?;
    let mut entry = ARCHIVE.get(number::<4>(end, 16)?..)?;
    for _ in 0..number::<2>(end, 10)? {
        let name_end = 46 + number::<2>(entry, 28)?;
        let path = std::str::from_utf8(entry.get(46..name_end)?).ok()?;
        if path.split_once("/dist/").is_some_and(|(top, file)| !top.contains('/') && file == name) {
            let packed = ARCHIVE.get(number::<4>(entry, 42)?..)?;
            let start = 30 + number::<2>(packed, 26)? + number::<2>(packed, 28)?;
            let packed = packed.get(start..)?.get(..number::<4>(entry, 20)?)?;
            return match number::<2>(entry, 10)? {
                0 => Some(packed.to_vec()),
                8 => decompress_to_vec_with_limit(packed, FILE_BYTES_MAX).ok(),
                _ => None,
            };
        }
        entry = entry.get(name_end + number::<2>(entry, 30)? + number::<2>(entry, 32)?..)?;
    }
    None
}

/// A number of so many bytes, the lowest first.
fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + BYTES)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_in_the_archive() {
        for (name, _) in FILES {
            assert!(unpack(name).is_some_and(|bytes| bytes.len() > 100), "{name}");
        }
        assert_eq!(unpack("nothing"), None);
    }

    #[test]
    fn the_page_asks_for_nothing_else() {
        let page = String::from_utf8(unpack("index.html").unwrap()).unwrap();
        for asked in page.split(['"']).filter(|text| text.ends_with(".js") || text.ends_with(".css")) {
            let name = asked.trim_start_matches("./");
            assert!(name == "swagger-initializer.js" || FILES.iter().any(|file| file.0 == name), "{name}");
        }
    }
}
