//! `disk`: room where the queue and the caches are, against `queue_minfree` and `message_size_limit`.

use super::super::{Check, Finding, Level, ground::Ground};
use base_sys::disk::Space;
use std::{path::Path, time::Duration};

/// The record.
pub const CHECK: Check = Check {
    name: "disk",
    about: "room for the queue and for the caches",
    limit: Duration::from_secs(5),
    look: |ground| {
        Box::pin(async { ["queue_directory", "data_directory"].iter().map(|p| room(ground, p)).collect() })
    },
};

fn room(ground: &Ground, parameter: &str) -> Finding {
    let folder = ground.value(parameter);
    let space = match base_sys::disk::space(Path::new(&folder)) {
        Ok(space) => space,
        Err(e) => return (Level::Problem, format!("{parameter}: {e}")),
    };
    let number = |name: &str| ground.config.int(name).ok().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    // smtpd(8) takes a message when there is room for it and half of it again.
    let wanted = number("queue_minfree").saturating_add(number("message_size_limit").saturating_mul(3) / 2);
    judge(&folder, &space, if parameter == "queue_directory" { wanted } else { 0 })
}

/// `wanted`: bytes that must be free.
fn judge(folder: &str, space: &Space, wanted: u64) -> Finding {
    let free = space.available;
    match free {
        _ if free <= wanted => {
            let text = format!("{folder}: {free} bytes free are too few for a message of message_size_limit");
            (Level::Problem, text)
        }
        _ if free.saturating_mul(20) < space.total => (
            Level::Warning,
            format!("{folder}: less than a twentieth of the disk is free: {} MiB", free >> 20),
        ),
        _ => (Level::Ok, format!("{folder}: {} MiB free", free >> 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_judged() {
        let level = |available, wanted| judge("/q", &Space { total: 100 << 20, available }, wanted).0;
        assert_eq!(level(50 << 20, 10), Level::Ok);
        assert_eq!(level(4 << 20, 10), Level::Warning);
        assert_eq!(level(50 << 20, 50 << 20), Level::Problem);
        assert_eq!(level(0, 0), Level::Problem);
    }
}
