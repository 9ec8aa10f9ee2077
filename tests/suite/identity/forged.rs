//! Tokens that must not be taken: forged, broken, late, early, meant for somebody else, and ten thousand mutants.

use base64_url::encode as base64;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{SECRET, keyed, seconds, sign, sign_with, token};
use crate::support::http::{Http, JSON};
use crate::support::log::Rng;
use crate::support::world::World;

/// Mutants that are tried.
const MUTANTS: usize = 10_000;

mod base64_url {
    /// RFC 4648, section 5, without padding.
    pub fn encode(bytes: impl AsRef<[u8]>) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for chunk in bytes.as_ref().chunks(3) {
            let bits =
                chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for i in 0..=chunk.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize]));
            }
        }
        text
    }
}

/// A good token, except for its header; signed with the secret.
fn with_header(header: Value, claims: &Value) -> String {
    raw(&header.to_string(), &claims.to_string())
}

/// Whatever is in it, the signature is good.
fn raw(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", base64(header), base64(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).expect("a signature");
    format!("{signed}.{signature}")
}

fn assert_refused(api: &Http, what: &str, token: &str) {
    eprintln!("{what}");
    let api = api.with_token(token);
    for answer in [
        api.get("/api/posts"),
        api.post("/api/posts/p/rate", &json!({"score": 5})),
        api.post("/api/posts", &json!({"title": "T"})),
    ] {
        answer.problem(401, "token-invalid");
        assert!(answer.header("www-authenticate").contains("invalid_token"), "{:?}", answer.headers);
    }
}

