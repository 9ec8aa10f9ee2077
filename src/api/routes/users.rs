//! Users by name: create, list, read. The posts of a user are in `lists`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::extract::{Body, NoParameters, Parameters, UserPath};
use crate::api::gate::{Caller, Somebody};
use crate::api::pages::{NoFilter, PageQuery, Paged};
use crate::api::problem::{Problem, ProblemJson};
use crate::api::{Shared, now};
use crate::app::catalogue::UserKey;
use crate::error::{Error, Result};
use crate::model::{Time, User, UserId, Username};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserBody {
    /// The site's own id; without it, Damper makes one
    #[schema(value_type = Option<UserId>)]
    id: Option<String>,
    /// Unique among users
    #[schema(value_type = Username)]
    username: String,
}

/// A user with a name.
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

/// Create a user
///
/// With keys, the token's user gets the name.
#[utoipa::path(post, path = "/api/users", tag = "users", request_body = UserBody, responses(
    (status = 201, description = "Created", body = UserJson, headers(("Location" = String, description = "The user's path"))),
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
    let username = Username::parse(body.username).map_err(|e| Problem::in_body(e, "/username"))?;
    let user = app.catalogue().create_user(User::new(id, username, now())).await?;
    let location = HeaderValue::try_from(format!("/api/users/{}", user.id.as_path_segment()))
        .map_err(|e| Error::Internal(e.to_string()))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(UserJson::from(user))).into_response())
}

/// List users
#[utoipa::path(get, path = "/api/users", tag = "users", params(PageQuery), responses(
    (status = 200, description = "A page, the newest first", body = UsersJson,
        headers(("Link" = String, description = "The next page (rel=next)"))),
))]
pub async fn list(
    State(app): Shared,
    _: Caller,
    paged: Paged<NoFilter, UserKey>,
) -> Result<Response, Problem> {
    let page = app.catalogue().users(paged.after.as_ref(), paged.limit).await?;
    let users = page.items.into_iter().map(UserJson::from).collect();
    Ok(paged.answer(page.next.as_ref(), |next_cursor| UsersJson { users, next_cursor }))
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
