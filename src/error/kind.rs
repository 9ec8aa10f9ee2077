//! Every kind of refusal: the one list of names that programs may compare, and what the API says about each.
//!
//! `api::problem` answers them, and serves a page about each; commands show only the detail. docs/PROBLEMS.md lists the
//! same.

/// What the API says about a kind of problem.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The stable name.
    pub slug: &'static str,
    /// A problem's `type`: the path of its page, which ends with the name.
    pub path: &'static str,
    /// The status that it is answered with.
    pub status: u16,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What the caller can do.
    pub remedy: &'static str,
}

macro_rules! kinds {
    (
        $($status:literal $kind:ident $slug:literal $title:literal $remedy:literal,)*
        of commands only: $($command:ident)*
    ) => {
        /// A kind of problem. A name that is not listed here cannot be written.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $title] $kind,)*
            $(#[doc = "Only commands meet it."] $command,)*
        }

        impl Kind {
            /// The pages of all kinds that the API answers, by status.
            pub const PAGES: &[&Page] = &[$(Kind::$kind.page(),)*];

            /// What the API says about it. Kinds that only commands meet have no page; if one reached the API, it would be
            /// answered as an invalid body.
            pub const fn page(self) -> &'static Page {
                match self {
                    $(Kind::$kind => &Page {
                        slug: $slug,
                        path: concat!("/problems/", $slug),
                        status: $status,
                        title: $title,
                        remedy: $remedy,
                    },)*
                    $(Kind::$command)|* => Kind::InvalidBody.page(),
                }
            }
        }
    };
}

kinds! {
    400 MalformedJson "malformed-json" "the body is not JSON"
        "Send one JSON object; the detail says where it breaks.",
    400 MalformedPath "malformed-path" "the path cannot be read"
        "Percent-encode characters beyond ASCII, as UTF-8.",
    400 UnreadableBody "unreadable-body" "the body ended too early" "Send the whole body again.",
    401 TokenMissing "token-missing" "a token is required"
        "Send the header Authorization: Bearer with a token.",
    401 TokenInvalid "token-invalid" "the token is not accepted"
        "Get a new token from its issuer; the detail says what is wrong with this one.",
    403 RoleMissing "role-missing" "the role is missing" "Use a token with the role that the detail names.",
    403 NotTheAuthor "not-the-author" "the caller is not the author"
        "Ask as the author; a post without an author cannot be changed.",
    403 HostRefused "host-refused" "the host or origin is unknown"
        "Call Damper by localhost, by its IP address, or by a name that the setting admin_hosts lists, and the admin \
         listener from no page of another site.",
    403 OriginRefused "origin-refused" "the request comes from a page of another site"
        "Ask from the site itself, or list the site in the setting api.cors_origins.",
    404 NotFound "not-found" "there is no such post or user"
        "Check the id, or create the post or user first.",
    404 NoRatings "no-ratings" "the post has no ratings" "Show no rating; ask again when there are some.",
    404 NoSuchRoute "no-such-route" "there is nothing at this path" "Check the path against /openapi.json.",
    405 MethodNotAllowed "method-not-allowed" "the method is not allowed here"
        "The Allow header lists the methods that are.",
    408 BodyTooSlow "body-too-slow" "the body took too long"
        "Send it faster; api.body_timeout_ms is the limit.",
    409 Conflict "conflict" "it exists already" "Choose another id, or another name.",
    413 BodyTooLarge "body-too-large" "the body is too large" "Send less; api.body_bytes_max is the limit.",
    413 LineTooLong "line-too-long" "the line is too long"
        "A rating takes far less than 64 KiB; end each one with a newline.",
    415 UnsupportedMediaType "unsupported-media-type" "the content type is not accepted"
        "Send JSON, as application/json, and not compressed.",
    422 InvalidBody "invalid-body" "a field of the body is invalid"
        "Change the field that the pointer names.",
    422 InvalidId "invalid-id" "the id is invalid"
        "Ids have 1 to 64 characters of A-Z a-z 0-9 . _ ~ : @ + = | - and are neither . nor ..",
    422 InvalidText "invalid-text" "the text is invalid"
        "Change the text that the pointer or parameter names; the detail says how.",
    422 ScoreOutOfRange "score-out-of-range" "the score is out of range" "Scores are 0, 1, 2, 3, 4 and 5.",
    422 ScoreNotWhole "score-not-whole" "the score is not a whole number"
        "Send the score as a number without a fraction.",
    422 InvalidQuery "invalid-query" "a parameter of the query is invalid"
        "Change or leave out the parameter that is named.",
    422 InvalidCursor "invalid-cursor" "the cursor is not one of this list" "Begin without a cursor.",
    422 LimitOutOfRange "limit-out-of-range" "the limit is out of range"
        "Ask for a number in the range that the detail names.",
    422 PointsOutOfRange "points-out-of-range" "the number of points is out of range"
        "Ask for a number in the range that the detail names.",
    422 UserMissing "user-missing" "the user is missing" "In open mode, name the user in user_id.",
    422 UserNamed "user-named" "the user is named twice" "Leave the user out; the token names the user.",
    422 InvalidWindow "invalid-window" "the window is invalid"
        "A window begins before it ends, and ends in the past; it includes from, and excludes to.",
    422 InvalidTime "invalid-time" "the time cannot be read"
        "Write times as RFC 3339 (2026-11-21T12:00:00Z) or as Unix seconds.",
    422 TimeOutOfRange "time-out-of-range" "the time is out of range"
        "Use a time between 1990 and one minute from now.",
    423 PostFrozen "post-frozen" "the post is frozen"
        "Wait until a moderator thaws it; it can still be read.",
    429 RateLimited "rate-limited" "too many ratings in a minute"
        "Wait as long as Retry-After says; RateLimit shows how much is left of each limit.",
    429 DailyLimit "daily-limit" "too many posts today"
        "Wait as long as Retry-After says; days are counted in UTC.",
    500 Internal "internal" "an internal error" "Report it to the operator; the log has the request's id.",
    503 Unavailable "unavailable" "the service is unavailable for now"
        "Try again after Retry-After seconds; a rating that was stored all the same is not counted twice.",
    of commands only:
        BadLine EmptyFile FailedBackup FileTooLong NotEmbedded NotOpen SettingOutOfRange TooManyEntries
        UnclearFile UnknownHeader UnreadableFile UnwritableFile
}
