//! What surrounds every page: its head, the way to the others, who is signed in, what is away, what was just done; and how
//! a page is answered.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::assets::{ICON, SCRIPT, STYLE};
use super::desk::{Away, Desk, Note};
use super::show;
use super::viewer::Viewer;
use crate::api::{Answer, Problem, Said};
use crate::error::Error;
use crate::model::Time;
use crate::model::words::number;

/// Everything from this listener, nothing inline, and no page of another site around ours.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'";
/// Held ratings are counted up to this.
const HELD_COUNTED: usize = 1_000;
/// A page that shows what is away asks again after so many seconds, where no script does.
const REFRESH_SECONDS: &str = "5";
/// Where a page says that something is away; it stands in every page.
const AWAY_PLACE: &str = "<div id=\"away\">";

/// The pages that the head leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    Overview,
    Posts,
    Held,
    Audit,
    System,
    Elsewhere,
}

/// What surrounds a page.
pub struct Frame {
    pub title: String,
    pub here: Here,
    pub viewer: Option<Viewer>,
    pub away: Option<Away>,
    pub note: Option<Note>,
    /// `12`, or `1,000+`; empty when nothing is held.
    pub held: String,
    pub style: String,
    pub script: String,
    pub icon: String,
}

impl Frame {
    /// Around a page for people who are not signed in.
    pub fn plain(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            here: Here::Elsewhere,
            viewer: None,
            away: None,
            note: None,
            held: String::new(),
            style: STYLE.path(),
            script: SCRIPT.path(),
            icon: ICON.path(),
        }
    }

    /// Around a page for `viewer`.
    pub async fn of(desk: &Desk, viewer: &Viewer, here: Here, title: &str) -> Answer<Self> {
        let pulse = desk.pulse().await;
        let held = desk.app().moderation().count_held(HELD_COUNTED + 1).await?;
        let held = match held {
            0 => String::new(),
            held if held > HELD_COUNTED as u64 => format!("{}+", number(HELD_COUNTED as u64)),
            held => number(held),
        };
        let (viewer, note) = (Some(viewer.clone()), desk.notes.remove(&viewer.key));
        Ok(Self { here, viewer, away: pulse.away, note, held, ..Self::plain(title) })
    }

    /// The form token of the session.
    pub fn form(&self) -> &str {
        self.viewer.as_ref().map_or("", |viewer| &viewer.form)
    }

    pub fn is_admin(&self) -> bool {
        self.viewer.as_ref().is_some_and(|viewer| viewer.is_admin)
    }
}

#[derive(Template)]
#[template(path = "problem.html", config = "src/pages/askama.toml")]
struct ProblemPage {
    frame: Frame,
    detail: String,
    is_away: bool,
}

/// A rendered page with the headers that all have.
pub fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => answer(html),
        Err(error) => {
            Problem::from(Error::Internal(format!("a page cannot be rendered: {error}"))).into_response()
        }
    }
}

fn answer(html: String) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    (headers, Html(html)).into_response()
}

/// Makes a page and keeps it. While a server is away, the page as it was shown last, if it was.
pub async fn show<T: Template>(
    desk: &Desk,
    viewer: &Viewer,
    uri: &Uri,
    page: impl Future<Output = Answer<T>>,
) -> Answer {
    let address = uri.path_and_query().map_or("/", |address| address.as_str());
    // On the heap: the work of a page takes more of a stack than a thread should give.
    match Box::pin(page).await {
        Ok(page) => {
            let html =
                page.render().map_err(|e| Error::Internal(format!("a page cannot be rendered: {e}")))?;
            // What is said once is not said again.
            if !html.contains("<div id=\"note\" class=") {
                desk.keep(&viewer.key, address, &html);
            }
            Ok(answer(html))
        }
        Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE.as_u16() => {
            let Some((made_at, html)) = desk.shown(&viewer.key, address) else { return Err(problem) };
            let away = desk.pulse().await.away;
            let away = away.unwrap_or(Away { since: made_at, why: problem.detail().to_owned() });
            let told = StaleNote { away, made_at };
            let told =
                told.render().map_err(|e| Error::Internal(format!("a page cannot be rendered: {e}")))?;
            let html = html.replacen(AWAY_PLACE, &format!("{AWAY_PLACE}{told}"), 1);
            Ok(([(header::REFRESH, REFRESH_SECONDS)], answer(html)).into_response())
        }
        Err(problem) => Err(problem),
    }
}

#[derive(Template)]
#[template(path = "stale.html", config = "src/pages/askama.toml")]
struct StaleNote {
    away: Away,
    made_at: Time,
}

/// Leads on to a place of ours, after a form.
pub fn to(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// Shows problems to people as pages: whatever is refused on the way to a page, by whomever. Programs, and the API, get
/// problem+json.
pub async fn dress(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_of_pages = !path.starts_with("/api/") && !path.starts_with("/problems/");
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let is_shown = is_of_pages && accepts.is_some_and(|accepts| accepts.contains("text/html"));
    let response = next.run(request).await;
    let Some(said) = response.extensions().get::<Said>().cloned().filter(|_| is_shown) else {
        return response;
    };
    let status = response.status();
    let is_away = status == StatusCode::SERVICE_UNAVAILABLE;
    let frame = Frame::plain(said.title);
    let mut page = (status, render(&ProblemPage { frame, detail: said.detail, is_away })).into_response();
    for name in [
        header::ALLOW,
        header::RETRY_AFTER,
        HeaderName::from_static("x-request-id"),
        header::X_CONTENT_TYPE_OPTIONS,
    ] {
        if let Some(value) = response.headers().get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    if is_away {
        page.headers_mut().insert(header::REFRESH, HeaderValue::from_static(REFRESH_SECONDS));
    }
    page
}
