//! Many posts at once: pages of all posts or of one author's, and posts by their ids.

use axum::Extension;

use super::posts::PostJson;
use super::prelude::*;
use crate::api::cursor;
use crate::api::kept::Keep;
use crate::api::pages::LIMIT_MAX;
use crate::store::{PageKey, Sort};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// The newest first, or the highest published average
    #[param(inline)]
    sort: Option<Sort>,
    /// Only posts by this user
    #[param(value_type = Option<UserId>)]
    author: Option<String>,
    /// The user whose own ratings are shown as well
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuthorQuery {
    /// The newest first, or the highest published average
    #[param(inline)]
    sort: Option<Sort>,
    /// The user whose own ratings are shown as well
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    /// Posts to read, at most 100
    #[schema(value_type = Vec<PostId>, min_items = 1, max_items = 100)]
    ids: Vec<String>,
    /// The user whose own ratings are shown as well
    #[schema(value_type = Option<UserId>)]
    user_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Posts {
    posts: Vec<PostJson>,
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Batch {
    /// In the order asked
    posts: Vec<PostJson>,
    /// Ids that no post has
    missing: Vec<PostId>,
}

/// List posts
#[utoipa::path(get, path = "/api/posts", tag = "posts", params(PageQuery, ListQuery), responses(
    (status = 200, body = Posts,
        description = "A page; it may hold fewer posts than asked for and still have a next one"),
))]
pub async fn list(State(app): Shared, caller: Caller, paged: Paged<ListQuery, PageKey>) -> Answer {
    let ListQuery { sort, author, user_id } = &paged.filter;
    let author = author.as_deref().map(UserId::parse).transpose();
    let author = author.map_err(|e| Problem::in_parameter(e, "author"))?;
    page(&app, author.as_ref(), *sort, caller.reader(user_id.as_deref())?.as_ref(), &paged).await
}

/// List the posts of a user
///
/// Whether or not the user has a name.
#[utoipa::path(get, path = "/api/users/{id}/posts", tag = "users", operation_id = "posts",
    params(UserPath, PageQuery, AuthorQuery),
    responses((status = 200, description = "A page", body = Posts)))]
pub async fn by_author(
    State(app): Shared,
    caller: Caller,
    UserPath(author): UserPath,
    paged: Paged<AuthorQuery, PageKey>,
) -> Answer {
    let AuthorQuery { sort, user_id } = &paged.filter;
    page(&app, Some(&author), *sort, caller.reader(user_id.as_deref())?.as_ref(), &paged).await
}

async fn page<F>(
    app: &App,
    author: Option<&UserId>,
    sort: Option<Sort>,
    reader: Option<&UserId>,
    paged: &Paged<F, PageKey>,
) -> Answer {
    let (sort, after) = (sort.unwrap_or(Sort::New), paged.after.as_ref());
    let checked = after.map_or(Ok(()), |place| cursor::check_sort(place, sort));
    checked.map_err(|e| Problem::in_parameter(e, "cursor"))?;
    let page = app.reader().page(sort, author, after, paged.limit, reader, now()).await?;
    let keep = reader.map_or_else(|| Keep::of(&page.items), |_| None);
    let posts = page.items.into_iter().map(|view| PostJson::new(view, app.params()).in_list()).collect();
    let answer = paged.answer(page.next.as_ref(), |next_cursor| Posts { posts, next_cursor });
    Ok((keep.map(Extension), answer).into_response())
}

/// Read many posts by their ids
#[utoipa::path(post, path = "/api/posts/batch", tag = "posts", request_body = BatchBody, responses(
    (status = 200, description = "The posts that exist", body = Batch),
))]
pub async fn batch(
    State(app): Shared,
    caller: Caller,
    _: NoParameters,
    Body(body): Body<BatchBody>,
) -> Answer<Json<Batch>> {
    if !(1..=LIMIT_MAX).contains(&body.ids.len()) {
        let detail = format!("{} ids are outside 1..={LIMIT_MAX}; ask in several calls", body.ids.len());
        return Err(Problem::in_body(Invalid::new(Kind::LimitOutOfRange, detail), "/ids"));
    }
    let ids = body.ids.iter().enumerate();
    let ids = ids.map(|(i, id)| PostId::parse(id).map_err(|e| Problem::in_body(e, format!("/ids/{i}"))));
    let ids: Vec<PostId> = ids.collect::<Result<_, _>>()?;
    let reader = caller.reader(body.user_id.as_deref()).map_err(|problem| problem.at("/user_id"))?;
    let views = app.reader().posts(&ids, reader.as_ref(), now()).await?;
    let missing: Vec<PostId> =
        ids.into_iter().filter(|id| views.iter().all(|view| view.post.id != *id)).collect();
    let posts = views.into_iter().map(|view| PostJson::new(view, app.params()).in_list()).collect();
    Ok(Json(Batch { posts, missing }))
}
