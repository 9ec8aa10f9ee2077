//! Files that many people have, known by the names of their columns, and what each leaves open.
//!
//! What a file does not say is never assumed: not the scale, not what a zero means, not the time zone. It is a [`Demand`],
//! which an option answers.

use super::options::{Column, Options, POST, SCORE, TIME, USER};
use super::scale::Scale;
use crate::model::{PostId, Time, UserId};

/// A file that is known.
#[derive(Debug)]
pub struct Known {
    /// What people call it.
    pub name: &'static str,
    /// Columns, or fields, that it has.
    needs: &'static [&'static str],
    /// The columns of post, user, score and time.
    pub columns: [Option<&'static str>; 4],
    /// It has scores from 0.5 to 5 in halves, which are rounded up.
    pub has_half_stars: bool,
    demands: &'static [Demand],
}

/// What a file leaves open, with the reason.
#[derive(Debug)]
enum Demand {
    /// Its scores have another scale, one of these.
    Scale(&'static [&'static str], &'static str),
    /// This score says that there is no rating.
    NoRating(&'static str, &'static str),
    /// It has no column for this role.
    Value(usize, &'static str),
    /// Its times are written so, without an offset.
    Format(&'static str),
    /// Its ids hold what ids may not.
    Escape(&'static str),
    /// One of these columns must be chosen for this role.
    Choice(usize, &'static [&'static str], &'static str),
    /// It holds no ratings.
    Nothing(&'static str),
}

const NO_OFFSET: &str = "its times have no offset: a format says how they are written, and reads them as UTC";
const MANY_SHELVED: &str = "its 0 says that a book was shelved, not that it is bad";
const THUMBS: &str = "its scores are thumbs, up or down";
const ONE_USER: &str = "it is the export of one user, whom it does not name; any id will do";
const GUESTS: &str = "all guests have the user 0 or none, and would be one user; by address they are several";
const DATE: &str = "%Y-%m-%d";
const DATE_TIME: &str = "%Y-%m-%d %H:%M:%S";

const PLAIN: Known = Known { name: "", needs: &[], columns: [None; 4], has_half_stars: false, demands: &[] };

/// A file from MovieLens. Its oldest have no header.
pub static MOVIELENS: Known = Known {
    name: "MovieLens",
    needs: &["userId", "movieId", "rating", "timestamp"],
    columns: [Some("movieId"), Some("userId"), Some("rating"), Some("timestamp")],
    has_half_stars: true,
    ..PLAIN
};

/// The first that fits counts.
static OTHERS: [Known; 21] = [
    Known {
        name: "Amazon reviews",
        needs: &["reviewerID", "asin", "overall", "unixReviewTime"],
        columns: [Some("asin"), Some("reviewerID"), Some("overall"), Some("unixReviewTime")],
        ..PLAIN
    },
    Known {
        name: "Amazon reviews of 2023",
        needs: &["user_id", "parent_asin", "rating", "timestamp"],
        columns: [Some("parent_asin"), Some("user_id"), Some("rating"), Some("timestamp")],
        ..PLAIN
    },
    Known {
        name: "Yelp",
        needs: &["business_id", "user_id", "stars", "date"],
        columns: [Some("business_id"), Some("user_id"), Some("stars"), Some("date")],
        demands: &[Demand::Format(DATE_TIME)],
        ..PLAIN
    },
    Known {
        name: "a Goodreads library",
        needs: &["Book Id", "My Rating", "Date Added"],
        columns: [Some("Book Id"), None, Some("My Rating"), Some("Date Added")],
        demands: &[
            Demand::NoRating("0", MANY_SHELVED),
            Demand::Value(USER, ONE_USER),
            Demand::Format("%Y/%m/%d"),
        ],
        ..PLAIN
    },
    Known {
        name: "Goodreads reviews",
        needs: &["user_id", "book_id", "rating", "date_added"],
        columns: [Some("book_id"), Some("user_id"), Some("rating"), Some("date_added")],
        demands: &[Demand::NoRating("0", MANY_SHELVED)],
        ..PLAIN
    },
    Known {
        name: "Goodreads interactions",
        needs: &["user_id", "book_id", "is_read", "rating", "is_reviewed"],
        columns: [Some("book_id"), Some("user_id"), Some("rating"), None],
        demands: &[
            Demand::NoRating("0", MANY_SHELVED),
            Demand::Value(TIME, "it has no times: all its ratings would have the one that is given"),
        ],
        ..PLAIN
    },
    Known {
        name: "Steam recommendations",
        needs: &["app_id", "user_id", "is_recommended", "date"],
        columns: [Some("app_id"), Some("user_id"), Some("is_recommended"), Some("date")],
        demands: &[Demand::Scale(&["0..1"], THUMBS), Demand::Format(DATE)],
        ..PLAIN
    },
    Known {
        name: "Steam reviews",
        needs: &["app_id", "recommended", "timestamp_created", "author.steamid"],
        columns: [Some("app_id"), Some("author.steamid"), Some("recommended"), Some("timestamp_created")],
        demands: &[Demand::Scale(&["0..1"], THUMBS)],
        ..PLAIN
    },
    Known {
        name: "Steam reviews of one game",
        needs: &["/author/steamid", "voted_up", "timestamp_created"],
        columns: [None, Some("/author/steamid"), Some("voted_up"), Some("timestamp_created")],
        demands: &[
            Demand::Scale(&["0..1"], THUMBS),
            Demand::Value(POST, "it has the reviews of one game, which it does not name"),
        ],
        ..PLAIN
    },
    Known {
        name: "Letterboxd",
        needs: &["Date", "Name", "Letterboxd URI", "Rating"],
        columns: [Some("Letterboxd URI"), None, Some("Rating"), Some("Date")],
        demands: &[
            Demand::Scale(
                &["0.5..5", "0..5"],
                "its scores are half stars: 0.5..5 makes the lowest a 0, and 0..5 only rounds them up",
            ),
            Demand::Value(USER, ONE_USER),
            Demand::Format(DATE),
            Demand::Escape("its films are known by addresses, and an id holds no slash"),
        ],
        ..PLAIN
    },
    Known {
        name: "Book-Crossing",
        needs: &["User-ID", "ISBN", "Book-Rating"],
        columns: [Some("ISBN"), Some("User-ID"), Some("Book-Rating"), None],
        demands: &[
            Demand::Scale(&["1..10"], "its scores are 1 to 10"),
            Demand::NoRating("0", "its 0 says that a book was not rated (if it is a score: --scale 0..10)"),
            Demand::Value(TIME, "it has no times: all its ratings would have the one that is given"),
        ],
        ..PLAIN
    },
    Known {
        name: "IMDb's averages",
        needs: &["tconst", "averageRating", "numVotes"],
        demands: &[Demand::Nothing("it holds averages of many ratings, and not the ratings")],
        ..PLAIN
    },
    Known {
        name: "an IMDb list",
        needs: &["Const", "Your Rating", "Date Rated"],
        columns: [Some("Const"), None, Some("Your Rating"), Some("Date Rated")],
        demands: &[
            Demand::Scale(&["1..10"], "its scores are 1 to 10"),
            Demand::Value(USER, ONE_USER),
            Demand::Format(DATE),
        ],
        ..PLAIN
    },
    Known {
        name: "IMDb reviews",
        needs: &["reviewer", "movie", "rating", "review_date"],
        columns: [Some("movie"), Some("reviewer"), Some("rating"), Some("review_date")],
        demands: &[
            Demand::Scale(&["1..10"], "its scores are 1 to 10"),
            Demand::Format("%d %B %Y"),
            Demand::Escape("its films are known by their titles, and an id holds no space"),
        ],
        ..PLAIN
    },
    Known {
        name: "WP-PostRatings",
        needs: &["rating_postid", "rating_rating", "rating_timestamp", "rating_userid", "rating_ip"],
        columns: [Some("rating_postid"), None, Some("rating_rating"), Some("rating_timestamp")],
        demands: &[Demand::Choice(USER, &["rating_userid", "rating_ip"], GUESTS)],
        ..PLAIN
    },
    Known {
        name: "Yet Another Stars Rating",
        needs: &["post_id", "user_id", "vote", "date", "ip"],
        columns: [Some("post_id"), None, Some("vote"), Some("date")],
        demands: &[Demand::Choice(USER, &["user_id", "ip"], GUESTS), Demand::Format(DATE_TIME)],
        ..PLAIN
    },
    Known {
        name: "WP ULike",
        needs: &["post_id", "date_time", "ip", "user_id", "status"],
        columns: [Some("post_id"), None, Some("status"), Some("date_time")],
        demands: &[
            Demand::Scale(&["0..1"], THUMBS),
            Demand::Choice(USER, &["user_id", "ip"], GUESTS),
            Demand::Format(DATE_TIME),
        ],
        ..PLAIN
    },
    Known {
        name: "django-star-ratings",
        needs: &["rating_id", "user_id", "score", "created", "modified"],
        columns: [Some("rating_id"), Some("user_id"), Some("score"), Some("modified")],
        ..PLAIN
    },
    Known {
        name: "django-star-ratings",
        needs: &["/fields/rating", "/fields/user", "/fields/score", "/fields/modified"],
        columns: [
            Some("/fields/rating"),
            Some("/fields/user"),
            Some("/fields/score"),
            Some("/fields/modified"),
        ],
        ..PLAIN
    },
    Known {
        name: "django-star-ratings' averages",
        needs: &["count", "total", "average", "object_id", "content_type_id"],
        demands: &[Demand::Nothing(
            "it holds averages of many ratings; the ratings are in star_ratings_userrating",
        )],
        ..PLAIN
    },
    Known {
        name: "MovieLens' tags",
        needs: &["userId", "movieId", "tag", "timestamp"],
        demands: &[Demand::Nothing("it holds tags, and no ratings; those are in ratings.csv")],
        ..PLAIN
    },
];

/// The known file that has these columns; `has` answers for a column's name or a JSON pointer.
pub fn find(has: impl Fn(&str) -> bool) -> Option<&'static Known> {
    std::iter::once(&MOVIELENS).chain(&OTHERS).find(|known| known.needs.iter().all(|name| has(name)))
}

/// What is not clear about a file, and how to say it.
#[derive(Default)]
pub struct Unclear {
    /// Sentences.
    pub reasons: Vec<String>,
    /// Each makes the file clear; none, if nothing can.
    pub remedies: Vec<Options>,
}

impl Known {
    /// What the options leave open. `has_zone` says whether the times of the first lines say what they are.
    pub fn unclear(&self, options: &Options, has_zone: bool, now: Time) -> Unclear {
        let mut open = Unclear { reasons: Vec::new(), remedies: vec![options.clone()] };
        for demand in self.demands {
            demand.add_to(&mut open, options, has_zone, now);
        }
        open
    }
}

impl Demand {
    fn add_to(&self, open: &mut Unclear, options: &Options, has_zone: bool, now: Time) {
        let is_own = |role: usize| options.columns.0[role].is_some();
        match self {
            Demand::Scale(scales, why) if options.scale.is_none() && !is_own(SCORE) => {
                let scales: Vec<Scale> = scales.iter().filter_map(|text| Scale::parse(text).ok()).collect();
                open.fork(why, &scales, |options, scale| options.scale = Some(*scale));
            }
            // A stated scale that holds the score says that it is one.
            Demand::NoRating(score, why)
                if options.no_rating.is_none()
                    && !is_own(SCORE)
                    && options.scale.is_none_or(|scale| scale.score(score).is_err()) =>
            {
                open.fork(why, &[score], |options, score| options.no_rating = Some(score.to_string()));
            }
            Demand::Value(role, why) if !options.is_given(*role) && !is_own(*role) => {
                open.fork(why, &[()], |options, ()| give(options, *role, now));
            }
            Demand::Format(format)
                if options.time_format.is_none() && !has_zone && !is_own(TIME) && options.at.is_none() =>
            {
                open.fork(NO_OFFSET, &[format], |options, format| {
                    options.time_format = Some(format.to_string());
                });
            }
            Demand::Escape(why) if !options.escapes_ids && !is_own(POST) && options.post.is_none() => {
                open.fork(why, &[()], |options, ()| options.escapes_ids = true);
            }
            Demand::Choice(role, columns, why) if !is_own(*role) && !options.is_given(*role) => {
                open.fork(why, columns, |options, column| {
                    options.columns.0[*role] = Some(Column::Name(column.to_string()));
                });
            }
            Demand::Nothing(why) => {
                open.reasons.push((*why).to_owned());
                open.remedies.clear();
            }
            _ => {}
        }
    }
}

impl Unclear {
    /// Adds a reason, and every choice to every remedy.
    pub fn fork<T>(&mut self, why: &str, choices: &[T], choose: impl Fn(&mut Options, &T)) {
        self.reasons.push(why.to_owned());
        let before = std::mem::take(&mut self.remedies);
        for choice in choices {
            self.remedies.extend(before.iter().cloned().map(|mut options| {
                choose(&mut options, choice);
                options
            }));
        }
    }

    /// The refusal's last part.
    pub fn commands(&self) -> String {
        let mut lines: Vec<String> = self.remedies.iter().map(Options::command_line).collect();
        lines.dedup();
        lines.iter().map(|line| format!("\n  {line}")).collect()
    }
}

/// Gives a value for all ratings to a role that has no column.
pub fn give(options: &mut Options, role: usize, now: Time) {
    match role {
        POST => options.post = PostId::parse(&stem(&options.file)).ok(),
        USER => options.user = UserId::parse("me").ok(),
        // Midnight of today, which is short to write.
        _ => options.at = Some(Time::from_ms(now.ms() - now.ms().rem_euclid(crate::model::DAY_MS))),
    }
}

/// The name of a file without folders and endings, as an id.
fn stem(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let kept: String =
        stem.chars().filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).take(32).collect();
    if kept.is_empty() { "the-post".to_owned() } else { kept }
}
