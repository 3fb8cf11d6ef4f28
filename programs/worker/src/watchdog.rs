//! A worker that serves nobody any more ends at once: master starts it again within moments, and nothing is lost by that.
//!
//! A panic of a session's task ends that session only. One inside the runtime (a wake-up that the kernel refuses) ends a thread that
//! all sessions need: [`abort_when_the_runtime_fails`] ends the process. A runtime that does not run what it is given for
//! [`PATIENCE`] is found by [`watch`].

use base_log::{Log, Source};
use std::{
    io,
    panic::{self, Location},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};
use tokio::runtime::Handle;

/// How often the runtime is asked for a sign of life.
const EVERY: Duration = Duration::from_secs(5);
/// How long one sign may take, in steps of [`EVERY`]: a process that was stopped for a while gets its time.
const PATIENCE: u32 = 12;

/// Logs panics; one inside the runtime's own code ends the process.
pub fn abort_when_the_runtime_fails(log: Log, source: Source) {
    panic::set_hook(Box::new(move |info| {
        log.error(&source, format_args!("panic: {info}"));
        if info.location().is_some_and(is_runtime) {
            log.flush();
            std::process::abort();
        }
    }));
}

fn is_runtime(place: &Location<'_>) -> bool {
    is_of_runtime(place.file())
}

/// By the folder of its sources: tokio itself, not `tokio-rustls`, where a panic is one session's.
fn is_of_runtime(file: &str) -> bool {
    ["/tokio-1.", "/mio-1."].iter().any(|part| file.contains(part))
}

/// Starts a thread that ends the process when the runtime stands still.
pub fn watch(runtime: &Handle, log: Log, source: Source) -> io::Result<()> {
    let runtime = runtime.clone();
    let look = move || {
        loop {
            thread::sleep(EVERY);
            let (alive, sign) = channel();
            runtime.spawn(async move { alive.send(()) });
            let mut waits = (0..PATIENCE).map(|_| sign.recv_timeout(EVERY));
            match waits.find(|wait| *wait != Err(RecvTimeoutError::Timeout)) {
                Some(Ok(())) => {}
                // The runtime has ended: so will the process.
                Some(Err(_)) => return,
                None => {
                    log.fatal(&source, "the runtime stands still: ending");
                    log.flush();
                    std::process::abort();
                }
            }
        }
    };
    thread::Builder::new().name("watchdog".into()).spawn(look).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_runtime_is_told_from_ours() {
        assert!(!is_runtime(Location::caller()));
        for (file, want) in [
            ("/r/tokio-1.47.1/src/runtime/io/driver.rs", true),
            ("/r/mio-1.0.4/src/waker.rs", true),
            ("/r/tokio-rustls-0.26.2/src/common/mod.rs", false),
            ("/r/tokio-postgres-0.7.13/src/lib.rs", false),
            ("/r/tokio-util-0.7.16/src/lib.rs", false),
        ] {
            assert_eq!(is_of_runtime(file), want, "{file}");
        }
    }

    #[test]
    fn ends_with_the_runtime() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        watch(runtime.handle(), Log::test().0, Source::new("postfix/qmgr", 1)).unwrap();
    }
}
