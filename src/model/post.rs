//! A post: what is rated, as its site describes it.

use serde::{Deserialize, Serialize};

use crate::error::{Invalid, Kind};
use crate::model::{PostId, Time, UserId};

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
    /// The post that it repeats: always one that is no repost itself.
    pub repost_of: Option<PostId>,
    /// How many posts repeat it.
    #[serde(default)]
    pub reposts: u64,
    /// When it was made known to Damper; of a post that a rating made, the time of that rating.
    pub created_at: Time,
    /// Grows with every change of what stands above.
    pub revision: u64,
}

impl Post {
    /// A post that enters now, and is nobody's yet.
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

    /// A post that is made known by its ratings: its id is its title.
    pub fn named_by_id(id: PostId, now: Time) -> Self {
        Self::new(id.clone(), Title(id.to_string()), None, now)
    }
}

/// One line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

impl Title {
    /// Takes a text of 1 to [`TITLE_CHARS_MAX`] characters that is not blank.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        check_text("title", &text, TITLE_CHARS_MAX)?;
        if text.trim().is_empty() {
            return Err(Invalid::new(Kind::InvalidText, "title is empty; it takes at least one character"));
        }
        Ok(Self(text))
    }

    /// The title as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a post says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(String);

impl Content {
    /// Takes a text of at most [`CONTENT_CHARS_MAX`] characters.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        check_text("content", &text, CONTENT_CHARS_MAX)?;
        Ok(Self(text))
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an author changes; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edit {
    /// Another title.
    pub title: Option<Title>,
    /// Another content, or none any more.
    pub content: Option<Option<Content>>,
}

fn check_text(name: &str, text: &str, chars_max: usize) -> Result<(), Invalid> {
    let chars = text.chars().count();
    if chars > chars_max {
        return Err(Invalid::new(
            Kind::InvalidText,
            format!("{name} has {chars} characters; at most {chars_max}"),
        ));
    }
    // Postgres cannot keep NUL in a text; both databases shall take the same.
    if text.contains('\0') {
        return Err(Invalid::new(Kind::InvalidText, format!("{name} holds a NUL character; leave it out")));
    }
    Ok(())
}
