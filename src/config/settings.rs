//! The sources of settings: the default file ← a file ← the environment ← flags; and which of them set what.

use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};

use super::{Config, DEFAULT_TOML};
use crate::error::{Error, Result};

/// Names the settings file, as `--config` does.
const CONFIG_VARIABLE: &str = "DAMPER_CONFIG";
const ENV_PREFIX: &str = "DAMPER_";
/// Links to links to the data file that are followed; as many as Linux follows.
const LINKS_MAX: usize = 40;

/// Checked settings, and the source of each.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The values in force.
    pub config: Config,
    figment: Figment,
}

impl Settings {
    /// Reads every source; `flags` are pairs of a dotted name and its value, `("drain.batch_max", "500")`.
    ///
    /// # Errors
    /// [`Error::Config`] names the setting, its source and what to write instead.
    pub fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Self> {
        let defaults = Named { provider: Toml::string(DEFAULT_TOML), source: "config/default.toml".into() };
        let defaults = Figment::from(defaults);
        let mut figment = defaults.clone();
        let named = std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from);
        if let Some(path) = file.map(Path::to_path_buf).or(named) {
            if !path.is_file() {
                return Err(Error::Config(format!("there is no settings file {}", path.display())));
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        let environment = environment();
        let environment =
            environment.iter().map(|(name, text)| (name.to_string(), text, "environment".to_owned()));
        let flags = flags.iter().map(|(name, text)| (name.clone(), text.clone(), format!("flag --{name}")));
        for (name, text, source) in environment.chain(flags) {
            let name = name.to_lowercase();
            let provider = Serialized::global(&name, typed(&defaults, &name, text));
            figment = figment.merge(Named { provider, source });
        }
        let mut config: Config = figment.extract().map_err(|e| explain(&figment, e))?;
        config.check()?;
        config.data = followed(config.data);
        Ok(Self { config, figment })
    }

    /// The defaults alone, without a file, the environment or flags.
    ///
    /// # Errors
    /// [`Error::Config`] when the default file is wrong, which tests exclude.
    pub fn defaults() -> Result<Self> {
        let provider = Named { provider: Toml::string(DEFAULT_TOML), source: "config/default.toml".into() };
        let figment = Figment::from(provider);
        let config: Config = figment.extract().map_err(|e| explain(&figment, e))?;
        Ok(Self { config, figment })
    }

    /// Every setting as `(dotted name, range)`, in the order of the default file: `("drain.batch_max", "1..=100000")`.
    /// A range that is not between two numbers is in words. The documents are held to it by tests.
    pub fn ranges(&self) -> Vec<(String, String)> {
        self.config.settings("").into_iter().map(|setting| (setting.name, setting.range)).collect()
    }

    /// Every setting as `(dotted name, value, source)`, in the order of the default file, secrets redacted.
    pub fn effective(&self) -> Vec<(String, String, String)> {
        let values = serde_json::to_value(&self.config).unwrap_or_default();
        let row = |(name, _): (String, String)| {
            let value = match values.pointer(&format!("/{}", name.replace('.', "/"))) {
                Some(serde_json::Value::String(text)) => text.clone(),
                other => other.map(ToString::to_string).unwrap_or_default(),
            };
            let source = self.figment.find_metadata(&name).map(source_of).unwrap_or_default();
            (name, value, source)
        };
        self.ranges().into_iter().map(row).collect()
    }
}

/// The value of a text from the environment or a flag. A setting that is a text in the default file takes it
/// unchanged: a secret may look like a number, or a list. All others are read as TOML.
fn typed(defaults: &Figment, name: &str, text: String) -> Value {
    match defaults.find_value(name) {
        Ok(Value::String(..)) => Value::from(text),
        // Figment finds an escape at the wrong place when it comes behind a letter outside ASCII.
        _ if text.contains('\\') => escaped(&text).unwrap_or_else(|| Value::from(text)),
        _ => text.parse().unwrap_or_else(|never| match never {}),
    }
}

/// A value of TOML that may have escapes.
fn escaped(text: &str) -> Option<Value> {
    Figment::from(Toml::string(&format!("value = {text}"))).find_value("value").ok()
}

/// `DAMPER_DRAIN__BATCH_MAX` is `drain.batch_max`.
fn environment() -> Env {
    let is_ours =
        |name: &str| !name.eq_ignore_ascii_case("config") && !is_of_kubernetes(&name.to_ascii_uppercase());
    Env::prefixed(ENV_PREFIX).filter(move |name| is_ours(name.as_str())).split("__")
}

/// Whether a variable comes from Kubernetes, which describes the services called `damper` and `damper-…` to every pod
/// beside them: `DAMPER_SERVICE_HOST`, `DAMPER_API_SERVICE_PORT_HTTP`, `DAMPER_PORT_8080_TCP_ADDR`. `DAMPER_PORT` is
/// such a one by its value, `tcp://10.0.0.1:8080`; otherwise it was taken for a setting.
fn is_of_kubernetes(name: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    let is_port = |word: &str| word.parse::<u16>().is_ok();
    let has_url = || std::env::var(format!("{ENV_PREFIX}{name}")).is_ok_and(|value| value.contains("://"));
    let at = |word: &str| words.iter().rposition(|own| *own == word).map(|at| &words[at + 1..]);
    let behind_service = at("SERVICE").is_some_and(|rest| matches!(rest, ["HOST"] | ["PORT", ..]));
    let behind_port = words.iter().enumerate().filter(|(_, word)| **word == "PORT");
    let mut behind_port = behind_port.map(|(at, _)| &words[at + 1..]);
    behind_service
        || behind_port.any(|rest| match rest {
            [] => has_url(),
            [port, "TCP" | "UDP" | "SCTP"] | [port, "TCP" | "UDP" | "SCTP", "PROTO" | "PORT" | "ADDR"] => {
                is_port(port)
            }
            _ => false,
        })
}

/// Where the links at `path` lead. SQLite keeps its files beside the real one, and so do the locks.
fn followed(mut path: PathBuf) -> PathBuf {
    for _ in 0..LINKS_MAX {
        let Ok(target) = path.read_link() else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

/// A provider under another name, so that a message can say where a value came from.
struct Named<P> {
    provider: P,
    source: String,
}

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        self.provider.data()
    }
}

fn source_of(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(Source::File(path)) => path.display().to_string(),
        _ => metadata.name.to_string(),
    }
}

