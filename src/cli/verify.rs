//! `damper verify`: recounts the averages from the ratings.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::{FAILED, JsonArg, now, open, print_json, term};
use crate::config::Settings;
use crate::error::Result;
use crate::model::PostId;

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
    differences: Vec<DifferenceJson>,
}

#[derive(Serialize)]
struct DifferenceJson {
    post_id: PostId,
    figure: &'static str,
    stored: f64,
    recounted: f64,
}

/// Recounts. Exit code 1 means a difference.
pub async fn verify(settings: Settings, args: &VerifyArgs) -> Result<ExitCode> {
    let began = Instant::now();
    let post = args.post.as_deref().map(PostId::parse).transpose()?;
    let app = open(settings).await?;
    if let Some(post) = &post {
        app.reader().post(post, None, now()).await?;
    }
    let bar = term::progress("verifying", "{prefix}  {spinner} {human_pos} posts");
    let mut verified = Verified::default();
    app.upkeep()
        .verify(post.as_ref(), &mut |audited| {
            verified.posts += 1;
            verified.ratings += audited.ratings;
            verified.posts_with_differences += u64::from(!audited.differences.is_empty());
            for difference in audited.differences {
                if verified.differences.len() < DIFFERENCES_SHOWN_MAX {
                    verified.differences.push(DifferenceJson {
                        post_id: audited.post.clone(),
                        figure: difference.figure,
                        stored: difference.stored,
                        recounted: difference.recomputed,
                    });
                }
            }
            bar.set_position(verified.posts);
        })
        .await?;
    bar.finish_and_clear();
    verified.duration_ms = began.elapsed().as_millis() as u64;
    if args.output.json {
        print_json(&verified)?;
    } else {
        term::print(&summary(&verified));
    }
    Ok(if verified.posts_with_differences == 0 { ExitCode::SUCCESS } else { FAILED.into() })
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
    let mut table = term::table(&["post", "figure", "stored", "recounted"]);
    for d in &verified.differences {
        table.add_row([
            d.post_id.to_string(),
            d.figure.into(),
            d.stored.to_string(),
            d.recounted.to_string(),
        ]);
    }
    text + &term::render(&table)
}
