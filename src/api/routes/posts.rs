//! Posts: create, repost, change, read, and the series behind a chart. Many posts at once are in `lists`.

use axum::Extension;
use axum::http::HeaderValue;

use super::prelude::*;
use crate::api::answer::is_known;
use crate::api::kept::{Keep, caching};
use crate::api::pages::count;
use crate::app::reading::history::{POINTS_MAX, Point};
use crate::app::reading::{OwnRating, PostView};
use crate::model::json::present;
use crate::model::post::{Content, Edit, Post, Title};
use crate::smoothing::{Params, Published};

/// Points of a series when the caller does not say.
const POINTS_DEFAULT: usize = 200;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    /// The site's own id; without it, Damper makes one
    #[schema(value_type = Option<PostId>)]
    id: Option<String>,
    /// Required, except for a repost: without a title it gets that of the original
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Title)]
    title: Option<String>,
    #[schema(value_type = Option<Content>)]
    content: Option<String>,
    /// The post that it repeats; if that is a repost, its original
    #[schema(value_type = Option<PostId>)]
    repost_of: Option<String>,
    /// The author
    #[schema(value_type = Option<UserId>)]
    created_by: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditBody {
    /// The author
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = UserId)]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Title, required = false)]
    title: Option<String>,
    /// Null removes it
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Content>)]
    content: Option<Option<String>>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadQuery {
    /// The user whose own rating is shown as well
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// How many points, at even steps in time
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
    /// The post that it repeats; null for an original
    repost_of: Option<PostId>,
    /// How many posts repeat it
    reposts: u64,
    created_at: Time,
    #[serde(flatten)]
    published: Published,
    /// Ratings that moderators have excluded, or have yet to decide on
    under_review: u64,
    /// It takes no ratings
    frozen: bool,
    /// Ratings by score, 0 to 5; not in lists
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<[u64; Score::COUNT]>,
    /// The reader's own latest rating
    my_rating: Option<OwnRating>,
    as_of: Time,
    next_tick: Time,
}

impl PostJson {
    pub fn new(view: PostView, params: &Params) -> Self {
        let average = &view.average;
        Self {
            published: Published::of(average, params),
            under_review: view.standing.under_review(),
            frozen: view.standing.is_frozen,
            histogram: Some(average.histogram),
            my_rating: view.own,
            as_of: view.as_of,
            next_tick: view.next_tick,
            id: view.post.id,
            title: view.post.title,
            content: view.post.content,
            created_by: view.post.created_by,
            repost_of: view.post.repost_of,
            reposts: view.post.reposts,
            created_at: view.post.created_at,
        }
    }

    /// As lists show it.
    pub fn in_list(self) -> Self {
        Self { histogram: None, ..self }
    }
}

#[derive(Serialize, ToSchema)]
pub struct History {
    post_id: PostId,
    points: Vec<Point>,
}

/// Create a post
///
/// With `repost_of` it repeats another post: it has ratings of its own, and names the original.
#[utoipa::path(post, path = "/api/posts", tag = "posts", request_body = CreateBody, responses(
    (status = 201, description = "Created", body = PostJson,
        headers(("Location" = String, description = "The post's path"))),
    (status = 404, description = "`not-found`: there is no such post to repeat"),
    (status = 409, description = "`conflict`: the id is taken"),
    (status = 429, description = "`daily-limit`: too many posts today",
        headers(("Retry-After" = u64, description = "Seconds"))),
))]
pub async fn create(
    State(app): Shared,
    Somebody(caller): Somebody,
    _: NoParameters,
    Body(body): Body<CreateBody>,
) -> Answer {
    let now = now();
    let id = body.id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let id = PostId::parse(&id).map_err(|e| Problem::in_body(e, "/id"))?;
    let created_by = caller.author(body.created_by.as_deref())?;
    let given = body.title.map(parse_title).transpose()?;
    let content = body.content.map(parse_content).transpose()?;
    let origin = match &body.repost_of {
        Some(repeated) => Some(origin(&app, repeated, now).await?),
        None => None,
    };
    let repeated = || origin.as_ref().map(|origin| parse_title(origin.title.clone()));
    let untitled = || Problem::in_body(Invalid::new(Kind::InvalidBody, "missing field `title`"), "/title");
    let title = given.map(Ok).or_else(repeated).ok_or_else(untitled)??;
    let repost_of = origin.map(|origin| origin.id);
    let post = Post { created_by, repost_of, ..Post::new(id, title, content, now) };
    let post = app.catalogue().create_post(post).await?;
    let location = format!("/api/posts/{}", post.id.as_path_segment());
    let json = PostJson::new(app.reader().view_of_new(post, now), app.params());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(json)).into_response())
}

