//! A password typed or piped in: for saslpasswd2 and `users`. It is never an argument, which every user of the machine could read.

use std::io::{self, BufRead, IsTerminal, Write};

/// The longest password.
const MAX_PASSWORD: usize = 1024;

/// The password from standard input, or typed twice.
pub(super) fn ask(pipe: bool) -> io::Result<String> {
    let typed = !pipe && io::stdin().is_terminal();
    if !typed {
        return line();
    }
    let quiet = Quiet::start();
    let first = prompt("Password: ")?;
    let second = prompt("Again (for verification): ")?;
    drop(quiet);
    if first != second {
        return Err(io::Error::other("passwords don't match"));
    }
    Ok(first)
}

fn prompt(text: &str) -> io::Result<String> {
    eprint!("{text}");
    io::stderr().flush()?;
    let typed = line();
    eprintln!();
    typed
}

fn line() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.len() > MAX_PASSWORD {
        return Err(io::Error::other("empty or endless password"));
    }
    Ok(text.to_owned())
}

/// No echo while it lives.
struct Quiet;

impl Quiet {
    fn start() -> Self {
        Self::stty("-echo");
        Self
    }

    fn stty(word: &str) {
        let _ = std::process::Command::new("stty").arg(word).status();
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        Self::stty("echo");
    }
}
