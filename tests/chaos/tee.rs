//! The whole log, read behind Damper's back: Redis' append-only file keeps every XADD with its id (rewriting is off), and a
//! trigger on the SQLite file keeps a copy of every row that the buffer ever had. Damper reads neither.

use std::collections::BTreeMap;
use std::path::Path;

use damper::entry::Position;

use crate::support::world::World;

/// The complete log as appended, shard by shard, in order.
pub type Log = BTreeMap<u16, Vec<(Position, Vec<u8>)>>;

/// The table that keeps a copy of the SQLite buffer.
pub const TEE: &str = "create table oracle_log (position integer primary key, payload blob not null);
     create trigger oracle_tee after insert on buffer begin
         insert into oracle_log values (new.position, new.payload);
     end";

/// The complete log of this world.
pub fn log_of(world: &World) -> Log {
    if world.is_embedded() {
        let rows: Vec<(i64, Vec<u8>)> =
            world.db().all("select position, payload from oracle_log order by position");
        let lines = rows.into_iter().map(|(row, payload)| (Position::new(0, row as u64), payload));
        return BTreeMap::from([(0, lines.collect())]);
    }
    let folder = world.redis().path().join("appendonlydir");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("an append-only file").flatten().map(|file| file.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "aof"));
    files.sort();
    let mut log = Log::new();
    for file in files {
        read_commands(&file, &mut log);
    }
    log
}

/// Extracts the XADDs from an append-only file. A kill may have cut the last command short.
fn read_commands(file: &Path, log: &mut Log) {
    let bytes = std::fs::read(file).expect("the file is readable");
    let mut rest = bytes.as_slice();
    while let Some(words) = next_command(&mut rest) {
        let [b"XADD", key, .., id, b"e", payload] = words.as_slice() else { continue };
        let shard = std::str::from_utf8(key).ok().and_then(|key| key.split(['{', '}']).nth(1)?.parse().ok());
        let position = std::str::from_utf8(id).ok().and_then(Position::parse);
        let (Some(shard), Some(position)) = (shard, position) else { panic!("an XADD of another kind") };
        log.entry(shard).or_default().push((position, payload.to_vec()));
    }
}

fn next_command<'a>(rest: &mut &'a [u8]) -> Option<Vec<&'a [u8]>> {
    // Annotations in the file begin with #.
    while rest.first() == Some(&b'#') {
        next_line(rest)?;
    }
    let count: usize = number(next_line(rest)?.strip_prefix(b"*")?)?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let length: usize = number(next_line(rest)?.strip_prefix(b"$")?)?;
        let word = rest.get(..length)?;
        *rest = rest.get(length + 2..)?;
        words.push(word);
    }
    Some(words)
}

fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    Some(line)
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
