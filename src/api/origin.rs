//! Refuses what a browser was tricked into: by a name that was made to point here (DNS rebinding), or by a page of
//! another site.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};

use super::gate::Gate;
use super::problem::Problem;
use crate::config::Open;
use crate::error::Kind;

/// On the admin listener: the host must be this machine's, and an origin must be the same.
pub fn check_host(gate: &Gate, request: &Request) -> Result<(), Problem> {
    let host = host(request);
    let mut origins = request.headers().get_all(header::ORIGIN).iter();
    if !origins.all(|origin| origin.to_str().is_ok_and(|origin| is_of(origin, host))) {
        let detail = "a page of another site asks; only the admin listener's own may";
        return Err(Problem::new(Kind::HostRefused, detail));
    }
    check_own(host, gate)
}

/// Whether a page of this very listener sends the request: a browser says so of everything that a form sends.
pub fn is_own_page(headers: &HeaderMap) -> bool {
    let host = text(headers, header::HOST.as_str());
    text(headers, header::ORIGIN.as_str()).is_some_and(|origin| is_of(origin, host))
}

/// On the public listener, while callers name themselves: a page of another site must not name one for its visitor.
/// A browser says of every call that changes something which page asks. Where only this machine may call, the host
/// must be its own too.
pub fn check_site(gate: &Gate, request: &Request) -> Result<(), Problem> {
    if !gate.is_open() {
        return Ok(());
    }
    let (headers, host) = (request.headers(), host(request));
    if gate.app().config().open == Open::Loopback {
        check_own(host, gate)?;
    }
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let allowed = &gate.app().config().api.cors_origins;
    let may_ask = match text(headers, header::ORIGIN.as_str()) {
        None => text(headers, "sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none"),
        Some(origin) => is_of(origin, host) || allowed.iter().any(|allowed| allows(allowed, origin)),
    };
    if !reads && !may_ask {
        let detail = "a page of another site asks; the setting api.cors_origins lists those that may";
        return Err(Problem::new(Kind::OriginRefused, detail));
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // No host or origin has this name.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// The host that a request is for: the first line's, or the header's.
fn host(request: &Request) -> Option<&str> {
    let from_uri = request.uri().authority().map(|authority| authority.as_str());
    from_uri.or_else(|| text(request.headers(), header::HOST.as_str()))
}

/// Refuses a host that is not this machine's.
fn check_own(host: Option<&str>, gate: &Gate) -> Result<(), Problem> {
    if host.is_none_or(|host| is_own(host, &gate.app().config().admin_hosts)) {
        return Ok(());
    }
    let detail = "the host is not known here; the setting admin_hosts lists names beside localhost";
    Err(Problem::new(Kind::HostRefused, detail))
}

/// Whether the setting `allowed`, an origin or `*`, allows `origin`.
pub fn allows(allowed: &str, origin: &str) -> bool {
    let is_same = |(scheme, host): (&str, &str)| {
        origin.split_once("://").is_some_and(|(own, _)| own.eq_ignore_ascii_case(scheme))
            && is_of(origin, Some(host))
    };
    allowed == "*" || allowed.split_once("://").is_some_and(is_same)
}

/// Whether a page of `origin` comes from `host`, as a browser compares: without case, and without the scheme's port.
fn is_of(origin: &str, host: Option<&str>) -> bool {
    let (Some((scheme, from)), Some(host)) = (origin.split_once("://"), host) else { return false };
    let default = if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" };
    let ((from, from_port), (name, port)) = (split(from), split(host));
    from.eq_ignore_ascii_case(name) && from_port.unwrap_or(default) == port.unwrap_or(default)
}

/// The name or address of a host, and its port.
fn split(host: &str) -> (&str, Option<&str>) {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    }
}

/// Names that no other site can point here: this machine's own, an address, and those that the settings list.
fn is_own(host: &str, hosts: &[String]) -> bool {
    let (name, port) = split(host);
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
    fn an_origin_is_compared_as_a_browser_does() {
        for (origin, host, is_same) in [
            ("http://Site.example", "site.example:80", true),
            ("http://site.example:80", "SITE.example", true),
            ("https://site.example", "site.example:443", true),
            ("http://[::1]", "[::1]:80", true),
            ("https://site.example", "site.example:80", false),
            ("http://site.example", "site.example:8080", false),
            ("null", "null", false),
        ] {
            assert_eq!(is_of(origin, Some(host)), is_same, "{origin} {host}");
        }
        assert!(allows("https://Site.example:443", "https://site.example") && allows("*", "null"));
        assert!(!allows("http://site.example", "https://site.example"));
    }

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
