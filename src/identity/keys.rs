//! The keys that tokens are verified with: a secret, a public key, or a file of them that may change.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::digest::{SHA256, digest};
use tracing::{info, warn};

use super::crypto::without_zeros;
use super::token::Tokens;
use super::{Identity, SECRET_BYTES_MIN, TrustedKey, crypto, pem};
use crate::config::Config;
use crate::error::{Error, Invalid, Result};
use crate::model::Time;

/// RSA keys with a shorter modulus can be factored, and with a longer one they are not verified.
const RSA_BITS: RangeInclusive<usize> = 2_048..=4_096;
/// `ring` verifies with these exponents, if they are odd.
const RSA_EXPONENTS: RangeInclusive<u64> = 3..=(1 << 33) - 1;
/// RFC 8032, section 5.1.5.
const ED25519_BYTES: usize = 32;
/// A JWKS file is not looked at again before this.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A longer file is refused unread.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Verifies tokens by the keys in the settings.
pub struct Keys {
    tokens: Tokens,
    name: String,
    file: Option<KeyFile>,
}

/// A JWKS file, as it was read last.
struct KeyFile {
    path: PathBuf,
    read: Mutex<(Instant, Vec<u8>)>,
}

impl Keys {
    /// Reads the keys that the settings name; `None` when they name none.
    ///
    /// # Errors
    /// `Config` when a key cannot be read, is too weak, or there are several sources.
    pub fn load(config: &Config) -> Result<Option<Self>> {
        crypto::install();
        let auth = &config.auth;
        // Another secret, or another file at the start, has another name.
        let mut named = auth.jwt_secret.expose().as_bytes().to_vec();
        for file in [&auth.jwt_public_key_file, &auth.jwks_file] {
            named.extend(std::fs::read(file).unwrap_or_default());
        }
        let name = digest(&SHA256, &named).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_path_buf());
        let (pem, jwks) = (path(&auth.jwt_public_key_file), path(&auth.jwks_file));
        let (keys, file) = match (auth.jwt_secret.is_empty(), pem, jwks) {
            (true, None, None) => return Ok(None),
            (false, None, None) => (vec![of_secret(auth.jwt_secret.expose().as_bytes())?], None),
            (true, Some(pem), None) => (vec![of_pem(&pem)?], None),
            (true, None, Some(jwks)) => {
                let text = read(&jwks, "auth.jwks_file")?;
                let keys = of_jwks(&text).map_err(|why| refuse("auth.jwks_file", &jwks, &why))?;
                (keys, Some(KeyFile { path: jwks, read: Mutex::new((Instant::now(), text)) }))
            }
            _ => {
                return Err(Error::Config(
                    "set one of DAMPER_AUTH__JWT_SECRET, DAMPER_AUTH__JWT_PUBLIC_KEY_FILE and \
                     DAMPER_AUTH__JWKS_FILE, not several: one place says who is trusted"
                        .into(),
                ));
            }
        };
        Ok(Some(Self { tokens: Tokens::new(auth.clone(), keys), name, file }))
    }

    /// Tells these keys from others, and reveals nothing of them.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// `token-invalid` says what is wrong with it.
    pub fn verify(&self, token: &str, now: Time) -> Result<Arc<Identity>, Invalid> {
        if let Some(file) = &self.file {
            file.follow(&self.tokens);
        }
        self.tokens.verify(token, now)
    }
}

impl KeyFile {
    /// Takes over what the file holds now, if it was not looked at a moment ago. A file that cannot be used leaves
    /// the keys as they are: it may be about to be written.
    fn follow(&self, tokens: &Tokens) {
        // Otherwise another thread is looking.
        let Ok(mut read_last) = self.read.try_lock() else { return };
        if read_last.0.elapsed() < LOOK_INTERVAL {
            return;
        }
        read_last.0 = Instant::now();
        let text = read(&self.path, "auth.jwks_file");
        // A file that cannot be read is like an empty one, so that it is logged once.
        if text.as_deref().unwrap_or_default() == read_last.1 {
            return;
        }
        match text.as_ref().map_err(Error::to_string).and_then(|text| of_jwks(text)) {
            Ok(keys) => {
                info!(keys = keys.len(), file = %self.path.display(), "read the keys anew");
                tokens.trust(keys);
            }
            Err(why) => warn!(why, file = %self.path.display(), "the keys stay as they were"),
        }
        read_last.1 = text.unwrap_or_default();
    }
}

