//! Alerts sent to a site's webhook: one signed POST when an alert begins and one when it ends, repeated at the next ticks
//! until the site answers 2xx, however long it is away.
//!
//! What has to be sent is what the ranking says and what was sent last; so nothing queues up, and what a site missed while
//! it was away it gets as the newest state. Headers and signature are those of Standard Webhooks 1.0: `webhook-id`, the
//! same at every try, `webhook-timestamp`, and `webhook-signature`, HMAC-SHA256 of `id.timestamp.body`. Two workers may
//! send the same event twice; its id is the same.

use std::fmt::Display;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde_json::json;
use tracing::{info, warn};

use super::Moderation;
use crate::error::{Error, Result};
use crate::model::{PostId, Time};
use crate::smoothing::AlertLevel;
use crate::store::Untold;

/// What the beginning of an alert is called in the body.
const BEGAN: &str = "post.alert";
/// What its end is called.
const ENDED: &str = "post.alert.ended";
/// Most events of one round; the others wait for the next.
const EVENTS_MAX: usize = 200;
/// A round that takes longer leaves the rest to the next.
const ROUND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the site may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Moderation {
    /// Sends the beginnings and ends of alerts that were not sent yet, if a webhook is set.
    pub async fn send_alerts(&self, now: Time) {
        if self.core.context.config.moderation.webhook_url.is_empty() {
            return;
        }
        // A slow site must not make one tick's round overlap the next one's.
        let Ok(_turn) = self.sending.try_lock() else { return };
        match self.try_send(now).await {
            Ok(0) => {}
            Ok(sent) => info!(sent, "alerts were sent to the webhook"),
            Err(error) => {
                warn!(%error, "not all alerts could be sent to the webhook; trying again at the next tick")
            }
        }
    }

    async fn try_send(&self, now: Time) -> Result<u64> {
        let began = Instant::now();
        let (mut sent, mut failure) = (0, None);
        for untold in self.store.untold(EVENTS_MAX).await? {
            if began.elapsed() > ROUND_TIMEOUT {
                break;
            }
            // One that fails does not keep the others from being sent.
            match self.send(untold, now).await {
                Ok(was_sent) => sent += u64::from(was_sent),
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(sent), Err)
    }

    /// Sends the newest state of one post; returns whether there was something to send.
    async fn send(&self, untold: Untold, now: Time) -> Result<bool> {
        let Untold { post, since, told } = untold;
        let (kind, began) = match (since, told) {
            (Some(since), _) => (BEGAN, since),
            (None, Some(told)) => (ENDED, told),
            (None, None) => return Ok(false),
        };
        let (level, alert) = self.alert(post.clone(), began, now).await?;
        if kind == BEGAN && level == AlertLevel::Over {
            // It has passed since the last tick; the next one notes it.
            return Ok(false);
        }
        let body = json!({"type": kind, "timestamp": now, "data": alert}).to_string();
        self.post(event_id(kind, &post, began), now.ms() / 1_000, body).await?;
        self.store.mark_told(&post, since).await?;
        Ok(true)
    }

    /// Sends a signed body to the site; an error unless it answers 2xx.
    async fn post(&self, id: String, seconds: i64, body: String) -> Result<()> {
        let settings = &self.core.context.config.moderation;
        let signature = sign(&settings.webhook_key()?, &id, seconds, &body);
        let url = settings.webhook_url.expose().to_owned();
        let asking = tokio::task::spawn_blocking(move || {
            ureq::post(&url)
                .config()
                .timeout_global(Some(ANSWER_TIMEOUT))
                .max_redirects(0)
                .build()
                .header("content-type", "application/json")
                .header("webhook-id", &id)
                .header("webhook-timestamp", seconds.to_string())
                .header("webhook-signature", signature)
                .send(body)
                .map(|answer| answer.status())
        });
        let failed = |why: &dyn Display| Error::Busy(format!("the webhook: {why}"));
        let status = asking.await.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        if status.is_success() { Ok(()) } else { Err(failed(&format_args!("it answers {status}"))) }
    }
}

/// Names an event: the same at every try and for every worker. A digest, since a post's id may hold the full stop that
/// separates an id from what follows it in the signed text.
fn event_id(kind: &str, post: &PostId, began: Time) -> String {
    let digest = digest(&SHA256, format!("{kind} {post} {}", began.ms()).as_bytes());
    let hex = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("alert_{}", hex.collect::<String>())
}

/// The signature of a body, by the first version of the scheme.
fn sign(secret: &[u8], id: &str, seconds: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_one_event_and_holds_no_full_stop() {
        let (post, at) = (PostId::parse("a.b").unwrap(), Time::from_ms(1_790_000_000_000));
        let id = event_id(BEGAN, &post, at);
        assert!(id.len() == 38 && !id.contains('.'), "{id}");
        assert_eq!(id, event_id(BEGAN, &post, at));
        let other = PostId::parse("a").unwrap();
        for another in [event_id(ENDED, &post, at), event_id(BEGAN, &other, at)] {
            assert_ne!(id, another);
        }
    }

    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        // The specification's own example; its secret is the base64 of these bytes.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
