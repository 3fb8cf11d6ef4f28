//! Doing one job. The process has become the user already (programs/courier's child).

use crate::{
    command,
    job::{Action, Job, JobReport},
    maildir, mbox,
};
use base_calls::Content;

/// Does it. Never panics; what goes wrong is in the report.
pub fn perform(job: &Job, content: &Content) -> JobReport {
    match &job.action {
        Action::Mbox(j) => JobReport::of(mbox::append(j, &job.copying, content)),
        Action::Maildir(j) => maildir::deliver(j, &job.copying, content),
        Action::Command(j) => command::run(j, &job.copying, content),
    }
}
