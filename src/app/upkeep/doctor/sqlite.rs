//! What puts ratings in the data file at risk: the file itself and its file system.

use std::path::Path;

use super::{Checks, Judgement, bytes, ok, risk, unknown};
use crate::config::Config;
use crate::database::sqlite::health::{FileSystem, SqliteHealth};
use crate::error::Result;

/// With less free space than this the disk is nearly full: the write-ahead log alone takes an eighth of it.
const FREE_MIN: u64 = 512 << 20;

/// File systems by the kernel's numbers (statfs(2)) whose locks and shared memory do not reach every machine.
const NETWORKED: [(u64, &str); 11] = [
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
    (0x5346_414f, "afs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x6a65_6a63, "virtiofs"),
];
const TMPFS: u64 = 0x0102_1994;
const OVERLAY: u64 = 0x794c_7630;
const FUSE: u64 = 0x6573_5546;

pub(super) async fn examine(config: &Config) -> Result<Checks> {
    let data = config.data.as_path();
    let health = SqliteHealth::ask(data).await?;
    let place = data.display();
    let folder = data.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let answer = match &health {
        Some(health) => ok(format!("{place}, {}", bytes(health.size))),
        None if folder.is_dir() => ok(format!("{place} does not exist yet; a start creates it")),
        None => risk(
            format!("there is no folder {}", folder.display()),
            "a start is refused",
            "create the folder, or name another file with DAMPER_DATA",
        ),
    };
    let mut checks = vec![("answer", answer)];
    if let Some(health) = &health {
        checks.extend([
            ("journal mode", journal_mode(health)),
            ("synchronous", ok("full: Damper sets it with every connection")),
            ("integrity", integrity(health)),
        ]);
    }
    // The file itself may be a link to another file system.
    match FileSystem::of(if health.is_some() { data } else { folder }) {
        Some(FileSystem { free, kind }) => checks.extend([
            ("free space", free_space(free, health.map_or(0, |health| health.size))),
            ("file system", file_system(kind)),
        ]),
        None => checks.push(("free space", unknown("the system does not say"))),
    }
    Ok(checks)
}

fn journal_mode(health: &SqliteHealth) -> Judgement {
    match health.is_write_ahead {
        Some(true) => ok("write-ahead log"),
        Some(false) => ok("rollback; a start changes it to the write-ahead log"),
        None => risk("this is not a SQLite file", "a start is refused", "name another file with DAMPER_DATA"),
    }
}

fn integrity(health: &SqliteHealth) -> Judgement {
    if health.problems.is_empty() {
        return ok("quick check found nothing");
    }
    let remedy = "stop Damper, keep the file, and restore a backup";
    risk(health.problems.join("; "), "what lies on the broken pages", remedy)
}

fn free_space(free: u64, size: u64) -> Judgement {
    let found = format!("{} free", bytes(free));
    if free < FREE_MIN {
        return risk(found, "a full disk takes no ratings: they are answered 503", "make room");
    }
    if free < size {
        let found = format!("{found}, less than the file's {}", bytes(size));
        return risk(found, "a backup beside the file does not fit", "make room");
    }
    ok(found)
}

fn file_system(kind: u64) -> Judgement {
    if let Some((_, name)) = NETWORKED.iter().find(|(number, _)| *number == kind) {
        let at_risk =
            "the file: a write-ahead log needs memory that all processes share, and locks that hold";
        return risk(format!("{name}, over a network"), at_risk, "keep the file on a local disk");
    }
    match kind {
        TMPFS => risk("tmpfs, in memory", "everything, when the machine stops", "keep the file on a disk"),
        OVERLAY => unknown("overlay: a container's own layer goes with it; is this a volume?"),
        FUSE => unknown("fuse: it may be over a network, where write-ahead logs do not work"),
        _ => ok("local"),
    }
}
