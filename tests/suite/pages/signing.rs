//! Signing in and out, and forms that are not ours.

use super::{HTML, Visitor, encoded, send};
use crate::identity::admin_token::told;
use crate::identity::{keyed, token};
use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(
    without_a_session_every_page_asks_for_the_token,
    a_copied_cookie_opens_nothing_after_signing_out,
    a_change_comes_from_a_form_of_ours_only,
    a_session_ends_with_its_time_and_with_its_token,
    roles_are_those_of_the_api,
);

const PAGES: [&str; 7] = ["/", "/posts", "/posts/p", "/held", "/audit", "/system", "/live"];
const ACTS: [&str; 8] = [
    "/flush",
    "/sign-out",
    "/held",
    "/posts/p/exclude",
    "/posts/p/undo",
    "/posts/p/policy",
    "/posts/p/held",
    "/system/quarantine",
];

fn without_a_session_every_page_asks_for_the_token(world: World) {
    let service = world.start_api();
    service.http().create("p");
    let admin = service.admin();
    for path in PAGES {
        for cookie in ["", "damper_session=", "damper_session=dmp_0", "damper_session=../../etc; other=1"] {
            let answer = admin.send("GET", path, &[HTML, ("cookie", cookie)], None);
            assert_eq!(answer.status, if path == "/" { 200 } else { 401 }, "{path} {cookie}");
            assert!(
                answer.text.contains("action=\"/sign-in\"") && !answer.text.contains("The post p"),
                "{}",
                answer.text
            );
            assert!(answer.text.contains(&format!("name=\"next\" value=\"{path}\"")), "{}", answer.text);
        }
    }
    for wrong in ["", "dmp_1", "x", "' or 1=1 --"] {
        let answer = send(&admin, "/sign-in", "", &[("token", wrong)]);
        assert_eq!(answer.status, 403, "{}", answer.text);
        assert!(
            answer.headers.get("set-cookie").is_none() && answer.text.contains("admin token"),
            "{}",
            answer.text
        );
    }
    let token = told(&service).expect("a token");
    for (next, leads_to) in
        [("/posts?sort=top", "/posts?sort=top"), ("//evil.example/", "/"), ("https://evil.example", "/")]
    {
        let answer = send(&admin, "/sign-in", "", &[("token", &token), ("next", next)]);
        assert_eq!((answer.status, answer.header("location")), (303, leads_to));
        let cookie = answer.header("set-cookie");
        for part in ["damper_session=", "; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains("Secure") && !cookie.contains(&token[4..]), "{cookie}");
    }
    // Behind a proxy that ends TLS the browser names https.
    let body = encoded(&[("token", &token)]);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let host = "127.0.0.1:443";
    let headers = [form, HTML, ("origin", "https://127.0.0.1"), ("host", host)];
    let answer = admin.send("POST", "/sign-in", &headers, Some(body.as_bytes()));
    assert!(answer.header("set-cookie").ends_with("; Secure"), "{} {:?}", answer.text, answer.headers);
    let kept: Vec<(String,)> = world.db().all("select hash from sessions");
    let key = answer.header("set-cookie").split(['=', ';']).nth(1).expect("a key").to_owned();
    assert!(kept.len() == 4 && kept.iter().all(|(hash,)| !hash.contains(&key[4..])), "only hashes are kept");
    assert!(!service.err().contains(&key[4..]), "it is in no log");
}

fn a_copied_cookie_opens_nothing_after_signing_out(world: World) {
    let service = world.start_api();
    let visitor = Visitor::admin(&service);
    let other = Visitor::with_token(&service, world.cli(&["admin-token"]).expect(0).out.trim_end());
    assert_eq!(visitor.get("/posts").status, 401, "a new admin token ends the sessions of the old one");
    assert_eq!(other.get("/posts").status, 200);
    let left = send(&other.http, "/sign-out", &other.cookie, &[("form", &other.form)]);
    assert_eq!((left.status, left.header("location")), (303, "/"));
    assert!(left.header("set-cookie").contains("Max-Age=0"), "{:?}", left.headers);
    for path in PAGES {
        assert!(other.get(path).text.contains("action=\"/sign-in\""), "{path}");
    }
    for path in ACTS {
        assert_eq!(send(&other.http, path, &other.cookie, &[("form", &other.form)]).status, 401, "{path}");
    }
    assert_eq!(
        world.db().count("select count(*) from sessions where expires_at > 0"),
        1,
        "the old one's, until it ends"
    );
}

fn a_change_comes_from_a_form_of_ours_only(world: World) {
    let service = world.start_api();
    service.http().create("p");
    let (other, token) = (service.admin(), told(&service).expect("a token"));
    let (visitor, stranger) = (Visitor::with_token(&service, &token), Visitor::with_token(&service, &token));
    let origin = format!("http://{}", other.address());
    let fields =
        [("reason", "forged"), ("frozen", "yes"), ("from", "2020-01-01T00:00"), ("to", "2021-01-01T00:00")];
    for path in ACTS.into_iter().chain(["/sign-in"]) {
        let ours = encoded(&[&[("form", visitor.form.as_str())], &fields[..]].concat());
        let form = ("content-type", "application/x-www-form-urlencoded");
        let cookie = ("cookie", visitor.cookie.as_str());
        for (headers, body) in [
            // No page says where it comes from, or another one does.
            (vec![form, HTML, cookie], ours.clone()),
            (vec![form, HTML, cookie, ("origin", "null")], ours.clone()),
            (vec![form, HTML, cookie, ("origin", "https://evil.example")], ours.clone()),
            (vec![form, HTML, cookie, ("origin", "http://127.0.0.1:1")], ours.clone()),
            (vec![form, HTML, cookie, ("origin", &origin), ("host", "evil.example")], ours.clone()),
        ] {
            let answer = other.send("POST", path, &headers, Some(body.as_bytes()));
            assert_eq!(answer.status, 403, "{path} {headers:?}: {}", answer.text);
            assert!(answer.text.starts_with("<!doctype html>"), "{}", answer.text);
        }
        if path == "/sign-in" {
            continue;
        }
        for token in ["", "0", stranger.form.as_str()] {
            let answer = send(&other, path, &visitor.cookie, &[&[("form", token)], &fields[..]].concat());
            assert_eq!(answer.status, 403, "{path} {token}: {}", answer.text);
        }
        let json = [("content-type", "text/plain"), HTML, cookie, ("origin", origin.as_str())];
        assert_eq!(other.send("POST", path, &json, Some(ours.as_bytes())).status, 415, "{path}");
        assert_eq!(visitor.get(path).status, if path == "/held" { 200 } else { 405 }, "{path} is no page");
    }
    assert_eq!(world.db().count("select count(*) from audit"), 0);
    assert_eq!(world.db().count("select count(*) from posts where frozen = 1"), 0);
    assert_eq!(visitor.get("/").status, 200, "nobody was signed out");
    let bearer = other.send("POST", "/api/admin/flush", &[("cookie", &visitor.cookie)], None);
    bearer.problem(401, "token-missing");
}

fn a_session_ends_with_its_time_and_with_its_token(world: World) {
    let service = world.start_api();
    let visitor = Visitor::admin(&service);
    assert_eq!(visitor.get("/audit").status, 200);
    world.db().change("update sessions set expires_at = 1000");
    assert_eq!(visitor.get("/audit").status, 401);
    let visitor = Visitor::with_token(&service, world.cli(&["admin-token"]).expect(0).out.trim_end());
    assert_eq!(world.db().count("select count(*) from sessions"), 1, "what has ended is forgotten");
    assert_eq!(visitor.get("/audit").status, 200);
}

fn roles_are_those_of_the_api(world: World) {
    let world = keyed(world);
    let service = world.start_api();
    let admin = service.admin();
    service
        .http()
        .with_token(&token("ann", &[]))
        .post("/api/posts", &serde_json::json!({"id": "p", "title": "P"}))
        .expect(201);
    for roles in [&[][..], &["user"], &["ingest"]] {
        let answer = send(&admin, "/sign-in", "", &[("token", &token("ann", roles))]);
        assert_eq!(answer.status, 403, "{}", answer.text);
        assert!(answer.text.contains("role moderator or admin"), "{}", answer.text);
    }
    let olga = Visitor::with_token(&service, &token("olga", &["moderator"]));
    let root = Visitor::with_token(&service, &token("root", &["admin"]));
    assert!(
        root.page("/").contains("action=\"/flush\"") && root.page("/system").contains("Settings in force")
    );
    let home = olga.page("/");
    assert!(
        home.contains("moderator olga") && !home.contains("/flush") && !home.contains("href=\"/system\""),
        "{home}"
    );
    for path in ["/posts", "/posts/p", "/held", "/audit"] {
        olga.page(path);
    }
    let refused = olga.get("/system");
    assert_eq!(refused.status, 403);
    assert!(
        refused.text.contains("role admin") && !refused.text.contains("Settings in force"),
        "{}",
        refused.text
    );
    for path in ["/flush", "/system/quarantine"] {
        let answer =
            send(&admin, path, &olga.cookie, &[("form", &olga.form), ("act", "drop"), ("id", "0/0-1")]);
        assert_eq!(answer.status, 403, "{path}: {}", answer.text);
    }
    assert!(olga.act("/posts/p/policy", &[("frozen", "yes"), ("reason", "a storm")]).contains("Done"));
    let audit = olga.page("/audit");
    assert!(audit.contains("olga") && audit.contains("a storm"), "{audit}");
    // Other keys: whoever was let in by the old ones is out.
    service.terminate();
    service.finish().expect(0);
    let world = world.with("auth.jwt_secret", "another secret, of forty bytes or so, now");
    let service = world.start_api();
    let answer = service.admin().send("GET", "/held", &[HTML, ("cookie", &olga.cookie)], None);
    assert_eq!(answer.status, 401);
}
