//! `clock`: the machine's clock against a time server (SNTP, RFC 4330): dates of messages, retry times, certificates and
//! signatures all need it.

use super::super::{Check, Finding, Level};
use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::net::UdpSocket;

/// Asked for the time.
const SERVER: (&str, u16) = ("pool.ntp.org", 123);
/// From 1900 to 1970.
const EPOCH: i64 = 2_208_988_800;

/// The record.
pub const CHECK: Check = Check {
    name: "clock",
    about: "the clock, against pool.ntp.org",
    limit: Duration::from_secs(8),
    look: |_| {
        Box::pin(async {
            match offset().await {
                Ok(seconds) => vec![judge(seconds)],
                Err(e) => vec![(Level::Unknown, format!("no time from {}: {e}", SERVER.0))],
            }
        })
    },
};

fn judge(seconds: i64) -> Finding {
    let text = format!("{} seconds off", seconds.abs());
    match seconds.abs() {
        0..=2 => (Level::Ok, "the clock is right".into()),
        3..=120 => (Level::Warning, text),
        _ => (Level::Problem, text),
    }
}

/// Seconds that our clock is behind the server's.
async fn offset() -> io::Result<i64> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).await?;
    socket.connect(SERVER).await?;
    // Version 4, client (RFC 4330 4).
    let mut packet = [0; 48];
    packet[0] = 0x23;
    socket.send(&packet).await?;
    let n = socket.recv(&mut packet).await?;
    let theirs = transmitted(packet.get(..n).unwrap_or_default())
        .ok_or_else(|| io::Error::other("an answer that is none"))?;
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed());
    Ok(theirs - ours)
}

/// The seconds since 1970 in a server's answer; the second era begins in 2036.
fn transmitted(packet: &[u8]) -> Option<i64> {
    let is_server =
        packet.first()? & 7 == 4 && packet.get(1).is_some_and(|stratum| (1..16).contains(stratum));
    let seconds: [u8; 4] = packet.get(40..44)?.try_into().ok()?;
    let seconds = i64::from(u32::from_be_bytes(seconds));
    let era = if seconds < EPOCH { 1 << 32 } else { 0 };
    is_server.then_some(seconds + era - EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let mut packet = [0; 48];
        (packet[0], packet[1]) = (0x24, 2);
        packet[40..44].copy_from_slice(&(u32::try_from(EPOCH).unwrap() + 5).to_be_bytes());
        assert_eq!(transmitted(&packet), Some(5));
        packet[40..44].copy_from_slice(&[0, 0, 0, 1]);
        assert_eq!(transmitted(&packet), Some((1 << 32) + 1 - EPOCH));
        packet[1] = 0;
        assert_eq!(transmitted(&packet), None, "a kiss of death has no time");
        assert_eq!(transmitted(&packet[..40]), None);
        assert_eq!([judge(-1).0, judge(60).0, judge(-4000).0], [Level::Ok, Level::Warning, Level::Problem]);
    }
}
