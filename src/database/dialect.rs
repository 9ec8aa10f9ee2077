//! The few places where the two databases' SQL differs, as words in braces that stand in a statement's text.
//!
//! A list is always `$1`. Loads by key must be answered from the primary keys, whatever the planner thinks of the list:
//! `tests/suite/plans.rs` looks at the plans.

/// Which SQL a statement is rendered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Lists are arrays.
    Postgres,
    /// Lists are JSON.
    Sqlite,
}

/// A word, and what takes its place in Postgres and in SQLite.
const WORDS: [(&str, &str, &str); 4] = [
    // The table k (id) of a list of ids.
    (
        "{ids}",
        "(select id collate \"C\" as id from unnest($1::text[]) u (id)) k",
        "(select value as id from json_each($1)) k",
    ),
    // The table k (post_id, user_id) of a list of keys.
    (
        "{keys}",
        "(select post_id collate \"C\" as post_id, user_id collate \"C\" as user_id
          from unnest($1::text[], $2::text[]) u (post_id, user_id)) k",
        "(select value ->> 0 as post_id, value ->> 1 as user_id from json_each($1)) k",
    ),
    // SQLite goes through a cross join's tables in the order in which they are written.
    ("{join}", "join", "cross join"),
    // Locks the rows of r, and leaves out those that another transaction has locked. SQLite's one writer needs none.
    ("{lock_r}", "for update of r skip locked", ""),
];

impl Dialect {
    /// The statement in this database's own words.
    pub fn render(self, sql: &str) -> String {
        let mut rendered = sql.to_owned();
        for (word, postgres, sqlite) in WORDS {
            if rendered.contains(word) {
                rendered = rendered.replace(word, if self == Dialect::Postgres { postgres } else { sqlite });
            }
        }
        rendered
    }
}
