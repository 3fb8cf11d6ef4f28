//! What the running server says of itself, over `private/metrics`.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Longest page.
const MOST: u64 = 1 << 20;
/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// A page. An error when there is no server, no answer, or another one than 200.
pub fn page(queue_directory: &Path, path: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(queue_directory.join("private/metrics"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MOST).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other("the server does not answer as it should")),
    }
}

/// The value of a series on a page of metrics; `labels` as they are printed.
pub fn series(page: &str, name: &str, labels: &str) -> Option<f64> {
    let start = format!("{name}{{{labels}}} ");
    page.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
}
