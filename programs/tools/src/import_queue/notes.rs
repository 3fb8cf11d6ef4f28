//! The per-recipient notes of Postfix's bounce, defer and trace folders: why a recipient waits, or what its sender is still to be told.
//!
//! A file is named as the message, wherever hashing put it: the names are collected once. Blocks between empty lines; in each a line for
//! people and lines `name=value`. A folder or file that cannot be read is an error, since somebody would never hear of their mail.

use super::files::Files;
use anyhow::{Context, Result, bail};
use base_calls::Diagnosis;
use proto_dsn::Status;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest file that is read.
const MAX_SIZE: u64 = 64 << 20;

/// What is known of the recipients of a message, by the offset of their records in the queue file.
pub(super) type Notes = HashMap<u64, Diagnosis>;

/// The files of one of the folders, by message.
pub(super) struct Folder(HashMap<String, PathBuf>);

impl Folder {
    /// Looks through the folder.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let named = |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), path));
        Files::new(folder)?.filter_map(|path| path.map(named).transpose()).collect::<Result<_>>().map(Self)
    }

    /// What it says about a message.
    pub(super) fn about(&self, name: &str) -> Result<Notes> {
        let Some(path) = self.0.get(name) else { return Ok(Notes::new()) };
        read(path).with_context(|| path.display().to_string())
    }
}

fn read(path: &Path) -> Result<Notes> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SIZE {
        bail!("too long");
    }
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// The last note about a recipient counts.
fn parse(text: &str) -> Notes {
    text.split("\n\n").filter_map(note).collect()
}

fn note(block: &str) -> Option<(u64, Diagnosis)> {
    let mut offset = None;
    let mut why = Diagnosis::default();
    let (mut kind, mut code) = (String::new(), String::new());
    for (name, value) in block.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "offset" => offset = value.parse().ok(),
            "status" => why.status = value.parse::<Status>().ok()?,
            "action" => why.action = Some(value.to_owned()),
            "reason" => why.reason = value.to_owned(),
            "mta_name" => why.remote_mta = Some(value.to_owned()),
            "diag_type" => kind = value.to_owned(),
            "diag_text" => code = value.to_owned(),
            _ => {}
        }
    }
    if !code.is_empty() {
        why.diagnostic = Some((kind, code));
    }
    why.action = why.action.filter(|a| !matches!(a.as_str(), "failed" | "delayed"));
    Some((offset?, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn notes_of_postfix() {
        let text = "\n<alice@example.com>: deferred transport\nrecipient=alice@example.com\noffset=677\nstatus=4.3.2\naction=delayed\nreason=deferred transport\n\n\n<carol@example.com>: no\nrecipient=carol@example.com\noffset=755\nstatus=5.1.1\naction=failed\ndiag_type=smtp\ndiag_text=550 no\nmta_type=dns\nmta_name=mx.example.com\nreason=host said: 550 no\n\n";
        let notes = parse(text);
        assert_eq!(notes.len(), 2);
        assert_eq!(notes[&677], Diagnosis::new(Status::new(4, 3, 2), "deferred transport"));
        let carol = &notes[&755];
        assert_eq!(carol.diagnostic, Some(("smtp".into(), "550 no".into())));
        assert_eq!((carol.remote_mta.as_deref(), &carol.action), (Some("mx.example.com"), &None));
        assert!(parse("junk\n\nstatus=x\n").is_empty());
        let told = parse("offset=7\naction=relayed\nreason=sent\n");
        assert_eq!(told[&7].action.as_deref(), Some("relayed"));
    }

    #[test]
    fn files_wherever_they_are() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(dir.path().join("bounce/A/B")).expect("made");
        fs::write(dir.path().join("bounce/A/B/AB1"), b"offset=7\nreason=na\xefve\n\n").expect("written");
        let folder = Folder::open(&dir.path().join("bounce")).expect("read");
        assert_eq!(folder.about("AB1").expect("read")[&7].reason, "na\u{fffd}ve");
        assert!(folder.about("AB2").expect("none").is_empty());
        // Gone, or not to be read: nobody may take it for none.
        fs::remove_file(dir.path().join("bounce/A/B/AB1")).expect("removed");
        assert!(folder.about("AB1").is_err());
        assert!(Folder::open(&dir.path().join("none")).expect("none").about("AB1").expect("none").is_empty());
    }
}
