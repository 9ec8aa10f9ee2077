//! What puts ratings in the data file at risk: the file itself and its file system.

use std::path::Path;

use super::{Finding, Findings, bytes};
use crate::config::Config;
use crate::database::sqlite::health::{FileSystem, SqliteHealth};

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

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let data = config.data.as_path();
    let mut findings = Findings::of("data file");
    let health = match SqliteHealth::ask(data).await {
        Ok(health) => health,
        Err(error) => return findings.missing(&error),
    };
    let place = data.display();
    let folder = data.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match &health {
        Some(health) => findings.ok("answer", format!("{place}, {}", bytes(health.size))),
        None if folder.is_dir() => {
            findings.ok("answer", format!("{place} does not exist yet; a start creates it"))
        }
        None => findings.risk(
            "answer",
            format!("there is no folder {}", folder.display()),
            "a start is refused",
            "create the folder, or name another file with DAMPER_DATA",
        ),
    }
    if let Some(health) = &health {
        structure(&mut findings, health);
    }
    // The file itself may be a link to another file system.
    let file_system = FileSystem::of(if health.is_some() { data } else { folder });
    match file_system {
        Some(file_system) => {
            free(&mut findings, file_system, health.map_or(0, |health| health.size));
            kind(&mut findings, file_system);
        }
        None => findings.unknown("free space", "the system does not say"),
    }
    findings.all
}

fn structure(findings: &mut Findings, health: &SqliteHealth) {
    match health.is_write_ahead {
        Some(true) => findings.ok("journal mode", "write-ahead log"),
        Some(false) => findings.ok("journal mode", "rollback; a start changes it to the write-ahead log"),
        None => findings.risk(
            "journal mode",
            "this is not a SQLite file",
            "a start is refused",
            "name another file with DAMPER_DATA",
        ),
    }
    findings.ok("synchronous", "full: Damper sets it with every connection");
    match health.problems.as_slice() {
        [] => findings.ok("integrity", "quick check found nothing"),
        problems => findings.risk(
            "integrity",
            problems.join("; "),
            "what lies on the broken pages",
            "stop Damper, keep the file, and restore a backup",
        ),
    }
}

fn free(findings: &mut Findings, file_system: FileSystem, size: u64) {
    let found = format!("{} free", bytes(file_system.free));
    if file_system.free < FREE_MIN {
        findings.risk(
            "free space",
            found,
            "a full disk takes no ratings: they are answered 503",
            "make room",
        );
    } else if file_system.free < size {
        let found = format!("{found}, less than the file's {}", bytes(size));
        findings.risk("free space", found, "a backup beside the file does not fit", "make room");
    } else {
        findings.ok("free space", found);
    }
}

fn kind(findings: &mut Findings, FileSystem { kind, .. }: FileSystem) {
    const CHECK: &str = "file system";
    if let Some((_, name)) = NETWORKED.iter().find(|(number, _)| *number == kind) {
        let at_risk =
            "the file: a write-ahead log needs memory that all processes share, and locks that hold";
        return findings.risk(
            CHECK,
            format!("{name}, over a network"),
            at_risk,
            "keep the file on a local disk",
        );
    }
    match kind {
        TMPFS => findings.risk(
            CHECK,
            "tmpfs, in memory",
            "everything, when the machine stops",
            "keep the file on a disk",
        ),
        OVERLAY => {
            findings.unknown(CHECK, "overlay: a container's own layer goes with it; is this a volume?")
        }
        FUSE => findings.unknown(CHECK, "fuse: it may be over a network, where write-ahead logs do not work"),
        _ => findings.ok(CHECK, "local"),
    }
}
