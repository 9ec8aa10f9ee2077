//! What Damper is built of: known licences, one registry, no banned crate. The rules stand in deny.toml.
//!
//! `cargo deny check` holds to the same file and asks for advisories besides (scripts/deny); this needs no tool. Of
//! deny.toml it knows what is used there, and fails at any other word.

use std::process::Command;

use figment::Figment;
use figment::providers::{Format, Toml};
use serde::Deserialize;

/// deny.toml.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    #[serde(rename = "multiple-versions")]
    _multiple_versions: Allow,
    #[serde(rename = "wildcards")]
    _wildcards: Deny,
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Banned {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    #[serde(rename = "unknown-registry")]
    _unknown_registry: Deny,
    #[serde(rename = "unknown-git")]
    _unknown_git: Deny,
    allow_registry: Vec<String>,
}

/// The only word that is known here.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Allow {
    Allow,
}

/// The only word that is known here.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deny {
    Deny,
}

/// What `cargo metadata` says.
#[derive(Deserialize, Clone)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize, Clone)]
struct Package {
    name: String,
    license: Option<String>,
    /// None is a folder of this checkout.
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize, Clone)]
struct Dependency {
    name: String,
    req: String,
}

impl Rules {
    fn read() -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml");
        Figment::from(Toml::file_exact(file)).extract().expect("the rules of deny.toml are those known here")
    }

    /// What of these packages is against the rules.
    fn violations(&self, metadata: &Metadata) -> Vec<String> {
        metadata.packages.iter().flat_map(|package| self.violations_of(package)).collect()
    }

    fn violations_of(&self, package: &Package) -> Vec<String> {
        let name = &package.name;
        let mut found = Vec::new();
        let license = package.license.as_deref().unwrap_or("no licence");
        if !is_allowed(license, &self.licenses.allow) {
            found.push(format!("{name}: {license}"));
        }
        if self.bans.deny.iter().any(|banned| banned.name == *name) {
            found.push(format!("{name}: banned"));
        }
        for dependency in package.dependencies.iter().filter(|dependency| dependency.req == "*") {
            found.push(format!("{name}: any version of {}", dependency.name));
        }
        if let Some(source) = &package.source {
            let registry = source.strip_prefix("registry+");
            if !registry.is_some_and(|url| self.sources.allow_registry.iter().any(|known| known == url)) {
                found.push(format!("{name}: from {source}"));
            }
        }
        found
    }
}

/// Whether a licence expression (SPDX) can be met with these licences. `MIT/Apache-2.0` is an older way to say "or".
fn is_allowed(expression: &str, allow: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let is_allowed = any_of(&mut words, allow);
    is_allowed && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `a OR b`, of which "and" binds closer.
fn any_of(words: &mut Words<'_>, allow: &[String]) -> bool {
    let mut is_allowed = all_of(words, allow);
    while words.next_if_eq(&"OR").is_some() {
        is_allowed |= all_of(words, allow);
    }
    is_allowed
}

/// `a AND b`.
fn all_of(words: &mut Words<'_>, allow: &[String]) -> bool {
    let mut is_allowed = one(words, allow);
    while words.next_if_eq(&"AND").is_some() {
        is_allowed &= one(words, allow);
    }
    is_allowed
}

/// A licence, one with an exception, or an expression in brackets.
fn one(words: &mut Words<'_>, allow: &[String]) -> bool {
    match words.next() {
        Some("(") => {
            let is_allowed = any_of(words, allow);
            is_allowed & words.next_if_eq(&")").is_some()
        }
        Some(license) => {
            let license = match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
                Some(exception) => format!("{license} WITH {exception}"),
                None => license.to_owned(),
            };
            allow.contains(&license)
        }
        None => false,
    }
}

/// Every package of Cargo.lock, those for other systems and for tests too.
fn metadata() -> Metadata {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--all-features", "--locked", "--quiet"]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn damper_is_built_of_what_deny_toml_allows() {
    let metadata = metadata();
    assert!(metadata.packages.len() > 100, "the packages were found");
    assert_eq!(Rules::read().violations(&metadata), Vec::<String>::new());
}

#[test]
fn whatever_is_against_the_rules_is_named() {
    let (rules, metadata) = (Rules::read(), metadata());
    type Change = fn(&mut Package);
    let changes: [(Change, &str); 6] = [
        (|package| package.license = Some("MIT AND GPL-3.0-only".into()), "serde: MIT AND GPL-3.0-only"),
        (|package| package.license = None, "serde: no licence"),
        (|package| package.name = "openssl".into(), "openssl: banned"),
        (|package| package.dependencies[0].req = "*".into(), "serde: any version of "),
        (|package| package.source = Some("git+https://example.org/serde".into()), "serde: from git+"),
        (
            |package| package.source = Some("registry+https://example.org/index".into()),
            "serde: from registry+https://example.org",
        ),
    ];
    for (change, said) in changes {
        let mut metadata = metadata.clone();
        change(metadata.packages.iter_mut().find(|package| package.name == "serde").expect("serde"));
        let found = rules.violations(&metadata);
        assert!(found.len() == 1 && found[0].starts_with(said), "{found:?}, not {said}");
    }
}

#[test]
fn a_licence_expression_is_met_by_what_it_leaves_to_choose() {
    let allow = ["MIT", "ISC", "Apache-2.0"].map(str::to_owned);
    for met in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/ISC", "(GPL-3.0 OR MIT) AND ISC", "GPL-3.0 AND X OR MIT"] {
        assert!(is_allowed(met, &allow), "{met}");
    }
    let unmet = ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT ISC", "Apache-2.0 WITH LLVM-exception"];
    for unmet in unmet {
        assert!(!is_allowed(unmet, &allow), "{unmet}");
    }
}
