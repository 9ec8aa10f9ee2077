//! The sources of settings: the default file ← a file ← the environment ← flags; and which of them set what.

use std::path::{Path, PathBuf};

use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::Value;
use figment::{Figment, Metadata};

use super::{Config, DEFAULT_TOML};
use crate::error::{Error, Result};

/// Names the settings file, as `--config` does.
pub const CONFIG_VARIABLE: &str = "DAMPER_CONFIG";
const ENV_PREFIX: &str = "DAMPER_";

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
        let mut figment = Figment::from(Toml::string(DEFAULT_TOML).nested_name("config/default.toml"));
        let named = std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from);
        if let Some(path) = file.map(Path::to_path_buf).or(named) {
            if !path.is_file() {
                return Err(Error::Config(format!("there is no settings file {}", path.display())));
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        let defaults = Figment::from(Toml::string(DEFAULT_TOML));
        let environment = environment();
        let environment =
            environment.iter().map(|(name, text)| (name.to_string(), text, "environment".to_owned()));
        let flags = flags.iter().map(|(name, text)| (name.clone(), text.clone(), format!("flag --{name}")));
        for (name, text, source) in environment.chain(flags) {
            let name = name.to_lowercase();
            let provider = Serialized::global(&name, typed(&defaults, &name, text));
            figment = figment.merge(Named { provider, source });
        }
        let config: Config = figment.extract().map_err(|e| explain(&figment, e))?;
        config.check()?;
        Ok(Self { config, figment })
    }

    /// Every setting as `(dotted name, range)`, in the order of the default file: `("drain.batch_max", "1..=100000")`.
    /// A range that is not between two numbers is in words. The documents are held to it by tests.
    pub fn ranges(&self) -> Vec<(String, String)> {
        let settings = self.config.settings("").into_iter();
        settings.map(|setting| (setting.name, setting.range.to_string())).collect()
    }

    /// Every setting as `(dotted name, value, source)`, in the order of the default file, secrets redacted.
    pub fn effective(&self) -> Vec<(String, String, String)> {
        let values = serde_json::to_value(&self.config).unwrap_or_default();
        let mut rows = Vec::new();
        flatten("", &values, &mut rows);
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|(name, value)| {
                let source = self.figment.find_metadata(&name).map(source_of).unwrap_or_default();
                (name, value, source)
            })
            .collect();
        // JSON objects come out sorted by name; people know the default file's order.
        let order: Vec<String> = default_names();
        rows.sort_by_key(|(name, ..)| order.iter().position(|n| n == name));
        rows
    }
}

/// The value of a text from the environment or a flag. A setting that is a text in the default file takes it as it
/// stands: a secret may look like a number, or a list. All others are read as TOML.
fn typed(defaults: &Figment, name: &str, text: String) -> Value {
    match defaults.find_value(name) {
        Ok(Value::String(..)) => Value::from(text),
        _ => text.parse().unwrap_or_else(|never| match never {}),
    }
}

/// `DAMPER_DRAIN__BATCH_MAX` is `drain.batch_max`.
fn environment() -> Env {
    Env::prefixed(ENV_PREFIX).filter(|name| !name.as_str().eq_ignore_ascii_case("config")).split("__")
}

/// A provider under another name, so that a message can say where a value came from.
struct Named<P> {
    provider: P,
    source: String,
}

impl<P: figment::Provider> figment::Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> figment::error::Result<figment::value::Map<figment::Profile, figment::value::Dict>> {
        self.provider.data()
    }
}

trait NestedName: Sized {
    fn nested_name(self, source: &str) -> Named<Self>;
}

impl<P: figment::Provider> NestedName for P {
    fn nested_name(self, source: &str) -> Named<Self> {
        Named { provider: self, source: source.into() }
    }
}

fn source_of(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(path)) => path.display().to_string(),
        _ => metadata.name.to_string(),
    }
}

fn explain(figment: &Figment, error: figment::Error) -> Error {
    let problems: Vec<String> = error
        .into_iter()
        .map(|e| {
            let source =
                e.metadata.as_ref().or_else(|| figment.find_metadata(&e.path.join("."))).map(source_of);
            let source = source.map(|s| format!(" (from {s})")).unwrap_or_default();
            match &e.kind {
                figment::error::Kind::UnknownField(name, _) => {
                    let place = e.path.iter().map(|p| format!("{p}.")).collect::<String>();
                    let place = place.strip_suffix(&format!("{name}.")).unwrap_or(&place).to_owned();
                    format!(
                        "there is no setting {place}{name}{source}; `damper config --default` lists them all"
                    )
                }
                kind => format!(
                    "setting {}: {kind}{source}; `damper config --default` shows how it is written",
                    e.path.join(".")
                ),
            }
        })
        .collect();
    Error::Config(problems.join("; "))
}

