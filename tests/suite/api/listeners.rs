//! The listeners: the public one for everybody, the admin one for operators, the probes on each.

use std::io::Write;
use std::net::TcpStream;

use crate::support::http::Http;
use crate::support::process::Program;
use crate::support::world::World;
use crate::support::{in_both_setups, until};

in_both_setups!(
    probes_answer_on_every_listener,
    metrics_are_for_operators_and_tell_the_balance,
    a_service_says_where_it_listens_and_what_to_try,
    a_second_signal_ends_a_service_that_still_waits_for_a_caller,
);

/// A metric's value on a page; none when it is not there.
pub fn metric(admin: &Http, name: &str) -> Option<f64> {
    let page = admin.get("/metrics");
    assert_eq!(page.status, 200);
    let line = page.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.trim().parse().expect("a number"))
}

fn probes_answer_on_every_listener(world: World) {
    let service = world.start_api();
    for listener in [service.http(), service.admin()] {
        for probe in ["/livez", "/readyz", "/readyz/"] {
            let answer = listener.get(probe);
            assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"), "{probe}");
        }
        listener.get("/nothing").problem(404, "no-such-route");
        listener.send("PUT", "/readyz", &[], None).problem(405, "method-not-allowed");
    }
    service.admin().get("/api/posts").problem(404, "no-such-route");
}

fn metrics_are_for_operators_and_tell_the_balance(world: World) {
    let service = world.start_api();
    let (api, admin) = (service.http(), service.admin());
    api.get("/metrics").problem(404, "no-such-route");
    api.create("p");
    for i in 0..3 {
        api.rate("p", &format!("u{i}"), 5);
    }
    let page = admin.get("/metrics");
    assert!(page.header("content-type").starts_with("text/plain"), "{}", page.header("content-type"));
    let tells = |expected: [f64; 4]| {
        let names =
            ["damper_accepted_total", "damper_applied_total", "damper_quarantined_total", "damper_waiting"];
        assert_eq!(names.map(|name| metric(&admin, name)), expected.map(Some));
        assert_eq!(metric(&admin, "damper_balanced"), Some(1.0));
    };
    tells([3.0, 0.0, 0.0, 3.0]);
    assert!(metric(&admin, "damper_oldest_waiting_seconds").is_some_and(|age| (0.0..60.0).contains(&age)));
    world.flush();
    tells([3.0, 3.0, 0.0, 0.0]);
    assert_eq!(metric(&admin, "damper_oldest_waiting_seconds"), Some(0.0));
    for name in ["accepted_total", "applied_total", "quarantined_total", "waiting", "oldest_waiting_seconds"]
    {
        let help = format!("# HELP damper_{name} ");
        assert!(page.text.contains(&help), "{help}");
    }
}

fn a_service_says_where_it_listens_and_what_to_try(world: World) {
    let service = world.start(Program::Damper);
    let screen = service.out();
    for part in
        ["api     http://127.0.0.1:", "admin   http://127.0.0.1:", "open mode", "curl", "damper flush"]
    {
        assert!(screen.contains(part), "{part} in {screen}");
    }
}

fn a_second_signal_ends_a_service_that_still_waits_for_a_caller(world: World) {
    let service = world.start_api();
    let address = service.address("api").expect("a public listener");
    let mut caller = TcpStream::connect(&address).expect("a connection");
    // The rest of the body never comes, so the request is under way until its time is over.
    let head = "POST /api/posts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    caller.write_all(head.as_bytes()).expect("it is sent");
    until("the request to be read", || service.http().get("/livez").status == 200);
    service.terminate();
    until("the listener to close", || TcpStream::connect(&address).is_err());
    service.terminate();
    service.finish().expect(1);
}
