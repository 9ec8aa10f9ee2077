//! Evidence for moderators: what arrived, when and from which accounts, and which posts are alerts.
//!
//! Alerts come from the ranking, which every commit and every tick writes; the window that an alert suggests comes from the hours of the
//! post's history ([`waves`](super::waves)). These are figures; people decide.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moderation;
use super::waves::newest_wave;
use crate::error::{Invalid, Kind, Result};
use crate::model::{DAY_MS, HOUR_MS, MINUTE_MS, Page, PostId, Time, page};
use crate::smoothing::{AlertLevel, Published};
use crate::store::{AlertKey, Alerted, Arrivals};

pub use super::waves::Wave;

/// Most steps of one answer.
pub const STEPS_MAX: i64 = 10_000;
/// How far back waves are looked for.
const WAVES_MS: i64 = 90 * DAY_MS;

/// The length of a step.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[repr(i64)]
pub enum Step {
    /// A minute
    Minute = MINUTE_MS,
    /// A clock hour
    Hour = HOUR_MS,
    /// A day in UTC
    Day = DAY_MS,
}

impl Step {
    /// Its length in milliseconds.
    pub fn ms(self) -> i64 {
        self as i64
    }
}

/// A post that is in a surge or crowded, with enough phasing in to move what readers see.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Alert {
    /// Which post
    pub post_id: PostId,
    /// Its title
    pub title: String,
    /// Since when
    pub since: Time,
    /// Far more ratings arrive than the post's history lets expect
    pub surge: bool,
    /// Ratings that have arrived lately; halves with each `surge_half_life_hours`
    pub intensity: f64,
    /// Above this intensity ratings take the surge lane
    pub surge_above: f64,
    /// Held and excluded ratings
    pub under_review: u64,
    /// Whether it takes no ratings
    pub frozen: bool,
    /// Its published figures
    #[serde(flatten)]
    pub published: Published,
    /// The newest wave of arrivals: a window for an exclusion, if people agree
    pub window: Option<Wave>,
}

impl Moderation {
    /// A post's arrivals from `from` up to `to`, without the steps in which there were none.
    ///
    /// # Errors
    /// `Invalid` when there would be more than 10,000 steps; `NotFound` when there is no such post.
    pub async fn arrivals(
        &self,
        post: &PostId,
        (from, to): (Time, Time),
        step: Step,
        now: Time,
    ) -> Result<Vec<Arrivals>> {
        let invalid = |detail| Err(Invalid::new(Kind::InvalidWindow, detail).into());
        if to <= from {
            return invalid(format!("{to} is not after {from}"));
        }
        let steps = (to.ms() - from.ms()) / step.ms();
        if steps >= STEPS_MAX {
            let detail = format!("{steps} steps are more than {STEPS_MAX}; ask for longer ones, or for less");
            return invalid(detail);
        }
        self.core.posts.state(post, now).await?;
        self.store.arrivals(post, (from, to), step.ms()).await
    }

    /// The alerts after `after`, the greatest shift of the last tick first, out of at most `limit` posts, and where the
    /// next page begins.
    pub async fn alerts(
        &self,
        after: Option<&AlertKey>,
        limit: usize,
        now: Time,
    ) -> Result<Page<Alert, AlertKey>> {
        let alerted = self.store.alerted(after, page::to_read(limit)).await?;
        let Page { items: alerted, next } = Page::cut(alerted, limit, Alerted::key);
        let mut alerts = Vec::with_capacity(alerted.len());
        for Alerted { post, since, .. } in alerted {
            let (level, alert) = self.alert(post, since, now).await?;
            alerts.extend((level != AlertLevel::Over).then_some(alert));
        }
        Ok(Page { items: alerts, next })
    }

    /// The newest wave of a post's arrivals: a window for an exclusion, if people agree.
    pub async fn wave(&self, post: &PostId, now: Time) -> Result<Option<Wave>> {
        let hours = self.store.hours_since(post, now.plus_ms(-WAVES_MS)).await?;
        Ok(newest_wave(&hours, &self.core.context.params, now))
    }

    /// The figures of an alert that began at `since`, and whether it goes on.
    pub(super) async fn alert(&self, post: PostId, since: Time, now: Time) -> Result<(AlertLevel, Alert)> {
        let view = self.core.posts.post(&post, None, now).await?;
        let (average, params) = (&view.average, &self.core.context.params);
        let hours = self.store.hours_since(&post, now.plus_ms(-WAVES_MS)).await?;
        let alert = Alert {
            since,
            surge: average.is_surging(params),
            intensity: average.intensity,
            surge_above: average.surge_above(params),
            under_review: view.standing.under_review(),
            frozen: view.standing.is_frozen,
            published: Published::of(average, params),
            window: newest_wave(&hours, params, now),
            title: view.post.title,
            post_id: post,
        };
        Ok((average.alert_level(params), alert))
    }
}