fn explain(figment: &Figment, error: figment::Error) -> Error {
    let explain = |e: figment::Error| {
        let path = e.path.join(".");
        let metadata = e.metadata.as_ref().or_else(|| figment.find_metadata(&path));
        let source = metadata.map(|it| format!(" (from {})", source_of(it))).unwrap_or_default();
        match &e.kind {
            Kind::UnknownField(name, _) => {
                // The path ends with the name, or before it.
                let name = std::slice::from_ref(name);
                let section = e.path.strip_suffix(name).unwrap_or(&e.path);
                let path = [section, name].concat().join(".");
                format!("there is no setting {path}{source}; `damper config --default` lists them all")
            }
            kind => {
                format!("setting {path}: {kind}{source}; `damper config --default` shows how it is written")
            }
        }
    };
    Error::Config(error.into_iter().map(explain).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setup;
    use crate::smoothing::Knobs;

    fn with(flags: &[(&str, &str)]) -> Result<Settings> {
        let flags: Vec<_> = flags.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        Settings::load(None, &flags)
    }

    #[test]
    fn the_default_file_is_complete_and_valid() {
        let settings = with(&[]).unwrap();
        assert_eq!(settings.config.smoothing, Knobs::default());
        assert_eq!(settings.config.setup(), Setup::Embedded);
        assert!(settings.effective().iter().all(|(.., source)| !source.is_empty()));
    }

    #[test]
    fn the_settings_are_those_of_the_default_file_in_its_order() {
        let mut section = String::new();
        let mut names = Vec::new();
        for line in DEFAULT_TOML.lines().filter(|line| !line.starts_with('#')) {
            if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = format!("{header}.");
            } else if let Some((name, _)) = line.split_once(" = ") {
                names.push(format!("{section}{name}"));
            }
        }
        let ranges = with(&[]).unwrap().ranges();
        assert_eq!(ranges.iter().map(|(name, _)| name).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        for (name, range) in [
            ("drain.batch_max", "1..=100000"),
            ("smoothing.seed_weight", "0.000001..=10"),
            ("tick", "a cron expression of six fields, seconds first"),
        ] {
            assert!(ranges.contains(&(name.into(), range.into())), "{name}");
        }
    }

    #[test]
    fn flags_win_and_are_named_as_the_source() {
        let settings = with(&[("drain.batch_max", "7"), ("tick", "0 * * * * *")]).unwrap();
        assert_eq!(settings.config.drain.batch_max, 7);
        let row = settings.effective().into_iter().find(|(name, ..)| name == "tick").unwrap();
        assert_eq!((row.1.as_str(), row.2.as_str()), ("0 * * * * *", "flag --tick"));
    }

    #[test]
    fn lists_may_have_escapes_letters_of_any_alphabet_and_no_quotes() {
        for (list, read) in [
            (r#"["é\u0061", "b"]"#, ["éa", "b"]),
            (r#"["é\"", "b"]"#, ["é\"", "b"]),
            ("[\"é\", 'b']", ["é", "b"]),
            ("[https://a.example, b]", ["https://a.example", "b"]),
        ] {
            let settings = with(&[("api.cors_origins", list)]).unwrap();
            assert_eq!(settings.config.api.cors_origins, read, "{list}");
        }
        for wrong in [r#""é\"#, r#"["é\x"]"#, r#"["é\]"#, "\\"] {
            assert!(with(&[("api.cors_origins", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables_of_kubernetes_are_told_from_settings() {
        for theirs in [
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_HTTP",
            "API_SERVICE_HOST",
            "PORT_8080_TCP",
            "PORT_8080_TCP_ADDR",
            "API_PORT_53_UDP_PROTO",
            "API_PORT_8080_TCP_PORT",
        ] {
            assert!(is_of_kubernetes(theirs), "{theirs}");
        }
        for other in
            ["PORT", "API_PORT", "SERVICE", "SERVICES_HOST", "PORT_8080", "LISTEN", "DRAIN__BATCH_MAX"]
        {
            assert!(!is_of_kubernetes(other), "{other}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        for (name, value, remedy) in [
            ("drain.batch_size", "7", "no setting drain.batch_size"),
            ("drain.batch_max", "0", "drain.batch_max 0 is outside 1..=100000"),
            ("drain.batch_max", "many", "drain.batch_max"),
            ("tick", "hourly", "six fields"),
            ("smoothing.grace_mass", "0", "grace_mass"),
            ("redis_url", "redis://localhost", "set DAMPER_DATABASE_URL"),
            ("database_url", "postgres://localhost/x", "set DAMPER_REDIS_URL"),
            ("open", "everywhere", "open"),
            ("cache.redis_url", "redis://localhost", "unset DAMPER_CACHE__REDIS_URL"),
            ("data", "", "is empty"),
            ("data", ":memory:", "is no file"),
            ("data", "file:damper.db?mode=memory", "is a URL"),
            ("data", "/tmp", "is a folder"),
        ] {
            let refusal = with(&[(name, value)]).unwrap_err().to_string();
            assert!(refusal.contains(remedy), "{refusal}");
        }
    }
}
