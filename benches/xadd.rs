//! The yardstick for `POST …/rate`: a bare axum handler that awaits one XADD and does nothing else.
//!
//! usage: cargo bench --bench xadd -- ADDRESS REDIS_URL; it serves until ended. `scripts/bench` starts it.
//! Every POST, whatever its path, adds its body to the stream `yardstick`.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use fred::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (Some(address), Some(redis)) = (args.next(), args.next()) else {
        return Err("usage: cargo bench --bench xadd -- ADDRESS REDIS_URL".into());
    };
    let client = Builder::from_config(Config::from_url(&redis)?).build()?;
    client.init().await?;
    let routes = Router::new().fallback(post(add)).with_state(client);
    axum::serve(tokio::net::TcpListener::bind(address).await?, routes).await?;
    Ok(())
}

async fn add(State(client): State<Client>, body: String) -> StatusCode {
    let added: Result<String, Error> = client.xadd("yardstick", false, None, "*", ("e", body)).await;
    if added.is_ok() { StatusCode::ACCEPTED } else { StatusCode::SERVICE_UNAVAILABLE }
}
