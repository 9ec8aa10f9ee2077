//! The report: one file that asks for nothing else, for a screen in light or dark, and for paper.

use std::fmt::Write as _;

use super::budget::{ACCOUNTS_MAX, AIMS};
use super::chart::{Line, Row, accounts, courses, escaped, moves, shortened, thousands};
use super::detail::Detail;
use super::method::{DRAWN, RIVALS};
use super::outcome::{Figures, Outcome};
use super::study::{Event, OFFSETS};
use crate::model::Time;

const PAGE: &str = include_str!("report.html");
/// Events and alerts in tables.
const ROWS_MAX: usize = 12;
/// The aims that are drawn: a tenth and half a star within a day.
const DRAWN_AIMS: [usize; 2] = [1, 4];

/// What a report says besides the figures.
pub struct About<'a> {
    /// The file.
    pub file: &'a str,
    /// Its first and last moment.
    pub span: (Time, Time),
    /// The attacks, in words.
    pub attacks: Vec<String>,
    /// The command that makes it again.
    pub command: &'a str,
}

/// Draws a report.
pub fn report(outcome: &Outcome, about: &About<'_>) -> String {
    let title = format!("{} under Damper", about.file);
    let mut body = head(outcome, about);
    if let Some(detail) = &outcome.detail {
        body += &course(outcome, detail);
    }
    if !outcome.events.is_empty() {
        body += &moved(outcome);
    }
    body += &methods(outcome);
    body += &budget(outcome);
    body += &events(outcome);
    body += &alerts(outcome);
    let _ = write!(
        body,
        "<footer><p>Made by Damper {}: the ratings of the file, replayed through the merge of the service. Again: <code>{}</code></p></footer>",
        env!("CARGO_PKG_VERSION"),
        escaped(about.command)
    );
    PAGE.replacen("{{title}}", &escaped(&title), 1).replacen("{{body}}", &body, 1)
}

fn is_best(outcome: &Outcome, figures: &Figures) -> bool {
    figures.settings.is_some() && figures.name == outcome.recommended.name
}

fn class(outcome: &Outcome, method: usize) -> &'static str {
    match method {
        0 => "raw",
        method if method < RIVALS.len() => "rival",
        method if is_best(outcome, &outcome.methods[method]) => "best",
        _ => "own",
    }
}

fn head(outcome: &Outcome, about: &About<'_>) -> String {
    let (first, last) = about.span;
    let mut text = format!(
        "<h1>What Damper would have done</h1><p class=\"soft\">{}: {} ratings of {}, {} to {}</p>",
        escaped(about.file),
        thousands(outcome.ratings),
        if outcome.posts == 1 {
            "one post".to_owned()
        } else {
            format!("{} posts", thousands(outcome.posts))
        },
        date(first),
        date(last),
    );
    for attack in &about.attacks {
        let _ = write!(text, "<p class=\"soft\">Attack: {}</p>", escaped(attack));
    }
    let recommended = &outcome.recommended;
    let flags = if recommended.flags.is_empty() {
        "These are the defaults.".to_owned()
    } else {
        format!("<code>{}</code>", escaped(&recommended.flags.join(" ")))
    };
    let _ = write!(
        text,
        "<p class=\"lead\">Recommended: <b>{}</b>. {}</p><p class=\"soft\">{flags}</p>",
        escaped(&recommended.name),
        escaped(&capital(&recommended.reason))
    );
    let best = outcome.methods.iter().find(|figures| is_best(outcome, figures));
    let Some((best, raw)) = best.zip(outcome.methods.first()) else { return text };
    let stars = |value: Option<f64>| value.map(|value| format!("{:.2}", value.abs()));
    text += "<div class=\"tiles\">";
    let mut tile = |class: &str, figure: Option<String>, what: &str| {
        if let Some(figure) = figure {
            let _ = write!(
                text,
                "<div class=\"tile {class}\"><strong>{figure}</strong><span>{what}</span></div>"
            );
        }
    };
    tile("", stars(raw.shifts[1]), "stars: the exact mean within a day");
    tile("best", stars(best.shifts[1]), "stars: the published mean within a day");
    tile("", best.surge_share.map(percent), "of the file’s ratings took the surge lane");
    tile("", best.alerts.map(thousands), "alerts would have been raised");
    text + "</div>"
}

fn course(outcome: &Outcome, detail: &Detail) -> String {
    let Some((from, to)) = detail.moments.first().zip(detail.moments.last()) else { return String::new() };
    let lines: Vec<Line<'_>> = drawing_order(outcome)
        .into_iter()
        .map(|method| Line {
            name: &outcome.methods[method].name,
            class: class(outcome, method),
            points: detail
                .moments
                .iter()
                .map(|at| at.ms() as f64)
                .zip(detail.courses[method].iter().copied())
                .collect(),
        })
        .collect();
    let of_post =
        outcome.events.iter().find(|event| event.post == detail.post && Some(event.from) == detail.event);
    let said = of_post.map(|event| {
        let what = if event.is_attack { "the attack" } else { "the burst" };
        format!("{what}: {} ratings within a day, mean {:.1}", thousands(event.ratings as u64), event.mean)
    });
    let event = detail.event.zip(said.as_deref());
    let has_attack = detail.arrivals.iter().any(|(.., attack)| *attack > 0);
    format!(
        "<h2>The published mean of {}</h2><p class=\"soft\">At the right end stands what each method publishes there; others are in the table below.{}</p><figure><div class=\"scroll\">{}</div></figure>",
        escaped(detail.post.as_str()),
        if has_attack { " The red bars are the ratings of the attack." } else { "" },
        courses(&lines, (*from, *to), &detail.arrivals, event)
    )
}

