//! `damper verify`: recounts the averages from the ratings.

use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::{DONE, FAILED, JsonArg, now, open, term};
use crate::config::Settings;
use crate::error::Result;
use crate::model::PostId;
use crate::smoothing::Difference;

/// Differences shown one by one; the rest are only counted.
const DIFFERENCES_SHOWN_MAX: usize = 1_000;

#[derive(Args)]
pub struct VerifyArgs {
    /// Check only this post
    post: Option<String>,
    #[command(flatten)]
    output: JsonArg,
}

/// The result of a recount, as JSON.
#[derive(Default, Serialize)]
struct Verified {
    posts: u64,
    ratings: u64,
    posts_with_differences: u64,
    duration_ms: u64,
    differences: Vec<Differing>,
}

#[derive(Serialize)]
struct Differing {
    post_id: PostId,
    #[serde(flatten)]
    difference: Difference,
}

/// Recounts. Exit code 1 means a difference.
pub async fn verify(settings: Settings, args: &VerifyArgs) -> Result<u8> {
    let began = Instant::now();
    let post = args.post.as_deref().map(PostId::parse).transpose()?;
    let app = open(settings).await?;
    if let Some(post) = &post {
        app.reader().post(post, None, now()).await?;
    }
    let bar = term::progress("verifying", "{prefix}  {spinner} {human_pos} posts", 0);
    let mut verified = Verified::default();
    app.upkeep()
        .verify(post.as_ref(), &mut |audited| {
            verified.posts += 1;
            verified.ratings += audited.ratings;
            verified.posts_with_differences += u64::from(!audited.differences.is_empty());
            let room = DIFFERENCES_SHOWN_MAX - verified.differences.len();
            let shown = audited.differences.into_iter().take(room);
            let of_post = |difference| Differing { post_id: audited.post.clone(), difference };
            verified.differences.extend(shown.map(of_post));
            bar.set_position(verified.posts);
        })
        .await?;
    bar.finish_and_clear();
    verified.duration_ms = began.elapsed().as_millis() as u64;
    args.output.print(&verified, || summary(&verified))?;
    Ok(if verified.posts_with_differences == 0 { DONE } else { FAILED })
}

fn summary(verified: &Verified) -> String {
    let mut text = format!(
        "verified {}, {} in {}: ",
        term::counted(verified.posts, "post", "posts"),
        term::counted(verified.ratings, "rating", "ratings"),
        term::span_ms(verified.duration_ms)
    );
    if verified.posts_with_differences == 0 {
        text += "no difference\n";
        return text;
    }
    let differing = term::counted(verified.posts_with_differences, "post differs", "posts differ");
    text += &format!("{}\n\n", term::attention(&differing));
    let rows = verified.differences.iter().map(|Differing { post_id, difference }| {
        let Difference { figure, stored, recomputed } = difference;
        [post_id.to_string(), (*figure).into(), stored.to_string(), recomputed.to_string()]
    });
    text + &term::table(["post", "figure", "stored", "recounted"], term::CellAlignment::Right, rows)
}
