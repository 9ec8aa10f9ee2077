//! The settings that a history is replayed under: three presets, or every combination of what is given.

use crate::error::{Invalid, Kind};
use crate::smoothing::{AlertThresholds, Knobs, Params};

/// Most settings at once.
const SETTINGS_MAX: usize = 24;
/// The section of the names.
const SECTION: &str = "smoothing.";

/// Settings under a name.
#[derive(Debug, Clone)]
pub struct Setting {
    /// What it is called in tables: a preset's name, or what differs.
    pub name: String,
    /// What is set.
    pub knobs: Knobs,
    /// The same, checked.
    pub params: Params,
}

/// The names of the presets, from the quickest to the slowest.
pub const PRESETS: [&str; 3] = ["gentle", "standard", "strict"];

/// A preset's settings.
pub fn preset(name: &str) -> Option<Knobs> {
    let standard = Knobs::default();
    match name {
        "gentle" => Some(Knobs {
            vest_half_life_hours: 12.0,
            max_doubling_days: 14.0,
            surge_factor: 4.0,
            surge_floor: 10.0,
            ..standard
        }),
        "standard" => Some(standard),
        "strict" => Some(Knobs {
            vest_half_life_hours: 48.0,
            max_doubling_days: 56.0,
            surge_factor: 2.0,
            surge_floor: 3.0,
            ..standard
        }),
        _ => None,
    }
}

impl Setting {
    /// Named settings, with the thresholds of alerts.
    ///
    /// # Errors
    /// One is outside its range.
    pub fn new(name: &str, knobs: Knobs, alerts: AlertThresholds) -> Result<Self, Invalid> {
        Ok(Self { name: name.to_owned(), knobs, params: Params::new(&knobs)?.with_alerts(alerts) })
    }

    /// Presets by their names.
    ///
    /// # Errors
    /// There is none of a name.
    pub fn presets(names: &[String], alerts: AlertThresholds) -> Result<Vec<Self>, Invalid> {
        let unknown = |name: &str| {
            let detail = format!("there is no preset {name:?}; there are {}", PRESETS.join(", "));
            Invalid::new(Kind::SettingOutOfRange, detail)
        };
        let of = |name: &String| Self::new(name, preset(name).ok_or_else(|| unknown(name))?, alerts);
        names.iter().map(of).collect()
    }

    /// Every combination of `lists`, each `("smoothing.vest_half_life_hours", "6,24")`, on top of `base`.
    ///
    /// # Errors
    /// A name is unknown, a value is no number or outside its range, or there are too many combinations.
    pub fn combinations(
        base: &Knobs,
        lists: &[(String, String)],
        alerts: AlertThresholds,
    ) -> Result<Vec<Self>, Invalid> {
        let mut all: Vec<(Vec<String>, Knobs)> = vec![(Vec::new(), *base)];
        for (name, values) in lists {
            let short = name.strip_prefix(SECTION).unwrap_or(name);
            let mut next = Vec::new();
            for value in values.split(',').map(str::trim) {
                let wrong = |_| {
                    Invalid::new(
                        Kind::SettingOutOfRange,
                        format!("{name} {value:?} is no number; write {name}=6,24"),
                    )
                };
                let number: f64 = value.parse().map_err(wrong)?;
                for (said, knobs) in &all {
                    let mut knobs = *knobs;
                    *knob(&mut knobs, short).ok_or_else(|| {
                        let detail = format!("{name} is not replayed: only the settings of [smoothing] are");
                        Invalid::new(Kind::SettingOutOfRange, detail)
                    })? = number;
                    next.push(([&said[..], &[format!("{short} {value}")]].concat(), knobs));
                }
            }
            all = next;
        }
        if all.len() > SETTINGS_MAX {
            let detail = format!("these are {} combinations; at most {SETTINGS_MAX} are replayed", all.len());
            return Err(Invalid::new(Kind::SettingOutOfRange, detail));
        }
        let named = |(said, knobs): (Vec<String>, Knobs)| {
            let name = if said.is_empty() { "as set".to_owned() } else { said.join(", ") };
            Self::new(&name, knobs, alerts)
        };
        all.into_iter().map(named).collect()
    }
}

fn knob<'a>(knobs: &'a mut Knobs, name: &str) -> Option<&'a mut f64> {
    Some(match name {
        "vest_half_life_hours" => &mut knobs.vest_half_life_hours,
        "max_doubling_days" => &mut knobs.max_doubling_days,
        "grace_mass" => &mut knobs.grace_mass,
        "seed_weight" => &mut knobs.seed_weight,
        "surge_half_life_hours" => &mut knobs.surge_half_life_hours,
        "surge_factor" => &mut knobs.surge_factor,
        "surge_floor" => &mut knobs.surge_floor,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_combined_and_presets_have_names() {
        let lists = [("smoothing.vest_half_life_hours", "6,24"), ("smoothing.surge_factor", "2, 3")]
            .map(|(name, values)| (name.to_owned(), values.to_owned()));
        let all = Setting::combinations(&Knobs::default(), &lists, AlertThresholds::default()).unwrap();
        let names: Vec<&str> = all.iter().map(|setting| setting.name.as_str()).collect();
        assert_eq!(names[0], "vest_half_life_hours 6, surge_factor 2");
        assert_eq!((all.len(), all[3].knobs.surge_factor), (4, 3.0));
        for (name, values) in [
            ("smoothing.nothing", "1"),
            ("drain.batch_max", "1"),
            ("smoothing.surge_factor", "x,1"),
            ("smoothing.surge_factor", "0,1"),
        ] {
            let lists = [(name.to_owned(), values.to_owned())];
            assert!(
                Setting::combinations(&Knobs::default(), &lists, AlertThresholds::default()).is_err(),
                "{name}"
            );
        }
        assert_eq!(preset("standard"), Some(Knobs::default()));
        assert!(PRESETS.iter().all(|name| Params::new(&preset(name).unwrap()).is_ok()));
    }
}
