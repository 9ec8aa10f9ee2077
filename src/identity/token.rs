//! Tokens: verified, remembered, and minted where the key is a secret.
//!
//! A token's signature, audience and issuer are checked once; its times at every call, since they are all that
//! changes. What was verified is forgotten when it expires or the keys change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::DateTime;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode};
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Identity, Role, SECRET_BYTES_MIN, TrustedKey, crypto};
use crate::config::AuthKnobs;
use crate::error::{Error, Invalid, Result};
use crate::model::{Time, UserId};

/// Clocks of the site and of Damper may differ by this much.
const LEEWAY_MS: i64 = 30_000;
/// A longer token is refused unread.
const TOKEN_BYTES_MAX: usize = 8_192;
/// What verified tokens may take in memory.
const REMEMBERED_BYTES_MAX: u64 = 32 << 20;
/// A token minted here lives so long at most: ten years.
pub const HOURS_MAX: u32 = 87_600;

/// What a token must say, besides who it is about and until when.
pub(super) struct Rules {
    audience: String,
    issuer: String,
    roles_claim: String,
    account_created_claim: String,
}

impl Rules {
    pub fn new(auth: &AuthKnobs) -> Self {
        Self {
            audience: auth.audience.clone(),
            issuer: auth.issuer.clone(),
            roles_claim: auth.roles_claim.clone(),
            account_created_claim: auth.account_created_claim.clone(),
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        let mut required = vec!["exp", "sub"];
        // Times are compared by us, at every call.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.validate_aud = !self.audience.is_empty();
        if !self.audience.is_empty() {
            validation.set_audience(&[&self.audience]);
            required.push("aud");
        }
        if !self.issuer.is_empty() {
            validation.set_issuer(&[&self.issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// Since when there is the account, if the token says so in a way that can be read.
    fn account_created_at(&self, claims: &HashMap<String, Value>) -> Option<Time> {
        match claims.get(&self.account_created_claim)? {
            Value::String(text) => Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc().into()),
            number => time(number.as_f64()?).ok(),
        }
    }

    /// The roles in a token's claims; words that are not ours belong to the site.
    fn roles(&self, claims: &HashMap<String, Value>) -> Result<Vec<Role>, Invalid> {
        let found = match self.roles_claim.split_once('/') {
            // A JSON pointer (RFC 6901): its first segment is a claim.
            Some(("", path)) => {
                let (first, rest) =
                    path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
                let claim = claims.get(&first.replace("~1", "/").replace("~0", "~"));
                claim.and_then(|claim| rest.map_or(Some(claim), |rest| claim.pointer(&format!("/{rest}"))))
            }
            _ => claims.get(&self.roles_claim),
        };
        let mistyped = || refused(format!("its claim {} is no array of texts", self.roles_claim));
        let Some(found) = found else { return Ok(Vec::new()) };
        let names = found.as_array().ok_or_else(mistyped)?;
        let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
        Ok(names.ok_or_else(mistyped)?.into_iter().filter_map(Role::parse).collect())
    }
}

/// The claims that every token needs, and whatever else there is.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    #[serde(flatten)]
    others: HashMap<String, Value>,
}

/// A token whose signature was good.
struct Verified {
    identity: Arc<Identity>,
    from: Option<Time>,
    until: Time,
    /// The keys of that time, by their number.
    keys: u64,
}

/// Verifies tokens and remembers them.
pub(super) struct Tokens {
    rules: Rules,
    /// The keys, and how often they were changed.
    trusted: Mutex<(u64, Arc<Vec<TrustedKey>>)>,
    remembered: Cache<String, Arc<Verified>>,
}

impl Tokens {
    pub fn new(rules: Rules, keys: Vec<TrustedKey>) -> Self {
        let bytes = |token: &String, _: &Arc<Verified>| (token.len() + size_of::<Verified>()) as u32;
        let remembered = Cache::builder().weigher(bytes).max_capacity(REMEMBERED_BYTES_MAX).build();
        Self { rules, trusted: Mutex::new((0, Arc::new(keys))), remembered }
    }

    /// From now on these keys are trusted, and no others.
    pub fn trust(&self, keys: Vec<TrustedKey>) {
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        *trusted = (trusted.0 + 1, Arc::new(keys));
        self.remembered.invalidate_all();
    }

    pub fn verify(&self, token: &str, now: Time) -> Result<Arc<Identity>, Invalid> {
        let (number, keys) = self.trusted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = self.remembered.get(token).filter(|verified| verified.keys == number);
        let is_new = known.is_none();
        let verified = match known {
            Some(verified) => verified,
            None => Arc::new(self.read(token, number, &keys)?),
        };
        let outcome = verified.check_times(now).map(|()| verified.identity.clone());
        match (&outcome, is_new) {
            (Ok(_), true) => self.remembered.insert(token.to_owned(), verified),
            (Err(_), false) => self.remembered.invalidate(token),
            _ => {}
        }
        outcome
    }

    fn read(&self, token: &str, number: u64, keys: &[TrustedKey]) -> Result<Verified, Invalid> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused(format!("it is longer than {TOKEN_BYTES_MAX} bytes")));
        }
        let header =
            decode_header(token).map_err(|_| refused("it is no JWT of a kind that is taken here"))?;
        if header.crit.is_some() {
            // RFC 7515, section 4.1.11: who does not understand an extension must refuse.
            return Err(refused("it needs an extension (crit) that is not known here"));
        }
        // A key without a name may be meant by any; a name that no key has means none.
        let is_meant = |key: &&TrustedKey| match (&key.id, &header.kid) {
            (Some(id), Some(kid)) => id == kid,
            _ => true,
        };
        let mut outcome = Err(refused("none of the keys that are trusted has signed it"));
        for key in keys.iter().filter(is_meant).filter(|key| key.algorithm == header.alg) {
            match decode::<Claims>(token, &key.key, &self.rules.validation(key.algorithm)) {
                Ok(data) => return self.verified(data.claims, number),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                Err(error) => outcome = Err(explain(error.kind(), &self.rules)),
            }
        }
        outcome
    }

