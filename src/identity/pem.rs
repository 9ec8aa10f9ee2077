//! Public keys out of PEM files: `PUBLIC KEY` and `CERTIFICATE` (RFC 7468), `RSA PUBLIC KEY` (RFC 8017, A.1.1).
//!
//! It reads as much of DER (X.690) as these need, of a file's first section. `keys` decides whether a key is good enough.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// 1.2.840.113549.1.1.1, rsaEncryption.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.3.101.112, id-Ed25519.
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// The key in a PEM file and its algorithm; `None` without one of RSA or Ed25519.
pub fn public_key(pem: &str) -> Option<(Algorithm, DecodingKey)> {
    let (label, der) = section(pem)?;
    match label {
        "RSA PUBLIC KEY" => rsa_key(&der),
        "PUBLIC KEY" => key_of(&der),
        "CERTIFICATE" => {
            let (certificate, _) = take(SEQUENCE, &der)?;
            let (mut fields, _) = take(SEQUENCE, certificate)?;
            // Only the field with the key looks like one.
            loop {
                match key_of(fields) {
                    None => fields = element(fields)?.2,
                    key => return key,
                }
            }
        }
        _ => None,
    }
}

/// An RSA key (PKCS #1): a modulus and an exponent.
fn rsa_key(der: &[u8]) -> Option<(Algorithm, DecodingKey)> {
    let (parts, _) = take(SEQUENCE, der)?;
    let (modulus, rest) = take(INTEGER, parts)?;
    let (exponent, _) = take(INTEGER, rest)?;
    let is_positive = |number: &[u8]| number.first().is_some_and(|byte| *byte < 0x80);
    let key = DecodingKey::from_rsa_raw_components(modulus, exponent);
    (is_positive(modulus) && is_positive(exponent)).then_some((Algorithm::RS256, key))
}

/// The label and the contents of the first section.
fn section(pem: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (base64, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let base64: String = base64.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(base64).ok()?))
}

/// The key in a SubjectPublicKeyInfo (RFC 5280, section 4.1).
fn key_of(der: &[u8]) -> Option<(Algorithm, DecodingKey)> {
    let (info, _) = take(SEQUENCE, der)?;
    let (algorithm, rest) = take(SEQUENCE, info)?;
    let (id, _) = take(OBJECT_ID, algorithm)?;
    let (bits, _) = take(BIT_STRING, rest)?;
    // The first byte counts the bits that are unused; keys are whole bytes.
    let key = bits.strip_prefix(&[0])?;
    match id {
        RSA => rsa_key(key),
        ED25519 => Some((Algorithm::EdDSA, DecodingKey::from_ed_der(key))),
        _ => None,
    }
}

/// The contents of the first element, if it has this tag, and what follows it.
fn take(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).filter(|element| element.0 == tag).map(|(_, contents, rest)| (contents, rest))
}

/// The first element: its tag, its contents, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // So many bytes hold the length; no file of ours needs more than three.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::DecodingKeyKind;

    use super::*;

    const ED: &str = include_str!("../../tests/suite/keys/ed.pub.pem");
    const RSA: &str = include_str!("../../tests/suite/keys/rsa.pub.pem");
    /// Of the same key.
    const CERTIFICATE: &str = include_str!("../../tests/suite/keys/rsa.cert.pem");

    /// The algorithm, and the key of Ed25519 or the modulus and the exponent of RSA.
    fn parts(pem: &str) -> Option<(Algorithm, Vec<u8>, Vec<u8>)> {
        let (algorithm, key) = public_key(pem)?;
        match key.kind() {
            DecodingKeyKind::SecretOrDer(key) => Some((algorithm, key.clone(), Vec::new())),
            DecodingKeyKind::RsaModulusExponent { n, e } => Some((algorithm, n.clone(), e.clone())),
        }
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    #[test]
    fn a_key_is_found_in_each_kind_of_section() {
        assert!(
            parts(ED).is_some_and(|(algorithm, key, _)| algorithm == Algorithm::EdDSA && key.len() == 32)
        );
        let (algorithm, modulus, exponent) = parts(RSA).unwrap();
        assert_eq!((algorithm, modulus.len(), exponent), (Algorithm::RS256, 257, vec![1, 0, 1]));
        assert_eq!(parts(CERTIFICATE), parts(RSA));
        let (_, der) = section(RSA).unwrap();
        let (_, _, bits) = element(take(SEQUENCE, &der).unwrap().0).unwrap();
        let (bits, _) = take(BIT_STRING, bits).unwrap();
        assert_eq!(parts(&pem("RSA PUBLIC KEY", &bits[1..])), parts(RSA));
        assert_eq!(parts(&format!("the site's key\n{RSA}{ED}")), parts(RSA), "the first counts");
    }

    #[test]
    fn what_is_cut_short_or_named_otherwise_holds_no_key() {
        for (label, text) in [("PUBLIC KEY", ED), ("PUBLIC KEY", RSA), ("CERTIFICATE", CERTIFICATE)] {
            let (_, der) = section(text).unwrap();
            for length in 0..der.len() {
                assert!(public_key(&pem(label, &der[..length])).is_none(), "{label}, {length} bytes");
            }
            assert!(public_key(&pem("PRIVATE KEY", &der)).is_none());
        }
        for text in ["", "no key", "-----BEGIN PUBLIC KEY-----", &RSA.replace('\n', "!")] {
            assert!(public_key(text).is_none(), "{text}");
        }
        assert!(rsa_key(&[SEQUENCE, 6, INTEGER, 1, 0x80, INTEGER, 1, 3]).is_none(), "a negative modulus");
    }
}
