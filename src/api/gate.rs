//! Who is asking, and whether they may: what handlers share, and the callers that they take.
//!
//! With keys in the settings a caller shows a token and is its `sub`. Without keys Damper is open: callers name
//! themselves, and operators show the admin token. Reading needs no token, but a token that is shown must be good.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use tokio::sync::{Mutex, Semaphore};
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

/// Long answers that are written at once.
const LONG_ANSWERS_MAX: usize = 1;

/// What handlers share, by one handle: layers and handlers each take a copy of it, several a request.
#[derive(Clone)]
pub struct Gate(Arc<Common>);

/// What stands behind the handle.
pub struct Common {
    app: Arc<App>,
    /// Without keys Damper is open.
    keys: Option<Keys>,
    /// Held by the one flush that may be under way.
    pub(super) flushing: Arc<Mutex<()>>,
    pub(super) followers: Arc<Followers>,
    /// Turns at writing a long answer, which takes a core for a while: a crowd that asks for them must not keep ratings from it.
    pub(super) long_answers: Semaphore,
    /// Cancelled once the process is to end.
    pub(crate) stop: CancellationToken,
}

impl Gate {
    /// The gate of `app`, with the keys that its settings name; flushes end early once `stop` is cancelled.
    ///
    /// # Errors
    /// `Config` when a key cannot be used.
    pub fn open(app: Arc<App>, stop: CancellationToken) -> Result<Self> {
        let keys = Keys::load(app.config())?;
        Ok(Self::new(app, keys, stop))
    }

    /// The gate of a process that asks for no token.
    pub fn without_keys(app: Arc<App>, stop: CancellationToken) -> Self {
        Self::new(app, None, stop)
    }

    fn new(app: Arc<App>, keys: Option<Keys>, stop: CancellationToken) -> Self {
        let long_answers = Semaphore::new(LONG_ANSWERS_MAX);
        let (flushing, followers) = (Arc::default(), Arc::default());
        Self(Arc::new(Common { app, keys, flushing, followers, long_answers, stop }))
    }

    pub(crate) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Whether callers name themselves.
    pub fn is_open(&self) -> bool {
        self.keys.is_none()
    }
}

impl Deref for Gate {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.0
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
    /// The token's user, or in open mode the one that `field` names, if it names one.
    fn user(&self, named: Option<&str>, field: &str) -> Result<Option<UserId>, Invalid> {
        match (self, named) {
            (Caller::Unnamed, named) => named.map(UserId::parse).transpose(),
            (Caller::Nobody | Caller::Known(_), Some(_)) => {
                let detail = format!("{field} is not taken: the token says who is asking; leave it out");
                Err(Invalid::new(Kind::UserNamed, detail))
            }
            (Caller::Nobody, None) => Ok(None),
            (Caller::Known(identity), None) => Ok(Some(identity.user.clone())),
        }
    }

    /// Whose own rating is shown: the token's user, or in open mode the one that the query names.
    pub fn reader(&self, named: Option<&str>) -> Result<Option<UserId>, Problem> {
        self.user(named, "user_id").map_err(|e| Problem::in_parameter(e, "user_id"))
    }

    /// The author of a new post: the token's user, or in open mode the one that the body names, if it names one.
    pub fn author(&self, named: Option<&str>) -> Result<Option<UserId>, Problem> {
        self.user(named, "created_by").map_err(|e| Problem::in_body(e, "/created_by"))
    }

    /// Who acts: the token's user, or in open mode the one that the body names.
    pub fn named_in_body(&self, named: Option<&str>) -> Result<UserId, Problem> {
        let unnamed = || Invalid::new(Kind::InvalidBody, "missing field `user_id`");
        let user = self.user(named, "user_id").and_then(|user| user.ok_or_else(unnamed));
        user.map_err(|e| Problem::in_body(e, "/user_id"))
    }

    /// `user`, with what the token says of the account.
    pub fn rater<'a>(&self, user: &'a UserId) -> Rater<'a> {
        let account_created_at = match self {
            Caller::Known(identity) => identity.account_created_at,
            Caller::Unnamed | Caller::Nobody => None,
        };
        Rater { user, account_created_at }
    }
}

