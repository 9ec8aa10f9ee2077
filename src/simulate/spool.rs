//! The ratings of a file, grouped by post without holding the file: they are spread over parts by their posts, and a part is
//! kept on disk once memory has enough. So memory holds a part, and of it the post that is replayed.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Mutex;

use crate::error::{Error, Result};
use crate::model::{PostId, Score, Time, UserId};

/// Parts; each is read as a whole.
pub const PARTS: usize = 256;
/// Bytes of all parts in memory before they go to disk.
const MEMORY_BYTES: usize = 256 << 20;

/// A rating of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rating {
    /// Who rated.
    pub user: UserId,
    /// What.
    pub score: Score,
    /// When.
    pub at: Time,
}

/// All ratings of a post, in order of time.
#[derive(Debug, Clone)]
pub struct History {
    /// The post.
    pub post: PostId,
    /// Its ratings. Of several of one user at one moment only the last is there.
    pub ratings: Vec<Rating>,
}

/// Ratings in parts.
pub struct Spool {
    parts: Vec<Part>,
    bytes: usize,
    memory: usize,
}

#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    /// What did not fit into memory.
    file: Option<Mutex<File>>,
}

impl Spool {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::with_memory(MEMORY_BYTES)
    }

    fn with_memory(memory: usize) -> Self {
        Self { parts: (0..PARTS).map(|_| Part::default()).collect(), bytes: 0, memory }
    }

    /// Adds a rating.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn add(&mut self, post: &PostId, rating: &Rating) -> Result<()> {
        let bytes = &mut self.parts[part_of(post)].bytes;
        let before = bytes.len();
        for id in [post.as_str(), rating.user.as_str()] {
            // An id has 64 characters at most.
            bytes.push(id.len() as u8);
            bytes.extend_from_slice(id.as_bytes());
        }
        bytes.push(rating.score.get());
        bytes.extend_from_slice(&rating.at.ms().to_le_bytes());
        self.bytes += bytes.len() - before;
        if self.bytes > self.memory {
            self.spill()
                .map_err(|e| Error::Internal(format!("the folder for temporary files takes no more: {e}")))?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        for part in &mut self.parts {
            if part.file.is_none() {
                part.file = Some(Mutex::new(unnamed_file()?));
            }
            let Some(file) = &part.file else { continue };
            let file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut out = BufWriter::new(&*file);
            out.write_all(&part.bytes)?;
            out.flush()?;
            part.bytes.clear();
        }
        self.bytes = 0;
        Ok(())
    }

    /// The part in which a post is.
    pub fn part_of(post: &PostId) -> usize {
        part_of(post)
    }

    /// The posts of a part, in order, with their ratings.
    ///
    /// # Errors
    /// The disk does not give them back.
    pub fn read(&self, part: usize) -> Result<Vec<History>> {
        let Part { bytes, file } = &self.parts[part];
        let mut all = Vec::new();
        if let Some(file) = file {
            let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut all));
            read.map_err(|e| Error::Internal(format!("a temporary file cannot be read: {e}")))?;
        }
        all.extend_from_slice(bytes);
        let mut posts: HashMap<&[u8], Vec<Rating>> = HashMap::new();
        let mut rest = &all[..];
        while let Some((post, rating, after)) = next(rest) {
            posts.entry(post).or_default().push(rating);
            rest = after;
        }
        let text = |id: &[u8]| PostId::parse(&String::from_utf8_lossy(id));
        let mut histories = Vec::with_capacity(posts.len());
        for (post, mut ratings) in posts {
            sort(&mut ratings);
            histories.push(History { post: text(post)?, ratings });
        }
        histories.sort_unstable_by(|a, b| a.post.cmp(&b.post));
        Ok(histories)
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self::new()
    }
}

fn part_of(post: &PostId) -> usize {
    let mut hasher = DefaultHasher::new();
    post.hash(&mut hasher);
    (hasher.finish() % PARTS as u64) as usize
}

/// As an import sorts: by time, and of several ratings of one user at one moment the last.
fn sort(ratings: &mut Vec<Rating>) {
    ratings.reverse();
    ratings.sort_by(|a, b| (a.at, &a.user).cmp(&(b.at, &b.user)));
    ratings.dedup_by(|a, b| (a.at, &a.user) == (b.at, &b.user));
}

/// The post and the rating at the beginning, and what follows.
fn next(bytes: &[u8]) -> Option<(&[u8], Rating, &[u8])> {
    fn take(bytes: &[u8], count: usize) -> Option<(&[u8], &[u8])> {
        (bytes.len() >= count).then(|| bytes.split_at(count))
    }
    let (&length, rest) = bytes.split_first()?;
    let (post, rest) = take(rest, length.into())?;
    let (&length, rest) = rest.split_first()?;
    let (user, rest) = take(rest, length.into())?;
    let (&score, rest) = rest.split_first()?;
    let (at, rest) = take(rest, 8)?;
    let rating = Rating {
        user: UserId::parse(std::str::from_utf8(user).ok()?).ok()?,
        score: Score::parse(score.into()).ok()?,
        at: Time::from_ms(i64::from_le_bytes(at.try_into().ok()?)),
    };
    Some((post, rating, rest))
}

/// A file that goes when it is closed: its name is taken away at once.
fn unnamed_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("damper-{}", uuid::Uuid::new_v4()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_come_back_by_post_and_in_order_of_time_from_memory_and_from_disk() {
        let mut found = Vec::new();
        for memory in [usize::MAX, 100] {
            let mut spool = Spool::with_memory(memory);
            for i in 0..500_i64 {
                let post = PostId::parse(&format!("p{}", i % 7)).unwrap();
                let user = UserId::parse(&format!("u{}", i % 50)).unwrap();
                let rating = Rating {
                    user,
                    score: Score::parse(i % 6).unwrap(),
                    at: Time::from_ms(1_000 * (i * 37 % 100)),
                };
                spool.add(&post, &rating).unwrap();
            }
            let all: Vec<History> = (0..PARTS).flat_map(|part| spool.read(part).unwrap()).collect();
            assert_eq!(all.len(), 7);
            for history in &all {
                assert!(history.ratings.is_sorted_by_key(|rating| (rating.at, rating.user.clone())));
                assert_eq!(Spool::part_of(&history.post), part_of(&history.post));
            }
            let mut all: Vec<_> = all.into_iter().map(|history| (history.post, history.ratings)).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            found.push(all);
        }
        assert_eq!(found[0], found[1]);
    }
}