/// The rivals below, the recommended settings on top.
fn drawing_order(outcome: &Outcome) -> Vec<usize> {
    let is_drawn = |method: &usize| !(DRAWN..RIVALS.len()).contains(method);
    let mut order: Vec<usize> = (0..outcome.methods.len()).filter(is_drawn).collect();
    order.sort_by_key(|method| match class(outcome, *method) {
        "rival" => 0,
        "own" => 1,
        "raw" => 2,
        _ => 3,
    });
    order
}

fn moved(outcome: &Outcome) -> String {
    let lines: Vec<Line<'_>> = drawing_order(outcome)
        .into_iter()
        .map(|method| {
            let figures = &outcome.methods[method];
            let points = figures.shifts.iter().enumerate().map(|(i, shift)| (i as f64, shift.map(f64::abs)));
            Line { name: &figures.name, class: class(outcome, method), points: points.collect() }
        })
        .collect();
    let marks: Vec<String> = OFFSETS.iter().map(|(_, name)| format!("after {name}")).collect();
    let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
    let attacks = outcome.events.iter().filter(|event| event.is_attack).count();
    let what = match (attacks, outcome.events_total) {
        (1, _) | (0, 1) => "one event",
        _ => "several events, on average",
    };
    format!(
        "<h2>How far it moved</h2><p class=\"soft\">The published mean beside {}: {what}. Everything arrives in the end, unless a moderator takes it out.</p><figure><div class=\"scroll\">{}</div></figure>",
        if attacks > 0 {
            "what it would have been without the attack"
        } else {
            "what it was before the burst"
        },
        moves(&lines, &marks)
    )
}

fn methods(outcome: &Outcome) -> String {
    let has_events = !outcome.events.is_empty();
    let has_lags = outcome.methods.iter().any(|figures| figures.lag_days.is_some());
    let mut about = Vec::new();
    if has_events {
        about.push("Moves are in stars.");
    }
    if has_lags {
        about.push("The lag is by how many days half of a true change shows later than in the exact mean.");
    }
    about.push("The calm distance is from the exact mean, away from bursts, in stars.");
    let mut text = format!(
        "<h2>Side by side</h2><p class=\"soft\">{}</p><div class=\"scroll\"><table><tr><th>method</th>",
        about.join(" ")
    );
    if has_events {
        OFFSETS.iter().for_each(|(_, name)| text += &format!("<th>after<br>{name}</th>"));
        text += "<th>peak</th>";
    }
    if has_lags {
        text += "<th>lag,<br>days</th>";
    }
    text += "<th>calm<br>distance</th><th>took the<br>surge lane</th><th>alerts</th></tr>";
    for figures in &outcome.methods {
        let best = if is_best(outcome, figures) { " class=\"best\"" } else { "" };
        let _ = write!(text, "<tr{best}><td>{}</td>", escaped(&figures.name));
        let mut cells = Vec::new();
        if has_events {
            cells.extend(figures.shifts.iter().map(|shift| signed(*shift)));
            cells.push(signed(figures.peak));
        }
        if has_lags {
            cells.push(figures.lag_days.map_or("–".into(), |days| format!("{days:.1}").replace('-', "−")));
        }
        cells.push(figures.calm_distance.map_or("–".into(), |stars| format!("{stars:.3}")));
        cells.push(figures.surge_share.map_or("–".into(), percent));
        cells.push(figures.alerts.map_or("–".into(), thousands));
        cells.iter().for_each(|cell| text += &format!("<td>{cell}</td>"));
        text += "</tr>";
    }
    text + "</table></div>"
}

