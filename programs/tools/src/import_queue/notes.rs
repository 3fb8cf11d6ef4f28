//! The per-recipient files of Postfix's bounce and defer folders: why a recipient waits, or what its sender is still to be told.
//!
//! Blocks between empty lines; in each a line for people and lines `name=value`. Pure.

use base_calls::Diagnosis;
use proto_dsn::Status;

/// One recipient's note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where the recipient's record stands in the queue file.
    pub offset: u64,
    /// The reason.
    pub why: Diagnosis,
}

/// All notes of a file; the last one about a recipient counts.
pub fn parse(text: &str) -> Vec<Note> {
    text.split("\n\n").filter_map(note).collect()
}

fn note(block: &str) -> Option<Note> {
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
    Some(Note { offset: offset?, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_postfix() {
        let text = "\n<alice@example.com>: deferred transport\nrecipient=alice@example.com\noffset=677\nstatus=4.3.2\naction=delayed\nreason=deferred transport\n\n\n<carol@example.com>: no\nrecipient=carol@example.com\noffset=755\nstatus=5.1.1\naction=failed\ndiag_type=smtp\ndiag_text=550 no\nmta_type=dns\nmta_name=mx.example.com\nreason=host said: 550 no\n\n";
        let notes = parse(text);
        assert_eq!(notes.len(), 2);
        assert_eq!(
            (notes[0].offset, notes[0].why.clone()),
            (677, Diagnosis::new(Status::new(4, 3, 2), "deferred transport"))
        );
        assert_eq!(notes[1].why.diagnostic, Some(("smtp".into(), "550 no".into())));
        assert_eq!(
            (notes[1].why.remote_mta.as_deref(), &notes[1].why.action),
            (Some("mx.example.com"), &None)
        );
        assert!(parse("junk\n\nstatus=x\n").is_empty());
    }
}
