//! Kinds of keys: a public key of either algorithm, a file of keys that changes, and what is no key.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{SECRET, keyed, seconds, sign, sign_with};
use crate::support::http::Http;
use crate::support::signer::der;
use crate::support::until;
use crate::support::world::World;

const RSA: &str = include_str!("../keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("../keys/rsa.pub.pem");
const ED: &str = include_str!("../keys/ed.pem");
const ED_PUBLIC: &str = include_str!("../keys/ed.pub.pem");
const WEAK_PUBLIC: &str = include_str!("../keys/weak.pub.pem");

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_der(&der(RSA))
}

fn ed() -> EncodingKey {
    EncodingKey::from_ed_der(&der(ED))
}

fn claims() -> Value {
    json!({"sub": "ann", "exp": seconds() + 600})
}

/// A token that names its key.
fn named(algorithm: Algorithm, key: &EncodingKey, kid: &str) -> String {
    let header = Header { kid: Some(kid.into()), ..Header::new(algorithm) };
    encode(&header, &claims(), key).expect("a token")
}

fn status(api: &Http, token: &str) -> u16 {
    api.with_token(token).get("/api/posts").status
}

#[test]
fn a_public_key_verifies_what_its_private_key_signed() {
    for (public, algorithm, key) in
        [(RSA_PUBLIC, Algorithm::RS256, rsa()), (ED_PUBLIC, Algorithm::EdDSA, ed())]
    {
        let world = World::embedded();
        let file = world.file("key.pem", public);
        let world = world.with("auth.jwt_public_key_file", file);
        let service = world.start_api();
        let api = service.http();
        assert_eq!(status(&api, &sign_with(algorithm, &key, &claims())), 200);
        // The public key is no secret: whoever signs with it as if it were one must not get in.
        for confused in [public.as_bytes(), public.trim_end().as_bytes()] {
            let confused = EncodingKey::from_secret(confused);
            assert_eq!(status(&api, &sign_with(Algorithm::HS256, &confused, &claims())), 401);
        }
        for other in [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
            let is_own = other == algorithm;
            assert_eq!(status(&api, &sign_with(other, &rsa(), &claims())) == 200, is_own, "{other:?}");
        }
        assert_eq!(status(&api, &sign(&claims())), 401);
        let minted = world.cli(&["token", "--user", "ann"]).expect(78);
        assert!(minted.err.contains("private key"), "{}", minted.err);
    }
}

/// A JWKS with these keys, each with a name.
fn jwks(keys: &[(&str, Algorithm, EncodingKey)]) -> String {
    let public = |(kid, algorithm, key): &(&str, Algorithm, EncodingKey)| {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, *algorithm).expect("a public key"))
            .expect("JSON");
        (jwk["kid"], jwk["use"]) = (json!(kid), json!("sig"));
        jwk
    };
    json!({"keys": keys.iter().map(public).collect::<Vec<_>>()}).to_string()
}

#[test]
fn a_file_of_keys_is_read_again_when_it_changes() {
    let world = World::embedded();
    let file = world.file("keys.json", jwks(&[("old", Algorithm::RS256, rsa())]));
    let world = world.with("auth.jwks_file", &file);
    let service = world.start_api();
    let api = service.http();
    let (old, new) = (named(Algorithm::RS256, &rsa(), "old"), named(Algorithm::EdDSA, &ed(), "new"));
    assert_eq!((status(&api, &old), status(&api, &new)), (200, 401));
    assert_eq!(status(&api, &named(Algorithm::RS256, &rsa(), "other")), 401, "a name that no key has");
    assert_eq!(status(&api, &sign_with(Algorithm::RS256, &rsa(), &claims())), 200, "without a name");
    // Both, while the site changes over.
    world.file("keys.json", jwks(&[("old", Algorithm::RS256, rsa()), ("new", Algorithm::EdDSA, ed())]));
    until("the new key to be trusted", || status(&api, &new) == 200);
    assert_eq!(status(&api, &old), 200);
    // A file that is half written, or gone, changes nothing.
    world.file("keys.json", "{\"keys\": [");
    until("the broken file to be noticed", || {
        api.get("/api/posts");
        status(&api, &new);
        service.err().contains("the keys stay as they were")
    });
    assert_eq!((status(&api, &old), status(&api, &new)), (200, 200));
    std::fs::remove_file(&file).expect("the file is removed");
    until("its loss to be noticed", || {
        status(&api, &new);
        service.err().matches("the keys stay as they were").count() == 2
    });
    assert_eq!(status(&api, &new), 200);
    // What was remembered is forgotten with its key.
    world.file("keys.json", jwks(&[("new", Algorithm::EdDSA, ed())]));
    until("the old key to be trusted no more", || status(&api, &old) == 401);
    assert_eq!(status(&api, &new), 200);
}