#[test]
fn a_token_that_is_not_what_it_should_be_is_refused() {
    let world = keyed(World::embedded()).with("auth.audience", "damper").with("auth.issuer", "site");
    let service = world.start_api();
    let api = service.http();
    let good = json!({"sub": "ann", "exp": seconds() + 600, "aud": "damper", "iss": "site"});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("an object").remove(name);
        sign(&claims)
    };
    assert_eq!(api.with_token(&sign(&good)).get("/api/posts").status, 200, "the good one is");
    for aud in [json!(["other", "damper"]), json!("damper")] {
        assert_eq!(api.with_token(&with("aud", aud)).get("/api/posts").status, 200);
    }
    let now = seconds();
    let none = format!("{}.{}.", base64(r#"{"alg":"none"}"#), base64(good.to_string()));
    let jwk = json!({"kty": "oct", "k": base64("another secret of some thirty-two bytes")});
    let other = EncodingKey::from_secret(b"another secret of some thirty-two bytes");
    let embedded = {
        let mut header = Header::new(Algorithm::HS256);
        header.jwk = Some(serde_json::from_value(jwk).expect("a key"));
        header.jku = Some("http://127.0.0.1:1/keys".into());
        encode(&header, &good, &other).expect("a token")
    };
    let table = [
        ("no token at all", String::new()),
        ("one part", "token".into()),
        ("two parts", "a.b".into()),
        ("empty parts", "..".into()),
        ("four parts", format!("{}.x", sign(&good))),
        ("unsigned, alg none", none.clone()),
        ("alg None", format!("{}.{}.", base64(r#"{"alg":"None"}"#), base64(good.to_string()))),
        (
            "alg none, with a signature",
            format!("{none}{}", sign(&good).rsplit('.').next().unwrap_or_default()),
        ),
        ("no alg", with_header(json!({"typ": "JWT"}), &good)),
        ("an alg that is a list", with_header(json!({"alg": ["HS256"]}), &good)),
        ("HS384", sign_with(Algorithm::HS384, &EncodingKey::from_secret(SECRET.as_bytes()), &good)),
        ("HS512", sign_with(Algorithm::HS512, &EncodingKey::from_secret(SECRET.as_bytes()), &good)),
        ("HS384 in the header only", with_header(json!({"alg": "HS384"}), &good)),
        ("RS256 in the header only", with_header(json!({"alg": "RS256"}), &good)),
        ("another secret", sign_with(Algorithm::HS256, &other, &good)),
        ("an empty secret", sign_with(Algorithm::HS256, &EncodingKey::from_secret(b""), &good)),
        ("an embedded key and a place of keys", embedded),
        ("a critical extension", with_header(json!({"alg": "HS256", "crit": ["exp"], "exp": 1}), &good)),
        ("no critical extensions", with_header(json!({"alg": "HS256", "crit": []}), &good)),
        ("expired", with("exp", json!(now - 61))),
        ("expired long ago", with("exp", json!(0))),
        ("expired before the epoch", with("exp", json!(-1))),
        ("not yet valid", with("nbf", json!(now + 61))),
        ("no exp", without("exp")),
        ("an exp that is a text", with("exp", json!((now + 600).to_string()))),
        ("an exp that is null", with("exp", Value::Null)),
        ("an exp that is true", with("exp", json!(true))),
        ("an exp beyond all time", with("exp", json!(1e300))),
        ("an nbf that is a text", with("nbf", json!("now"))),
        ("no sub", without("sub")),
        ("an empty sub", with("sub", json!(""))),
        ("a sub that is a number", with("sub", json!(7))),
        ("a sub with a space", with("sub", json!("a b"))),
        ("a sub with a line break", with("sub", json!("ann\r\nx: y"))),
        ("a sub with a slash", with("sub", json!("a/b"))),
        ("a sub that is a path", with("sub", json!(".."))),
        ("a sub of 65 characters", with("sub", json!("x".repeat(65)))),
        ("another audience", with("aud", json!("other"))),
        ("no audience", without("aud")),
        ("an audience that is a number", with("aud", json!(5))),
        ("an empty list of audiences", with("aud", json!([]))),
        ("another issuer", with("iss", json!("other"))),
        ("no issuer", without("iss")),
        ("roles that are a number", with("roles", json!(7))),
        ("roles that hold a number", with("roles", json!(["user", 7]))),
        ("claims that are a list", sign(&json!(["ann"]))),
        (
            "sub twice",
            raw(r#"{"alg":"HS256"}"#, &good.to_string().replace(r#""sub":"#, r#""sub":"bob","sub":"#)),
        ),
        ("alg twice", raw(r#"{"alg":"HS256","alg":"none"}"#, &good.to_string())),
        ("claims that are no JSON", raw(r#"{"alg":"HS256"}"#, "{")),
        ("a header that is no JSON", raw("alg", &good.to_string())),
        ("a token of 9,000 bytes", with("padding", json!("x".repeat(9_000)))),
    ];
    for (what, token) in &table {
        assert_refused(&api, what, token);
    }
    for (header, value) in [("authorization", "Bearer"), ("authorization", "")] {
        api.send("GET", "/api/posts", &[(header, value)], None).problem(401, "token-invalid");
    }
    // A proxy in front has its own way to ask who someone is.
    let basic = ("authorization", "Basic YW5uOng=");
    assert_eq!(api.send("GET", "/api/posts", &[basic], None).status, 200);
    api.send("POST", "/api/posts", &[basic, JSON], Some(b"{}")).problem(401, "token-missing");
    let good = sign(&good);
    let twice = [("authorization", format!("Bearer {good}")), ("authorization", format!("Bearer {good}"))];
    let twice: Vec<(&str, &str)> = twice.iter().map(|(name, value)| (*name, value.as_str())).collect();
    api.send("GET", "/api/posts", &twice, None).problem(401, "token-invalid");
    assert_eq!(world.status()["posts"], 0, "nothing was stored");
}

#[test]
fn of_ten_thousand_mutants_none_is_taken() {
    let world = keyed(World::embedded());
    let service = world.start_api();
    let good = token("ann", &["user"]);
    assert_eq!(service.http().with_token(&good).get("/api/posts").status, 200);
    let taken: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4u64)
            .map(|caller| {
                let (api, good) = (service.http(), good.clone());
                scope.spawn(move || {
                    let mut rng = Rng(caller + 1);
                    let mut taken = 0;
                    for _ in 0..MUTANTS / 4 {
                        let mutant = mutate(&good, &mut rng);
                        if mutant == good {
                            continue;
                        }
                        let status = api.with_token(&mutant).get("/api/posts").status;
                        assert!([200, 401].contains(&status), "{status} for {mutant}");
                        if status == 200 {
                            eprintln!("taken: {mutant}\nof     {good}");
                            taken += 1;
                        }
                    }
                    taken
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().expect("a caller ends")).sum()
    });
    assert_eq!(taken, 0);
    assert_eq!(service.http().with_token(&good).get("/api/posts").status, 200, "the good one still is");
}

/// Changes, drops, doubles or swaps characters of a token; sometimes several.
fn mutate(token: &str, rng: &mut Rng) -> String {
    const LETTERS: &[u8] = b"ABCXYZabcxyz0189-_.=+/";
    let mut mutant = token.as_bytes().to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(mutant.len() as u64) as usize;
        match rng.below(5) {
            0 => mutant[at] = LETTERS[rng.below(LETTERS.len() as u64) as usize],
            1 => drop(mutant.remove(at)),
            2 => mutant.insert(at, mutant[at]),
            // The bits that base64 leaves unused stand in a part's last character.
            3 => {
                let last = mutant.len() - 1;
                mutant[last] = LETTERS[rng.below(16) as usize];
            }
            _ => {
                let other = rng.below(mutant.len() as u64) as usize;
                mutant.swap(at, other);
            }
        }
    }
    String::from_utf8(mutant).expect("ASCII")
}
