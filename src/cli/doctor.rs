//! `damper doctor`: finds risks in these servers or this file, and names the remedies.

use std::fmt::Write as _;

use serde_json::json;

use super::{DONE, FAILED, JsonArg, MISCONFIGURED, UNREACHABLE, now, term};
use crate::app::upkeep::doctor::{Finding, Verdict, examine};
use crate::config::Settings;
use crate::error::Result;

/// Examines everything. Exit code 1 means a risk, 69 a server that does not answer, 78 one that refuses us.
pub async fn doctor(settings: Settings, args: &JsonArg) -> Result<u8> {
    let findings = examine(&settings.config, &now).await;
    let has = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    let code = match () {
        () if has(Verdict::Down) => UNREACHABLE,
        () if has(Verdict::Refused) => MISCONFIGURED,
        () if has(Verdict::Risk) => FAILED,
        () => DONE,
    };
    args.print(&json!({"ok": code == DONE, "findings": findings}), || screen(&findings))?;
    Ok(code)
}

/// One line per finding; below a risk, what it endangers and how to remove it.
fn screen(findings: &[Finding]) -> String {
    let checks = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut part = "";
    for finding in findings {
        if finding.part != part {
            let _ = writeln!(text, "{}{}", if part.is_empty() { "" } else { "\n" }, finding.part);
            part = finding.part;
        }
        let word = match finding.verdict {
            Verdict::Ok => "ok     ".to_owned(),
            Verdict::Unknown => "unknown".to_owned(),
            Verdict::Risk => term::attention("risk   "),
            Verdict::Down => term::attention("down   "),
            Verdict::Refused => term::attention("refused"),
        };
        let found = term::printable(&finding.found);
        let _ = writeln!(text, "  {word}  {:<checks$}  {found}", finding.check);
        let indent = 13 + checks;
        if let Some(at_risk) = &finding.at_risk {
            let _ = writeln!(text, "{:indent$}at risk: {at_risk}", "");
        }
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "{:indent$}{remedy}", "");
        }
    }
    let risks = findings.iter().filter(|finding| finding.verdict == Verdict::Risk).count();
    let silent = findings
        .iter()
        .filter(|it| it.check == "answer" && matches!(it.verdict, Verdict::Down | Verdict::Refused));
    let silent: Vec<&str> = silent.map(|finding| finding.part).collect();
    let is_refused = findings.iter().any(|finding| finding.verdict == Verdict::Refused);
    let verdict = match (silent.is_empty(), is_refused, risks) {
        (false, ..) => format!("{} could not be examined", silent.join(" and ")),
        (true, true, _) => "a start is refused".to_owned(),
        (true, false, 0) => "nothing is at risk, as far as it can be seen from here".to_owned(),
        (true, false, _) => term::counted(risks as u64, "risk", "risks"),
    };
    let _ = writeln!(text, "\n{verdict}");
    text
}
