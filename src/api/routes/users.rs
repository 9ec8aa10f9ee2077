//! Users by name, and the posts that they have made.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::cursor;
use crate::api::extract::{Body, NoParameters, Parameters, UserPath};
use crate::api::gate::{Caller, Somebody};
use crate::api::pages::{ListJson, PageQuery, limit, next, page};
use crate::api::problem::{Problem, ProblemJson};
use crate::api::{Shared, now};
use crate::error::{Error, Result};
use crate::model::User;
use crate::model::{Time, UserId};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserBody {
    /// The site's own id; without one Damper gives one
    #[schema(value_type = Option<UserId>)]
    id: Option<String>,
    /// One line that nobody else has
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$"
    )]
    username: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsersQuery {
    /// Users on the page
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<usize>,
    /// `next_cursor` of the page before
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
}

/// A user who has told a name.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserJson {
    id: UserId,
    username: String,
    created_at: Time,
}

impl From<User> for UserJson {
    fn from(User { id, username, created_at }: User) -> Self {
        Self { id, username, created_at }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Users)]
pub struct UsersJson {
    users: Vec<UserJson>,
    next_cursor: Option<String>,
}

/// Tell a name
///
/// With keys it is the name of the token's user.
#[utoipa::path(post, path = "/api/users", tag = "users", request_body = UserBody, responses(
    (status = 201, description = "Told", body = UserJson, headers(("Location" = String, description = "The user's path"))),
    (status = 409, description = "`conflict`: the id or the name is taken", body = ProblemJson<'static>,
        content_type = "application/problem+json"),
))]
pub async fn create(
    State(app): Shared,
    Somebody(caller): Somebody,
    Parameters(_): Parameters<NoParameters>,
    Body(body): Body<UserBody>,
) -> Result<Response, Problem> {
    let id = caller.reader(body.id.as_deref()).map_err(|problem| problem.at("/id"))?;
    let given = || UserId::parse(&uuid::Uuid::new_v4().to_string());
    let id = id.map_or_else(given, Ok).map_err(|e| Problem::in_body(e, "/id"))?;
    let user = User::new(id, body.username, now()).map_err(|e| Problem::in_body(e, "/username"))?;
    let user = app.catalogue().create_user(user).await?;
    let location = HeaderValue::try_from(format!("/api/users/{}", user.id.as_path_segment()))
        .map_err(|e| Error::Internal(e.to_string()))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(UserJson::from(user))).into_response())
}

/// List users
#[utoipa::path(get, path = "/api/users", tag = "users", params(UsersQuery), responses(
    (status = 200, description = "A page, the newest first", body = UsersJson,
        headers(("Link" = String, description = "The next page (rel=next)"))),
))]
pub async fn list(
    State(app): Shared,
    _: Caller,
    Parameters(query): Parameters<UsersQuery>,
) -> Result<Response, Problem> {
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(cursor::parse_user).transpose();
    let after = after.map_err(|e| Problem::in_parameter(e, "cursor"))?;
    let (users, after) = app.catalogue().users(after.as_ref(), limit).await?;
    let next_cursor = after.as_ref().map(cursor::write_user);
    let link = next_cursor.as_ref().map(|cursor| next(&format!("/api/users?limit={limit}&cursor={cursor}")));
    let users = users.into_iter().map(UserJson::from).collect();
    Ok((link, Json(UsersJson { users, next_cursor })).into_response())
}

/// Read a user
#[utoipa::path(get, path = "/api/users/{id}", tag = "users", params(("id" = UserId, Path, description = "The user")),
    responses((status = 200, description = "The user", body = UserJson)))]
pub async fn read(
    State(app): Shared,
    _: Caller,
    UserPath(id): UserPath,
    Parameters(_): Parameters<NoParameters>,
) -> Result<Json<UserJson>, Problem> {
    Ok(Json(app.catalogue().user(&id).await?.into()))
}

/// List the posts that a user has made
///
/// Whether or not the user has told a name.
#[utoipa::path(get, path = "/api/users/{id}/posts", tag = "users",
    params(("id" = UserId, Path, description = "The user"), PageQuery),
    responses((status = 200, description = "A page", body = ListJson,
        headers(("Link" = String, description = "The next page (rel=next)")))))]
pub async fn posts(
    State(app): Shared,
    caller: Caller,
    UserPath(id): UserPath,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Response, Problem> {
    let path = format!("/api/users/{}/posts?", id.as_path_segment());
    page(&app, &caller, Some(&id), &query, &path).await
}
