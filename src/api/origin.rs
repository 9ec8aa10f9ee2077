//! Refuses what a browser was tricked into: by a name that was made to point here (DNS rebinding), or by a page of
//! another site.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::gate::Gate;
use super::problem::Problem;
use crate::error::Kind;

/// On the admin listener: the host must be this machine's, and an origin must be the same.
pub async fn check_host(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let from_uri = request.uri().authority().map(|authority| authority.as_str());
    let host = from_uri.or_else(|| text(request.headers(), header::HOST.as_str()));
    let hosts = &gate.app().config().admin_hosts;
    let mut origins = request.headers().get_all(header::ORIGIN).iter();
    let detail = if host.is_some_and(|host| !is_own(host, hosts)) {
        "the host is not known here; the setting admin_hosts lists names beside localhost"
    } else if !origins.all(|origin| origin.to_str().is_ok_and(|origin| is_of(origin, host))) {
        "a page of another site asks; only the admin listener's own may"
    } else {
        return next.run(request).await;
    };
    Problem::new(Kind::HostRefused, detail).into_response()
}

/// On the public listener, while callers name themselves: a page of another site must not name one for its visitor.
/// A browser says of every call that changes something which page asks.
pub async fn check_site(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let allowed = &gate.app().config().api.cors_origins;
    let may_ask = match text(headers, header::ORIGIN.as_str()) {
        None => text(headers, "sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none"),
        Some(origin) => {
            is_of(origin, text(headers, header::HOST.as_str()))
                || allowed.iter().any(|allowed| allowed == "*" || allowed == origin)
        }
    };
    if gate.is_open() && !reads && !may_ask {
        let detail = "a page of another site asks; the setting api.cors_origins lists those that may";
        return Problem::new(Kind::OriginRefused, detail).into_response();
    }
    next.run(request).await
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // No host or origin has this name.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn is_of(origin: &str, host: Option<&str>) -> bool {
    origin.split_once("://").is_some_and(|(_, from)| Some(from) == host)
}

/// Names that no other site can point here: this machine's own, an address, and those that the settings list.
fn is_own(host: &str, hosts: &[String]) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    let is_known = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || hosts.iter().any(|own| own.eq_ignore_ascii_case(name));
    is_port && is_known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_this_machine_an_address_or_listed() {
        let hosts = ["damper.internal".to_owned()];
        for own in
            ["localhost", "LocalHost:8081", "127.0.0.1:8081", "[::1]:8081", "10.1.2.3", "damper.internal:80"]
        {
            assert!(is_own(own, &hosts), "{own}");
        }
        for other in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8081", "", "localhost:x", "?"]
        {
            assert!(!is_own(other, &hosts), "{other}");
        }
    }
}
