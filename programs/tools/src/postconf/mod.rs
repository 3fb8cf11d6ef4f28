//! postconf(1).
use crate::tools::Tool;
use std::{ffi::OsString, process::ExitCode};

/// The record.
pub const TOOL: Tool = Tool { name: "postconf", run, about: "show and edit parameters and services" };

fn run(_args: &[OsString]) -> ExitCode {
    ExitCode::FAILURE
}
