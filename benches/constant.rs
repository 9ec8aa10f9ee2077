//! The yardstick for reads: a bare axum handler that answers every GET with the same JSON.
//!
//! usage: cargo bench --bench constant -- ADDRESS BODY; it serves until ended. `scripts/bench` starts it.
//! BODY is the JSON itself, or `@FILE`, a file that holds it.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (Some(address), Some(body)) = (args.next(), args.next()) else {
        return Err("usage: cargo bench --bench constant -- ADDRESS BODY".into());
    };
    let body = match body.strip_prefix('@') {
        Some(file) => std::fs::read(file)?,
        None => body.into_bytes(),
    };
    let routes = Router::new().fallback(get(answer)).with_state(Bytes::from(body));
    axum::serve(tokio::net::TcpListener::bind(address).await?, routes).await?;
    Ok(())
}

async fn answer(State(body): State<Bytes>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], body)
}
