//! Many posts at once: pages of a list, and posts by their ids.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::cursor;
use super::extract::{Body, NoParameters, Parameters};
use super::gate::Caller;
use super::problem::Problem;
use super::routes::posts::PostJson;
use super::{Shared, now};
use crate::app::App;
use crate::error::{Invalid, Kind, Result};
use crate::model::{PostId, UserId};
use crate::store::Sort;

/// Posts on a page when the caller does not say.
const LIMIT_DEFAULT: usize = 20;
/// Posts on a page at most.
const LIMIT_MAX: usize = 100;

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
    Err(Problem::in_parameter(Invalid::new(Kind::LimitOutOfRange, detail), "limit"))
}

/// The link to the next page (RFC 8288).
pub fn next(path: &str) -> AppendHeaders<[(HeaderName, String); 1]> {
    AppendHeaders([(header::LINK, format!("<{path}>; rel=\"next\""))])
}

/// Of an id's alphabet these mean something else in a query.
pub fn escape(id: &str) -> String {
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
        return Err(Problem::in_body(Invalid::new(Kind::LimitOutOfRange, detail), "/ids"));
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
