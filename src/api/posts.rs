//! Posts: create, list, read, and the series behind a chart.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::cursor;
use super::extract::{Body, NoParameters, Parameters, PostPath};
use super::gate::{Caller, Somebody};
use super::problem::{Problem, ProblemJson};
use super::{Shared, now};
use crate::app::App;
use crate::error::{Error, Invalid};
use crate::history::{POINTS_MAX, Point};
use crate::post::Post;
use crate::rating::{PostId, Score, Time, UserId};
use crate::read::{Own, PostView};
use crate::smoothing::Params;
use crate::store::Sort;

/// Posts on a page when the caller does not say.
const LIMIT_DEFAULT: usize = 20;
/// Posts on a page at most.
const LIMIT_MAX: usize = 100;
/// Points of a series when the caller does not say.
const POINTS_DEFAULT: usize = 200;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    /// The site's own id; without one Damper gives one
    #[schema(value_type = Option<PostId>)]
    id: Option<String>,
    /// One line, not blank
    #[schema(min_length = 1, max_length = 300, pattern = "^[^\\x00]*[^\\s\\x00][^\\x00]*$")]
    title: String,
    #[schema(max_length = 20000, pattern = "^[^\\x00]*$")]
    content: Option<String>,
    /// Who made it
    #[schema(value_type = Option<UserId>)]
    created_by: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadQuery {
    /// Whose own rating is shown as well
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Posts on the page
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<usize>,
    /// `next_cursor` of the page before
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
    /// The newest first, or the highest published average
    #[param(inline)]
    sort: Option<Sort>,
    /// Only posts that this user has made
    #[param(value_type = Option<UserId>)]
    author: Option<String>,
    /// Whose own ratings are shown as well
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    /// Posts to read, at most 100
    #[schema(value_type = Vec<PostId>, min_items = 1, max_items = 100)]
    ids: Vec<String>,
    /// Whose own ratings are shown as well
    #[schema(value_type = Option<UserId>)]
    user_id: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Even steps in time
    #[param(minimum = 1, maximum = 1000, default = 200)]
    points: Option<usize>,
}

/// A post and its average.
#[derive(Serialize, ToSchema)]
#[schema(as = Post)]
pub struct PostJson {
    id: PostId,
    title: String,
    content: Option<String>,
    created_by: Option<UserId>,
    created_at: Time,
    /// The published, smoothed mean at `as_of`; null without ratings
    average: Option<f64>,
    /// The exact mean
    raw_average: Option<f64>,
    count: u64,
    /// Ratings' worth of weight that has yet to arrive in `average`
    phasing_in: u64,
    /// So much is phasing in that the pace limit sets the speed
    crowded: bool,
    /// So few ratings have settled that `average` says little yet
    early: bool,
    /// Ratings by score, 0 to 5; not in lists
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<[u64; Score::COUNT]>,
    /// The reader's own newest rating
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

#[derive(Serialize, ToSchema)]
#[schema(as = Posts)]
pub struct ListJson {
    posts: Vec<PostJson>,
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Batch)]
pub struct BatchJson {
    /// In the order asked
    posts: Vec<PostJson>,
    /// Ids that no post has
    missing: Vec<PostId>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = History)]
pub struct HistoryJson {
    post_id: PostId,
    points: Vec<Point>,
}

/// Create a post
#[utoipa::path(post, path = "/api/posts", tag = "posts", request_body = CreateBody, responses(
    (status = 201, description = "Created", body = PostJson,
        headers(("Location" = String, description = "The post's path"))),
    (status = 409, description = "`conflict`: the id is taken", body = ProblemJson<'static>,
        content_type = "application/problem+json"),
))]
pub async fn create(
    State(app): Shared,
    Somebody(caller): Somebody,
    Parameters(_): Parameters<NoParameters>,
    Body(body): Body<CreateBody>,
) -> Result<Response, Problem> {
    let now = now();
    let id = body.id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let id = PostId::parse(&id).map_err(|e| Problem::in_body(e, "/id"))?;
    let created_by = caller.author(body.created_by.as_deref())?;
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

/// Read a post
///
/// It changes at ticks only, so whoever does not ask for a user's own rating may keep it until then.
#[utoipa::path(
    get, path = "/api/posts/{id}", tag = "posts",
    params(("id" = PostId, Path, description = "The post"), ReadQuery),
    responses(
        (status = 200, description = "The post", body = PostJson, headers(("ETag" = String))),
        (status = 304, description = "It is what If-None-Match names"),
    )
)]
pub async fn read(
    State(app): Shared,
    caller: Caller,
    PostPath(id): PostPath,
    Parameters(query): Parameters<ReadQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let now = now();
    let reader = caller.reader(query.user_id.as_deref())?;
    let view = app.post(&id, reader.as_ref(), now).await?;
    let etag = etag(&view);
    let caching = match reader {
        Some(_) => "private, no-cache".to_owned(),
        None => {
            let [(_, caching)] = caching(&view, now);
            caching
        }
    };
    // Who shows a token sees more at the same address.
    let vary = header::AUTHORIZATION.as_str().to_owned();
    let caching = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, caching), (header::VARY, vary)];
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    Ok((caching, Json(PostJson::new(view, app.params()))).into_response())
}

