//! Answers that are the same for everyone, kept: a post or a page of posts is put together once, and sent to all who ask
//! for it until something changes.
//!
//! A handler marks such an answer with [`Keep`]. It is sent again while the posts in it may be shown from the cache, and
//! until this process changes something that readers see; so nobody sees less than without it. The key has everything
//! of a request that the answer depends on, and what was kept is as it goes out, compressed if it was.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use moka::sync::Cache;

use super::answer::is_known;
use super::gate::Gate;
use super::origin::check_site;
use super::problem::Problem;
use super::{Answer, now};
use crate::app::reading::PostView;
use crate::error::Error;
use crate::model::Time;

/// All kept answers together.
const KEPT_BYTES_MAX: u64 = 8 << 20;
/// A larger answer is not kept.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What an answer takes besides its body and its key: its headers, and its place in the map.
const ANSWER_BYTES: usize = 1_024;

/// Marks an answer that shows no one's own rating.
#[derive(Clone, Copy)]
pub struct Keep {
    /// When the oldest of its posts was asked for.
    asked_at: Instant,
    next_tick: Time,
}

impl Keep {
    /// For an answer with these posts; an answer without posts is not kept.
    pub fn of<'a>(views: impl IntoIterator<Item = &'a PostView>) -> Option<Self> {
        let keeps = views.into_iter().map(|view| Self { asked_at: view.asked_at, next_tick: view.next_tick });
        keeps.min_by_key(|keep| keep.asked_at)
    }
}

/// The answers of a listener.
pub struct KeptAnswers {
    gate: Gate,
    answers: Cache<Key, Kept>,
}

/// What the answer to a GET without a token depends on.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    address: PathAndQuery,
    encodings: Option<HeaderValue>,
    origin: Option<HeaderValue>,
}

#[derive(Clone)]
struct Kept {
    keep: Keep,
    /// How many changes this process had made before it was put together.
    changes: u64,
    headers: HeaderMap,
    body: Bytes,
}

impl KeptAnswers {
    /// None yet.
    pub fn of(gate: &Gate) -> Arc<Self> {
        let bytes = |key: &Key, kept: &Kept| {
            let bytes = ANSWER_BYTES + key.address.as_str().len() + kept.body.len();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let answers = Cache::builder().weigher(bytes).max_capacity(KEPT_BYTES_MAX).build();
        Arc::new(Self { gate: gate.clone(), answers })
    }
}

impl Key {
    /// Nothing when the answer may depend on who asks.
    fn of(request: &Request) -> Option<Self> {
        let headers = request.headers();
        if request.method() != Method::GET || headers.contains_key(header::AUTHORIZATION) {
            return None;
        }
        let the_one = |name| {
            let mut values = headers.get_all(name).iter();
            let first = values.next().cloned();
            values.next().is_none().then_some(first)
        };
        Some(Self {
            address: request.uri().path_and_query()?.clone(),
            encodings: the_one(header::ACCEPT_ENCODING)?,
            origin: the_one(header::ORIGIN)?,
        })
    }

    /// The same in memory of its own: a request's parts hold on to all that was read with them.
    fn apart(self) -> Option<Self> {
        let apart = |value: Option<HeaderValue>| value.map(|value| HeaderValue::from_bytes(value.as_bytes()));
        Some(Self {
            address: PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(
                self.address.as_str().as_bytes(),
            ))
            .ok()?,
            encodings: apart(self.encodings).transpose().ok()?,
            origin: apart(self.origin).transpose().ok()?,
        })
    }
}

impl Kept {
    fn answer(self, asked: &HeaderMap, now: Time) -> Response {
        let Self { keep, mut headers, body, .. } = self;
        if headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, caching(keep.next_tick, now));
        }
        if headers.get(header::ETAG).is_some_and(|etag| is_known(asked, etag)) {
            headers.remove(header::CONTENT_TYPE);
            headers.remove(header::CONTENT_ENCODING);
            headers.remove(header::CONTENT_LENGTH);
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, body).into_response()
    }
}

/// Sends an answer that was kept, or keeps the one that is made.
pub async fn answer(State(kept): State<Arc<KeptAnswers>>, request: Request, next: Next) -> Answer {
    let KeptAnswers { gate, answers } = &*kept;
    let Some(key) = Key::of(&request).filter(|_| check_site(gate, &request).is_ok()) else {
        return Ok(next.run(request).await);
    };
    let reader = gate.app().reader();
    let changes = reader.changes_made();
    if let Some(kept) = answers.get(&key)
        && kept.changes == changes
        && reader.is_fresh(kept.keep.asked_at)
        && now() < kept.keep.next_tick
    {
        return Ok(kept.answer(request.headers(), now()));
    }
    let (head, body) = next.run(request).await.into_parts();
    let (Some(&keep), StatusCode::OK) = (head.extensions.get::<Keep>(), head.status) else {
        return Ok(Response::from_parts(head, body));
    };
    let body = axum::body::to_bytes(body, usize::MAX).await;
    let body =
        body.map_err(|error| Problem::from(Error::Internal(format!("an answer broke off: {error}"))))?;
    if body.len() <= ANSWER_BYTES_MAX
        && let Some(key) = key.apart()
    {
        let (headers, body) = (head.headers.clone(), body.clone());
        answers.insert(key, Kept { keep, changes, headers, body });
    }
    Ok(Response::from_parts(head, Body::from(body)))
}

/// Without a named reader, averages stay the same until the next tick; a flush, or new texts, may show later.
pub fn caching(next_tick: Time, now: Time) -> HeaderValue {
    let seconds = (next_tick.ms() - now.ms()).max(0) / 1_000;
    HeaderValue::try_from(format!("public, max-age={seconds}"))
        .unwrap_or(HeaderValue::from_static("no-cache"))
}
