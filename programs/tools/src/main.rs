//! hikyaku-tools: the administrator's commands. The tool is chosen by the name the program is called by
//! (`sbin/postconf` is a link to it), or by its first argument: `hikyaku-tools postconf -n`.
//!
//! Exit code 0 on success, 1 on any error, 64 to 78 where a manual page asks for sysexits.h codes.

mod check;
mod console;
mod control;
mod dkim_genkey;
mod doctor;
mod explain;
mod getopt;
mod import_queue;
mod listing;
mod mailq;
mod manual;
mod places;
mod postcat;
mod postconf;
mod postfix;
mod postlog;
mod postmap;
mod postsuper;
mod posttls_finger;
mod qshape;
mod rotate;
mod sasl;
mod say;
mod sendmail;
mod server;
mod showq;
mod tools;
mod up;

use std::{ffi::OsString, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let own = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    let called = Path::new(&own).file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if let Some(tool) = tools::find(called) {
        return (tool.run)(&rest);
    }
    match rest.split_first().and_then(|(name, args)| Some((tools::find(name.to_str()?)?, args))) {
        Some((tool, args)) => (tool.run)(args),
        None => list_tools(),
    }
}

fn list_tools() -> ExitCode {
    eprintln!("usage: hikyaku-tools NAME [argument...], where NAME is one of:");
    for tool in tools::ALL {
        eprintln!("  {:<12} {}", tool.name, tool.about);
    }
    ExitCode::FAILURE
}