/// List posts
#[utoipa::path(get, path = "/api/posts", tag = "posts", params(ListQuery), responses(
    (status = 200, description = "A page; it may hold fewer posts than asked for and still have a next one", body = ListJson,
        headers(("Link" = String, description = "The next page (rel=next)"))),
))]
pub async fn list(
    State(app): Shared,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Response, Problem> {
    let author = query.author.as_deref().map(UserId::parse).transpose();
    let author = author.map_err(|e| Problem::in_parameter(e, "author"))?;
    let path = match &author {
        Some(author) => format!("/api/posts?author={}&", escape(author.as_str())),
        None => "/api/posts?".to_owned(),
    };
    let ListQuery { limit, cursor, sort, user_id, .. } = query;
    page(&app, &caller, author.as_ref(), &PageQuery { limit, cursor, sort, user_id }, &path).await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Posts on the page
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<usize>,
    /// `next_cursor` of the page before
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
    /// The newest first, or the highest published average
    #[param(inline)]
    sort: Option<Sort>,
    /// Whose own ratings are shown as well
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
}

/// A page of the list that is at `path`, which ends where its parameters go on.
pub async fn page(
    app: &App,
    caller: &Caller,
    author: Option<&UserId>,
    query: &PageQuery,
    path: &str,
) -> Result<Response, Problem> {
    let limit = limit(query.limit)?;
    let sort = query.sort.unwrap_or(Sort::New);
    let after = query.cursor.as_deref().map(|text| cursor::parse(text, sort)).transpose();
    let after = after.map_err(|e| Problem::in_parameter(e, "cursor"))?;
    let reader = caller.reader(query.user_id.as_deref())?;
    let page = app.page(sort, author, after.as_ref(), limit, reader.as_ref(), now()).await?;
    let posts = page.posts.into_iter().map(|view| PostJson::new(view, app.params()).in_list()).collect();
    let next_cursor = page.next.as_ref().map(cursor::write);
    let user = query.user_id.as_deref().map(|user| format!("&user_id={}", escape(user))).unwrap_or_default();
    let link = next_cursor
        .as_ref()
        .map(|cursor| next(&format!("{path}sort={}&limit={limit}&cursor={cursor}{user}", sort.as_str())));
    Ok((link, Json(ListJson { posts, next_cursor })).into_response())
}

/// How many a page shall hold.
pub fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("limit {limit} is outside 1..={LIMIT_MAX}");
    Err(Problem::in_parameter(Invalid::new("limit-out-of-range", detail), "limit"))
}

/// The link to the next page (RFC 8288).
pub fn next(path: &str) -> AppendHeaders<[(HeaderName, String); 1]> {
    AppendHeaders([(header::LINK, format!("<{path}>; rel=\"next\""))])
}

/// Of an id's alphabet these mean something else in a query.
fn escape(id: &str) -> String {
    id.replace('+', "%2B").replace('=', "%3D").replace('|', "%7C")
}

/// Read many posts by their ids
#[utoipa::path(post, path = "/api/posts/batch", tag = "posts", request_body = BatchBody, responses(
    (status = 200, description = "The posts that there are", body = BatchJson),
))]
pub async fn batch(
    State(app): Shared,
    caller: Caller,
    Parameters(_): Parameters<NoParameters>,
    Body(body): Body<BatchBody>,
) -> Result<Json<BatchJson>, Problem> {
    if !(1..=LIMIT_MAX).contains(&body.ids.len()) {
        let detail = format!("{} ids are asked for; it takes 1 to {LIMIT_MAX}", body.ids.len());
        return Err(Problem::in_body(Invalid::new("limit-out-of-range", detail), "/ids"));
    }
    let ids = body.ids.iter().enumerate();
    let ids = ids.map(|(i, id)| PostId::parse(id).map_err(|e| Problem::in_body(e, format!("/ids/{i}"))));
    let ids: Vec<PostId> = ids.collect::<Result<_, _>>()?;
    let reader = caller.reader(body.user_id.as_deref()).map_err(|problem| problem.at("/user_id"))?;
    let views = app.posts(&ids, reader.as_ref(), now()).await?;
    let missing: Vec<PostId> =
        ids.into_iter().filter(|id| views.iter().all(|view| view.post.id != *id)).collect();
    let posts = views.into_iter().map(|view| PostJson::new(view, app.params()).in_list()).collect();
    Ok(Json(BatchJson { posts, missing }))
}

/// Read the series behind a post's chart
#[utoipa::path(
    get, path = "/api/posts/{id}/history", tag = "posts",
    params(("id" = PostId, Path, description = "The post"), HistoryQuery),
    responses((status = 200, description = "Even steps in time, oldest first", body = HistoryJson))
)]
pub async fn history(
    State(app): Shared,
    _: Caller,
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

/// Until the next tick nothing about a post changes for a reader who is not named.
pub fn caching(view: &PostView, now: Time) -> [(HeaderName, String); 1] {
    let seconds = (view.next_tick.ms() - now.ms()).max(0) / 1_000;
    [(header::CACHE_CONTROL, format!("public, max-age={seconds}"))]
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
