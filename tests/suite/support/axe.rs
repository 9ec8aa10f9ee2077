//! axe-core, which finds what keeps people with a disability from using a page: contrast, names, roles.
//!
//! It comes from npm's registry when a test first needs it, checked against a known hash, and stays in the cache folder.
//! Without a network a test says so and goes on; in CI it fails.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use flate2::read::GzDecoder;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::browser::Browser;

const ADDRESS: &str = "https://registry.npmjs.org/axe-core/-/axe-core-4.10.3.tgz";
const HASH: &str = "0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292";
/// The script's place in the package.
const SCRIPT: &str = "package/axe.min.js";
/// A block of a tar archive.
const BLOCK: usize = 512;

/// Checks the open page, shadow roots too; `what` names it in the error.
#[track_caller]
pub fn assert_accessible(browser: &Browser, what: &str) {
    let Some(script) = script() else {
        assert!(std::env::var_os("CI").is_none(), "axe-core cannot be had from {ADDRESS}");
        return eprintln!("{what} is not checked by axe-core: {ADDRESS} does not answer");
    };
    // Not as a page's own script, which its policy would refuse.
    browser.run(script, json!([]));
    let found = browser.run(
        "return axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations.map((one) =>
            one.id + ': ' + one.help + ' at ' + one.nodes.map((node) => node.target.flat().join(' >>> ') + ' (' +
                (node.any[0]?.message ?? '') + ')').join(', ')))",
        json!([]),
    );
    assert_eq!(found, Value::Array(Vec::new()), "{what}");
}

/// The script; nothing when it is not in the cache and the network is away.
fn script() -> Option<&'static str> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let cached = cache().join("axe-core-4.10.3.tgz");
        let package = std::fs::read(&cached).ok().filter(|package| is_right(package)).or_else(|| {
            let package = download()?;
            std::fs::create_dir_all(cache()).ok();
            std::fs::write(&cached, &package).ok();
            Some(package)
        })?;
        let mut archive = Vec::new();
        GzDecoder::new(&package[..]).read_to_end(&mut archive).expect("a package is packed by gzip");
        Some(unpack(&archive, SCRIPT).expect("the package holds the script"))
    });
    found.as_deref()
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("damper")
}

fn download() -> Option<Vec<u8>> {
    let output = Command::new("curl").args(["-fsSL", "--max-time", "30", ADDRESS]).output().ok()?;
    let package = output.status.success().then_some(output.stdout)?;
    assert!(is_right(&package), "{ADDRESS} is not the package that it was");
    Some(package)
}

fn is_right(package: &[u8]) -> bool {
    let hex: String = digest(&SHA256, package).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hex == HASH
}

/// A file of a tar archive: a block with its name and its size in octal digits, then its content in whole blocks.
fn unpack(archive: &[u8], name: &str) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']).to_owned();
    let mut rest = archive;
    while rest.len() > BLOCK {
        let size = usize::from_str_radix(&text(&rest[124..136]), 8).ok()?;
        let content = rest.get(BLOCK..BLOCK + size)?;
        if text(&rest[..100]) == name {
            return Some(String::from_utf8_lossy(content).into_owned());
        }
        rest = rest.get(BLOCK + size.next_multiple_of(BLOCK)..)?;
    }
    None
}
