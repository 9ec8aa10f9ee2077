//! Tokens: verified, remembered, and minted where the key is a secret.
//!
//! A token's signature, audience and issuer are checked once; its times at every call, since they are all that changes.
//! What was verified is forgotten when it expires or the keys change.

use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode};
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Identity, Role, SECRET_BYTES_MIN, TrustedKey, crypto};
use crate::config::AuthKnobs;
use crate::error::{Error, Invalid, Kind, Result};
use crate::model::{Time, UserId};

/// Clocks of the site and of Damper may differ by this much.
const LEEWAY_MS: i64 = 30_000;
/// A longer token is refused unread.
const TOKEN_BYTES_MAX: usize = 8_192;
/// What verified tokens may take in memory.
const REMEMBERED_BYTES_MAX: u64 = 32 << 20;
/// The longest life of a token that is minted here: ten years.
pub const HOURS_MAX: u32 = 87_600;

/// The claims that every token needs, and whatever else there is.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    #[serde(flatten)]
    others: Value,
}

/// A token whose signature was good.
struct Verified {
    identity: Arc<Identity>,
    from: Option<Time>,
    until: Time,
    /// The number of the keys that verified it.
    keys: u64,
}

/// Verifies tokens and remembers them.
pub(super) struct Tokens {
    /// The settings `[auth]`.
    auth: AuthKnobs,
    /// The keys, and how often they were changed.
    trusted: Mutex<(u64, Arc<Vec<TrustedKey>>)>,
    remembered: Cache<String, Arc<Verified>>,
}

impl Tokens {
    pub fn new(auth: AuthKnobs, keys: Vec<TrustedKey>) -> Self {
        let bytes = |token: &String, _: &Arc<Verified>| (token.len() + size_of::<Verified>()) as u32;
        let remembered = Cache::builder().weigher(bytes).max_capacity(REMEMBERED_BYTES_MAX).build();
        Self { auth, trusted: Mutex::new((0, Arc::new(keys))), remembered }
    }

    /// Trusts these keys from now on, and no others.
    pub fn trust(&self, keys: Vec<TrustedKey>) {
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        *trusted = (trusted.0 + 1, Arc::new(keys));
        self.remembered.invalidate_all();
    }

    pub fn verify(&self, token: &str, now: Time) -> Result<Arc<Identity>, Invalid> {
        let (number, keys) = self.trusted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = self.remembered.get(token).filter(|verified| verified.keys == number);
        let is_new = known.is_none();
        let verified = known.map_or_else(|| self.read(token, number, &keys).map(Arc::new), Ok)?;
        if let Err(refusal) = verified.check_times(now) {
            self.remembered.invalidate(token);
            return Err(refusal);
        }
        if is_new {
            self.remembered.insert(token.to_owned(), verified.clone());
        }
        Ok(verified.identity.clone())
    }

