//! Who looks at a page: sign in with a token, a cookie that opens the session, a form token for every change, sign out.
//!
//! The cookie is random, and the store keeps its hash: there is nothing in it to forge, and after signing out a copy of it
//! opens nothing. A change is taken from a form of our own page only: its origin is this listener, and it holds the
//! session's form token, which a page of another site cannot know.

use askama::Template;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::desk::{Desk, Note};
use super::frame::{Frame, Here, render, to};
use super::show;
use super::viewer::Viewer;
use crate::api::{Answer, Fields, Problem, form, is_own_page, now};
use crate::entry::Reason;
use crate::error::{Invalid, Kind};

/// What the cookie is called.
const COOKIE: &str = "damper_session";
/// The field of a form that holds the form token.
const FORM_TOKEN: &str = "form";
/// As long as a session lasts.
const COOKIE_SECONDS: u32 = 12 * 3_600;
/// An admin who is signed in.
pub struct Admin(pub Viewer);

/// A form that someone who is signed in has sent from a page of ours.
pub struct Posted {
    pub viewer: Viewer,
    pub fields: Fields,
}

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/pages/askama.toml")]
struct SignInPage {
    frame: Frame,
    is_open: bool,
    next: String,
    wrong: Option<String>,
}

/// The page that asks for the token, and leads on to `next`.
fn sign_in_page(desk: &Desk, next: &str, status: StatusCode, wrong: Option<String>) -> Response {
    let frame = Frame::plain("Sign in");
    let page = SignInPage { frame, is_open: desk.gate.is_open(), next: next.to_owned(), wrong };
    (status, render(&page)).into_response()
}

impl FromRequestParts<Desk> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Self, Response> {
        let is_read = parts.method == axum::http::Method::GET;
        let found = match cookie(&parts.headers) {
            Some(key) => of_key(desk, key, is_read).await.map_err(Problem::into_response)?,
            None => None,
        };
        found.ok_or_else(|| {
            let next =
                if is_read { parts.uri.path_and_query().map_or("/", |path| path.as_str()) } else { "/" };
            let status = if next == "/" && is_read { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            sign_in_page(desk, next, status, None)
        })
    }
}

impl FromRequestParts<Desk> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Self, Response> {
        let viewer = Viewer::from_request_parts(parts, desk).await?;
        viewer.check_admin().map_err(Problem::into_response)?;
        Ok(Self(viewer))
    }
}

/// The session that a key opens. While the database is away, what is known of it is good enough to read.
async fn of_key(desk: &Desk, key: &str, is_read: bool) -> Answer<Option<Viewer>> {
    let session = match desk.app().upkeep().session(key, desk.gate.keys_name(), now()).await {
        Ok(Some(session)) => {
            desk.sessions.insert(key.to_owned(), session.clone());
            session
        }
        Ok(None) => {
            desk.forget(key);
            return Ok(None);
        }
        Err(error) => match desk.sessions.get(key) {
            Some(session) if is_read && error.is_transient() && now() < session.expires_at => session,
            _ => return Err(error.into()),
        },
    };
    Ok(Some(Viewer::new(session.user, session.is_admin, key)))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, key)| key)
}

/// Passes a request that a page of this listener has sent.
fn check_own_page(headers: &HeaderMap) -> Answer<()> {
    if is_own_page(headers) {
        return Ok(());
    }
    let detail =
        "the form was not sent from a page of this listener; open the page again and send it from there";
    Err(Problem::new(Kind::OriginRefused, detail))
}

impl FromRequest<Desk> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, desk: &Desk) -> Result<Self, Response> {
        check_own_page(request.headers()).map_err(Problem::into_response)?;
        let (mut parts, body) = request.into_parts();
        let viewer = Viewer::from_request_parts(&mut parts, desk).await?;
        let request = Request::from_parts(parts, body);
        let within = desk.app().config().body_timeout();
        let fields = form(request, within).await.map_err(Problem::into_response)?;
        let shown = fields.get(FORM_TOKEN).unwrap_or_default();
        if !viewer.owns(shown) {
            let detail = "the form is not of your session; open the page again and send it from there";
            return Err(Problem::new(Kind::OriginRefused, detail).into_response());
        }
        Ok(Self { viewer, fields })
    }
}

impl Posted {
    /// The reason that the form gives.
    pub fn reason(&self) -> Answer<Reason> {
        Ok(Reason::parse(self.fields.get("reason").unwrap_or_default())?)
    }

    /// Leads back to `path`, where `outcome` is said.
    pub fn done(&self, desk: &Desk, path: &str, outcome: Answer<String>) -> Response {
        let note = match outcome {
            Ok(text) => Note { is_bad: false, text },
            Err(problem) => Note { is_bad: true, text: problem.detail().to_owned() },
        };
        desk.notes.insert(self.viewer.key.clone(), note);
        to(path)
    }
}

/// Takes a token, and opens a session.
pub async fn sign_in(State(desk): State<Desk>, request: Request) -> Answer {
    check_own_page(request.headers())?;
    // A browser names the scheme by which it reached us, also through a proxy.
    let origin = request.headers().get(header::ORIGIN).map(HeaderValue::as_bytes).unwrap_or_default();
    let secure = if origin.starts_with(b"https://") { "; Secure" } else { "" };
    let fields = form(request, desk.app().config().body_timeout()).await?;
    let next = fields.get("next").filter(|next| is_path(next)).unwrap_or("/").to_owned();
    let token = fields.get("token").unwrap_or_default().trim();
    let staff = match desk.gate.staff(token).await {
        Ok(staff) => staff,
        Err(problem) if matches!(problem.status(), 401 | 403) => {
            let wrong = Some(problem.detail().to_owned());
            return Ok(sign_in_page(&desk, &next, StatusCode::FORBIDDEN, wrong));
        }
        Err(problem) => return Err(problem),
    };
    let keys = desk.gate.keys_name();
    let key = desk.app().upkeep().open_session(staff.user, staff.is_admin, keys, now()).await?;
    let cookie =
        format!("{COOKIE}={key}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Strict{secure}");
    Ok(([(header::SET_COOKIE, cookie)], to(&next)).into_response())
}

/// Whether it is a place of ours: `//host` and `/\host` would be another's.
fn is_path(next: &str) -> bool {
    let rest = next.strip_prefix('/');
    rest.is_some_and(|rest| !rest.starts_with(['/', '\\'])) && !next.chars().any(char::is_control)
}

/// Closes the session: what the browser kept opens nothing from then on.
pub async fn sign_out(State(desk): State<Desk>, posted: Posted) -> Answer {
    desk.app().upkeep().close_session(&posted.viewer.key).await?;
    desk.forget(&posted.viewer.key);
    let cookie = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    Ok(([(header::SET_COOKIE, cookie)], to("/")).into_response())
}

/// A field that cannot be read, as a problem.
pub fn wrong_field(detail: impl Into<String>) -> Problem {
    Problem::from(Invalid::new(Kind::InvalidQuery, detail.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_ours_is_followed() {
        for own in ["/", "/posts/a?range=7d"] {
            assert!(is_path(own), "{own}");
        }
        for other in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nset-cookie: x"]
        {
            assert!(!is_path(other), "{other:?}");
        }
    }
}
