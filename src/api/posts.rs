//! Posts: create, list, read, and the series behind a chart.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::extract::{Body, NoParameters, Parameters, PostPath, reader};
use super::problem::Problem;
use super::{Shared, now};
use crate::error::{Error, Invalid};
use crate::history::{POINTS_MAX, Point};
use crate::post::Post;
use crate::rating::{PostId, Score, Time, UserId};
use crate::read::{Own, PostView};
use crate::smoothing::Params;
use crate::store::{PageKey, Sort};

/// Posts on a page when the caller does not say.
const LIMIT_DEFAULT: usize = 20;
/// Posts on a page at most.
const LIMIT_MAX: usize = 100;
/// Points of a series when the caller does not say.
const POINTS_DEFAULT: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    id: Option<String>,
    title: String,
    content: Option<String>,
    created_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadQuery {
    user_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    sort: Option<Sort>,
    user_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    points: Option<usize>,
}

/// A post as JSON.
#[derive(Serialize)]
struct PostJson {
    id: PostId,
    title: String,
    content: Option<String>,
    created_by: Option<UserId>,
    created_at: Time,
    average: Option<f64>,
    raw_average: Option<f64>,
    count: u64,
    phasing_in: u64,
    crowded: bool,
    early: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<[u64; Score::COUNT]>,
    my_rating: Option<Own>,
    as_of: Time,
    next_tick: Time,
}

impl PostJson {
    fn new(view: PostView, params: &Params) -> Self {
        let average = &view.average;
        Self {
            average: average.smoothed_mean(params),
            raw_average: average.raw_mean(),
            count: average.count(),
            phasing_in: average.unvested().round() as u64,
            crowded: average.is_crowded(params),
            early: average.is_early(),
            histogram: Some(average.histogram),
            my_rating: view.own,
            as_of: view.as_of,
            next_tick: view.next_tick,
            id: view.post.id,
            title: view.post.title,
            content: view.post.content,
            created_by: view.post.created_by,
            created_at: view.post.created_at,
        }
    }

    fn in_list(self) -> Self {
        Self { histogram: None, ..self }
    }
}

#[derive(Serialize)]
pub struct ListJson {
    posts: Vec<PostJson>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
pub struct HistoryJson {
    post_id: PostId,
    points: Vec<Point>,
}

/// Makes a post: 201 with the post and where it is.
pub async fn create(
    State(app): Shared,
    Parameters(_): Parameters<NoParameters>,
    Body(body): Body<CreateBody>,
) -> Result<Response, Problem> {
    let now = now();
    let id = body.id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let id = PostId::parse(&id).map_err(|e| Problem::in_body(e, "/id"))?;
    let created_by = body.created_by.as_deref().map(UserId::parse).transpose();
    let created_by = created_by.map_err(|e| Problem::in_body(e, "/created_by"))?;
    let post = Post::new(id, body.title, body.content, created_by, now).map_err(|e| {
        let pointer = if e.detail.starts_with("title") { "/title" } else { "/content" };
        Problem::in_body(e, pointer)
    })?;
    let post = app.create_post(post).await?;
    let location = HeaderValue::try_from(format!("/api/posts/{}", post.id.as_path_segment()))
        .map_err(|e| Error::Internal(e.to_string()))?;
    let json = PostJson::new(app.view_of_new(post, now), app.params());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(json)).into_response())
}

/// One post. It changes at ticks only, so whoever does not ask for a user's own rating may keep it until then.
pub async fn read(
    State(app): Shared,
    PostPath(id): PostPath,
    Parameters(query): Parameters<ReadQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let now = now();
    let reader = reader(query.user_id.as_deref())?;
    let view = app.post(&id, reader.as_ref(), now).await?;
    let etag = etag(&view);
    let caching = match reader {
        Some(_) => "private, no-cache".to_owned(),
        None => format!("public, max-age={}", (view.next_tick.ms() - now.ms()).max(0) / 1_000),
    };
    let caching = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, caching)];
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    Ok((caching, Json(PostJson::new(view, app.params()))).into_response())
}