/// The post that a repost of `repeated` names.
async fn origin(app: &App, repeated: &str, now: Time) -> Answer<Post> {
    let repeated = PostId::parse(repeated).map_err(|e| Problem::in_body(e, "/repost_of"))?;
    app.catalogue().origin(&repeated, now).await.map_err(|error| match error {
        missing @ Error::NotFound(_) => Problem::from(missing).at("/repost_of"),
        other => other.into(),
    })
}

/// Change a post
///
/// Only its author may. Fields that are left out stay as they are.
#[utoipa::path(patch, path = "/api/posts/{id}", tag = "posts", params(PostPath),
    request_body = EditBody, responses(
    (status = 200, description = "The post as it is now", body = PostJson),
    (status = 403, description = "`not-the-author`: the caller is not the author"),
))]
pub async fn edit(
    State(app): Shared,
    Somebody(caller): Somebody,
    PostPath(id): PostPath,
    _: NoParameters,
    Body(body): Body<EditBody>,
) -> Answer<Json<PostJson>> {
    let now = now();
    let author = caller.named_in_body(body.user_id.as_deref())?;
    let edit = Edit {
        title: body.title.map(parse_title).transpose()?,
        content: body.content.map(|content| content.map(parse_content).transpose()).transpose()?,
    };
    if edit == Edit::default() {
        let detail = "there is nothing to change; send title, content, or both";
        return Err(Problem::in_body(Invalid::new(Kind::InvalidBody, detail), ""));
    }
    app.catalogue().edit_post(&id, &author, edit, now).await?;
    let view = app.reader().post(&id, Some(&author), now).await?;
    Ok(Json(PostJson::new(view, app.params())))
}

fn parse_title(text: String) -> Answer<Title> {
    Title::parse(text).map_err(|e| Problem::in_body(e, "/title"))
}

fn parse_content(text: String) -> Answer<Content> {
    Content::parse(text).map_err(|e| Problem::in_body(e, "/content"))
}

/// Read a post
///
/// Averages change at ticks, so the answer may be cached until the next one, unless it shows a user's own rating.
#[utoipa::path(get, path = "/api/posts/{id}", tag = "posts", params(PostPath, ReadQuery), responses(
    (status = 200, description = "The post", body = PostJson, headers(("ETag" = String))),
    (status = 304, description = "Unchanged: If-None-Match names this version"),
))]
pub async fn read(
    State(app): Shared,
    caller: Caller,
    PostPath(id): PostPath,
    Parameters(query): Parameters<ReadQuery>,
    headers: HeaderMap,
) -> Answer {
    let now = now();
    let reader = caller.reader(query.user_id.as_deref())?;
    let view = app.reader().post(&id, reader.as_ref(), now).await?;
    let etag = etag(&view);
    let (caching, keep) = match reader {
        None => (caching(view.next_tick, now), Keep::of([&view])),
        Some(_) => (HeaderValue::from_static("private, no-cache"), None),
    };
    // With a token, the same address shows more.
    let vary = HeaderValue::from(header::AUTHORIZATION);
    let caching = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, caching), (header::VARY, vary)];
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    Ok((keep.map(Extension), caching, Json(PostJson::new(view, app.params()))).into_response())
}

/// Read the series behind a post's chart
#[utoipa::path(get, path = "/api/posts/{id}/history", tag = "posts", params(PostPath, HistoryQuery), responses(
    (status = 200, description = "Even steps in time, oldest first", body = History),
))]
pub async fn history(
    State(gate): State<Gate>,
    _: Caller,
    PostPath(id): PostPath,
    Parameters(query): Parameters<HistoryQuery>,
) -> Answer {
    let points = count(query.points, POINTS_DEFAULT, POINTS_MAX, (Kind::PointsOutOfRange, "points"))?;
    let points = gate.app().reader().history(&id, points, now()).await?;
    let _turn = gate.long_answers.acquire().await;
    Ok(Json(History { post_id: id, points }).into_response())
}

/// Changes with everything that the answer shows.
fn etag(view: &PostView) -> HeaderValue {
    let own = match view.own {
        None => String::new(),
        Some(OwnRating { score, pending, held }) => {
            let score = score.map_or("w".into(), |score| score.to_string());
            format!(".{score}{}{}", if pending { "p" } else { "" }, if held { "h" } else { "" })
        }
    };
    let (version, revision) = (view.version, view.post.revision);
    let tag = format!("W/\"{version}.{revision}.{}.{}{own}\"", view.as_of.ms(), view.next_tick.ms());
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static(""))
}