impl FromRequestParts<Gate> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Problem> {
        let Some(keys) = &gate.keys else { return Ok(Caller::Unnamed) };
        let Some(token) = bearer(&parts.headers)? else { return Ok(Caller::Nobody) };
        keys.verify(token, now()).map(Caller::Known).map_err(Problem::unauthenticated)
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

/// A caller who may send ratings of others. In open mode, that is everyone who can reach Damper; where other machines
/// can, the admin token is required.
pub struct Ingester;

impl FromRequestParts<Gate> for Ingester {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Problem> {
        if !gate.is_open() || gate.app.config().open == Open::Anywhere {
            user_with(Role::Ingest, parts, gate).await?;
        }
        Ok(Self)
    }
}

/// A caller who may decide on ratings. In open mode, the admin token is required.
pub struct Moderator(pub UserId);

impl FromRequestParts<Gate> for Moderator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Problem> {
        user_with(Role::Moderator, parts, gate).await.map(Self)
    }
}

/// A caller who may operate Damper. In open mode, the admin token is required.
pub struct Operator;

impl FromRequestParts<Gate> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Problem> {
        user_with(Role::Admin, parts, gate).await.map(|_| Self)
    }
}

/// Someone who shows a token to work on the admin listener's pages.
pub(crate) struct Staff {
    pub user: UserId,
    /// Whether they may operate Damper, besides deciding on ratings.
    pub is_admin: bool,
}

impl Gate {
    /// Who shows this token, which must have one of the roles `moderator` and `admin`, or be the admin token.
    pub(crate) async fn staff(&self, token: &str) -> Result<Staff, Problem> {
        let Some(keys) = &self.keys else {
            check_admin_token(token, self).await?;
            return Ok(Staff { user: UserId::parse(Role::Admin.as_str())?, is_admin: true });
        };
        let identity = keys.verify(token, now()).map_err(Problem::unauthenticated)?;
        if !identity.has(Role::Moderator) {
            let detail = "this page requires a token with the role moderator or admin";
            return Err(Problem::new(Kind::RoleMissing, detail));
        }
        Ok(Staff { user: identity.user.clone(), is_admin: identity.has(Role::Admin) })
    }

    /// Names the keys in the settings: other ones have another name. Nothing without keys.
    pub(crate) fn keys_name(&self) -> Option<&str> {
        self.keys.as_ref().map(Keys::name)
    }
}

async fn check_admin_token(token: &str, gate: &Gate) -> Result<(), Problem> {
    if gate.app.upkeep().is_admin_token(token).await? {
        return Ok(());
    }
    Err(wrong_token("this is not the admin token; damper admin-token makes a new one"))
}

/// The user of a token with the role, or in open mode `admin`, for the admin token.
async fn user_with(role: Role, parts: &mut Parts, gate: &Gate) -> Result<UserId, Problem> {
    match Caller::from_request_parts(parts, gate).await? {
        Caller::Known(identity) if identity.has(role) => Ok(identity.user.clone()),
        Caller::Known(_) => {
            let detail = format!("this call requires a token with the role {}", role.as_str());
            Err(Problem::new(Kind::RoleMissing, detail))
        }
        Caller::Nobody => Err(unknown_caller()),
        Caller::Unnamed => {
            let token = bearer(&parts.headers)?.ok_or_else(unknown_caller)?;
            check_admin_token(token, gate).await?;
            Ok(UserId::parse(Role::Admin.as_str())?)
        }
    }
}

fn unknown_caller() -> Problem {
    let detail = "who is asking? Send the header Authorization: Bearer <token>";
    Problem::unauthenticated(Invalid::new(Kind::TokenMissing, detail))
}

fn wrong_token(detail: &str) -> Problem {
    Problem::unauthenticated(Invalid::new(Kind::TokenInvalid, detail))
}

/// The token in the header, if there is one. Other schemes, such as Basic, are a proxy's in front, which lets them pass.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut tokens = Vec::new();
    for value in headers.get_all(header::AUTHORIZATION) {
        match value.to_str().ok().and_then(|text| text.split_once(' ')) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => tokens.push(token.trim()),
            Some(_) => {}
            None => return Err(wrong_token("the Authorization header is not of the form: Bearer <token>")),
        }
    }
    match tokens[..] {
        [] => Ok(None),
        [token] => Ok(Some(token)),
        _ => Err(wrong_token("there are several Authorization headers; send one")),
    }
}
