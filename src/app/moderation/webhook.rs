//! Alerts sent to a site's webhook: one signed POST each, tried again at the next ticks, for an hour.
//!
//! Headers and signature are those of Standard Webhooks 1.0: `webhook-id`, the same at every try, `webhook-timestamp`, and
//! `webhook-signature`, HMAC-SHA256 of `id.timestamp.body` with the bytes of `moderation.webhook_secret`. An answer 2xx
//! ends it. Two workers may send the same alert twice; its id is the same.

use std::fmt::Display;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::json;
use tracing::{info, warn};

use super::Moderation;
use crate::error::{Error, Result};
use crate::model::{HOUR_MS, Time};
use crate::store::AlertKey;

/// What an alert is called in the body.
const TYPE: &str = "post.alert";
/// Most alerts sent at one tick; the others wait for the next.
const ALERTS_MAX: usize = 20;
/// An older alert is not sent any more.
const SENT_WITHIN_MS: i64 = HOUR_MS;
/// How long the site may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Moderation {
    /// Sends the alerts that were not sent yet, if a webhook is set.
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
        let (mut sent, mut failure) = (0, None);
        for key in self.store.untold(now.plus_ms(-SENT_WITHIN_MS), ALERTS_MAX).await? {
            // One that fails does not keep the others from being sent.
            match self.send(&key, now).await {
                Ok(was_sent) => sent += u64::from(was_sent),
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(sent), Err)
    }

    /// Sends one alert unless it has ended; returns whether it was sent.
    async fn send(&self, key: &AlertKey, now: Time) -> Result<bool> {
        let Some(alert) = self.alert(key, now).await? else { return Ok(false) };
        let (id, seconds) = (format!("{}@{}", alert.post_id, alert.since.ms()), now.ms() / 1_000);
        let body = json!({"type": TYPE, "timestamp": now, "data": alert}).to_string();
        let settings = &self.core.context.config.moderation;
        let signature = sign(settings.webhook_secret.expose().as_bytes(), &id, seconds, &body);
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
        if !status.is_success() {
            return Err(failed(&format_args!("it answers {status}")));
        }
        self.store.mark_told(key).await?;
        Ok(true)
    }
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
    fn a_signature_is_that_of_standard_webhooks() {
        // The specification's own example; its secret is the base64 of these bytes.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
