//! Users by name, and the posts that they have made.

use serde_json::{Value, json};

use crate::identity::{keyed, token};
use crate::support::http::Http;
use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(
    a_user_tells_a_name_that_nobody_else_has,
    of_many_who_want_one_name_one_gets_it,
    users_are_listed_the_newest_first,
    an_authors_posts_are_listed_apart,
    with_keys_everybody_tells_his_own_name,
);

fn tell(api: &Http, id: &str, name: &str) -> crate::support::http::Answer {
    api.post("/api/users", &json!({"id": id, "username": name}))
}

fn a_user_tells_a_name_that_nobody_else_has(world: World) {
    let service = world.start_api();
    let api = service.http();
    let made = tell(&api, "a|b", "Ann");
    assert_eq!(made.header("location"), "/api/users/a%7Cb");
    let made = made.expect(201);
    assert_eq!((&made["id"], &made["username"]), (&json!("a|b"), &json!("Ann")));
    assert_eq!(api.get("/api/users/a%7Cb").expect(200), made);
    tell(&api, "other", "Ann").problem(409, "conflict");
    tell(&api, "a|b", "Other").problem(409, "conflict");
    assert_eq!(tell(&api, "other", "ann").expect(201)["username"], "ann", "another name");
    let given = api.post("/api/users", &json!({"username": "Bea"})).expect(201);
    assert!(given["id"].as_str().is_some_and(|id| id.len() == 36), "{given}");
    for (body, pointer) in [
        (json!({"id": "x"}), "/username"),
        (json!({"id": "x", "username": ""}), "/username"),
        (json!({"id": "x", "username": " x"}), "/username"),
        (json!({"id": "x", "username": "a\nb"}), "/username"),
        (json!({"id": "x", "username": "é".repeat(65)}), "/username"),
        (json!({"id": "x y", "username": "x"}), "/id"),
        (json!({"id": "x", "username": "x", "role": "admin"}), "/role"),
    ] {
        assert_eq!(api.post("/api/users", &body).expect(422)["pointer"], pointer, "{body}");
    }
    api.get("/api/users/nobody").problem(404, "not-found");
    assert_eq!(api.get("/api/users/a%20b").problem(422, "invalid-id")["parameter"], "id");
    assert_eq!(world.db().count("select count(*) from users"), 3);
}

fn of_many_who_want_one_name_one_gets_it(world: World) {
    let service = world.start_api();
    let api = service.http();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|i| {
                let api = &api;
                scope.spawn(move || tell(api, &format!("u{i}"), "The One").status)
            })
            .collect();
        asking.into_iter().map(|asking| asking.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
}

/// Every page from `path` on, by its links: the elements of `list`, each by its id.
fn walk(api: &Http, path: &str, list: &str) -> Vec<String> {
    let (mut path, mut ids) = (path.to_owned(), Vec::new());
    loop {
        let page = api.get(&path);
        let body = page.expect(200);
        let elements = body[list].as_array().expect("a list");
        ids.extend(elements.iter().map(|element| element["id"].as_str().expect("an id").to_owned()));
        let link = page.header("link");
        assert_eq!(link.is_empty(), body["next_cursor"] == Value::Null);
        match link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")) {
            Some(next) => path = next.to_owned(),
            None => return ids,
        }
    }
}

fn users_are_listed_the_newest_first(world: World) {
    let service = world.start_api();
    let api = service.http();
    assert_eq!(walk(&api, "/api/users", "users"), Vec::<String>::new());
    for i in 0..7 {
        tell(&api, &format!("u{i}"), &format!("User {i}")).expect(201);
    }
    let newest: Vec<String> = (0..7).rev().map(|i| format!("u{i}")).collect();
    for limit in [1, 2, 3, 7, 100] {
        assert_eq!(walk(&api, &format!("/api/users?limit={limit}"), "users"), newest, "{limit} at once");
    }
    api.get("/api/users?limit=0").problem(422, "limit-out-of-range");
    api.get("/api/users?cursor=6e2035").problem(422, "invalid-cursor");
    api.get("/api/users?sort=new").problem(422, "invalid-query");
}

fn an_authors_posts_are_listed_apart(world: World) {
    let service = world.start_api();
    let api = service.http();
    for i in 0..6 {
        let author = if i % 2 == 0 { "a+b" } else { "bob" };
        api.post("/api/posts", &json!({"id": format!("p{i}"), "title": "T", "created_by": author}))
            .expect(201);
    }
    api.create("nobodys");
    for (post, score) in [("p0", 3), ("p2", 5), ("p4", 1)] {
        api.rate(post, "carol", score);
    }
    world.flush();
    let lists = ["/api/posts?author=a%2Bb&limit=2", "/api/users/a+b/posts?limit=2"];
    for list in lists {
        assert_eq!(walk(&api, list, "posts"), ["p4", "p2", "p0"], "{list}");
        assert_eq!(walk(&api, &format!("{list}&sort=top"), "posts"), ["p2", "p0", "p4"], "{list}");
        let mine = api.get(&format!("{list}&user_id=carol")).expect(200);
        assert_eq!(mine["posts"][0]["my_rating"]["score"], 1);
    }
    assert_eq!(walk(&api, "/api/users/nobody/posts", "posts"), Vec::<String>::new());
    assert_eq!(walk(&api, "/api/posts?limit=3", "posts").len(), 7);
    assert_eq!(api.get("/api/posts?author=a%20b").problem(422, "invalid-id")["parameter"], "author");
}

fn with_keys_everybody_tells_his_own_name(world: World) {
    let world = keyed(world);
    let service = world.start_api();
    let api = service.http();
    let ann = api.with_token(&token("ann", &[]));
    assert_eq!(ann.post("/api/users", &json!({"username": "Ann"})).expect(201)["id"], "ann");
    ann.post("/api/users", &json!({"username": "Ann again"})).problem(409, "conflict");
    let refused = ann.post("/api/users", &json!({"id": "bob", "username": "Bob"}));
    assert_eq!(refused.problem(422, "user-named")["pointer"], "/id");
    api.post("/api/users", &json!({"username": "Nobody"})).problem(401, "token-missing");
    assert_eq!(api.get("/api/users/ann").expect(200)["username"], "Ann");
    // No registration is needed to post.
    let bob = api.with_token(&token("bob", &[]));
    bob.post("/api/posts", &json!({"id": "p", "title": "P"})).expect(201);
    assert_eq!(walk(&api, "/api/users/bob/posts", "posts"), ["p"]);
}
