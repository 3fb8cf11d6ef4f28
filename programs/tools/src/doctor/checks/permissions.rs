//! `permissions`: who may do what with the configuration, and whether `sendmail` can hand mail in. The folders of the queue are no
//! concern: master makes and corrects them when it starts.

use super::super::{Check, Finding, Level, ground::Ground};
use crate::places;
use base_sys::{Group, User};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The record.
pub const CHECK: Check = Check {
    name: "permissions",
    about: "configuration files that others may change, submission by local users",
    limit: Duration::from_secs(5),
    look: |ground| {
        Box::pin(async {
            let mut found = configuration(ground);
            found.extend(submission(ground));
            if found.is_empty() {
                found.push((Level::Ok, "nobody but root may change the configuration".into()));
            }
            found
        })
    },
};

/// Who changes these files decides what root's process runs.
fn configuration(ground: &Ground) -> Vec<Finding> {
    let owner = User::by_name(&ground.value("mail_owner")).ok().flatten().map(|u| u.uid);
    let files = ["", "main.cf", "master.cf"].map(|name| ground.dir.join(name));
    files.iter().filter_map(|file| loose(file, owner)).collect()
}

fn loose(file: &Path, mail_owner: Option<u32>) -> Option<Finding> {
    let meta = fs::metadata(file).ok()?;
    let shown = file.display();
    if meta.mode() & 0o022 != 0 {
        return Some((Level::Problem, format!("{shown}: others than its owner may change it")));
    }
    let by_worker = meta.uid() != 0 && Some(meta.uid()) == mail_owner;
    by_worker.then(|| (Level::Problem, format!("{shown}: it belongs to mail_owner")))
}

/// Only where the server runs with users of its own.
fn submission(ground: &Ground) -> Option<Finding> {
    let group = Group::by_name(&ground.value("setgid_group")).ok().flatten()?;
    let program: PathBuf = fs::canonicalize(places::command("postdrop")).ok()?;
    let meta = fs::metadata(&program).ok()?;
    let (right_group, setgid) = (meta.gid() == group.gid, meta.mode() & 0o2000 != 0);
    let shown = program.display();
    (!right_group || !setgid).then(|| {
        let text = format!(
            "{shown} is not setgid {0}: users other than root cannot hand mail in (chgrp {0} {shown}; chmod 2755 {shown})",
            group.name
        );
        (Level::Warning, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn loose_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("main.cf");
        fs::write(&file, "").unwrap();
        let mode = |m| fs::set_permissions(&file, fs::Permissions::from_mode(m)).unwrap();
        mode(0o644);
        assert_eq!(loose(&file, None), None);
        mode(0o664);
        assert_eq!(loose(&file, None).unwrap().0, Level::Problem);
        assert_eq!(loose(&dir.path().join("missing"), None), None);
    }
}
