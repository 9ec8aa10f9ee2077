//! How a post's published average is computed, and the average for other sites: as schema.org data and as a badge.

use super::posts::caching;
use super::prelude::*;
use crate::app::reading::PostView;
use crate::model::words::counted;
use crate::smoothing::{Knobs, Lane, Params, Published};

/// The read (docs/SMOOTHING.md, "Read").
const FORMULA: &str = "average = (settled_sum + seed_weight × raw_average) / (settled_count + seed_weight), \
                       settled_sum and settled_count of both lanes";

/// Every figure that the published average is computed from.
#[derive(Serialize, ToSchema)]
pub struct Explanation {
    post_id: PostId,
    /// The moment that the figures belong to
    as_of: Time,
    next_tick: Time,
    #[serde(flatten)]
    published: Published,
    sum: u64,
    /// Ratings by score, 0 to 5
    histogram: [u64; Score::COUNT],
    /// How `average` is computed from the figures below
    formula: &'static str,
    /// Ratings that have arrived in `average`, in ratings' worth of weight
    settled_count: f64,
    /// The sum of their scores
    settled_sum: f64,
    /// What has yet to arrive
    unvested: f64,
    calm: LaneJson,
    surge: LaneJson,
    /// Ratings that arrived lately; halves every `surge_half_life_hours`
    intensity: f64,
    /// Above this intensity a rating takes the surge lane
    surge_above: f64,
    born_at: Option<Time>,
    /// The settings in `[smoothing]`
    parameters: Knobs,
}

/// One of the two lanes.
#[derive(Serialize, ToSchema)]
#[schema(as = Lane)]
struct LaneJson {
    count: u64,
    sum: u64,
    vested: f64,
    settled_count: f64,
    settled_sum: f64,
    unvested: f64,
}

impl From<Lane> for LaneJson {
    fn from(lane: Lane) -> Self {
        let Lane { count, sum, vested, settled_count, settled_sum, .. } = lane;
        Self { count, sum, vested, settled_count, settled_sum, unvested: lane.unvested().max(0.0) }
    }
}

impl Explanation {
    fn new(view: &PostView, params: &Params) -> Self {
        let average = &view.average;
        Self {
            post_id: view.post.id.clone(),
            as_of: view.as_of,
            next_tick: view.next_tick,
            published: Published::of(average, params),
            sum: average.sum(),
            histogram: average.histogram,
            formula: FORMULA,
            settled_count: average.calm.settled_count + average.surge.settled_count,
            settled_sum: average.calm.settled_sum + average.surge.settled_sum,
            unvested: average.unvested(),
            calm: average.calm.into(),
            surge: average.surge.into(),
            intensity: average.intensity,
            surge_above: average.surge_above(params),
            born_at: average.born,
            parameters: *params.knobs(),
        }
    }
}

/// Explain a published average
///
/// Every figure that it is computed from, and the formula.
#[utoipa::path(get, path = "/api/posts/{id}/explain", tag = "posts", params(PostPath), responses(
    (status = 200, description = "The figures", body = Explanation),
))]
pub async fn explain(State(app): Shared, _: Caller, PostPath(id): PostPath, _: NoParameters) -> Answer {
    let now = now();
    let view = app.reader().post(&id, None, now).await?;
    let caching = [(header::CACHE_CONTROL, caching(&view, now))];
    Ok((caching, Json(Explanation::new(&view, app.params()))).into_response())
}

/// A rating as search engines read it (schema.org).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AggregateRating {
    #[serde(rename = "@context")]
    context: &'static str,
    #[serde(rename = "@type")]
    kind: &'static str,
    item_reviewed: ItemReviewed,
    /// The published mean
    rating_value: f64,
    rating_count: u64,
    best_rating: u8,
    worst_rating: u8,
}

#[derive(Serialize, ToSchema)]
struct ItemReviewed {
    #[serde(rename = "@type")]
    kind: &'static str,
    name: String,
    identifier: PostId,
}

/// Read a post's average as schema.org AggregateRating
#[utoipa::path(get, path = "/api/posts/{id}/aggregate-rating", tag = "posts", params(PostPath), responses(
    (status = 200, description = "JSON-LD", body = AggregateRating, content_type = "application/ld+json"),
))]
pub async fn aggregate_rating(
    State(app): Shared,
    _: Caller,
    PostPath(id): PostPath,
    _: NoParameters,
) -> Answer {
    let now = now();
    let view = app.reader().post(&id, None, now).await?;
    let Some(rating_value) = view.average.smoothed_mean(app.params()) else {
        // Search engines take a rating of nothing for a mistake in the page.
        let detail = format!("post {} has no ratings yet", view.post.id);
        return Err(Problem::new(Kind::NoRatings, detail));
    };
    let caching = [(header::CACHE_CONTROL, caching(&view, now))];
    let json = AggregateRating {
        context: "https://schema.org",
        kind: "AggregateRating",
        rating_value,
        rating_count: view.average.count(),
        best_rating: Score::MAX,
        worst_rating: 0,
        item_reviewed: ItemReviewed { kind: "CreativeWork", name: view.post.title, identifier: view.post.id },
    };
    Ok((caching, [(header::CONTENT_TYPE, "application/ld+json")], Json(json)).into_response())
}

/// Draw a post's average as a badge
#[utoipa::path(get, path = "/api/posts/{id}/badge.svg", tag = "posts", params(PostPath), responses(
    (status = 200, description = "An image", body = String, content_type = "image/svg+xml"),
))]
pub async fn badge(State(app): Shared, _: Caller, PostPath(id): PostPath, _: NoParameters) -> Answer {
    let now = now();
    let view = app.reader().post(&id, None, now).await?;
    let Published { average, count, .. } = Published::of(&view.average, app.params());
    // An image loads nothing and runs nothing, wherever it is opened.
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    ];
    let caching = [(header::CACHE_CONTROL, caching(&view, now))];
    Ok((caching, headers, draw(average, count)).into_response())
}

/// Numbers only, so that there is nothing to escape.
fn draw(mean: Option<f64>, count: u64) -> String {
    const CHAR_WIDTH: usize = 7;
    const PADDING: usize = 8;
    let value = mean.map_or_else(|| "no ratings".to_owned(), |mean| format!("{mean:.1} of {}", Score::MAX));
    let ratings = match count {
        0 => String::new(),
        count => format!(" · {}", counted(count, "rating", "ratings")),
    };
    let text = format!("★ {value}{ratings}");
    let width = text.chars().count() * CHAR_WIDTH + 2 * PADDING;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"22\" role=\"img\" aria-label=\"{text}\">\
         <title>{text}</title><rect width=\"{width}\" height=\"22\" rx=\"4\" fill=\"#22303c\"/>\
         <text x=\"{}\" y=\"15\" fill=\"#fff\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\" \
         text-anchor=\"middle\">{text}</text></svg>\n",
        width / 2
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_says_what_it_shows() {
        assert!(draw(Some(4.249), 57_818).contains("★ 4.2 of 5 · 57,818 ratings"));
        assert!(draw(Some(0.0), 1).contains("★ 0.0 of 5 · 1 rating<"));
        assert!(draw(None, 0).contains("★ no ratings<"));
    }
}
