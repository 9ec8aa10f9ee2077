//! The lines of an export: what `damper export` writes and `damper import` takes back.

use serde::{Deserialize, Serialize};

use crate::merge::Adopted;
use crate::model::post::Post;
use crate::model::{PostId, Time, User, UserId};

/// The form of the lines; a program reads its own and older ones.
pub const VERSION: u32 = 1;
/// How every export begins.
pub const BEGINNING: &[u8] = b"{\"kind\":\"export\"";

/// A line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// One that says something of its own.
    Whole(Whole),
    /// A piece of a post's state.
    OfPost(Box<OfPost>),
}

/// A line that says something of its own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Whole {
    /// The first.
    Export {
        /// [`VERSION`].
        version: u32,
        /// When it was made.
        exported_at: Time,
    },
    /// The last: without it, the file is not whole.
    End {
        /// Posts in it.
        posts: u64,
        /// Ratings in it that count.
        ratings: u64,
    },
    /// A user with a name.
    User(User),
    /// A post.
    Post(Box<Post>),
}

/// A piece of a post's state, in the order of the log.
#[derive(Debug, Serialize, Deserialize)]
pub struct OfPost {
    /// The post.
    pub post_id: PostId,
    /// The user who rated, or the moderator who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Its place in the log that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// The piece.
    #[serde(flatten)]
    pub state: Adopted,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let wrong = |e: serde_json::Error| e.to_string();
        let Kind { kind } = serde_json::from_slice(text).map_err(wrong)?;
        match kind.as_str() {
            "export" | "end" | "user" | "post" => {
                serde_json::from_slice(text).map(Self::Whole).map_err(wrong)
            }
            _ => serde_json::from_slice(text).map(Self::OfPost).map_err(wrong),
        }
    }

    /// A piece that is of the post as a whole.
    pub fn of_post(post_id: PostId, state: Adopted) -> Self {
        Self::OfPost(Box::new(OfPost { post_id, user_id: None, position: None, at: None, state }))
    }
}
