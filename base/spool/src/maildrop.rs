//! The messages in the maildrop folder, for queue listings: handed in by `sendmail`, not yet taken by pickup(8).
//!
//! Reads only the envelope of each file. Files that are being written, or make no sense, are left out.

use base_calls::listing::ListedMessage;
use base_calls::maildrop::MaildropReader;
use base_calls::{QueueName, Timestamp};
use std::fs::{self, DirEntry, File};
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Lists `queue_directory`/maildrop, one file after the other.
pub fn list_maildrop(queue_directory: &Path) -> impl Iterator<Item = ListedMessage> {
    let entries = fs::read_dir(queue_directory.join("maildrop")).into_iter().flatten();
    entries.filter_map(|e| entry(&e.ok()?))
}

fn entry(file: &DirEntry) -> Option<ListedMessage> {
    let about = file.metadata().ok()?;
    // postdrop sets the owner's execute bit when the file is complete.
    if !about.is_file() || about.permissions().mode() & 0o100 == 0 {
        return None;
    }
    let (envelope, _) = MaildropReader::open(BufReader::new(File::open(file.path()).ok()?)).ok()?;
    Some(ListedMessage {
        queue: QueueName::Maildrop,
        id: file.file_name().into_string().ok()?,
        arrival: Timestamp::from(about.modified().ok()?),
        size: about.len(),
        forced_expire: false,
        sender: envelope.sender,
        recipients: envelope.recipients.into_iter().map(|r| (r.address, None)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_calls::Recipient;
    use base_calls::maildrop::{Maildrop, MaildropWriter};

    #[test]
    fn complete_files_only() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(list_maildrop(dir.path()).count(), 0);
        let folder = dir.path().join("maildrop");
        fs::create_dir(&folder).expect("made");
        let recipients = vec![Recipient { address: "a@b".into(), ..Recipient::default() }];
        let envelope = Maildrop { sender: "s@x".into(), recipients, ..Maildrop::default() };
        for (name, mode) in [("READY", 0o744), ("WRITING", 0o644)] {
            let file = File::create(folder.join(name)).expect("created");
            MaildropWriter::new(file, &envelope).and_then(MaildropWriter::finish).expect("written");
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).expect("set");
        }
        fs::write(folder.join("JUNK"), "junk").expect("written");
        let found: Vec<ListedMessage> = list_maildrop(dir.path()).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].id.as_str(), found[0].sender.as_str(), found[0].queue.as_str()),
            ("READY", "s@x", "maildrop")
        );
        assert_eq!(found[0].recipients, [("a@b".to_owned(), None)]);
    }
}
