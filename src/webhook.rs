//! Alerts told to a site: one signed POST each, tried again at the next ticks, for an hour.
//!
//! Headers and signature are those of Standard Webhooks 1.0: `webhook-id`, the same at every try, `webhook-timestamp`, and
//! `webhook-signature`, HMAC-SHA256 of `id.timestamp.body` with the bytes of `moderation.webhook_secret`. An answer 2xx
//! ends it. Two workers may tell the same twice; the id says so.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::json;
use tracing::{info, warn};

use crate::app::App;
use crate::error::{Error, Result};
use crate::evidence::Alert;
use crate::rating::Time;
use crate::store::AlertKey;

/// What an alert is called in the body.
const TYPE: &str = "post.alert";
/// Alerts that one tick tells; the others wait for the next.
const ALERTS_MAX: usize = 20;
/// An older alert is told no more.
const TOLD_WITHIN_MS: i64 = 3_600_000;
/// The site has so long to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl App {
    /// Tells the site of the alerts that it was not told of, if it wants to hear of any.
    pub async fn tell_alerts(&self, now: Time) {
        if self.config.moderation.webhook_url.is_empty() {
            return;
        }
        // A slow site shall not make one tick's round run into the next one's.
        let Ok(_turn) = self.telling.try_lock() else { return };
        match self.try_tell(now).await {
            Ok(0) => {}
            Ok(told) => info!(told, "the webhook was told of alerts"),
            Err(error) => {
                warn!(%error, "the webhook was not told of all alerts; trying again at the next tick")
            }
        }
    }

    async fn try_tell(&self, now: Time) -> Result<u64> {
        let (mut told, mut failure) = (0, None);
        for key in self.store.untold(now.plus_ms(-TOLD_WITHIN_MS), ALERTS_MAX).await? {
            // One that fails keeps no other from being told.
            match self.tell(&key, now).await {
                Ok(is_told) => told += u64::from(is_told),
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(told), Err)
    }

    /// Tells of one alert, unless it has passed; returns whether it did.
    async fn tell(&self, key: &AlertKey, now: Time) -> Result<bool> {
        let Some(alert) = self.alert(key, now).await? else { return Ok(false) };
        self.send(&alert, now).await?;
        self.store.mark_told(key).await?;
        Ok(true)
    }

    async fn send(&self, alert: &Alert, now: Time) -> Result<()> {
        let (id, seconds) = (format!("{}@{}", alert.post_id, alert.since.ms()), now.ms() / 1_000);
        let body = json!({"type": TYPE, "timestamp": now, "data": alert}).to_string();
        let signature = sign(self.config.moderation.webhook_secret.expose().as_bytes(), &id, seconds, &body);
        let url = self.config.moderation.webhook_url.expose().to_owned();
        let asking = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .timeout_global(Some(ANSWER_TIMEOUT))
                .max_redirects(0)
                .build()
                .into();
            agent
                .post(&url)
                .header("content-type", "application/json")
                .header("webhook-id", &id)
                .header("webhook-timestamp", seconds.to_string())
                .header("webhook-signature", signature)
                .send(body)
                .map(|answer| answer.status())
        });
        let failed = |why: String| Error::Busy(format!("the webhook: {why}"));
        let answered = asking.await.map_err(|e| failed(e.to_string()))?;
        match answered.map_err(|e| failed(e.to_string()))? {
            status if status.is_success() => Ok(()),
            status => Err(failed(format!("it answers {status}"))),
        }
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
