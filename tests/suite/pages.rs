//! The dashboard over HTTP, without a browser: who gets in, what is refused, what forms decide, what pages hold.

pub mod decisions;
mod faults;
mod shown;
mod signing;

use crate::identity::admin_token::told;
use crate::support::http::{Answer, Http};
use crate::support::process::Process;

/// What a browser says it takes.
pub const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Someone at a browser, without its script.
#[derive(Clone)]
pub struct Visitor {
    pub http: Http,
    pub cookie: String,
    pub form: String,
}

/// Sends a form as a page of ours does.
#[track_caller]
pub fn send(http: &Http, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
    let origin = format!("http://{}", http.address());
    let headers = [FORM, HTML, ("origin", origin.as_str()), ("cookie", cookie)];
    http.send("POST", path, &headers, Some(encoded(fields).as_bytes()))
}

/// Fields as a browser sends them.
pub fn encoded(fields: &[(&str, &str)]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    pairs.join("&")
}

impl Visitor {
    /// Signs in with a token.
    #[track_caller]
    pub fn with_token(service: &Process, token: &str) -> Self {
        let http = service.admin();
        let answer = send(&http, "/sign-in", "", &[("token", token), ("next", "/")]);
        assert_eq!((answer.status, answer.header("location")), (303, "/"), "{}", answer.text);
        let cookie = answer.header("set-cookie").split(';').next().expect("a cookie").to_owned();
        let page = http.send("GET", "/", &[HTML, ("cookie", &cookie)], None);
        assert_eq!(page.status, 200, "{}", page.text);
        let form = page.text.split("name=\"form\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        Self { http, cookie, form: form.expect("a form token").to_owned() }
    }

    /// Signs in as the admin of an open Damper that has just started.
    #[track_caller]
    pub fn admin(service: &Process) -> Self {
        Self::with_token(service, &told(service).expect("the first start prints a token"))
    }

    /// A page, whatever its status.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.http.send("GET", path, &[HTML, ("cookie", &self.cookie)], None)
    }

    /// A page's HTML.
    #[track_caller]
    pub fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.text
    }

    /// Sends a form with its token, and returns what the page says then.
    #[track_caller]
    pub fn act(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let fields = [&[("form", self.form.as_str())], fields].concat();
        let answer = send(&self.http, path, &self.cookie, &fields);
        assert_eq!(answer.status, 303, "{path}: {}", answer.text);
        let page = self.page(answer.header("location"));
        let note = page.split("<div id=\"note\"").nth(1).and_then(|rest| rest.split("</div>").next());
        note.expect("the page says what came of it").split_once('>').expect("a note").1.to_owned()
    }
}
