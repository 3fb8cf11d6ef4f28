//! `users`: the file of `smtpd_sasl_type = internal`: `hikyaku-tools users [-c config_dir] [-f file] [-p] [-a] list | add NAME |
//! passwd NAME | delete NAME`. An extension.
//!
//! The file is `-f`, or what `smtpd_sasl_path` of main.cf names. A password is typed twice, or with `-p` the first line of standard
//! input; never an argument. It is kept for SCRAM; with `-a` as an argon2 hash, with which PLAIN and LOGIN alone work. A running server
//! knows the change with the next login. Exit status 0, or 1 when nothing was changed.

use super::{password, update};
use crate::{getopt, tools::Tool};
use base_conf::Config;
use base_sasl::{Keep, UsersFile, check_name};
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The tool.
pub const TOOL: Tool = Tool { name: "users", run, about: "users of smtpd_sasl_type = internal" };

const USAGE: &str = "[-c config_dir] [-f file] [-p] [-a] list | add NAME | passwd NAME | delete NAME";

fn run(args: &[OsString]) -> ExitCode {
    match go(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("users: fatal: {e}");
            ExitCode::FAILURE
        }
    }
}

fn go(args: &[OsString]) -> Result<(), String> {
    let usage = |why: String| format!("{why}usage: users {USAGE}");
    let options = getopt::parse("c:f:pa", args).map_err(|e| usage(format!("{e}; ")))?;
    let words: Vec<String> = options.operands.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (path, owner) = match options.value('f') {
        Some(file) => (PathBuf::from(file), None),
        None => configured(options.value('c').map(Path::new))?,
    };
    let shown = |e: io::Error| format!("{}: {e}", path.display());
    let change = |edit: &dyn Fn(&mut UsersFile) -> Result<(), String>| {
        let is_new = !path.exists();
        update(&path, 0o600, |bytes| edited(&bytes, edit)).map_err(shown)?;
        match owner.filter(|_| is_new) {
            Some((uid, gid)) => std::os::unix::fs::chown(&path, Some(uid), Some(gid)).map_err(shown),
            None => Ok(()),
        }
    };
    let keep = if options.has('a') { Keep::Argon2 } else { Keep::Scram };
    let ask = || password::ask(options.has('p')).map_err(|e| e.to_string());
    match words.as_slice() {
        ["list"] => {
            let bytes = fs::read(&path).map_err(shown)?;
            UsersFile::parse(&String::from_utf8_lossy(&bytes)).names().for_each(|name| println!("{name}"));
            Ok(())
        }
        ["add", name] => {
            check_name(name).map_err(|e| e.to_string())?;
            let password = ask()?;
            change(&|file| match file.has(name) {
                true => Err(format!("{name} is there already")),
                false => file.set(name, &password, keep).map_err(|e| e.to_string()),
            })
        }
        ["passwd", name] => {
            let password = ask()?;
            change(&|file| match file.has(name) {
                true => file.set(name, &password, keep).map_err(|e| e.to_string()),
                false => Err(format!("no user {name}")),
            })
        }
        ["delete", name] => change(&|file| file.remove(name).then_some(()).ok_or(format!("no user {name}"))),
        _ => Err(usage(String::new())),
    }
}

fn edited(bytes: &[u8], edit: &dyn Fn(&mut UsersFile) -> Result<(), String>) -> io::Result<Vec<u8>> {
    let mut file = UsersFile::parse(std::str::from_utf8(bytes).map_err(io::Error::other)?);
    edit(&mut file).map_err(io::Error::other)?;
    Ok(file.write().into_bytes())
}

/// The file that the server uses, and whose it is to be when root makes it: the server reads it as `mail_owner`.
fn configured(dir: Option<&Path>) -> Result<(PathBuf, Option<(u32, u32)>), String> {
    let env = std::env::var_os("MAIL_CONFIG").map(PathBuf::from);
    let dir = dir.map(Path::to_owned).or(env).unwrap_or_else(|| "/etc/postfix".into());
    let config = Config::load(&dir).map_err(|e| e.to_string())?;
    let value = |name: &str| config.str(name).map_err(|e| e.to_string());
    match value("smtpd_sasl_type")?.as_str() {
        "internal" => {
            let owner = match base_sys::privilege::is_root() {
                true => base_sys::User::by_name(&value("mail_owner")?).ok().flatten().map(|u| (u.uid, u.gid)),
                false => None,
            };
            Ok((config.dir().join(value("smtpd_sasl_path")?), owner))
        }
        other => Err(format!("smtpd_sasl_type is {other}, not internal; -f names a file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn call(args: &[&str]) -> Result<(), String> {
        go(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_file_of_main_cf() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().display().to_string();
        let (main, users) = (dir.path().join("main.cf"), dir.path().join("who"));
        fs::write(&main, "smtpd_sasl_path = who\n").unwrap();
        let refused = call(&["-c", &folder, "list"]).unwrap_err();
        assert!(refused.starts_with("smtpd_sasl_type is cyrus"), "{refused}");
        fs::write(&main, "smtpd_sasl_path = who\nsmtpd_sasl_type = internal\n").unwrap();
        assert!(call(&["-c", &folder, "delete", "alice"]).unwrap_err().ends_with("no user alice"));
        assert!(!users.exists());
        fs::write(&users, "alice:x\nbob:y\n").unwrap();
        fs::set_permissions(&users, fs::Permissions::from_mode(0o640)).unwrap();
        call(&["-c", &folder, "delete", "alice"]).unwrap();
        assert_eq!(fs::read_to_string(&users).unwrap(), "bob:y\n");
        assert_eq!(fs::metadata(&users).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(call(&["-c", &folder, "add", "a:b"]).unwrap_err().starts_with("bad user name"));
        assert!(call(&["-c", &folder, "frob"]).unwrap_err().starts_with("usage: users"));
    }
}
