//! Signs tokens as a site does: with private keys too, which Damper itself takes nowhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{Error as Failed, Signer};
use jsonwebtoken::{Algorithm, EncodingKey};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        Ok(Box::new(Site { algorithm: *algorithm, key: Key::of(*algorithm, key)? }))
    },
    // What is verified here is verified by the programs.
    verifier_factory: |_, _| Err(unsupported()),
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |der| {
            let parts = RsaPublicKeyComponents::<Vec<u8>>::from(rsa(der)?.public());
            Ok((parts.n, parts.e))
        },
        ed_pub_components_from_private_key: |der, _| Ok(ed(der)?.public_key().as_ref().to_vec()),
        rsa_pub_components_from_public_key: |_| Err(unsupported()),
        ec_pub_components_from_private_key: |_, _| Err(unsupported()),
        compute_digest: |_, _| Err(unsupported()),
    },
};

/// From now on this process can sign.
pub fn install() {
    let _ = PROVIDER.install_default();
}

/// The contents of a PEM file of one section.
pub fn der(pem: &str) -> Vec<u8> {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(base64).expect("a PEM file")
}

fn unsupported() -> Error {
    ErrorKind::UnsupportedAlgorithm.into()
}

fn rsa(pkcs8: &[u8]) -> Result<RsaKeyPair, Error> {
    RsaKeyPair::from_pkcs8(pkcs8).map_err(|e| ErrorKind::InvalidRsaKey(e.to_string()).into())
}

fn ed(pkcs8: &[u8]) -> Result<Ed25519KeyPair, Error> {
    // OpenSSL writes no public key into the file.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| ErrorKind::InvalidEddsaKey.into())
}

struct Site {
    algorithm: Algorithm,
    key: Key,
}

enum Key {
    Hmac(hmac::Key),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ed(Ed25519KeyPair),
}

impl Key {
    fn of(algorithm: Algorithm, key: &EncodingKey) -> Result<Self, Error> {
        let key = key.as_bytes();
        Ok(match algorithm {
            Algorithm::HS256 => Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, key)),
            Algorithm::HS384 => Self::Hmac(hmac::Key::new(hmac::HMAC_SHA384, key)),
            Algorithm::HS512 => Self::Hmac(hmac::Key::new(hmac::HMAC_SHA512, key)),
            Algorithm::RS256 => Self::Rsa(rsa(key)?, &RSA_PKCS1_SHA256),
            Algorithm::RS384 => Self::Rsa(rsa(key)?, &RSA_PKCS1_SHA384),
            Algorithm::RS512 => Self::Rsa(rsa(key)?, &RSA_PKCS1_SHA512),
            Algorithm::PS256 => Self::Rsa(rsa(key)?, &RSA_PSS_SHA256),
            Algorithm::EdDSA => Self::Ed(ed(key)?),
            _ => return Err(unsupported()),
        })
    }
}

impl Signer<Vec<u8>> for Site {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Failed> {
        match &self.key {
            Key::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Key::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Key::Rsa(pair, padding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let signed = pair.sign(*padding, &SystemRandom::new(), message, &mut signature);
                signed.map(|()| signature).map_err(|_| Failed::new())
            }
        }
    }
}

impl JwtSigner for Site {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