fn budget(outcome: &Outcome) -> String {
    if outcome.budgets.is_empty() {
        return String::new();
    }
    let best =
        outcome.methods[RIVALS.len()..].iter().position(|figures| is_best(outcome, figures)).unwrap_or(0);
    let mut text = format!(
        "<h2>The attack budget</h2><p class=\"soft\">How many new accounts it takes to move a post, by its age and its number of ratings: at once or evenly \
         over the time, whichever takes fewer. The median of up to five posts of this history. A ring stands for more than {}.</p>",
        thousands(ACCOUNTS_MAX)
    );
    for aim in DRAWN_AIMS {
        let rows: Vec<Row> = outcome
            .budgets
            .iter()
            .map(|budget| {
                let own = budget.accounts.iter().enumerate().map(|(setting, accounts)| {
                    let class = if setting == best { "best" } else { "own" };
                    (class.to_owned(), outcome.methods[RIVALS.len() + setting].name.clone(), accounts[aim])
                });
                let mut dots = vec![("raw".to_owned(), RIVALS[0].to_owned(), budget.raw[aim])];
                dots.extend(own);
                dots.sort_by_key(|(class, ..)| class == "best");
                Row { name: (budget.age.to_owned(), format!("{} ratings", budget.size)), dots }
            })
            .collect();
        let (stars, _, _) = AIMS[aim];
        let _ = write!(
            text,
            "<h3>By {stars} stars within a day</h3><figure><div class=\"scroll\">{}</div></figure>",
            accounts(&rows, ACCOUNTS_MAX)
        );
    }
    let others = if outcome.methods.len() > RIVALS.len() + 1 {
        "<li><i class=\"own\"></i>other settings</li>"
    } else {
        ""
    };
    let _ = write!(
        text,
        "<ul class=\"key\"><li><i class=\"raw\"></i>exact mean</li><li><i class=\"best\"></i>{}</li>{others}</ul>",
        escaped(&outcome.recommended.name)
    );
    let _ = write!(
        text,
        "<div class=\"scroll\"><table><tr><th>age</th><th class=\"left\">ratings</th><th class=\"left\">published as</th>"
    );
    for (.., name) in AIMS {
        let _ = write!(text, "<th>{name}</th>");
    }
    text += "</tr>";
    let said = |accounts: &Option<u64>| {
        accounts.map_or_else(|| format!("&gt; {}", thousands(ACCOUNTS_MAX)), thousands)
    };
    for budget in &outcome.budgets {
        for (class, name, accounts) in [
            ("", RIVALS[0], &budget.raw),
            (" class=\"best\"", outcome.recommended.name.as_str(), &budget.accounts[best]),
        ] {
            let cells: String =
                accounts.iter().map(|accounts| format!("<td>{}</td>", said(accounts))).collect();
            let _ = write!(
                text,
                "<tr{class}><td>{}</td><td class=\"left\">{}</td><td class=\"left\">{}</td>{cells}</tr>",
                budget.age,
                budget.size,
                escaped(&shortened(name))
            );
        }
    }
    text + "</table></div>"
}

fn events(outcome: &Outcome) -> String {
    if outcome.events.is_empty() {
        return "<h2>Bursts</h2><p>None was found: no post got many times its usual ratings within a day.</p>".to_owned();
    }
    let best = outcome.methods.iter().position(|figures| is_best(outcome, figures)).unwrap_or(RIVALS.len());
    let mut text = format!(
        "<h2>Bursts and attacks</h2><p class=\"soft\">{} in all; the largest. The last columns: by how much the exact and the published mean moved within a day.</p>\
         <div class=\"scroll\"><table><tr><th>post</th><th class=\"left\">from (UTC)</th><th>ratings<br>in a day</th><th>their<br>mean</th><th>before</th>\
         <th>exact</th><th>published</th><th>first alert<br>after</th></tr>",
        thousands(outcome.events_total as u64)
    );
    let row = |event: &Event| {
        let alert = event.alert_after_minutes.get(best - RIVALS.len()).copied().flatten();
        format!(
            "<tr><td>{}</td><td class=\"left\">{}</td><td>{}</td><td>{:.2}</td><td>{:.2}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&shortened(event.post.as_str())),
            event.from.to_utc().format("%Y-%m-%d %H:%M"),
            thousands(event.ratings as u64),
            event.mean,
            event.before,
            signed(event.shifts[0][1]),
            signed(event.shifts[best][1]),
            alert.map_or("–".to_owned(), minutes)
        )
    };
    outcome.events.iter().take(ROWS_MAX).for_each(|event| text += &row(event));
    text + "</table></div>"
}

fn alerts(outcome: &Outcome) -> String {
    let best = outcome.methods.iter().find(|figures| is_best(outcome, figures));
    let Some(best) = best.filter(|best| !best.largest_alerts.is_empty()) else { return String::new() };
    let mut text = format!(
        "<h2>Alerts</h2><p class=\"soft\">Those that would have been raised under {}, the largest first: by how much the published mean was about to move.</p>\
         <div class=\"scroll\"><table><tr><th>post</th><th class=\"left\">raised (UTC)</th><th>stars</th></tr>",
        escaped(&best.name)
    );
    for alert in best.largest_alerts.iter().take(ROWS_MAX) {
        let _ = write!(
            text,
            "<tr><td>{}</td><td class=\"left\">{}</td><td>{:.2}</td></tr>",
            escaped(&shortened(alert.post.as_str())),
            alert.at.to_utc().format("%Y-%m-%d %H:%M"),
            alert.shift
        );
    }
    text + "</table></div>"
}

fn signed(stars: Option<f64>) -> String {
    stars.map_or("–".to_owned(), |stars| match format!("{stars:+.2}").as_str() {
        "+0.00" | "-0.00" => "0.00".to_owned(),
        text => text.replace('-', "−"),
    })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn minutes(minutes: i64) -> String {
    if minutes == 0 {
        return "at once".to_owned();
    }
    if minutes < 120 { format!("{minutes} min") } else { format!("{} h", minutes / 60) }
}

fn date(at: Time) -> String {
    at.to_utc().format("%Y-%m-%d").to_string()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
