//! The yardstick for a site that rates straight into Postgres: a bare axum handler that awaits one upsert, or one
//! transaction that keeps the post's average too.
//!
//! usage: cargo bench --bench statement -- ADDRESS DATABASE_URL upsert|transaction; it serves until ended.
//! `scripts/bench` starts it. Every POST to `/api/posts/{id}/rate` is a rating; the tables are made at the start.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// As many as keep Postgres busy and do not queue inside it.
const CONNECTIONS: u32 = 16;
const TABLES: [&str; 2] = [
    "create table if not exists plain_ratings (post_id text, user_id text, score smallint not null, \
     primary key (post_id, user_id))",
    "create table if not exists plain_averages (post_id text primary key, count bigint not null, sum bigint not null)",
];
const UPSERT: &str = "insert into plain_ratings values ($1, $2, $3) \
                      on conflict (post_id, user_id) do update set score = excluded.score";
const OLD: &str = "select score from plain_ratings where post_id = $1 and user_id = $2 for update";
const AVERAGE: &str = "insert into plain_averages values ($1, $2, $3) on conflict (post_id) do update \
                       set count = plain_averages.count + excluded.count, sum = plain_averages.sum + excluded.sum";

#[derive(Deserialize)]
struct Rating {
    user_id: String,
    score: i16,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [address, database, mode] = &args[..] else {
        return Err("usage: cargo bench --bench statement -- ADDRESS DATABASE_URL upsert|transaction".into());
    };
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(database).await?;
    for table in TABLES {
        sqlx::query(table).execute(&pool).await?;
    }
    let handler = match mode.as_str() {
        "upsert" => post(upsert),
        "transaction" => post(transaction),
        _ => return Err(format!("{mode:?} is neither upsert nor transaction").into()),
    };
    let routes = Router::new().route("/api/posts/{id}/rate", handler).with_state(pool);
    axum::serve(tokio::net::TcpListener::bind(address).await?, routes).await?;
    Ok(())
}

async fn upsert(
    State(pool): State<PgPool>,
    Path(id): Path<String>,
    Json(rating): Json<Rating>,
) -> StatusCode {
    let done = sqlx::query(UPSERT).bind(id).bind(rating.user_id).bind(rating.score).execute(&pool).await;
    status(done.map(drop))
}

async fn transaction(
    State(pool): State<PgPool>,
    Path(id): Path<String>,
    Json(rating): Json<Rating>,
) -> StatusCode {
    status(rate(&pool, &id, &rating).await)
}

async fn rate(pool: &PgPool, id: &str, rating: &Rating) -> sqlx::Result<()> {
    let mut open = pool.begin().await?;
    let old: Option<i16> =
        sqlx::query_scalar(OLD).bind(id).bind(&rating.user_id).fetch_optional(&mut *open).await?;
    sqlx::query(UPSERT).bind(id).bind(&rating.user_id).bind(rating.score).execute(&mut *open).await?;
    let (count, sum) = (i64::from(old.is_none()), i64::from(rating.score - old.unwrap_or(0)));
    sqlx::query(AVERAGE).bind(id).bind(count).bind(sum).execute(&mut *open).await?;
    open.commit().await
}

fn status(done: sqlx::Result<()>) -> StatusCode {
    if done.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
