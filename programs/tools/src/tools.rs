//! The registry of tools: one record per file, one word here, sorted by name.

use std::{ffi::OsString, process::ExitCode};

/// A command-line tool.
pub struct Tool {
    /// The command name, as in `sbin/`.
    pub name: &'static str,
    /// Runs it with the arguments after the command name.
    pub run: fn(&[OsString]) -> ExitCode,
    /// One line for the list of tools.
    pub about: &'static str,
}

/// Every tool, sorted by name.
pub const ALL: &[Tool] = &[
    crate::dkim_genkey::TOOL,
    crate::mailq::TOOL,
    crate::manual::TOOL,
    crate::postmap::NEWALIASES,
    crate::postmap::POSTALIAS,
    crate::postcat::TOOL,
    crate::postconf::TOOL,
    crate::postfix::TOOL,
    crate::postlog::TOOL,
    crate::postmap::POSTMAP,
    crate::postsuper::TOOL,
    crate::posttls_finger::TOOL,
    crate::qshape::TOOL,
    crate::sasl::SASLDBLISTUSERS2,
    crate::sasl::SASLPASSWD2,
    crate::sendmail::TOOL,
    crate::showq::TOOL,
    crate::up::TOOL,
    crate::sasl::USERS,
];

/// The tool called `name`.
pub fn find(name: &str) -> Option<&'static Tool> {
    ALL.iter().find(|t| t.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_installed_name_has_its_tool() {
        for line in include_str!("../../COMMANDS").lines() {
            let (name, program) = line.split_once(' ').unwrap();
            assert_eq!(find(name).is_some(), program == "hikyaku-tools", "{name}");
        }
    }

    #[test]
    fn sorted_and_unique() {
        assert!(ALL.windows(2).all(|w| w[0].name < w[1].name));
    }
}
