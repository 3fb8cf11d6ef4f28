//! Where the other programs of this installation are: beside this one's executable first, so that a tool never hands its
//! work to another mail system's program of the same name.

use base_conf::Config;
use std::path::{Path, PathBuf};

fn own_folder() -> PathBuf {
    std::env::current_exe().ok().and_then(|p| Some(p.parent()?.to_owned())).unwrap_or_default()
}

/// A command by its Postfix name (`postdrop`, `postqueue`): the link beside this executable, or in sbin/ of the prefix.
pub fn command(name: &str) -> PathBuf {
    let own = own_folder();
    [own.join(name), own.join("../../sbin").join(name), own.join("hikyaku-submit")]
        .into_iter()
        .find(|p| p.is_file())
        .unwrap_or_else(|| Path::new("/usr/sbin").join(name))
}

/// An executable of the server (`hikyaku-master`): in daemon_directory when it is there, else in `../libexec/hikyaku`
/// beside this one, else in its own folder.
pub fn daemon(config: &Config, name: &str) -> Option<PathBuf> {
    let own = own_folder();
    let configured = config.str("daemon_directory").map(PathBuf::from).unwrap_or_default();
    [configured, own.join("../libexec/hikyaku"), own.join("../../libexec/hikyaku"), own]
        .into_iter()
        .map(|d| d.join(name))
        .find(|p| p.is_file())
}
