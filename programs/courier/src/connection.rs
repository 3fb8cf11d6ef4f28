//! One connection of the worker: request after request, each planned, carried out and answered.
//!
//! Runs on a thread of its own. A request that does not parse ends the connection. What happens to one recipient never
//! keeps the others of the request from their answer.

use crate::{
    frame::{self, Frames},
    gate::Gate,
    pool::Pool,
    settings::Settings,
};
use base_calls::{
    Content, Diagnosis,
    courier::{CourierAnswer, CourierRequest, Deposit, TargetAnswer, Verdict},
};
use base_log::{Log, Source};
use mail_deposit::{
    Plan, Step,
    job::Action,
    plan::{TargetPlan, Work},
};
use proto_dsn::Status;
use std::{
    fs::OpenOptions,
    io,
    os::unix::{
        fs::{OpenOptionsExt, fchown},
        net::UnixStream,
    },
    path::Path,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// For a worker that stops in the middle of a request, or does not take its answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What connections share.
pub struct Shared {
    /// The current configuration.
    pub settings: RwLock<Arc<Settings>>,
    /// The children.
    pub pool: Pool,
    /// The log.
    pub log: Log,
    /// Requests in hand.
    pub busy: Gate,
    /// Another courier takes new requests.
    pub retired: AtomicBool,
    /// No request is begun any more.
    pub closed: AtomicBool,
}

impl Shared {
    /// The configuration now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Waits until no request is in hand, at most `limit` (twice that, when one comes at that moment). When it returns true none
    /// will be: the process may end. The worker hears that a request was not
    /// begun by the end of its connection, and tries that delivery again later.
    pub fn finish(&self, limit: Duration) -> bool {
        if !self.busy.wait_empty(limit) {
            return false;
        }
        // Whoever entered before this looks in vain for `closed` and is waited for; who enters later sees it.
        self.closed.store(true, Ordering::SeqCst);
        self.busy.wait_empty(limit)
    }
}

/// Serves until the worker closes or sends nonsense.
pub fn serve(shared: &Shared, stream: UnixStream) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut frames = Frames::new(stream, Some(PATIENCE));
    while let Some(len) = frames.next_len()? {
        let _pass = shared.busy.enter();
        if shared.closed.load(Ordering::SeqCst) {
            break;
        }
        let request = CourierRequest::parse(&frames.bytes(len)?).map_err(|_| frame::malformed())?;
        let content = frames.content(request.content)?;
        let answer = answer(shared, &request, &content);
        frames.reply(&answer.to_frame())?;
        if shared.retired.load(Ordering::SeqCst) {
            break;
        }
    }
    Ok(())
}

fn answer(shared: &Shared, request: &CourierRequest, content: &Content) -> CourierAnswer {
    let settings = shared.settings();
    let source = settings.source(&request.service);
    let Plan { targets, warnings } = settings.agents.plan(request, content);
    for warning in &warnings {
        shared.log.warning(&source, warning);
    }
    CourierAnswer { targets: targets.into_iter().flat_map(|t| target(shared, &source, t, content)).collect() }
}

/// Carries out the steps of one target; pipe's step may answer for several.
fn target(shared: &Shared, source: &Source, plan: TargetPlan, content: &Content) -> Vec<TargetAnswer> {
    let mut answer = TargetAnswer { expanded: plan.expanded, ..TargetAnswer::default() };
    for step in plan.steps {
        match step {
            Step::Say { address, verdict } => {
                answer.deposits.push(Deposit { member: address.to_lowercase(), address, verdict });
            }
            Step::Forward(forward) => answer.forwards.push(forward),
            Step::Do(work) => {
                let verdict = work_done(shared, source, &work, content);
                let member = work.member.unwrap_or_else(|| work.address.to_lowercase());
                answer.deposits.push(Deposit { address: work.address, member, verdict });
            }
        }
    }
    match plan.indexes.as_slice() {
        [(index, _)] => vec![TargetAnswer { index: *index, ..answer }],
        several => several.iter().map(|(index, address)| for_one(*index, address, &answer)).collect(),
    }
}

