//! An API client: blocking, one connection per request. Every status is an answer.

use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, Request, Response};
use ureq::{Agent, Body};

/// A listener's address.
#[derive(Debug, Clone)]
pub struct Http {
    base: String,
    agent: Agent,
    token: Option<String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Http {
    /// A client of `address`, a `host:port`.
    pub fn new(address: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections(0)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .allow_non_standard_methods(true);
        Self { base: format!("http://{address}"), agent: config.build().into(), token: None }
    }

    /// The same client with this token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The address, `host:port`.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// `GET`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    /// `GET` to a server that may be down.
    pub fn try_get(&self, path: &str) -> Result<Answer, ureq::Error> {
        self.try_send("GET", path, &[], None)
    }

    /// `POST` of a JSON body.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[JSON], Some(body.to_string().as_bytes()))
    }

    /// `DELETE`.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None)
    }

    /// Any request.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        self.try_send(method, path, headers, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// Any request, to a server that may be down.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => self.agent.run(request.body(body)?)?,
            None => self.agent.run(request.body(())?)?,
        };
        Answer::read(response)
    }

    /// Rates, and expects a 202.
    #[track_caller]
    pub fn rate(&self, post: &str, user: &str, score: i64) -> Value {
        let body = serde_json::json!({"user_id": user, "score": score});
        self.post(&format!("/api/posts/{post}/rate"), &body).expect(202)
    }

    /// Creates a post with that id.
    #[track_caller]
    pub fn create(&self, post: &str) -> Value {
        let body = serde_json::json!({"id": post, "title": format!("The post {post}")});
        self.post("/api/posts", &body).expect(201)
    }

    /// A post, as `user` sees it.
    #[track_caller]
    pub fn post_as(&self, post: &str, user: &str) -> Value {
        self.get(&format!("/api/posts/{post}?user_id={user}")).expect(200)
    }

    /// A post, as an anonymous reader sees it.
    #[track_caller]
    pub fn read(&self, post: &str) -> Value {
        self.get(&format!("/api/posts/{post}")).expect(200)
    }
}

/// The header of a JSON body.
pub const JSON: (&str, &str) = ("content-type", "application/json");

impl Answer {
    fn read(mut response: Response<Body>) -> Result<Self, ureq::Error> {
        let bytes = response.body_mut().read_to_vec()?;
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// The body as JSON, if the status is the expected one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {:?}", self.text))
    }

    /// A header's text; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Expects a problem (RFC 9457) with that status and type, and returns it.
    #[track_caller]
    pub fn problem(&self, status: u16, name: &str) -> Value {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
        assert_eq!(body["type"], format!("/problems/{name}"), "{body}");
        assert_eq!(body["status"], status, "{body}");
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        body
    }
}
