//! Posts and users: created, found, changed.

mod posts;
mod users;

use std::sync::Arc;

use super::context::Context;
use super::reading::PostReader;
use crate::store::Store;

pub use users::UserKey;

/// Keeps posts and users.
pub struct Catalogue {
    context: Arc<Context>,
    posts: Arc<PostReader>,
    store: Arc<Store>,
}

impl Catalogue {
    pub(super) fn new(context: Arc<Context>, posts: Arc<PostReader>, store: Arc<Store>) -> Self {
        Self { context, posts, store }
    }
}