/// A page of posts.
pub async fn list(
    State(app): Shared,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<ListJson>, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("limit {limit} is outside 1..={LIMIT_MAX}");
        return Err(Problem::in_parameter(Invalid::new("limit-out-of-range", detail), "limit"));
    }
    let sort = query.sort.unwrap_or(Sort::New);
    let after = query.cursor.as_deref().map(|cursor| parse_cursor(cursor, sort)).transpose();
    let after = after.map_err(|e| Problem::in_parameter(e, "cursor"))?;
    let reader = reader(query.user_id.as_deref())?;
    let page = app.page(sort, after.as_ref(), limit, reader.as_ref(), now()).await?;
    let posts = page.posts.into_iter().map(|view| PostJson::new(view, app.params()).in_list());
    Ok(Json(ListJson { posts: posts.collect(), next_cursor: page.next.as_ref().map(cursor) }))
}

/// The series behind a post's chart.
pub async fn history(
    State(app): Shared,
    PostPath(id): PostPath,
    Parameters(query): Parameters<HistoryQuery>,
) -> Result<Json<HistoryJson>, Problem> {
    let points = query.points.unwrap_or(POINTS_DEFAULT);
    if !(1..=POINTS_MAX).contains(&points) {
        let detail = format!("points {points} is outside 1..={POINTS_MAX}");
        return Err(Problem::in_parameter(Invalid::new("points-out-of-range", detail), "points"));
    }
    let points = app.history(&id, points, now()).await?;
    Ok(Json(HistoryJson { post_id: id, points }))
}

/// Changes with everything that the answer shows.
fn etag(view: &PostView) -> String {
    let own = match view.own {
        None => String::new(),
        Some(Own { score, pending }) => {
            let score = score.map_or("w".into(), |score| score.to_string());
            format!(".{score}{}", if pending { "p" } else { "" })
        }
    };
    let (version, revision) = (view.version, view.post.revision);
    format!("W/\"{version}.{revision}.{}.{}{own}\"", view.as_of.ms(), view.next_tick.ms())
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

/// A place in a list as text that URLs carry unchanged. Opaque to callers; checked when it comes back.
fn cursor(key: &PageKey) -> String {
    let text = match key {
        PageKey::New(at, post) => format!("n {} {post}", at.ms()),
        PageKey::Top(mean, post) => format!("t {} {post}", mean.to_bits()),
    };
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_cursor(cursor: &str, sort: Sort) -> Result<PageKey, Invalid> {
    let wrong = || Invalid::new("invalid-cursor", "cursor is not one that this list gave; begin without");
    let key = read_cursor(cursor).ok_or_else(wrong)?;
    if key.sort() != sort {
        return Err(Invalid::new(
            "invalid-cursor",
            "cursor belongs to another sort; keep the sort, or begin without",
        ));
    }
    Ok(key)
}

fn read_cursor(cursor: &str) -> Option<PageKey> {
    if !cursor.len().is_multiple_of(2) || !cursor.is_ascii() {
        return None;
    }
    let bytes = (0..cursor.len()).step_by(2).map(|i| u8::from_str_radix(&cursor[i..i + 2], 16).ok());
    let text = String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()?;
    let mut words = text.splitn(3, ' ');
    let (kind, key, post) = (words.next()?, words.next()?, PostId::parse(words.next()?).ok()?);
    match kind {
        "n" => Some(PageKey::New(Time::from_ms(key.parse().ok()?), post)),
        "t" => Some(PageKey::Top(f64::from_bits(key.parse().ok()?), post)).filter(|key| match key {
            PageKey::Top(mean, _) => mean.is_finite(),
            PageKey::New(..) => false,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_forged_one_does_not() {
        let post = PostId::parse("a|b+c=d").unwrap();
        for key in [PageKey::New(Time::from_ms(1_790_000_000_000), post.clone()), PageKey::Top(4.25, post)] {
            assert_eq!(parse_cursor(&cursor(&key), key.sort()), Ok(key));
        }
        let newest = cursor(&PageKey::New(Time::from_ms(5), PostId::parse("p").unwrap()));
        assert!(parse_cursor(&newest, Sort::Top).unwrap_err().detail.contains("another sort"));
        for forged in ["", "zz", "6", "é", "6e2035", "7420397465737420"] {
            assert!(parse_cursor(forged, Sort::New).is_err(), "{forged}");
        }
        let nan: String = format!("t {} p", f64::NAN.to_bits()).bytes().map(|b| format!("{b:02x}")).collect();
        assert!(parse_cursor(&nan, Sort::Top).is_err());
    }
}
