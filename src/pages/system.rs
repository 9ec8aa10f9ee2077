//! For admins: the shards, the drains, the quarantine, the doctor's findings, the settings in force, the versions.

use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse as _;

use super::desk::Desk;
use super::frame::{Frame, Here, show};
use super::session::{Admin, Posted, wrong_field};
use super::show;
use super::viewer::Viewer;
use crate::api::{Answer, fields, now};
use crate::app::drain::Balance;
use crate::app::upkeep::doctor::{Finding, Verdict, examine};
use crate::app::upkeep::quarantine::QuarantineId;
use crate::entry::{Position, Shard};
use crate::error::Error;
use crate::model::Time;
use crate::store::{DrainRun, QuarantinedEntry};

/// Drains, and quarantined entries, on the page.
const DRAINS_SHOWN: usize = 20;
const QUARANTINED_SHOWN: usize = 20;
/// Characters of what stood in the log.
const PAYLOAD_CHARS: usize = 200;
/// What a setting that is as it comes says of its source.
const DEFAULT_SOURCE: &str = "config/default.toml";

struct Kept {
    id: String,
    reason: String,
    payload: String,
    at: Option<Time>,
}

#[derive(Template)]
#[template(path = "system.html", config = "src/pages/askama.toml")]
struct SystemPage {
    frame: Frame,
    version: &'static str,
    buffer: String,
    store: String,
    shards: Vec<(Shard, Position, Balance)>,
    drains: Vec<DrainRun>,
    kept: Vec<Kept>,
    kept_count: u64,
    findings: Option<Vec<Finding>>,
    /// Name, value, source, and whether it is not as it comes.
    settings: Vec<(String, String, String, bool)>,
}

impl SystemPage {
    fn word(&self, finding: &Finding) -> &'static str {
        match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Risk => "risk",
            Verdict::Unknown => "unknown",
            Verdict::Down => "down",
            Verdict::Refused => "refused",
        }
    }
}

/// `/system`
pub async fn system(State(desk): State<Desk>, admin: Admin, uri: Uri) -> Answer {
    let Admin(viewer) = admin;
    show(&desk, &viewer, &uri, page(&desk, &viewer, &uri)).await
}

async fn page(desk: &Desk, viewer: &Viewer, uri: &Uri) -> Answer<SystemPage> {
    let (app, is_examined) = (desk.app(), fields(uri)?.get("doctor").is_some());
    let frame = Frame::of(desk, viewer, Here::System, "System").await?;
    let shards = app.drainer().shards().await?;
    let (buffer, store) = app.upkeep().versions().await?;
    let drains = app.upkeep().drains(DRAINS_SHOWN).await?;
    let (kept, kept_count) = app.upkeep().quarantine(QUARANTINED_SHOWN).await?;
    let findings = if is_examined { Some(examine(app.config(), &now).await) } else { None };
    let setting = |(name, value, source): &(String, String, String)| {
        (name.clone(), value.clone(), source.clone(), source != DEFAULT_SOURCE)
    };
    Ok(SystemPage {
        frame,
        version: env!("CARGO_PKG_VERSION"),
        buffer,
        store,
        shards,
        drains,
        kept: kept.iter().map(shown).collect(),
        kept_count,
        findings,
        settings: desk.settings.iter().map(setting).collect(),
    })
}

fn shown(kept: &QuarantinedEntry) -> Kept {
    let id = QuarantineId::of(kept);
    let payload: String = String::from_utf8_lossy(&kept.entry.payload).chars().take(PAYLOAD_CHARS).collect();
    Kept { at: id.appended_at(), id: id.to_string(), reason: kept.entry.reason.clone(), payload }
}

/// `POST /system/quarantine`: retries an entry, or drops it for good.
pub async fn quarantine(State(desk): State<Desk>, posted: Posted) -> Answer {
    posted.viewer.check_admin()?;
    let outcome = treated(&desk, &posted).await;
    Ok(posted.done(&desk, "/system", outcome).into_response())
}

async fn treated(desk: &Desk, posted: &Posted) -> Answer<String> {
    let id: QuarantineId = posted.fields.get("id").unwrap_or_default().parse()?;
    let upkeep = desk.app().upkeep();
    let gone = || Error::NotFound(format!("{id} is no longer in the quarantine"));
    match posted.fields.get("act") {
        Some("retry") => {
            let kept = upkeep.quarantined(id).await?.ok_or_else(gone)?;
            let retried = upkeep.retry_quarantined(&[kept], now()).await?.pop();
            Ok(match retried {
                Some(Err(why)) => format!("{id} stays in the quarantine: {why}."),
                _ => format!("{id} waits in the log again; the next drain merges it."),
            })
        }
        Some("drop") => match upkeep.drop_quarantined(id).await? {
            true => Ok(format!("{id} is gone.")),
            false => Err(gone().into()),
        },
        _ => Err(wrong_field("an entry is retried or dropped")),
    }
}