    fn verified(&self, claims: Claims, keys: u64) -> Result<Verified, Invalid> {
        let user = UserId::parse(&claims.sub).map_err(|e| refused(format!("its sub: {}", e.detail)))?;
        let roles = self.rules.roles(&claims.others)?;
        let account_created_at = self.rules.account_created_at(&claims.others);
        Ok(Verified {
            identity: Arc::new(Identity { user, roles, account_created_at }),
            from: claims.nbf.map(time).transpose()?,
            until: time(claims.exp)?,
            keys,
        })
    }
}

impl Verified {
    fn check_times(&self, now: Time) -> Result<(), Invalid> {
        if now >= self.until.plus_ms(LEEWAY_MS) {
            return Err(refused(format!("it expired at {}", self.until)));
        }
        match self.from {
            Some(from) if now.plus_ms(LEEWAY_MS) < from => {
                Err(refused(format!("it is not valid before {from}")))
            }
            _ => Ok(()),
        }
    }
}

/// A NumericDate (RFC 7519, section 2): seconds, perhaps with a fraction.
fn time(seconds: f64) -> Result<Time, Invalid> {
    if seconds.is_finite() && seconds.abs() < 1e14 {
        Ok(Time::from_ms((seconds * 1_000.0) as i64))
    } else {
        Err(refused("one of its times is none"))
    }
}

fn refused(why: impl std::fmt::Display) -> Invalid {
    Invalid::new("token-invalid", format!("the token is not taken: {why}"))
}

fn explain(kind: &ErrorKind, rules: &Rules) -> Invalid {
    match kind {
        ErrorKind::InvalidAudience => refused(format!("its aud does not name {:?}", rules.audience)),
        ErrorKind::InvalidIssuer => refused(format!("its iss is not {:?}", rules.issuer)),
        ErrorKind::MissingRequiredClaim(claim) => {
            refused(format!("its claim {claim} is missing or no value"))
        }
        ErrorKind::Json(_) => refused("its claims cannot be read: sub is a text, exp and nbf are numbers"),
        _ => refused("it cannot be read"),
    }
}

/// What a new token shall say.
pub struct Order<'a> {
    /// Whom it is about.
    pub user: &'a UserId,
    /// What the user may do besides rating.
    pub roles: &'a [Role],
    /// How long it is good.
    pub hours: u32,
}

/// A token for `order`, signed with the secret in the settings.
///
/// # Errors
/// `Config` when there is no secret: then only whoever has the private key can mint.
pub fn mint(auth: &AuthKnobs, order: &Order<'_>, now: Time) -> Result<String> {
    let secret = auth.jwt_secret.expose().as_bytes();
    if secret.len() < SECRET_BYTES_MIN {
        return Err(Error::Config(
            "tokens are minted with DAMPER_AUTH__JWT_SECRET, which is not set; with a public key or a JWKS file \
             whoever holds the private key mints them"
                .into(),
        ));
    }
    crypto::install();
    let seconds = now.ms() / 1_000;
    let mut claims = json!({
        "sub": order.user, "iat": seconds, "exp": seconds + i64::from(order.hours) * 3_600,
    });
    for (name, value) in [("aud", &auth.audience), ("iss", &auth.issuer)] {
        if !value.is_empty() {
            claims[name] = json!(value);
        }
    }
    put_roles(&mut claims, &auth.roles_claim, order.roles);
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret))
        .map_err(|e| Error::Internal(format!("no token could be made: {e}")))
}

fn put_roles(claims: &mut Value, claim: &str, roles: &[Role]) {
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let segments: Vec<String> = match claim.strip_prefix('/') {
        Some(path) => path.split('/').map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect(),
        None => vec![claim.to_owned()],
    };
    *segments.iter().fold(claims, |place, segment| &mut place[segment.as_str()]) = json!(names);
}