fn read(path: &Path, setting: &str) -> Result<Vec<u8>> {
    let bytes = std::fs::metadata(path).map_err(|e| refuse(setting, path, &e.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(refuse(setting, path, &format!("{bytes} bytes are no keys")));
    }
    std::fs::read(path).map_err(|e| refuse(setting, path, &e.to_string()))
}

fn refuse(setting: &str, path: &Path, why: &str) -> Error {
    Error::Config(format!("{setting} {} cannot be used: {why}", path.display()))
}

fn of_secret(secret: &[u8]) -> Result<TrustedKey> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(Error::Config(format!(
            "auth.jwt_secret has {} bytes; it takes {SECRET_BYTES_MIN} at least: openssl rand -base64 32",
            secret.len()
        )));
    }
    Ok(TrustedKey { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) })
}

fn of_pem(path: &Path) -> Result<TrustedKey> {
    const SETTING: &str = "auth.jwt_public_key_file";
    let pem = read(path, SETTING)?;
    if pem.windows(11).any(|words| words == b"PRIVATE KEY") {
        return Err(refuse(SETTING, path, "it holds a private key; Damper takes the public one only"));
    }
    let (algorithm, key) = pem::public_key(&String::from_utf8_lossy(&pem))
        .ok_or_else(|| refuse(SETTING, path, "it is no PEM file with a public key of RSA or Ed25519"))?;
    check(&key).map_err(|why| refuse(SETTING, path, &why))?;
    Ok(TrustedKey { id: None, algorithm, key })
}

/// Passes a key that can verify: some that can be read cannot, or should not.
fn check(key: &DecodingKey) -> Result<(), String> {
    let (n, e) = match key.kind() {
        DecodingKeyKind::SecretOrDer(ed25519) if ed25519.len() == ED25519_BYTES => return Ok(()),
        DecodingKeyKind::SecretOrDer(_) => return Err("it holds no key that can be read".into()),
        DecodingKeyKind::RsaModulusExponent { n, e } => (without_zeros(n), without_zeros(e)),
    };
    let bits = n.first().map_or(0, |first| 8 * n.len() - first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        let (min, max) = (RSA_BITS.start(), RSA_BITS.end());
        return Err(format!("its RSA key has {bits} bits; it takes {min} to {max}"));
    }
    let exponent = e.iter().fold(0u64, |value, byte| value.saturating_mul(256) | u64::from(*byte));
    match exponent % 2 == 1 && RSA_EXPONENTS.contains(&exponent) {
        true => Ok(()),
        false => Err(format!("its RSA key has the exponent {exponent}; it takes odd ones from 3")),
    }
}

/// The keys of a set that verify signatures; the set may hold others.
fn of_jwks(text: &[u8]) -> Result<Vec<TrustedKey>, String> {
    let set: JwkSet = serde_json::from_slice(text).map_err(|e| format!("it is no JWKS: {e}"))?;
    let keys: Vec<TrustedKey> = set.keys.iter().filter_map(of_jwk).collect();
    if keys.is_empty() {
        return Err("it holds no key for RS256 or EdDSA".into());
    }
    Ok(keys)
}

fn of_jwk(jwk: &Jwk) -> Option<TrustedKey> {
    let common = &jwk.common;
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    let is_for_this = common.key_algorithm.is_none_or(|it| it == named);
    if !is_for_signatures || !is_for_this {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    if let Err(why) = check(&key) {
        warn!(why, kid = common.key_id, "a key of the JWKS file is left out");
        return None;
    }
    Some(TrustedKey { id: common.key_id.clone(), algorithm, key })
}
