//! Who is asking, and whether they may: what handlers share, and the callers that they take.
//!
//! With keys in the settings a caller shows a token and is its `sub`; without any Damper is open, callers name
//! themselves, and operators show the admin token. Reading needs nobody; a token that is shown must be good.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use super::now;
use super::problem::Problem;
use super::routes::events::followers::Followers;
use crate::app::App;
use crate::app::intake::Rater;
use crate::config::Open;
use crate::error::{Invalid, Kind, Result};
use crate::identity::{Identity, Keys, Role};
use crate::model::UserId;

/// What handlers share.
#[derive(Clone)]
pub struct Gate {
    app: Arc<App>,
    /// Without keys Damper is open.
    keys: Option<Arc<Keys>>,
    /// Held by the one flush that may be under way.
    flushing: Arc<Mutex<()>>,
    /// Those who follow the averages.
    followers: Arc<Followers>,
    /// The process is to end.
    stop: CancellationToken,
}

impl Gate {
    /// The gate of `app`, with the keys that its settings name; flushes end early once `stop` is cancelled.
    ///
    /// # Errors
    /// `Config` when a key cannot be used.
    pub fn open(app: Arc<App>, stop: CancellationToken) -> Result<Self> {
        let keys = Keys::load(app.config())?.map(Arc::new);
        Ok(Self { keys, ..Self::without_keys(app, stop) })
    }

    /// The gate of a process that asks for no token.
    pub fn without_keys(app: Arc<App>, stop: CancellationToken) -> Self {
        Self { app, keys: None, flushing: Arc::default(), followers: Arc::default(), stop }
    }

    /// Waits for its turn to flush; the turn ends with what is returned.
    pub async fn turn_to_flush(&self) -> OwnedMutexGuard<()> {
        self.flushing.clone().lock_owned().await
    }

    /// Whether the process is to end.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Those who follow the averages.
    pub fn followers(&self) -> &Arc<Followers> {
        &self.followers
    }

    /// Cancelled once the process is to end.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The front door behind it.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Whether callers name themselves.
    pub fn is_open(&self) -> bool {
        self.keys.is_none()
    }
}

impl FromRef<Gate> for Arc<App> {
    fn from_ref(gate: &Gate) -> Self {
        gate.app.clone()
    }
}

/// The caller of a request, known or not.
pub enum Caller {
    /// Callers name themselves (open mode).
    Unnamed,
    /// There are keys, and no token was shown.
    Nobody,
    /// The owner of the token.
    Known(Arc<Identity>),
}

impl Caller {
    /// Whose own rating is shown: the token's user, or in open mode the one that the query names.
    pub fn reader(&self, named: Option<&str>) -> Result<Option<UserId>, Problem> {
        let place = |problem: Invalid| Problem::in_parameter(problem, "user_id");
        match (self, named) {
            (Caller::Unnamed, named) => named.map(UserId::parse).transpose().map_err(place),
            (Caller::Nobody | Caller::Known(_), Some(_)) => Err(place(not_named("user_id"))),
            (Caller::Nobody, None) => Ok(None),
            (Caller::Known(identity), None) => Ok(Some(identity.user.clone())),
        }
    }

    /// `user`, with what the token says of the account.
    pub fn rater<'a>(&self, user: &'a UserId) -> Rater<'a> {
        let account_created_at = match self {
            Caller::Known(identity) => identity.account_created_at,
            Caller::Unnamed | Caller::Nobody => None,
        };
        Rater { user, account_created_at }
    }

    /// Who acts: the token's user, or in open mode the one that the body names.
    pub fn named_in_body(&self, named: Option<&str>) -> Result<UserId, Problem> {
        let unnamed =
            || Problem::in_body(Invalid::new(Kind::InvalidBody, "missing field `user_id`"), "/user_id");
        self.reader(named).map_err(|problem| problem.at("/user_id"))?.ok_or_else(unnamed)
    }

    /// The author of a new post: the token's user, or in open mode the one that the body names, if it names one.
    pub fn author(&self, named: Option<&str>) -> Result<Option<UserId>, Problem> {
        let place = |problem: Invalid| Problem::in_body(problem, "/created_by");
        match (self, named) {
            (Caller::Unnamed, named) => named.map(UserId::parse).transpose().map_err(place),
            (Caller::Nobody | Caller::Known(_), Some(_)) => Err(place(not_named("created_by"))),
            (Caller::Nobody, None) => Err(unknown_caller()),
            (Caller::Known(identity), None) => Ok(Some(identity.user.clone())),
        }
    }
}