fn for_one(index: u32, address: &str, answer: &TargetAnswer) -> TargetAnswer {
    let deposits = answer
        .deposits
        .iter()
        .map(|d| Deposit {
            address: address.to_owned(),
            member: address.to_lowercase(),
            verdict: d.verdict.clone(),
        })
        .collect();
    TargetAnswer { index, deposits, ..TargetAnswer::default() }
}

fn work_done(shared: &Shared, source: &Source, work: &Work, content: &Content) -> Verdict {
    if let Some(path) = &work.make_first
        && let Err(e) = make_mailbox(path, work.who.uid, work.who.gid)
    {
        shared.log.warning(source, format_args!("cannot make mailbox {}: {e}", path.display()));
    }
    match shared.pool.run(&work.who, &work.job, content, time_limit(work)) {
        Ok(report) => {
            for warning in &report.warnings {
                shared.log.warning(source, warning);
            }
            if let Some((program, text)) = report.last_words.as_deref().and_then(|w| w.split_once(": ")) {
                let own = (!program.is_empty()).then(|| Source::new(program, std::process::id()));
                shared.log.info(own.as_ref().unwrap_or(source), text);
            }
            report.verdict
        }
        Err(e) => {
            shared.log.warning(source, format_args!("delivery process for user id {}: {e:#}", work.who.uid));
            Verdict::Deferred(Diagnosis::new(Status::new(4, 3, 0), "delivery process failed"))
        }
    }
}

/// So long a job may take at most before its process is killed.
fn time_limit(work: &Work) -> Duration {
    const WRITING: Duration = Duration::from_secs(600);
    match &work.job.action {
        Action::Mbox(j) => (j.delay * j.attempts.min(10_000)).saturating_mul(2).saturating_add(WRITING),
        Action::Maildir(_) => WRITING,
        Action::Command(j) => j.time_limit.saturating_add(Duration::from_secs(60)),
    }
}

/// An empty mailbox that belongs to the user, in a folder where only root can make files. One that is there stays.
fn make_mailbox(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let made =
        OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path);
    match made {
        Ok(file) => fchown(&file, Some(uid), Some(gid)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        thread,
    };

    fn shared() -> Shared {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("main.cf"), "myhostname = mail.example.com\n").unwrap();
        std::fs::write(dir.path().join("master.cf"), "").unwrap();
        let (log, _) = Log::test();
        Shared {
            settings: RwLock::new(Arc::new(Settings::load(dir.path(), &log).unwrap())),
            pool: Pool::new("/bin/false".into(), 1, PATIENCE),
            log,
            busy: Gate::new(usize::MAX),
            retired: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    #[test]
    fn closed_when_nothing_is_in_hand_and_not_before() {
        let shared = shared();
        let pass = shared.busy.enter();
        assert!(!shared.finish(Duration::ZERO) && !shared.closed.load(Ordering::SeqCst));
        drop(pass);
        assert!(shared.finish(Duration::ZERO) && shared.closed.load(Ordering::SeqCst));
        // One that has entered between the two looks.
        let pass = shared.busy.enter();
        assert!(!shared.finish(Duration::ZERO));
        drop(pass);
        assert!(shared.finish(Duration::ZERO));
    }

    #[test]
    fn what_arrives_after_that_is_not_begun() {
        let shared = shared();
        let ask = |frame: &[u8]| {
            let (mut worker, ours) = UnixStream::pair().unwrap();
            worker.write_all(frame).unwrap();
            let done = thread::scope(|s| s.spawn(|| serve(&shared, ours)).join().unwrap());
            let mut answer = Vec::new();
            // What it did not read resets the connection.
            let _ = worker.read_to_end(&mut answer);
            (done.map_err(|e| e.kind()), answer.len())
        };
        let nonsense = [1, 0, 0, 0, 255];
        assert_eq!(ask(&nonsense), (Err(io::ErrorKind::InvalidData), 0));
        assert!(shared.finish(Duration::ZERO));
        assert_eq!(ask(&nonsense), (Ok(()), 0));
    }
}
