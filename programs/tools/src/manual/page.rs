//! Manual pages as troff text (man(7)).

use crate::{doctor, postfix};
use base_conf::params::{self, Kind};
use std::fmt::Write;

/// Text that troff shows as it is.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    // A dot or an apostrophe at the beginning of a line would be a request.
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn head(name: &str, section: u8, about: &str) -> String {
    let upper = name.to_uppercase();
    let (name, about) = (plain(name), plain(about));
    let version = env!("CARGO_PKG_VERSION");
    format!(".TH {upper} {section} \"\" \"Hikyaku {version}\" \"Hikyaku\"\n.SH NAME\n{name} \\- {about}\n")
}

fn entries<'a>(out: &mut String, all: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, about) in all {
        let _ = writeln!(out, ".TP\n\\fB{}\\fR\n{}", plain(name), plain(about));
    }
}

/// A command's page.
pub fn command(name: &str, about: &str) -> String {
    let mut out = head(name, 1, about);
    let usage = if name == "postfix" {
        "[\\-c config_dir] [\\-v] command [argument ...]"
    } else {
        "[option ...] [argument ...]"
    };
    let _ = writeln!(out, ".SH SYNOPSIS\n.B {name}\n{usage}");
    out.push_str(
        ".SH DESCRIPTION\nOptions, output and exit status are those of the command of this name in Postfix. What is different, and \
         what is more, is in docs/parity.md and docs/extensions.md.\n",
    );
    if name == "postfix" {
        out.push_str(".SH COMMANDS\n");
        entries(&mut out, postfix::COMMANDS.iter().copied());
        out.push_str(".SH CHECKS OF THE DOCTOR\n");
        entries(&mut out, doctor::ALL.iter().map(|c| (c.name, c.about)));
    }
    out.push_str(".SH SEE ALSO\n.BR hikyaku (8),\n.BR hikyaku (5)\n");
    out
}

/// All parameters with type and default.
pub fn parameters() -> String {
    let mut out = head("hikyaku", 5, "parameters of main.cf");
    out.push_str(
        ".SH DESCRIPTION\nWhat a parameter of Postfix means is in its manual, postconf(5). \\fBpostconf \\-\\-why \\fINAME\\fR tells where a \
         value comes from and who reads it.\n.SH PARAMETERS\n",
    );
    for p in params::ALL.iter().filter(|p| p.kind != Kind::Template) {
        let default = if p.default.is_empty() { "empty" } else { p.default };
        let _ = writeln!(out, ".TP\n\\fB{}\\fR\n{}, default: {}", p.name, kind(p.kind), plain(default));
    }
    out
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Template => "text",
        Kind::Raw => "text, expanded when it is used",
        Kind::Int | Kind::Long => "number",
        Kind::Bool => "yes or no",
        Kind::Time => "time",
        Kind::Computed => "depends on the machine",
        Kind::Builtin => "set by the program",
    }
}

/// The server's page.
pub fn server() -> String {
    let mut out = head("hikyaku", 8, "a mail server that reads Postfix's configuration");
    out.push_str(".SH COMMANDS\n");
    entries(&mut out, super::installed().map(|t| (t.name, t.about)).chain(super::SUBMIT));
    out.push_str(".SH PROGRAMS\n");
    entries(
        &mut out,
        [
            ("hikyaku-master", "binds ports, starts and restarts the others; root"),
            ("hikyaku-worker", "everything that talks to the network or decides about mail; mail_owner"),
            ("hikyaku-courier", "becomes the recipient's user for each delivery"),
            ("hikyaku-submit", "postdrop and postqueue; setgid"),
            ("hikyaku-tools", "the other commands"),
        ]
        .into_iter(),
    );
    out.push_str(".SH FILES\n.I /etc/postfix/main.cf\n.br\n.I /etc/postfix/master.cf\n.SH SEE ALSO\n.BR hikyaku (5),\n.BR postfix (1)\n");
    out
}