    fn read(&self, token: &str, number: u64, keys: &[TrustedKey]) -> Result<Verified, Invalid> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused(format!("it is longer than {TOKEN_BYTES_MAX} bytes")));
        }
        let header =
            decode_header(token).map_err(|_| refused("it is not a JWT of a kind that Damper accepts"))?;
        if header.crit.is_some() {
            // RFC 7515, section 4.1.11: an extension that is not understood must be refused.
            return Err(refused("it needs an extension (crit) that Damper does not know"));
        }
        // A key without a name may be meant by any; a name that no key has means none.
        let is_meant = |key: &&TrustedKey| match (&key.id, &header.kid) {
            (Some(id), Some(kid)) => id == kid,
            _ => true,
        };
        let mut outcome = Err(refused("no trusted key has signed it"));
        for key in keys.iter().filter(is_meant).filter(|key| key.algorithm == header.alg) {
            match decode::<Claims>(token, &key.key, &self.validation(key.algorithm)) {
                Ok(data) => return self.verified(data.claims, number),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                Err(error) => outcome = Err(explain(error.kind(), &self.auth)),
            }
        }
        outcome
    }

    fn verified(&self, claims: Claims, keys: u64) -> Result<Verified, Invalid> {
        let user = UserId::parse(&claims.sub).map_err(|e| refused(format!("its sub: {}", e.detail)))?;
        let roles = self.roles(&claims.others)?;
        let account_created_at = self.account_created_at(&claims.others);
        Ok(Verified {
            identity: Arc::new(Identity { user, roles, account_created_at }),
            from: claims.nbf.map(time).transpose()?,
            until: time(claims.exp)?,
            keys,
        })
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let AuthKnobs { audience, issuer, .. } = &self.auth;
        let mut validation = Validation::new(algorithm);
        let mut required = vec!["exp", "sub"];
        // Times are compared by us, at every call.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.validate_aud = !audience.is_empty();
        if !audience.is_empty() {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if !issuer.is_empty() {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// When the account was created, if the token says so in a way that can be read.
    fn account_created_at(&self, claims: &Value) -> Option<Time> {
        match claims.get(&self.auth.account_created_claim)? {
            text @ Value::String(_) => Time::deserialize(text).ok(),
            number => time(number.as_f64()?).ok(),
        }
    }

    /// The roles in a token's claims; words that are not ours belong to the site.
    fn roles(&self, claims: &Value) -> Result<Vec<Role>, Invalid> {
        let claim = &self.auth.roles_claim;
        let found = if claim.starts_with('/') { claims.pointer(claim) } else { claims.get(claim) };
        let names: Option<Vec<&str>> = match found {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::String(name)) => Some(vec![name]),
            Some(found) => found.as_array().and_then(|names| names.iter().map(Value::as_str).collect()),
        };
        let names = names
            .ok_or_else(|| refused(format!("its claim {claim} is neither a text nor an array of texts")))?;
        Ok(names.into_iter().filter_map(Role::parse).collect())
    }
}

impl Verified {
    fn check_times(&self, now: Time) -> Result<(), Invalid> {
        match self.from {
            _ if now >= self.until.plus_ms(LEEWAY_MS) => {
                Err(refused(format!("it expired at {}", self.until)))
            }
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
        Err(refused("one of its times is out of range"))
    }
}

fn refused(why: impl std::fmt::Display) -> Invalid {
    Invalid::new(Kind::TokenInvalid, format!("the token is not accepted: {why}"))
}

fn explain(kind: &ErrorKind, auth: &AuthKnobs) -> Invalid {
    match kind {
        ErrorKind::InvalidAudience => refused(format!("its aud does not name {:?}", auth.audience)),
        ErrorKind::InvalidIssuer => refused(format!("its iss is not {:?}", auth.issuer)),
        ErrorKind::MissingRequiredClaim(claim) => {
            refused(format!("its claim {claim} is missing or has no value"))
        }
        ErrorKind::Json(_) => refused("its claims cannot be read: sub is a text, exp and nbf are numbers"),
        _ => refused("it cannot be read"),
    }
}

/// A token for `user`, good for `hours`, signed with the secret in the settings.
///
/// # Errors
/// `Config` when there is no secret: then only the holder of the private key can mint.
pub fn mint(auth: &AuthKnobs, user: &UserId, roles: &[Role], hours: u32, now: Time) -> Result<String> {
    let secret = auth.jwt_secret.expose().as_bytes();
    if secret.len() < SECRET_BYTES_MIN {
        return Err(Error::Config(
            "tokens are minted with DAMPER_AUTH__JWT_SECRET, which is not set; with a public key or a JWKS file \
             the holder of the private key mints them"
                .into(),
        ));
    }
    crypto::install();
    let seconds = now.ms() / 1_000;
    let mut claims = json!({"sub": user, "iat": seconds, "exp": seconds + i64::from(hours) * 3_600});
    for (name, value) in [("aud", &auth.audience), ("iss", &auth.issuer)] {
        if !value.is_empty() {
            claims[name] = json!(value);
        }
    }
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let segments: Vec<String> = match auth.roles_claim.strip_prefix('/') {
        Some(path) => path.split('/').map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect(),
        None => vec![auth.roles_claim.clone()],
    };
    *segments.iter().fold(&mut claims, |place, segment| &mut place[segment.as_str()]) = json!(names);
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret))
        .map_err(|e| Error::Internal(format!("no token could be made: {e}")))
}
