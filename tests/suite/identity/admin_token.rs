//! The admin token of an open Damper: told once, kept as a hash, made anew by hand.

use serde_json::json;

use super::{SECRET, keyed};
use crate::support::in_both_setups;
use crate::support::process::Process;
use crate::support::world::World;

in_both_setups!(
    the_first_start_tells_it_and_no_other,
    a_new_one_takes_the_old_ones_place_at_once,
    of_services_that_start_at_once_one_tells_it,
);

/// The token on the screen that a start prints.
pub fn told(service: &Process) -> Option<String> {
    let screen = service.out();
    let line = screen.lines().find_map(|line| line.trim_start().strip_prefix("token"))?;
    line.split_whitespace().find(|word| word.starts_with("dmp_")).map(str::to_owned)
}

fn the_first_start_tells_it_and_no_other(world: World) {
    let service = world.start_api();
    let token = told(&service).expect("the first start tells a token");
    assert!(token.len() > 40, "{token}");
    let admin = service.admin();
    assert_eq!(admin.with_token(&token).get("/api/admin/status").expect(200)["balanced"], true);
    admin.get("/api/admin/status").problem(401, "token-missing");
    for wrong in ["dmp_", "", &token[1..], &format!("{token}0"), &token.to_uppercase()] {
        admin.with_token(wrong).get("/api/admin/status").problem(401, "token-invalid");
    }
    let kept: Vec<(String,)> = world.db().all("select hash from admin_token");
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].0.contains(&token[4..]) && !token.contains(&kept[0].0), "only a hash is kept");
    assert!(!service.err().contains(&token[4..]), "it is in no log");
    service.terminate();
    service.finish().expect(0);
    let again = world.start_api();
    assert_eq!(told(&again), None);
    assert_eq!(again.admin().with_token(&token).get("/api/admin/status").status, 200, "it is still good");
}

fn a_new_one_takes_the_old_ones_place_at_once(world: World) {
    let service = world.start_api();
    let old = told(&service).expect("a token");
    let new = world.cli(&["admin-token"]).expect(0).out.trim_end().to_owned();
    let status = |token: &str| service.admin().with_token(token).get("/api/admin/status").status;
    assert_eq!((status(&old), status(&new)), (401, 200));
    let newer = world.cli(&["admin-token", "--json"]).expect(0).json();
    assert_eq!((status(&new), status(newer["token"].as_str().expect("a text"))), (401, 200));
}

fn of_services_that_start_at_once_one_tells_it(world: World) {
    let count = if world.is_embedded() { 1 } else { 3 };
    let services: Vec<Process> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..count).map(|_| scope.spawn(|| world.start_api())).collect();
        starting.into_iter().map(|service| service.join().expect("it starts")).collect()
    });
    let tokens: Vec<String> = services.iter().filter_map(told).collect();
    assert_eq!(tokens.len(), 1);
    for service in &services {
        assert_eq!(service.admin().with_token(&tokens[0]).get("/api/admin/drains").status, 200);
    }
}

#[test]
fn with_keys_there_is_none() {
    let world = keyed(World::embedded());
    let service = world.start_api();
    assert_eq!(told(&service), None);
    let refused = world.cli(&["admin-token"]).expect(1);
    assert!(refused.err.contains("--role admin") && !refused.err.contains(SECRET), "{}", refused.err);
    let kept: Vec<(String,)> = world.db().all("select hash from admin_token");
    assert_eq!(kept, Vec::new());
    // One from before the keys is good no more.
    let world = World::embedded();
    let token = told(&world.start_api()).expect("a token");
    let service = keyed(world).start_api();
    service.admin().with_token(&token).post("/api/admin/flush", &json!({})).problem(401, "token-invalid");
}
