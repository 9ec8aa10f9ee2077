//! Ratings by the million: `POST /api/ratings` takes lines of JSON for as long as they come.
//!
//! Lines are appended a chunk at a time, and nothing more is read meanwhile: that slows a sender down and keeps memory
//! small. The answer comes after the body: proxies stop sending when an answer begins, and most senders read nothing
//! before they have sent everything. So it lists only the first refused lines. A sender that reads while it sends may ask
//! for a stream: every refused line, as it is found. A sender that breaks off has sent a prefix, and may send everything
//! again: the latest rating wins.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::prelude::*;
use crate::api::extract::{broken_off, check_encoding, too_slow};
use crate::api::gate::Ingester;
use crate::app::intake::Source;
use crate::entry::Entry;
use crate::import::{Coding, LineBuffer, json_line};

/// Where it is asked. Its time is limited here, from one piece of the body to the next.
pub const PATH: &str = "/api/ratings";

/// A longer line is a bad one, skipped without being kept.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Lines appended together.
const CHUNK_LINES: usize = 5_000;
/// A chunk waits for more lines no longer than this.
const CHUNK_WAIT: Duration = Duration::from_millis(100);
/// Refused lines that an answer after the body lists; the others are counted.
const LISTED_MAX: u64 = 1_000;
/// Chunks' answers that may wait for a sender who does not read them.
const ANSWERS_MAX: usize = 4;
/// What the body and its answer are.
pub const NDJSON: &str = "application/x-ndjson";

/// A line of the answer: a refused line, or at the end the totals.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = IngestLine)]
pub enum IngestLine<'a> {
    /// A line that was refused.
    Bad {
        /// Its number, from 1
        line: u64,
        #[schema(value_type = Problem)]
        error: &'a Problem,
    },
    /// The last line.
    Totals {
        /// Ratings and withdrawals that are stored
        accepted: u64,
        /// Lines that were refused
        refused: u64,
        /// How many of these are not listed
        #[serde(skip_serializing_if = "Option::is_none")]
        not_listed: Option<u64>,
        /// Why the rest was not read
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Problem>)]
        error: Option<&'a Problem>,
    },
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct IngestQuery {
    /// Whether the answer begins at once and has every refused line as soon as it is read; only for a sender who reads
    /// while it sends, with no proxy between
    stream: Option<bool>,
}