fn flatten(prefix: &str, value: &serde_json::Value, rows: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, rows);
            }
        }
        serde_json::Value::String(text) => rows.push((prefix.into(), text.clone())),
        other => rows.push((prefix.into(), other.to_string())),
    }
}

/// Dotted names in the order of the default file.
fn default_names() -> Vec<String> {
    let mut section = String::new();
    let mut names = Vec::new();
    for line in DEFAULT_TOML.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{header}.");
        } else if let Some((name, _)) = line.split_once('=') {
            names.push(format!("{section}{}", name.trim()));
        }
    }
    names
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

    fn refusal(flags: &[(&str, &str)]) -> String {
        with(flags).unwrap_err().to_string()
    }

    #[test]
    fn the_default_file_is_complete_and_valid() {
        let settings = with(&[]).unwrap();
        assert_eq!(settings.config.smoothing, Knobs::default());
        assert_eq!(settings.config.setup(), Setup::Embedded);
        assert_eq!(settings.effective().len(), default_names().len());
        assert!(settings.effective().iter().all(|(.., source)| !source.is_empty()));
    }

    #[test]
    fn every_setting_of_the_default_file_has_a_range() {
        let ranges = with(&[]).unwrap().ranges();
        let names: Vec<&String> = ranges.iter().map(|(name, _)| name).collect();
        assert_eq!(names, default_names().iter().collect::<Vec<_>>(), "the same names in the same order");
        let range = |name: &str| &ranges.iter().find(|(other, _)| other == name).unwrap().1;
        assert_eq!(range("drain.batch_max"), "1..=100000");
        assert_eq!(range("smoothing.seed_weight"), "0.000001..=10");
        assert_eq!(range("tick"), "a cron expression of six fields, seconds first");
    }

    #[test]
    fn both_ends_of_a_range_are_taken_and_nothing_beyond() {
        let mut tried = 0;
        for (name, range) in with(&[]).unwrap().ranges() {
            let Some((min, max)) = range.split_once("..=") else { continue };
            let (Ok(min), Ok(max)) = (min.parse::<u64>(), max.parse::<u64>()) else { continue };
            tried += 1;
            let set = |value: u64| with(&[(&name, &value.to_string())]);
            for value in [min, max] {
                if let Err(error) = set(value) {
                    // These two settings depend on each other.
                    assert!(error.to_string().contains("three times"), "{name} {value}: {error}");
                }
            }
            for value in [min.checked_sub(1), max.checked_add(1)].into_iter().flatten() {
                let text = set(value).unwrap_err().to_string();
                let is_refused = text == format!("{name} {value} is outside {range}");
                assert!(
                    is_refused || name.starts_with("smoothing.") && text.contains("is outside"),
                    "{text}"
                );
            }
        }
        assert!(tried > 25, "{tried}");
    }

    #[test]
    fn flags_win_and_are_named_as_the_source() {
        let settings = with(&[("drain.batch_max", "7"), ("tick", "0 * * * * *")]).unwrap();
        assert_eq!(settings.config.drain.batch_max, 7);
        let row = settings.effective().into_iter().find(|(name, ..)| name == "tick").unwrap();
        assert_eq!((row.1.as_str(), row.2.as_str()), ("0 * * * * *", "flag --tick"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        assert!(refusal(&[("drain.batch_size", "7")]).contains("no setting drain.batch_size"));
        assert!(refusal(&[("drain.batch_max", "0")]).contains("drain.batch_max 0 is outside"));
        assert!(refusal(&[("drain.batch_max", "many")]).contains("drain.batch_max"));
        assert!(refusal(&[("tick", "hourly")]).contains("six fields"));
        assert!(refusal(&[("smoothing.grace_mass", "0")]).contains("grace_mass"));
        assert!(refusal(&[("redis_url", "redis://localhost")]).contains("set DAMPER_DATABASE_URL"));
        assert!(refusal(&[("database_url", "postgres://localhost/x")]).contains("set DAMPER_REDIS_URL"));
        assert!(refusal(&[("open", "everywhere")]).contains("open"));
    }
}
