//! A post: what is rated, as its site describes it.

use serde::{Deserialize, Serialize};

use crate::model::text::text;
use crate::model::{PostId, Time, UserId};

/// What is rated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Post {
    /// Its id, the host site's own or one that Damper gave.
    pub id: PostId,
    /// What it is called; never blank.
    pub title: String,
    /// Any text, or nothing.
    pub content: Option<String>,
    /// Its author, where known.
    pub created_by: Option<UserId>,
    /// The post that it repeats: always one that is no repost itself.
    pub repost_of: Option<PostId>,
    /// How many posts repeat it.
    #[serde(default)]
    pub reposts: u64,
    /// When it was created; if a rating created it, the time of that rating.
    pub created_at: Time,
    /// Grows with every change of the fields above.
    pub revision: u64,
}

impl Post {
    /// A post that is created now, without an author.
    pub fn new(id: PostId, title: Title, content: Option<Content>, now: Time) -> Self {
        Self {
            id,
            title: title.0,
            content: content.map(|content| content.0),
            created_by: None,
            repost_of: None,
            reposts: 0,
            created_at: now,
            revision: 1,
        }
    }

    /// A post that its first rating creates: its id is its title.
    pub fn named_by_id(id: PostId, now: Time) -> Self {
        Self::new(id.clone(), Title(id.to_string()), None, now)
    }
}

text! {
    /// What a post is called; never blank.
    Title: "title", 300, Filled;
    /// What a post says.
    Content: "content", 20_000, Any;
}

/// What an author changes; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edit {
    /// Another title.
    pub title: Option<Title>,
    /// Another content, or none any more.
    pub content: Option<Option<Content>>,
}