/// Take many ratings
///
/// Each line is `{"post_id", "user_id", "score", "at"?}`. A score of null withdraws the rating; without `at`, the time is
/// now. The answer comes after the body: a line for each of the first 1,000 refused lines, with its number, and the totals
/// at the end. A line over 64 KiB is refused with status 413. When the totals have an `error`, or are missing, only some of
/// the lines were taken: send all of them again; what was taken is not counted twice. The answer's status is that of the
/// `error`, except for a stream, whose status is sent before.
#[utoipa::path(
    post, path = "/api/ratings", tag = "ratings", params(IngestQuery),
    request_body(content = String, content_type = "application/x-ndjson", description = "One rating a line"),
    responses((status = 200, description = "A line for each refused line, and at the end the totals",
        content_type = "application/x-ndjson", body = IngestLine<'static>))
)]
pub async fn ingest(
    State(gate): State<Gate>,
    _: Ingester,
    Parameters(query): Parameters<IngestQuery>,
    request: Request,
) -> Answer {
    check_encoding(&request)?;
    let patience = gate.app().config().body_timeout();
    let mut pieces = request.into_body().into_data_stream();
    // Read before the answer begins: a sender may send nothing until it gets 100 Continue.
    let first = tokio::time::timeout(patience, pieces.next()).await.map_err(|_| too_slow(patience))?;
    let first = first.transpose().map_err(|e| broken_off(&e))?;
    if let Some(coding) = first.as_deref().and_then(Coding::of) {
        let detail = format!("the body begins like {coding}; send lines of JSON in UTF-8, not compressed");
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let is_stream = query.stream.unwrap_or(false);
    let listed_max = if is_stream { u64::MAX } else { LISTED_MAX };
    let (answer, mut answers) = mpsc::channel(ANSWERS_MAX);
    let ingest = Ingest { gate, answer, chunk: Chunk::default(), accepted: 0, refused: 0, listed_max };
    let taking = tokio::spawn(ingest.run(stream::iter(first.map(Ok)).chain(pieces).fuse()));
    let answers = stream::poll_fn(move |context| answers.poll_recv(context));
    let headers = [(header::CONTENT_TYPE, NDJSON), (header::CACHE_CONTROL, "no-store")];
    if is_stream {
        return Ok((headers, Body::from_stream(answers.map(Ok::<_, Infallible>))).into_response());
    }
    let lines = answers.concat().await;
    let stopped = |_| Error::Internal("a task stopped that took ratings".into());
    // Many senders look at the status alone.
    let mut answer = taking.await.map_err(stopped)?.map(Problem::into_response).unwrap_or_default();
    *answer.body_mut() = Body::from(lines);
    Ok((headers, answer).into_response())
}

/// One request's ratings.
struct Ingest {
    gate: Gate,
    /// Closed once the sender has left.
    answer: mpsc::Sender<Vec<u8>>,
    chunk: Chunk,
    accepted: u64,
    refused: u64,
    listed_max: u64,
}

/// Lines that were read and not answered yet.
#[derive(Default)]
struct Chunk {
    entries: Vec<(u64, Entry)>,
    bad: Vec<(u64, Problem)>,
    /// When it is appended, whether or not it is full.
    due: Option<Instant>,
}

impl Ingest {
    /// Takes all lines and answers for them; returns why the rest was not read, if it was not.
    async fn run(
        mut self,
        mut pieces: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin,
    ) -> Option<Problem> {
        let problem = self.take(&mut pieces).await.err().flatten();
        if problem.is_some() && !self.gate.stop.is_cancelled() {
            // A connection that is closed on a sender who still sends is reset, and the answer is lost.
            let (stop, patience) = (self.gate.stop.clone(), self.gate.app().config().body_timeout());
            let rest =
                async { while let Ok(Some(Ok(_))) = tokio::time::timeout(patience, pieces.next()).await {} };
            let _ = stop.run_until_cancelled(rest).await;
        }
        let (accepted, refused) = (self.accepted, self.refused);
        let not_listed = refused.checked_sub(self.listed_max).filter(|lines| *lines > 0);
        let totals = IngestLine::Totals { accepted, refused, not_listed, error: problem.as_ref() };
        let mut text = Vec::new();
        write(&mut text, &totals);
        // The sender may have left.
        let _ = self.answer.send(text).await;
        problem
    }

    /// Takes all lines. An error ends that early: the problem to answer, or `None` when the sender has left.
    async fn take(
        &mut self,
        mut pieces: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin,
    ) -> Result<(), Option<Problem>> {
        let mut line = LineBuffer::new(LINE_BYTES_MAX);
        let patience = self.gate.app().config().body_timeout();
        let mut last = Instant::now();
        loop {
            let until = self.chunk.due.unwrap_or(last + patience);
            let piece = tokio::select! {
                piece = tokio::time::timeout_at(until, pieces.next()) => piece,
                () = self.gate.stop.cancelled() => {
                    let error = Error::Unavailable("damper is shutting down; send all again".into());
                    return Err(Some(error.into()));
                }
            };
            let Ok(piece) = piece else {
                if self.chunk.due.is_none() {
                    return Err(Some(too_slow(patience)));
                }
                self.append().await?;
                last = Instant::now();
                continue;
            };
            let Some(piece) = piece else { break };
            // When the body breaks off, the line that it broke off in is dropped.
            let mut bytes: &[u8] = &piece.map_err(|e| broken_off(&e))?;
            let at = now();
            while !bytes.is_empty() {
                let (taken, is_whole) = line.fill(bytes);
                bytes = &bytes[taken..];
                if is_whole {
                    self.add(&line, at);
                    if self.chunk.entries.len() + self.chunk.bad.len() >= CHUNK_LINES {
                        self.append().await?;
                    }
                }
            }
            // The time of an append is not the sender's silence.
            last = Instant::now();
        }
        if line.end() {
            self.add(&line, now());
        }
        self.append().await
    }

    fn add(&mut self, line: &LineBuffer, now: Time) {
        let outcome = match line.text() {
            Some(text) if text.trim_ascii().is_empty() => return,
            Some(text) => json_line::parse(text, now).map_err(Problem::from),
            None => {
                let detail = format!("the line has more than {LINE_BYTES_MAX} bytes");
                Err(Invalid::new(Kind::LineTooLong, detail).into())
            }
        };
        self.chunk.due.get_or_insert_with(|| Instant::now() + CHUNK_WAIT);
        match outcome {
            Ok(entry) => self.chunk.entries.push((line.number(), entry)),
            Err(problem) => self.chunk.bad.push((line.number(), problem)),
        }
    }

    /// Appends what was read, and answers for it.
    async fn append(&mut self) -> Result<(), Option<Problem>> {
        let Chunk { entries, mut bad, .. } = std::mem::take(&mut self.chunk);
        let (lines, entries): (Vec<u64>, Vec<Entry>) = entries.into_iter().unzip();
        let answers = self.gate.app().intake().take(entries, Source::Site, now()).await;
        let answers = answers.map_err(Problem::from)?;
        self.accepted += answers.iter().filter(|refusal| refusal.is_none()).count() as u64;
        let refusals = lines.into_iter().zip(answers);
        bad.extend(
            refusals.filter_map(|(line, refusal)| Some((line, Problem::from(refusal?).at("/post_id")))),
        );
        bad.sort_unstable_by_key(|(line, _)| *line);
        let mut text = Vec::new();
        let room = self.listed_max.saturating_sub(self.refused);
        for ((line, problem), _) in bad.iter().zip(0..room) {
            write(&mut text, &IngestLine::Bad { line: *line, error: problem });
        }
        self.refused += bad.len() as u64;
        if text.is_empty() {
            // The sender has left, so the rest is not wanted either.
            return if self.answer.is_closed() { Err(None) } else { Ok(()) };
        }
        self.answer.send(text).await.map_err(|_| None)
    }
}

/// Writes a line of JSON. Such a line has text for keys, so this cannot fail.
fn write(text: &mut Vec<u8>, line: &IngestLine<'_>) {
    if serde_json::to_writer(&mut *text, line).is_ok() {
        text.push(b'\n');
    }
}
