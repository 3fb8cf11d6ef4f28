//! `hikyaku-tools manual DIR`: manual pages and shell completion below DIR (`share` of an installation), made from the registries of
//! tools, commands, checks, parameters and table types. Called by `cargo xtask install` and by the package.
//!
//! `DIR/man/man1` a page for each command, `man5/hikyaku.5` all parameters, `man8/hikyaku.8` the server; `bash-completion/hikyaku`,
//! `zsh/site-functions/_hikyaku`.

mod completion;
mod page;

use crate::tools::Tool;
use std::{ffi::OsString, fs, io, path::Path, process::ExitCode};

/// The record.
pub const TOOL: Tool = Tool { name: "manual", run, about: "write manual pages and shell completion" };

/// The commands that an installation has, without those of hikyaku-submit.
fn installed() -> impl Iterator<Item = &'static Tool> {
    let names = include_str!("../../../COMMANDS").lines().filter_map(|l| l.split_once(' '));
    names.filter_map(|(name, _)| crate::tools::find(name))
}

/// What hikyaku-submit serves.
const SUBMIT: [(&str, &str); 2] =
    [("postdrop", "take a message from a local user"), ("postqueue", "list and flush the queue")];

fn run(args: &[OsString]) -> ExitCode {
    let [dir] = args else {
        eprintln!("usage: hikyaku-tools manual DIR");
        return ExitCode::FAILURE;
    };
    match write(Path::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("manual: {e}");
            ExitCode::FAILURE
        }
    }
}

fn write(dir: &Path) -> io::Result<()> {
    let put = |name: &str, text: String| {
        let path = dir.join(name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&path, text).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
    };
    for (name, about) in installed().map(|t| (t.name, t.about)).chain(SUBMIT) {
        put(&format!("man/man1/{name}.1"), page::command(name, about))?;
    }
    put("man/man5/hikyaku.5", page::parameters())?;
    put("man/man8/hikyaku.8", page::server())?;
    put("bash-completion/hikyaku", completion::bash())?;
    put("zsh/site-functions/_hikyaku", completion::zsh())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn everything_is_written_from_the_registries() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(read("man/man1/postfix.1").contains("\\fBlogrotate\\fR"));
        assert!(read("man/man1/postfix.1").contains("\\fBreverse\\-name\\fR"));
        assert!(read("man/man1/postqueue.1").starts_with(".TH POSTQUEUE 1"));
        assert!(read("man/man5/hikyaku.5").contains("\\fBmetrics_listen\\fR"));
        assert!(read("man/man5/hikyaku.5").contains("\\fBsmtpd_recipient_restrictions\\fR"));
        assert!(read("bash-completion/hikyaku").contains("doctor"));
        // A command without a page, or a page without its command, would be a mistake in the registries.
        let pages = fs::read_dir(dir.path().join("man/man1")).unwrap().count();
        assert_eq!(pages, include_str!("../../../COMMANDS").lines().count());
    }

    #[test]
    fn bash_takes_it_and_completes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hikyaku");
        fs::write(&file, completion::bash()).unwrap();
        let complete = |words: &str, at: usize| {
            let script = format!(
                ". {}; COMP_WORDS=({words}); COMP_CWORD={at}; _hikyaku; echo \"${{COMPREPLY[*]}}\"",
                file.display()
            );
            let out = Command::new("bash").args(["-c", &script]).output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8_lossy(&out.stdout).trim().to_owned()
        };
        assert_eq!(complete("postfix rel", 1), "reload");
        assert_eq!(complete("postfix -c /etc/postfix sta", 3), "start start-fg status");
        assert_eq!(complete("postfix doctor re", 2), "resolver reverse-name");
        assert_eq!(complete("postconf metrics", 1), "metrics_listen");
        assert_eq!(complete("postmap cid", 1), "cidr:");
        assert_eq!(complete("postsuper -r AL", 2), "ALL");
    }
}
