//! `saslpasswd2` and `sasldblistusers2`: the password database of `smtpd_sasl_type = cyrus` (saslpasswd2(8), sasldblistusers2(8)).
//!
//! A database that Cyrus SASL made (Berkeley DB) is read; once changed here it has our own format, which Cyrus SASL does not
//! read. The file is replaced whole, so that a server sees the old one or the new one. Exit status 0 as the originals.

mod password;
mod users;

pub use users::TOOL as USERS;

use crate::{
    getopt,
    postconf::{Fatal, replace::Replacing},
    tools::Tool,
};
use base_sasl::{DEFAULT_PATH, Passwords};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Sets and deletes passwords.
pub const SASLPASSWD2: Tool = Tool { name: "saslpasswd2", run: passwd, about: "set a user's SASL password" };

/// Lists users.
pub const SASLDBLISTUSERS2: Tool =
    Tool { name: "sasldblistusers2", run: list, about: "list the users of the SASL password database" };

const USAGE: &str = "saslpasswd2: usage: saslpasswd2 [-v] [-c [-p] [-n]] [-d] [-a appname] [-f sasldb] [-u DOM] userid\n\
\t-p\tpipe mode -- no prompt, password read on stdin\n\
\t-c\tcreate -- ask mechs to create the account\n\
\t-d\tdisable -- ask mechs to disable/delete the account\n\
\t-n\tno userPassword -- don't set plaintext userPassword property\n\
\t  \t                   (only set mechanism-specific secrets)\n\
\t-f sasldb\tuse given file as sasldb\n\
\t-a appname\tuse appname as application name\n\
\t-u DOM\tuse DOM for user domain\n\
\t-v\tprint version numbers and exit";

fn usage(error: &str) -> ExitCode {
    if !error.is_empty() {
        eprintln!("saslpasswd2: {error}");
    }
    eprintln!("{USAGE}");
    ExitCode::from(1)
}

fn text(value: Option<&std::ffi::OsStr>) -> Option<String> {
    value.map(|v| v.to_string_lossy().into_owned())
}

fn passwd(args: &[OsString]) -> ExitCode {
    let parsed = match getopt::parse("pcdnf:u:a:v", args) {
        Ok(p) => p,
        Err(e) => return usage(&e),
    };
    if parsed.has('v') {
        println!("\nThis is the saslpasswd2 of Hikyaku {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let [user] = parsed.operands.as_slice() else { return usage("") };
    let user = user.to_string_lossy().into_owned();
    let (name, realm) = match (user.rsplit_once('@'), text(parsed.value('u'))) {
        (_, Some(realm)) => (user.clone(), realm),
        (Some((name, realm)), None) => (name.to_owned(), realm.to_owned()),
        (None, None) => (user.clone(), host_name()),
    };
    let path = PathBuf::from(text(parsed.value('f')).unwrap_or_else(|| DEFAULT_PATH.to_owned()));
    let change = |passwords: &mut Passwords| -> io::Result<()> {
        if parsed.has('d') {
            passwords.remove(&name, &realm);
            return Ok(());
        }
        let password = password::ask(parsed.has('p'))?;
        if !parsed.has('n') {
            passwords.set(&name, &realm, &password);
        }
        Ok(())
    };
    match edit(&path, change) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("saslpasswd2: {}: {e}", path.display());
            ExitCode::from(1)
        }
    }
}

/// Changes a database.
fn edit(path: &Path, change: impl FnOnce(&mut Passwords) -> io::Result<()>) -> io::Result<()> {
    update(path, 0o640, |bytes| {
        let mut passwords = Passwords::read(&bytes).map_err(io::Error::other)?;
        change(&mut passwords)?;
        Ok(passwords.write())
    })
}

fn list(args: &[OsString]) -> ExitCode {
    let parsed = match getopt::parse("f:v", args) {
        Ok(p) => p,
        Err(e) => {
            eprintln!("sasldblistusers2: {e}\nsasldblistusers2: usage: sasldblistusers2 [-v] [[-f] file]");
            return ExitCode::from(1);
        }
    };
    if parsed.has('v') {
        println!("\nThis is the sasldblistusers2 of Hikyaku {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let operand = parsed.operands.first().map(|o| o.to_string_lossy().into_owned());
    let path = text(parsed.value('f')).or(operand).unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let passwords = fs::read(&path).ok().and_then(|bytes| Passwords::read(&bytes).ok());
    let Some(passwords) = passwords else {
        eprintln!("listusers failed");
        return ExitCode::SUCCESS;
    };
    for u in passwords.users() {
        println!("{}@{}: {}", u.name, u.realm, u.property);
    }
    ExitCode::SUCCESS
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |t| t.trim().to_owned())
}

/// Reads a file of passwords, changes it, and puts the new one in its place: whole, so that a server sees the old one or the new
/// one, with the same owner and mode. A new file has `mode`.
fn update(path: &Path, mode: u32, change: impl FnOnce(Vec<u8>) -> io::Result<Vec<u8>>) -> io::Result<()> {
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).is_ok();
    let done = (|| {
        let failed = |e: Fatal| io::Error::other(e.text);
        let edit = Replacing::begin(path).map_err(failed)?;
        let content = change(edit.read().map_err(failed)?)?;
        edit.finish(&content).map_err(failed)
    })();
    if made && done.is_err() {
        let _ = fs::remove_file(path);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_database_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("db");
        let set = |user: &'static str| {
            move |p: &mut Passwords| {
                p.set(user, "example.com", "pw");
                Ok(())
            }
        };
        edit(&db, set("alice")).unwrap();
        edit(&db, set("bob")).unwrap();
        let users = Passwords::read(&fs::read(&db).unwrap()).unwrap().users();
        assert_eq!(users.len(), 2);
        assert_eq!(fs::metadata(&db).unwrap().mode() & 0o777, 0o640);
        assert!(edit(&db, |_| Err(io::Error::other("no"))).is_err());
        assert!(edit(&dir.path().join("new"), |_| Err(io::Error::other("no"))).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