fn not_named(field: &str) -> Invalid {
    Invalid::new(Kind::UserNamed, format!("{field} is not taken: the token says who is asking; leave it out"))
}

impl FromRequestParts<Gate> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Problem> {
        let Some(keys) = &gate.keys else { return Ok(Caller::Unnamed) };
        match bearer(&parts.headers)? {
            None => Ok(Caller::Nobody),
            Some(token) => {
                keys.verify(token, now()).map(Caller::Known).map_err(|e| Problem::unauthenticated(&e))
            }
        }
    }
}

/// A caller who may change something: one with a name.
pub struct Somebody(pub Caller);

impl FromRequestParts<Gate> for Somebody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, gate).await? {
            Caller::Nobody => Err(unknown_caller()),
            caller => Ok(Self(caller)),
        }
    }
}

/// A caller who may bring in ratings of others; in open mode whoever may call at all, or where that may be anybody,
/// whoever shows the admin token.
pub struct Ingester;

impl FromRequestParts<Gate> for Ingester {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, gate).await? {
            Caller::Nobody => Err(unknown_caller()),
            Caller::Known(identity) if !identity.has(Role::Ingest) => {
                Err(Problem::forbidden(Role::Ingest.as_str()))
            }
            Caller::Unnamed if gate.app().config().open == Open::Anywhere => {
                Operator::from_request_parts(parts, gate).await.map(|_| Self)
            }
            Caller::Known(_) | Caller::Unnamed => Ok(Self),
        }
    }
}

/// A caller who may decide on ratings. In open mode, the admin token is required.
pub struct Moderator(pub UserId);

impl FromRequestParts<Gate> for Moderator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, gate).await? {
            Caller::Known(identity) if identity.has(Role::Moderator) => Ok(Self(identity.user.clone())),
            Caller::Known(_) => Err(Problem::forbidden(Role::Moderator.as_str())),
            Caller::Nobody => Err(unknown_caller()),
            Caller::Unnamed => {
                Operator::from_request_parts(parts, gate).await?;
                Ok(Self(UserId::parse(Role::Admin.as_str())?))
            }
        }
    }
}

/// A caller who may operate Damper.
pub struct Operator;

impl FromRequestParts<Gate> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, gate).await? {
            Caller::Nobody => Err(unknown_caller()),
            Caller::Known(identity) if identity.has(Role::Admin) => Ok(Self),
            Caller::Known(_) => Err(Problem::forbidden(Role::Admin.as_str())),
            Caller::Unnamed => {
                let Some(token) = bearer(&parts.headers)? else { return Err(unknown_caller()) };
                if gate.app.upkeep().is_admin_token(token).await? {
                    return Ok(Self);
                }
                let detail = "this is not the admin token; damper admin-token makes a new one";
                Err(Problem::unauthenticated(&Invalid::new(Kind::TokenInvalid, detail)))
            }
        }
    }
}

fn unknown_caller() -> Problem {
    let detail = "who is asking? Send the header Authorization: Bearer <token>";
    Problem::unauthenticated(&Invalid::new(Kind::TokenMissing, detail))
}

/// The token in the header, if there is one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let wrong = |detail| Problem::unauthenticated(&Invalid::new(Kind::TokenInvalid, detail));
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong("there are several Authorization headers; send one"));
    }
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    match token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
        Some((_, token)) => Ok(Some(token.trim())),
        None => Err(wrong("the Authorization header is not of the form: Bearer <token>")),
    }
}
