//! Who is asking: tokens of every kind that must be taken, and of every kind that must not.

pub mod admin_token;
mod forged;
mod kinds;
mod routes;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::http::Http;
use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(
    a_token_says_who_rates_and_nobody_else_can,
    with_keys_nobody_is_named_beside_the_token,
    reading_needs_nobody_and_shows_the_own_rating_to_its_owner,
    a_token_that_is_remembered_still_expires,
);

/// A secret of the length that is asked for at least.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// With the secret in the settings.
pub fn keyed(world: World) -> World {
    world.with("auth.jwt_secret", SECRET)
}

/// Seconds since the epoch.
pub fn seconds() -> i64 {
    chrono::Utc::now().timestamp()
}

/// Signs claims with the secret.
pub fn sign(claims: &Value) -> String {
    sign_with(Algorithm::HS256, &EncodingKey::from_secret(SECRET.as_bytes()), claims)
}

/// Signs claims with any key.
pub fn sign_with(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, key).expect("claims are signed")
}

/// A good token of a user with roles.
pub fn token(user: &str, roles: &[&str]) -> String {
    sign(&json!({"sub": user, "exp": seconds() + 3_600, "roles": roles}))
}

/// A rating without a name.
fn rate(api: &Http, post: &str, score: i64) -> crate::support::http::Answer {
    api.post(&format!("/api/posts/{post}/rate"), &json!({"score": score}))
}

fn a_token_says_who_rates_and_nobody_else_can(world: World) {
    let world = keyed(world);
    let service = world.start_api();
    let nobody = service.http();
    let (ann, bob) = (nobody.with_token(&token("ann", &[])), nobody.with_token(&token("bob", &[])));
    let made = ann.post("/api/posts", &json!({"id": "p", "title": "P"})).expect(201);
    assert_eq!(made["created_by"], "ann");
    assert_eq!(rate(&ann, "p", 5).expect(202)["user_id"], "ann");
    assert_eq!(rate(&bob, "p", 1).expect(202)["user_id"], "bob");
    let refused = rate(&nobody, "p", 0);
    refused.problem(401, "token-missing");
    assert!(refused.header("www-authenticate").starts_with("Bearer"), "{:?}", refused.headers);
    nobody.delete("/api/posts/p/rate").problem(401, "token-missing");
    nobody.post("/api/posts", &json!({"title": "Q"})).problem(401, "token-missing");
    world.flush();
    world.assert_exact(&[(("p".into(), "ann".into()), 5), (("p".into(), "bob".into()), 1)].into());
    bob.delete("/api/posts/p/rate").expect(202);
    world.flush();
    world.assert_exact(&[(("p".into(), "ann".into()), 5)].into());
}

fn with_keys_nobody_is_named_beside_the_token(world: World) {
    let world = keyed(world);
    let service = world.start_api();
    let (nobody, ann) = (service.http(), service.http().with_token(&token("ann", &[])));
    ann.post("/api/posts", &json!({"id": "p", "title": "P"})).expect(201);
    for name in ["ann", "bob", ""] {
        let body = json!({"user_id": name, "score": 5});
        assert_eq!(ann.post("/api/posts/p/rate", &body).problem(422, "user-named")["pointer"], "/user_id");
        nobody.post("/api/posts/p/rate", &body).problem(401, "token-missing");
        let body = json!({"title": "T", "created_by": name});
        assert_eq!(ann.post("/api/posts", &body).problem(422, "user-named")["pointer"], "/created_by");
        for api in [&nobody, &ann] {
            let read = api.get(&format!("/api/posts/p?user_id={name}")).problem(422, "user-named");
            assert_eq!(read["parameter"], "user_id");
            api.get(&format!("/api/posts?user_id={name}")).problem(422, "user-named");
        }
        ann.delete(&format!("/api/posts/p/rate?user_id={name}")).problem(422, "user-named");
    }
    let status = world.status();
    assert_eq!((&status["accepted"], &status["posts"]), (&json!(0), &json!(1)), "{status}");
}

fn reading_needs_nobody_and_shows_the_own_rating_to_its_owner(world: World) {
    let world = keyed(world);
    let service = world.start_api();
    let nobody = service.http();
    let (ann, bob) = (nobody.with_token(&token("ann", &[])), nobody.with_token(&token("bob", &[])));
    ann.post("/api/posts", &json!({"id": "p", "title": "P"})).expect(201);
    rate(&ann, "p", 4).expect(202);
    let pending = json!({"score": 4, "pending": true});
    let seen = ann.get("/api/posts/p");
    assert_eq!(seen.expect(200)["my_rating"], pending);
    assert_eq!(seen.header("cache-control"), "private, no-cache");
    assert_eq!(ann.get("/api/posts").expect(200)["posts"][0]["my_rating"], pending);
    for other in [&nobody, &bob] {
        assert_eq!(other.read("p")["my_rating"], Value::Null);
        assert_eq!(other.get("/api/posts").expect(200)["posts"][0]["my_rating"], Value::Null);
    }
    let public = nobody.get("/api/posts/p");
    assert!(public.header("cache-control").starts_with("public"));
    let varies = public.headers.get_all("vary").iter().any(|value| value == "authorization");
    assert!(varies, "{:?}", public.headers);
    // A token that is shown must be good, even where none is needed.
    let stranger = nobody.with_token("no.good.token");
    for path in ["/api/posts/p", "/api/posts", "/api/posts/p/history"] {
        stranger.get(path).problem(401, "token-invalid");
    }
}

fn a_token_that_is_remembered_still_expires(world: World) {
    let world = keyed(world);
    let service = world.start_api();
    // Within the leeway, for two seconds more.
    let late = service.http().with_token(&sign(&json!({"sub": "ann", "exp": seconds() - 28})));
    let first = late.get("/api/posts").status;
    crate::support::until("the token to expire", || late.get("/api/posts").status == 401);
    assert_eq!(first, 200);
    let detail = late.get("/api/posts").problem(401, "token-invalid")["detail"].to_string();
    assert!(detail.contains("expired"), "{detail}");
}
