//! The list of posts: found by the beginning of an id or a title, or sorted, page by page. All of it stands in the address.

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use super::desk::Desk;
use super::frame::{Frame, Here, show};
use super::session::wrong_field;
use super::show::{self, in_query, post_path};
use super::viewer::Viewer;
use crate::api::{Answer, cursor, fields, now};
use crate::app::reading::PostView;
use crate::model::words::number;
use crate::smoothing::Published;
use crate::store::{Motion, MotionKey, PageKey, Sort};

/// Posts on a page.
const LIMIT: usize = 50;
/// Matches by id, and as many by title.
const MATCHES_MAX: usize = 25;
/// Characters of what is looked for.
const SEARCH_CHARS_MAX: usize = 64;
/// The orders, by their names in addresses and for people.
const SORTS: [(&str, &str); 4] =
    [("shift", "greatest shift"), ("phasing", "most phasing in"), ("new", "newest"), ("top", "highest")];

struct Row {
    path: String,
    id: String,
    title: String,
    published: Published,
    flags: String,
}

#[derive(Template)]
#[template(path = "posts.html", config = "src/pages/askama.toml")]
struct PostsPage {
    frame: Frame,
    /// What is looked for.
    search: String,
    sort: &'static str,
    rows: Vec<Row>,
    /// The address of the next page.
    next: Option<String>,
    /// There may be more matches than are shown.
    is_cut: bool,
    is_first: bool,
    api: String,
}

impl PostsPage {
    fn sorts(&self) -> [(&'static str, &'static str); 4] {
        SORTS
    }

    fn explains_empty(&self) -> &'static str {
        match self.sort {
            "shift" => "No post's published average is visibly away from its raw one: nothing is on its way.",
            "phasing" => "Nothing is phasing in: every rating that counts has arrived in its average.",
            _ => "There are no posts yet. Create one:",
        }
    }
}

/// `/posts`
pub async fn posts(State(desk): State<Desk>, viewer: Viewer, uri: Uri) -> Answer {
    show(&desk, &viewer, &uri, page(&desk, &viewer, &uri)).await
}

async fn page(desk: &Desk, viewer: &Viewer, uri: &Uri) -> Answer<PostsPage> {
    let (asked, now, reader) = (fields(uri)?, now(), desk.app().reader());
    let search: String =
        asked.get("search").unwrap_or_default().trim().chars().take(SEARCH_CHARS_MAX).collect();
    let named = asked.get("sort").unwrap_or("new");
    let Some((sort, _)) = SORTS.into_iter().find(|(name, _)| *name == named) else {
        return Err(wrong_field("sort is one of shift, phasing, new and top"));
    };
    let place = asked.get("cursor");
    let (views, next) = if !search.is_empty() {
        (reader.search(&search, MATCHES_MAX, now).await?, None)
    } else if let Some(by) = motion(sort) {
        let after: Option<MotionKey> = place.map(cursor::parse).transpose()?;
        let page = reader.moving(by, after.as_ref(), LIMIT, now).await?;
        (page.items, page.next.map(|key| cursor::write(&key)))
    } else {
        let sort = if sort == "top" { Sort::Top } else { Sort::New };
        let after: Option<PageKey> = place.map(cursor::parse).transpose()?;
        after.as_ref().map(|after| cursor::check_sort(after, sort)).transpose()?;
        let page = reader.page(sort, None, after.as_ref(), LIMIT, None, now).await?;
        (page.items, page.next.map(|key| cursor::write(&key)))
    };
    let is_cut = !search.is_empty() && views.len() >= MATCHES_MAX;
    Ok(PostsPage {
        frame: Frame::of(desk, viewer, Here::Posts, "Posts").await?,
        sort,
        rows: views.iter().map(|view| row(desk, view)).collect(),
        next: next.map(|cursor| format!("/posts?sort={}&cursor={}", in_query(sort), in_query(&cursor))),
        is_first: place.is_none(),
        search,
        is_cut,
        api: desk.app().config().listen.to_string(),
    })
}

fn motion(sort: &str) -> Option<Motion> {
    match sort {
        "shift" => Some(Motion::Gap),
        "phasing" => Some(Motion::PhasingIn),
        _ => None,
    }
}

fn row(desk: &Desk, view: &PostView) -> Row {
    let published = Published::of(&view.average, desk.app().params());
    Row {
        path: post_path(&view.post.id),
        id: view.post.id.to_string(),
        title: view.post.title.clone(),
        flags: flags(desk, view, &published).join(" · "),
        published,
    }
}

/// What is particular about a post, in words.
pub fn flags(desk: &Desk, view: &PostView, published: &Published) -> Vec<String> {
    let standing = &view.standing;
    let all = [
        (view.average.is_surging(desk.app().params()), "surge".to_owned()),
        (published.crowded, "crowded".to_owned()),
        (published.early && published.count > 0, "early".to_owned()),
        (standing.is_frozen, "frozen".to_owned()),
        (
            standing.hold.is_some(),
            standing.hold.map_or(String::new(), |hold| format!("hold: {}", hold.as_str())),
        ),
        (standing.held > 0, format!("{} held", number(standing.held))),
        (standing.excluded > 0, format!("{} excluded", number(standing.excluded))),
    ];
    all.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect()
}
