//! The settings of one table: a file of `name = value` lines in main.cf's syntax, or, for a table named without a
//! path (`mysql:name`), the parameters `name_…` of main.cf.
//!
//! In a file `$` means nothing; in main.cf it is expanded. What is wrong is an [`OpenError`] in Postfix's words.
//! mysql_table(5), "OBSOLETE MAIN.CF PARAMETERS".

use crate::NetOpen;
use base_conf::{Config, MainCf};
use base_tables::OpenError;
use std::path::Path;
use std::time::Duration;

/// The largest settings file.
const MAX_FILE: u64 = 1 << 20;

/// Where values come from.
enum Source {
    File(MainCf),
    MainCf(Config),
}

/// The settings of one table.
pub struct Settings {
    source: Source,
    /// The name after `type:`, for messages.
    pub name: String,
}

impl Settings {
    /// Reads the settings of a table.
    pub fn read(net: &NetOpen<'_>) -> Result<Settings, OpenError> {
        let name = net.open.name;
        if !name.starts_with(['/', '.']) {
            return Ok(Settings { source: Source::MainCf(net.config.clone()), name: name.to_owned() });
        }
        let failed =
            |e: &std::io::Error| OpenError::new(format!("open {name}: {}", base_sys::system_text(e)));
        let opener = &net.open.tables.options().opener;
        let content = opener.read(Path::new(name), MAX_FILE).map_err(|e| failed(&e))?;
        let text = String::from_utf8_lossy(&content).into_owned();
        let file = MainCf::parse(&text, Path::new(name)).map_err(|e| OpenError::new(e.to_string()))?;
        for warning in &file.warnings {
            (net.open.tables.options().warn)(warning);
        }
        Ok(Settings { source: Source::File(file), name: name.to_owned() })
    }

    /// The value, when it is set.
    pub fn get(&self, name: &str) -> Option<String> {
        match &self.source {
            Source::File(file) => file.get(name).map(|entry| entry.value.clone()),
            Source::MainCf(config) => {
                let name = format!("{}_{name}", self.name);
                config.is_set(&name).then(|| config.str(&name).ok()).flatten()
            }
        }
    }

    /// The value, or `default`.
    pub fn or(&self, name: &str, default: &str) -> String {
        self.get(name).unwrap_or_else(|| default.to_owned())
    }

    /// The value; without one the table cannot be opened.
    pub fn required(&self, name: &str) -> Result<String, OpenError> {
        let value = self.or(name, "");
        match value.is_empty() {
            true => Err(self.error("bad string length 0 < 1: ", name, "")),
            false => Ok(value),
        }
    }

    /// A number; `min` is the least it may be.
    pub fn number(&self, name: &str, default: i64, min: i64) -> Result<i64, OpenError> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else { return Ok(default) };
        let Ok(number) = text.parse::<i64>() else {
            return Err(self.error("bad numerical configuration: ", name, &text));
        };
        match number < min {
            true => Err(OpenError::new(match &self.source {
                Source::File(_) => format!("{}: invalid {name} parameter value {number} < {min}", self.name),
                Source::MainCf(_) => format!("invalid {}_{name} parameter value {number} < {min}", self.name),
            })),
            false => Ok(number),
        }
    }

    /// Like [`Settings::number`] for counts, where 0 stands for "no limit".
    pub fn limit(&self, name: &str, default: usize) -> Result<usize, OpenError> {
        let default = i64::try_from(default).unwrap_or(i64::MAX);
        Ok(usize::try_from(self.number(name, default, i64::MIN)?).unwrap_or(0))
    }

    /// Seconds, or a time with a unit.
    pub fn time(&self, name: &str, default: u64) -> Result<Duration, OpenError> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else {
            return Ok(Duration::from_secs(default));
        };
        let max = i64::from(i32::MAX);
        base_conf::value::time(name, &text, 's', 0, max)
            .map_err(|_| self.error("bad time value: ", name, &text))
    }

    /// `yes` or `no`.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, OpenError> {
        match self.get(name).as_deref() {
            None | Some("") => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("yes") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("no") => Ok(false),
            Some(text) => Err(self.error("bad boolean configuration: ", name, text)),
        }
    }

    fn error(&self, what: &str, name: &str, value: &str) -> OpenError {
        OpenError::new(match &self.source {
            Source::File(_) => format!("{}: {what}{name} = {value}", self.name),
            Source::MainCf(_) => format!("{what}{}_{name} = {value}", self.name),
        })
    }
}