#[test]
fn in_a_file_of_keys_each_is_for_its_own_algorithm_and_for_signatures() {
    let world = World::embedded();
    let mut keys: Value =
        serde_json::from_str(&jwks(&[("rsa", Algorithm::RS256, rsa()), ("ed", Algorithm::EdDSA, ed())]))
            .expect("JSON");
    keys["keys"][0]["use"] = json!("enc");
    let oct = json!({"kty": "oct", "kid": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"});
    keys["keys"].as_array_mut().expect("a list").push(oct);
    let file = world.file("keys.json", keys.to_string());
    let world = world.with("auth.jwks_file", file);
    let service = world.start_api();
    let api = service.http();
    assert_eq!(status(&api, &named(Algorithm::EdDSA, &ed(), "ed")), 200);
    assert_eq!(status(&api, &named(Algorithm::RS256, &rsa(), "rsa")), 401, "it is for encryption");
    assert_eq!(status(&api, &named(Algorithm::RS256, &rsa(), "ed")), 401);
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    assert_eq!(status(&api, &named(Algorithm::HS256, &secret, "oct")), 401, "a secret is no public key");
}

#[test]
fn what_is_no_key_is_refused_at_start_with_a_remedy() {
    let dir = World::embedded();
    let file = |name: &str, text: &str| dir.file(name, text);
    let private = RSA.to_owned();
    let table = [
        ("auth.jwt_secret", "short".to_owned(), "32 at least"),
        ("auth.jwt_secret", "x".repeat(31), "31 bytes"),
        ("auth.jwt_public_key_file", "/nowhere.pem".to_owned(), "/nowhere.pem"),
        ("auth.jwt_public_key_file", file("text.pem", "no key"), "no PEM file"),
        ("auth.jwt_public_key_file", file("private.pem", &private), "private key"),
        ("auth.jwt_public_key_file", file("weak.pem", WEAK_PUBLIC), "has 1024 bits"),
        ("auth.jwks_file", "/nowhere.json".to_owned(), "/nowhere.json"),
        ("auth.jwks_file", file("empty.json", "{\"keys\":[]}"), "no key"),
        ("auth.jwks_file", file("list.json", "[]"), "no JWKS"),
        (
            "auth.jwks_file",
            file(
                "short.json",
                r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AQ"},{"kty":"RSA","n":"AQ","e":"AQAB"}]}"#,
            ),
            "no key",
        ),
        ("auth.roles_claim", String::new(), "roles_claim"),
        ("auth.roles_claim", "/sub/roles".to_owned(), "roles_claim"),
        ("admin_hosts", "[\"damper.internal:8081\"]".to_owned(), "admin_hosts"),
    ];
    for (setting, value, told) in table {
        let run = World::embedded().with(setting, &value).cli(&["serve"]).expect(78);
        assert!(run.err.contains(told), "{setting} {value}: {}", run.err);
    }
    let both = keyed(World::embedded())
        .with("auth.jwks_file", file("k.json", &jwks(&[("k", Algorithm::EdDSA, ed())])));
    assert!(both.cli(&["serve"]).expect(78).err.contains("set one of"));
}

#[test]
fn a_token_is_minted_where_the_secret_is() {
    let world = keyed(World::embedded()).with("auth.audience", "damper").with("auth.issuer", "site");
    let service = world.start_api();
    let mint = |args: &[&str]| world.cli(&[&["token"], args].concat());
    let token = mint(&["--user", "ann", "--role", "admin", "--role", "ingest", "--hours", "2"]).expect(0);
    let token = token.out.trim_end().to_owned();
    assert_eq!(status(&service.http(), &token), 200);
    assert_eq!(service.admin().with_token(&token).get("/api/admin/status").status, 200);
    let json = mint(&["--user", "ann", "--json"]).expect(0).json();
    assert_eq!(json["user_id"], "ann");
    assert_eq!(status(&service.http(), json["token"].as_str().expect("a text")), 200);
    mint(&["--user", "a b"]).expect(1);
    for wrong in [&["--user", "ann", "--role", "king"][..], &["--user", "ann", "--hours", "0"], &[]] {
        mint(wrong).expect(2);
    }
    let open = World::embedded().cli(&["token", "--user", "ann"]).expect(78);
    assert!(open.err.contains("DAMPER_AUTH__JWT_SECRET"), "{}", open.err);
    // A secret of digits stays a text, whatever it looks like.
    let digits = World::embedded().with("auth.jwt_secret", "01234567890123456789012345678901");
    digits.cli(&["token", "--user", "ann"]).expect(0);
}

#[test]
fn roles_are_read_from_the_claim_that_the_settings_name() {
    for (claim, claims) in [
        ("https://site.example/roles", json!({"https://site.example/roles": ["admin", "editor"]})),
        ("/realm_access/roles", json!({"realm_access": {"roles": ["admin"], "other": 1}})),
        ("groups", json!({"groups": ["admin"], "roles": 5})),
        ("roles", json!({"roles": "admin"})),
    ] {
        let world = keyed(World::embedded()).with("auth.roles_claim", claim);
        let service = world.start_api();
        let mut claims = claims;
        (claims["sub"], claims["exp"]) = (json!("ann"), json!(seconds() + 600));
        let admin = service.admin();
        assert_eq!(admin.with_token(&sign(&claims)).get("/api/admin/status").status, 200, "{claim}");
        let minted = world.cli(&["token", "--user", "ann", "--role", "admin"]).expect(0).out;
        assert_eq!(admin.with_token(minted.trim_end()).get("/api/admin/status").status, 200, "{claim}");
        let plain = sign(&json!({"sub": "ann", "exp": seconds() + 600}));
        admin.with_token(&plain).get("/api/admin/status").problem(403, "role-missing");
    }
    // No role, in the words of some issuers; and words of the site.
    let world = keyed(World::embedded());
    let service = world.start_api();
    for roles in [Value::Null, json!("user"), json!("editor"), json!([])] {
        let plain = sign(&json!({"sub": "ann", "exp": seconds() + 600, "roles": roles}));
        assert_eq!(status(&service.http(), &plain), 200, "{roles}");
        service.admin().with_token(&plain).get("/api/admin/status").problem(403, "role-missing");
    }
}
