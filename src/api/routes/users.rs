//! Users by name: create, list, read. The posts of a user are in `lists`.

use super::prelude::*;
use crate::app::catalogue::UserKey;
use crate::model::{User, Username};

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

#[derive(Serialize, ToSchema)]
pub struct Users {
    users: Vec<User>,
    next_cursor: Option<String>,
}

/// Create a user
///
/// With keys, the token's user gets the name.
#[utoipa::path(post, path = "/api/users", tag = "users", request_body = UserBody, responses(
    (status = 201, description = "Created", body = User, headers(("Location" = String, description = "The user's path"))),
    (status = 409, description = "`conflict`: the id or the name is taken"),
))]
pub async fn create(
    State(app): Shared,
    Somebody(caller): Somebody,
    _: NoParameters,
    Body(body): Body<UserBody>,
) -> Answer {
    let id = caller.reader(body.id.as_deref()).map_err(|problem| problem.at("/id"))?;
    let given = || UserId::parse(&uuid::Uuid::new_v4().to_string());
    let id = id.map_or_else(given, Ok).map_err(|e| Problem::in_body(e, "/id"))?;
    let username = Username::parse(body.username).map_err(|e| Problem::in_body(e, "/username"))?;
    let user = app.catalogue().create_user(User::new(id, username, now())).await?;
    let location = format!("/api/users/{}", user.id.as_path_segment());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(user)).into_response())
}

/// List users
#[utoipa::path(get, path = "/api/users", tag = "users", params(PageQuery), responses(
    (status = 200, description = "A page, the newest first", body = Users),
))]
pub async fn list(State(app): Shared, _: Caller, paged: Paged<Nothing, UserKey>) -> Answer {
    let page = app.catalogue().users(paged.after.as_ref(), paged.limit).await?;
    Ok(paged.answer(page.next.as_ref(), |next_cursor| Users { users: page.items, next_cursor }))
}

/// Read a user
#[utoipa::path(get, path = "/api/users/{id}", tag = "users", params(UserPath),
    responses((status = 200, description = "The user", body = User)))]
pub async fn read(
    State(app): Shared,
    _: Caller,
    UserPath(id): UserPath,
    _: NoParameters,
) -> Answer<Json<User>> {
    Ok(Json(app.catalogue().user(&id).await?))
}
