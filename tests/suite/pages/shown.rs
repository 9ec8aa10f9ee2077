//! What pages hold: text that nobody can break out of, a size that has a limit, headers, errors as pages, odd posts.

use serde_json::json;

use super::{HTML, Visitor};
use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(no_text_of_a_user_leaves_its_place, odd_posts_have_pages_of_a_size,);

/// A page's HTML, in bytes.
const HTML_BYTES_MAX: usize = 60 << 10;
/// What people try.
const PAYLOADS: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(2)>",
    "'onmouseover='alert(3)",
    "</title></textarea></style><svg/onload=alert(4)>",
    "{{6061*7}} ${6061*7} <%= 6061*7 %>",
    "javascript:alert(5)//\u{2028}<!--",
];

fn no_text_of_a_user_leaves_its_place(world: World) {
    let world = world.with("moderation.hold", "always");
    let service = world.start_api();
    let (api, visitor) = (service.http(), Visitor::admin(&service));
    for (i, payload) in PAYLOADS.iter().enumerate() {
        let post = json!({"id": format!("p{i}"), "title": payload, "content": payload});
        api.post("/api/posts", &post).expect(201);
        api.rate(&format!("p{i}"), "a|b+c=d@e", 0);
        visitor.act(&format!("/posts/p{i}/policy"), &[("hold", "always"), ("reason", payload)]);
        let window = [("from", "2020-01-01T00:00"), ("to", "2021-01-01T00:00"), ("reason", payload)];
        visitor.act(&format!("/posts/p{i}/exclude"), &window);
    }
    visitor.act("/flush", &[]);
    let mut paths = vec!["/".to_owned(), "/posts".into(), "/held".into(), "/audit".into(), "/system".into()];
    paths.extend((0..PAYLOADS.len()).map(|i| format!("/posts/p{i}?range=all")));
    for payload in PAYLOADS {
        let typed = super::encoded(&[("x", payload)]).replace("x=", "");
        for path in [
            "/posts?search=",
            "/audit?post=",
            "/posts?sort=",
            "/posts/p0?range=",
            "/posts/p0?to=1&from=",
            "/held?cursor=",
        ] {
            paths.push(format!("{path}{typed}"));
        }
    }
    for path in paths {
        let page = visitor.get(&path);
        assert!(page.text.starts_with("<!doctype html>"), "{path}: {}", page.text);
        for payload in &PAYLOADS[..4] {
            assert!(!page.text.contains(payload), "{path} holds {payload}");
        }
        assert!(!page.text.contains("<img src=x") && !page.text.contains("42427"), "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert!(!page.text.contains(" style=") && !page.text.contains("<style"), "{path} has no style in it");
        assert_eq!(page.text.matches("<script").count(), 1, "{path} has its own script only");
    }
}

fn odd_posts_have_pages_of_a_size(world: World) {
    let now = chrono::Utc::now().timestamp();
    let years: String =
        (0..3_000).map(|i| format!("years,u{i},{},{}\n", i % 6, now - 157_000_000 + i * 52_000)).collect();
    world.import(&(years + &format!("one,u,3,{}\n", now - 5_000)));
    world.flush();
    let service = world.start_api();
    let (api, visitor) = (service.http(), Visitor::admin(&service));
    let titles =
        [("emoji", "🎬".repeat(300)), ("rtl", "מלחמת הכוכבים — ביקורת".into()), ("none", "Nothing".into())];
    for (id, title) in &titles {
        api.post("/api/posts", &json!({"id": id, "title": title, "content": "x".repeat(19_000)})).expect(201);
    }
    let every = "a|b+c=d@e:f~g_h-i.j";
    api.create(every);
    api.rate(every, "u", 5);
    visitor.act("/flush", &[]);
    let paths =
        ["emoji", "rtl", "none", "one", "years", "a%7Cb+c=d@e:f~g_h-i.j"].map(|id| format!("/posts/{id}"));
    for path in &paths {
        for range in
            ["", "?range=24h", "?range=7d", "?range=30d", "?range=all", "?range=1500000000..1600000000"]
        {
            let page = visitor.page(&format!("{path}{range}"));
            assert!(page.len() < HTML_BYTES_MAX, "{path}{range} has {} bytes", page.len());
            assert!(!page.contains("NaN") && !page.contains(">inf"), "{path}{range}");
        }
    }
    assert!(visitor.page("/posts/none").contains("There are no ratings that count yet"));
    for path in ["/", "/posts", "/held", "/audit", "/system"] {
        assert!(visitor.page(path).len() < HTML_BYTES_MAX, "{path}");
    }
    assert_eq!(visitor.page("/posts").matches("a%7Cb+c=d@e:f~g_h-i.j").count(), 1);
}

#[test]
fn errors_are_pages_for_people_and_problems_for_programs() {
    let world = World::embedded();
    let service = world.start_api();
    let (visitor, admin) = (Visitor::admin(&service), service.admin());
    for (path, status) in [
        ("/nothing", 404),
        ("/posts/none", 404),
        ("/posts/a%20b", 422),
        ("/posts/%FF", 400),
        ("/audit?cursor=x", 422),
    ] {
        let page = visitor.get(path);
        assert_eq!(page.status, status, "{path}");
        assert!(
            page.text.starts_with("<!doctype html>") && !page.text.contains("{\"type\""),
            "{path}: {}",
            page.text
        );
        assert!(
            page.header("content-type").starts_with("text/html") && !page.header("x-request-id").is_empty()
        );
    }
    let json = admin.send("GET", "/nothing", &[], None);
    json.problem(404, "no-such-route");
    admin.send("GET", "/api/admin/nothing", &[HTML], None).problem(404, "no-such-route");
    admin.send("GET", "/posts/none", &[("cookie", &visitor.cookie)], None).problem(404, "not-found");
}

#[test]
fn what_pages_load_is_kept_for_ever_under_its_hash() {
    let world = World::embedded();
    let service = world.start_api();
    let (visitor, admin) = (Visitor::admin(&service), service.admin());
    let page = visitor.page("/");
    for (name, kind) in
        [("damper.css", "text/css"), ("damper.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
    {
        let path = page
            .split('"')
            .find(|text| text.starts_with("/assets/") && text.ends_with(name))
            .expect("an address");
        let asset = admin.send("GET", path, &[("accept-encoding", "gzip")], None);
        assert_eq!(asset.status, 200, "{path}");
        assert!(
            asset.header("content-type").starts_with(kind)
                && asset.header("cache-control").contains("immutable")
        );
        if name != "icon.svg" {
            assert_eq!(asset.header("content-encoding"), "gzip", "{path}");
        }
        let other = admin.get(&format!("/assets/0/{name}"));
        assert_eq!((other.status, other.header("cache-control")), (200, "no-cache"), "another version asks");
    }
    admin.get("/assets/0/secret").problem(404, "no-such-route");
}
