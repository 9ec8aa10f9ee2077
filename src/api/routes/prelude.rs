//! What most routes are written with; what is particular to one, its file imports itself.

pub(super) use axum::extract::State;
pub(super) use axum::http::{HeaderMap, StatusCode, header};
pub(super) use axum::response::{IntoResponse, Response};
pub(super) use serde::{Deserialize, Serialize};
pub(super) use serde_json::Value;
pub(super) use utoipa::{IntoParams, ToSchema};

pub(super) use crate::api::Problem;
pub(super) use crate::api::answer::Json;
pub(super) use crate::api::extract::{Body, NoParameters, Nothing, Parameters, PostPath, UserPath};
pub(super) use crate::api::gate::{Caller, Gate, Moderator, Operator, Somebody};
pub(super) use crate::api::pages::{PageQuery, Paged};
pub(super) use crate::api::{Answer, Shared, now};
pub(super) use crate::app::App;
pub(super) use crate::error::{Error, Invalid, Kind};
pub(super) use crate::model::{PostId, Score, Time, UserId};
