//! A post: what is rated, as its site describes it, and its state as readers need it.

use serde::{Deserialize, Serialize};

use crate::entry::Position;
use crate::error::Invalid;
use crate::rating::{PostId, Time, UserId};
use crate::smoothing::Average;

/// Longest title, in characters.
pub const TITLE_CHARS_MAX: usize = 300;
/// Longest content, in characters.
pub const CONTENT_CHARS_MAX: usize = 20_000;

/// What is rated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Post {
    /// Its id, the host site's own or one that Damper gave.
    pub id: PostId,
    /// One line.
    pub title: String,
    /// Any text, or nothing.
    pub content: Option<String>,
    /// Who made it, where that is known.
    pub created_by: Option<UserId>,
    /// When it was made known to Damper.
    pub created_at: Time,
    /// Grows with every change of the texts above.
    pub revision: u64,
}

impl Post {
    /// A post that enters now; texts are checked here.
    pub fn new(
        id: PostId,
        title: String,
        content: Option<String>,
        created_by: Option<UserId>,
        now: Time,
    ) -> Result<Self, Invalid> {
        check_text("title", &title, TITLE_CHARS_MAX)?;
        if title.trim().is_empty() {
            return Err(Invalid::new("invalid-text", "title is empty; it takes at least one character"));
        }
        if let Some(content) = &content {
            check_text("content", content, CONTENT_CHARS_MAX)?;
        }
        Ok(Self { id, title, content, created_by, created_at: now, revision: 1 })
    }

    /// A post that an import makes known by its ratings: its id is its title.
    pub fn named_by_id(id: PostId, now: Time) -> Self {
        Self { title: id.to_string(), id, content: None, created_by: None, created_at: now, revision: 1 }
    }
}

fn check_text(name: &str, text: &str, chars_max: usize) -> Result<(), Invalid> {
    let chars = text.chars().count();
    if chars > chars_max {
        return Err(Invalid::new(
            "invalid-text",
            format!("{name} has {chars} characters; at most {chars_max}"),
        ));
    }
    // Postgres cannot keep NUL in a text; both databases shall take the same.
    if text.contains('\0') {
        return Err(Invalid::new("invalid-text", format!("{name} holds a NUL character; leave it out")));
    }
    Ok(())
}

/// A post with its aggregate state as of the last commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostState {
    /// The post itself.
    pub post: Post,
    /// Its average, as its last entry left it; evaluate a copy with `at`.
    pub average: Average,
    /// The position of the last entry folded into the average.
    pub version: Position,
}

impl PostState {
    /// What makes one state newer than another: both parts only ever grow, and are read together.
    pub fn newness(&self) -> (Position, u64) {
        (self.version, self.post.revision)
    }
}
