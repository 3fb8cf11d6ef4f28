//! The command line and the configuration directory of postqueue(1).

use super::Fatal;
use base_calls::Wanted;
use base_conf::Config;
use base_sys::privilege;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The configuration directory when none is named.
pub const DEFAULT_DIR: &str = "/etc/postfix";
const USAGE: &str =
    "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `-p`, `-j`.
    List {
        /// `-j`.
        json: bool,
        /// The messages to show.
        wanted: Wanted,
    },
    /// `-f`.
    Flush,
    /// `-i`.
    Deliver(String),
    /// `-s`.
    Site(String),
}

/// The command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What to do.
    pub request: Request,
    /// `-c`.
    pub dir: Option<PathBuf>,
}

/// Reads the arguments as getopt("c:fi:jps:v") does; exactly one request is allowed. What selects
/// messages ([`Wanted`]) goes with a listing.
pub fn parse(args: &[OsString]) -> Result<Options, Fatal> {
    let mut args = args.to_vec();
    let wanted = Wanted::take(&mut args).map_err(|e| Fatal::after(e, USAGE))?;
    let mut requests = Vec::new();
    let mut dir = None;
    let mut operands = 0;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let letters = match arg.as_bytes() {
            b"--" => {
                operands += args.by_ref().count();
                break;
            }
            [b'-', letters @ ..] if !letters.is_empty() => letters,
            _ => {
                operands += 1;
                continue;
            }
        };
        let mut letters = letters.iter();
        while let Some(&letter) = letters.next() {
            let mut value = || -> Result<OsString, Fatal> {
                let attached = letters.as_slice();
                letters = [].iter();
                match attached {
                    [] => args.next().cloned().ok_or_else(|| {
                        Fatal::after(
                            format!("option requires an argument -- '{}'", char::from(letter)),
                            USAGE,
                        )
                    }),
                    some => Ok(OsString::from_vec(some.to_vec())),
                }
            };
            match letter {
                b'c' => dir = Some(PathBuf::from(value()?)),
                b'f' => requests.push(Request::Flush),
                b'i' => requests.push(Request::Deliver(value()?.to_string_lossy().into_owned())),
                b'j' => requests.push(Request::List { json: true, wanted: wanted.clone() }),
                b'p' => requests.push(Request::List { json: false, wanted: wanted.clone() }),
                b's' => requests.push(Request::Site(value()?.to_string_lossy().into_owned())),
                b'v' => {}
                other => {
                    let shown = String::from_utf8_lossy(&[other]).into_owned();
                    return Err(Fatal::after(format!("invalid option -- '{shown}'"), USAGE));
                }
            }
        }
    }
    match (<[Request; 1]>::try_from(requests), operands) {
        (Ok([request]), 0) if wanted.is_empty() || matches!(request, Request::List { .. }) => {
            Ok(Options { request, dir })
        }
        _ => Err(Fatal::new(USAGE)),
    }
}

/// Loads the configuration. With the group's right, only directories that the administrator listed are allowed.
pub fn config(options: &Options) -> Result<Config, Fatal> {
    config_of(options.dir.clone())
}

/// The same for a program with other options.
pub fn config_of(dir: Option<PathBuf>) -> Result<Config, Fatal> {
    let named = dir.or_else(|| std::env::var_os("MAIL_CONFIG").map(PathBuf::from));
    let dir = named.unwrap_or_else(|| DEFAULT_DIR.into());
    if dir != Path::new(DEFAULT_DIR) && privilege::is_set_id() && privilege::real_uid() != 0 {
        check_directory(&dir)?;
    }
    Config::load(&dir).map_err(|e| {
        let file = dir.join("main.cf");
        match std::fs::File::open(&file) {
            Err(e) => Fatal::new(format!("open {}: {}", file.display(), base_sys::system_text(&e))),
            Ok(_) => Fatal::new(e.to_string()),
        }
    })
}

fn check_directory(dir: &Path) -> Result<(), Fatal> {
    let standard = Config::load(Path::new(DEFAULT_DIR)).map_err(|e| Fatal::new(e.to_string()))?;
    let lists = ["alternate_config_directories", "multi_instance_directories"];
    let allowed = lists.iter().filter_map(|n| standard.list(n).ok()).flatten().any(|d| Path::new(&d) == dir);
    if allowed {
        return Ok(());
    }
    let dir = dir.display();
    Err(Fatal::after(
        format!("error: unauthorized configuration directory name: {dir}"),
        format!(
            "specify \"alternate_config_directories = {dir}\" or \"multi_instance_directories = {dir}\" in {DEFAULT_DIR}/main.cf"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(args: &str) -> String {
        let args: Vec<OsString> = args.split_whitespace().map(OsString::from).collect();
        match parse(&args) {
            Ok(Options { request: Request::List { json, wanted }, dir }) => {
                let age = wanted.older_than.map_or(String::new(), |age| format!(" {age:?}"));
                let to = wanted.to.map_or(String::new(), |to| format!(" {to}"));
                format!("List{}{to}{age} {dir:?}", if json { " json" } else { "" })
            }
            Ok(o) => format!("{:?} {:?}", o.request, o.dir),
            Err(e) => format!("{:?} {}", e.before, e.text.split(' ').next().unwrap_or_default()),
        }
    }

    #[test]
    fn command_lines() {
        for (args, want) in [
            ("-f --to x", "[] usage:"),
            ("-p --to x --older-than=1h", "List x 3600s None"),
            ("--colour -p", "[\"invalid option -- '-'\"] usage:"),
            ("-j -c /x", "List json Some(\"/x\")"),
            ("-p", "List None"),
            ("-vvp -c/x", "List Some(\"/x\")"),
            ("-f", "Flush None"),
            ("-i ABC", "Deliver(\"ABC\") None"),
            ("-sexample.com", "Site(\"example.com\") None"),
            ("", "[] usage:"),
            ("-p -f", "[] usage:"),
            ("-p -p", "[] usage:"),
            ("-p x", "[] usage:"),
            ("x -p", "[] usage:"),
            ("-p -- x", "[] usage:"),
            ("-v", "[] usage:"),
            ("-z", "[\"invalid option -- 'z'\"] usage:"),
            ("--help", "[\"invalid option -- '-'\"] usage:"),
            ("-s", "[\"option requires an argument -- 's'\"] usage:"),
        ] {
            assert_eq!(show(args), want, "{args}");
        }
    }
}
