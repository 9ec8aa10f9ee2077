//! Every kind of refusal by its stable name: the one list of the names that programs may compare.
//!
//! What the API says about each (status, title, remedy) is in `api::problem`; commands show only the detail.

macro_rules! kinds {
    ($($kind:ident $slug:literal,)*) => {
        /// A kind of problem. A name that is not listed here cannot be written.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = concat!("`", $slug, "`")] $kind,)*
        }

        impl Kind {
            /// All kinds: those of the API by their status, then those of commands.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// The stable name, the last segment of a problem's `type`.
            pub const fn slug(self) -> &'static str {
                match self {
                    $(Kind::$kind => $slug,)*
                }
            }
        }
    };
}

kinds! {
    MalformedJson "malformed-json",
    MalformedPath "malformed-path",
    UnreadableBody "unreadable-body",
    TokenMissing "token-missing",
    TokenInvalid "token-invalid",
    RoleMissing "role-missing",
    NotTheAuthor "not-the-author",
    HostRefused "host-refused",
    OriginRefused "origin-refused",
    NotFound "not-found",
    NoSuchRoute "no-such-route",
    MethodNotAllowed "method-not-allowed",
    BodyTooSlow "body-too-slow",
    Conflict "conflict",
    BodyTooLarge "body-too-large",
    LineTooLong "line-too-long",
    UnsupportedMediaType "unsupported-media-type",
    InvalidBody "invalid-body",
    InvalidId "invalid-id",
    InvalidText "invalid-text",
    ScoreOutOfRange "score-out-of-range",
    ScoreNotWhole "score-not-whole",
    InvalidQuery "invalid-query",
    InvalidCursor "invalid-cursor",
    LimitOutOfRange "limit-out-of-range",
    PointsOutOfRange "points-out-of-range",
    UserMissing "user-missing",
    UserNamed "user-named",
    InvalidWindow "invalid-window",
    InvalidTime "invalid-time",
    TimeOutOfRange "time-out-of-range",
    PostFrozen "post-frozen",
    RateLimited "rate-limited",
    DailyLimit "daily-limit",
    Internal "internal",
    Unavailable "unavailable",
    BadLine "bad-line",
    EmptyFile "empty-file",
    FailedBackup "failed-backup",
    FileTooLong "file-too-long",
    NotEmbedded "not-embedded",
    NotOpen "not-open",
    SettingOutOfRange "setting-out-of-range",
    TooManyEntries "too-many-entries",
    UnknownHeader "unknown-header",
    UnknownLane "unknown-lane",
    UnreadableFile "unreadable-file",
    UnwritableFile "unwritable-file",
}
