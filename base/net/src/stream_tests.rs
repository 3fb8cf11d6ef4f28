//! Lines, limits and deadlines of LineStream.

use super::*;
use tokio::io::{DuplexStream, duplex};

const SEC: Duration = Duration::from_secs(1);

fn pair(size: usize) -> (LineStream<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(size);
    (LineStream::new(ours, 10 * SEC), theirs)
}

async fn lines(input: &[u8], step: usize, limit: usize, excess: Excess) -> Vec<(String, Ending)> {
    let (mut stream, mut peer) = pair(1 << 16);
    let input = input.to_vec();
    tokio::spawn(async move {
        for piece in input.chunks(step) {
            peer.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut out = Vec::new();
    while let Ok(line) = stream.read_line(limit, excess).await {
        out.push((String::from_utf8_lossy(line.bytes).into_owned(), line.ending));
    }
    out
}

#[tokio::test(start_paused = true)]
async fn lines_split_anywhere() {
    use Ending::{CrLf, Cut, Lf};
    let input =
        b"HELO a\r\nbare\n\r\r\n\nabcdefgh\r\nabcdefghi\r\nabcdefghijklmnopqrstuvwxyz\nlast\r\nno end";
    let common =
        [("HELO a", CrLf), ("bare", Lf), ("", CrLf), ("", Lf), ("abcdefgh", CrLf), ("abcdefgh", Cut)];
    let skip = [("abcdefgh", Cut), ("last", CrLf)];
    let keep =
        [("i", CrLf), ("abcdefgh", Cut), ("ijklmnop", Cut), ("qrstuvwx", Cut), ("yz", Lf), ("last", CrLf)];
    let own = |l: &[(&str, Ending)]| l.iter().map(|(t, e)| ((*t).to_owned(), *e)).collect::<Vec<_>>();
    for step in 1..=input.len() {
        let want = own(&[&common[..], &skip[..]].concat());
        assert_eq!(lines(input, step, 8, Excess::Skip).await, want, "skip, step {step}");
        let want = own(&[&common[..], &keep[..]].concat());
        assert_eq!(lines(input, step, 8, Excess::Keep).await, want, "keep, step {step}");
    }
}

#[tokio::test]
async fn end_of_input_within_a_line_is_closed() {
    let (mut stream, mut peer) = pair(100);
    peer.write_all(b"half").await.unwrap();
    drop(peer);
    assert!(matches!(stream.read_line(100, Excess::Skip).await, Err(NetError::Closed)));
}

#[tokio::test]
async fn replies_go_out_before_waiting() {
    let (mut stream, mut peer) = pair(1000);
    peer.write_all(b"one\r\ntwo\r\n").await.unwrap();
    stream.send(b"1\r\n").await.unwrap();
    stream.read_line(100, Excess::Skip).await.unwrap();
    assert!(stream.has_buffered());
    stream.send(b"2\r\n").await.unwrap();
    stream.read_line(100, Excess::Skip).await.unwrap();
    assert!(!stream.has_buffered());
    let mut got = [0; 6];
    let (read, line) = tokio::join!(
        async {
            let n = peer.read_exact(&mut got).await.map(|_| got);
            peer.write_all(b"three\r\n").await.unwrap();
            n
        },
        stream.read_line(100, Excess::Skip)
    );
    assert_eq!(&read.unwrap(), b"1\r\n2\r\n");
    assert_eq!(line.unwrap().bytes, b"three");
}

#[tokio::test]
async fn a_waiting_stream_keeps_no_buffer() {
    let (mut stream, mut peer) = pair(1 << 20);
    peer.write_all(&[b'x'; 100_000]).await.unwrap();
    peer.write_all(b"\r\n").await.unwrap();
    stream.read_line(200_000, Excess::Skip).await.unwrap();
    assert!(stream.input.capacity() >= 100_000);
    {
        let wait = stream.read_line(100, Excess::Skip);
        tokio::pin!(wait);
        assert!(futures_poll(wait.as_mut()).await.is_pending());
    }
    assert_eq!(stream.input.capacity(), 0);
    peer.write_all(b"next\r\n").await.unwrap();
    assert_eq!(stream.read_line(100, Excess::Skip).await.unwrap().bytes, b"next");
}

async fn futures_poll<F: Future>(mut f: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(f.as_mut().poll(cx))).await
}

#[tokio::test(start_paused = true)]
async fn each_read_has_its_limit() {
    let (mut stream, mut peer) = pair(100);
    let start = Instant::now();
    let feed = tokio::spawn(async move {
        for _ in 0..3 {
            tokio::time::sleep(9 * SEC).await;
            peer.write_all(b"x").await.unwrap();
        }
        tokio::time::sleep(1000 * SEC).await;
    });
    assert!(matches!(stream.read_line(100, Excess::Skip).await, Err(NetError::TimedOut)));
    assert_eq!(start.elapsed().as_secs(), 37);
    feed.abort();
}

#[tokio::test(start_paused = true)]
async fn a_request_has_a_deadline() {
    let (mut stream, mut peer) = pair(100);
    let start = Instant::now();
    stream.begin_request(NonZeroU32::new(1));
    let feed = tokio::spawn(async move {
        for _ in 0..30 {
            tokio::time::sleep(2 * SEC).await;
            peer.write_all(b"x").await.unwrap();
        }
        tokio::time::sleep(1000 * SEC).await;
    });
    // Two seconds pass for each byte, which earns one.
    assert!(matches!(stream.read_line(100, Excess::Skip).await, Err(NetError::TimedOut)));
    assert!((18..=20).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    feed.abort();
}

#[tokio::test(start_paused = true)]
async fn a_stuck_reader_times_out_writing() {
    let (mut stream, _peer) = pair(10);
    let body = vec![b'x'; 100];
    assert!(matches!(stream.send_with(&[&body]).await, Err(NetError::TimedOut)));
}

#[tokio::test]
async fn parts_arrive_in_order_through_a_narrow_pipe() {
    let (mut stream, mut peer) = pair(7);
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).await.unwrap();
        all
    });
    stream.send(b"DATA\r\n").await.unwrap();
    stream.send_with(&[b"content\r\n".as_slice(), b"", b".\r\n"]).await.unwrap();
    stream.close().await.unwrap();
    assert_eq!(reader.await.unwrap(), b"DATA\r\ncontent\r\n.\r\n");
}

#[tokio::test]
async fn early_input_is_seen_and_blocks_replacing() {
    let (mut stream, mut peer) = pair(100);
    assert!(!stream.arrived().await);
    peer.write_all(b"early\r\n").await.unwrap();
    assert!(stream.arrived().await);
    assert_eq!(stream.replace(|_| ()), Err(NotEmpty(7)));
    stream.consume(7);
    assert!(stream.into_inner().is_ok());
}

#[tokio::test]
async fn bulk_reading() {
    let (mut stream, mut peer) = pair(1 << 17);
    peer.write_all(b"DATA\r\n").await.unwrap();
    peer.write_all(&[b'y'; 90_000]).await.unwrap();
    stream.read_line(100, Excess::Skip).await.unwrap();
    let mut total = 0;
    while total < 90_000 {
        let n = stream.fill_buf().await.unwrap().len();
        total += n;
        stream.consume(n);
    }
    peer.write_all(b"ab").await.unwrap();
    assert_eq!(stream.fill_more().await.unwrap(), 2);
    peer.write_all(b"cd").await.unwrap();
    stream.consume(1);
    assert_eq!(stream.fill_more().await.unwrap(), 2);
    assert_eq!(stream.buffered(), b"bcd");
}

#[tokio::test]
async fn a_fast_sender_gets_no_more_than_a_bounded_buffer() {
    let (mut stream, mut peer) = pair(1 << 22);
    peer.write_all(&vec![b'x'; 1 << 22]).await.unwrap();
    let mut left = 1 << 22;
    while left > 0 {
        let n = stream.fill_buf().await.unwrap().len();
        stream.consume(n);
        left -= n;
        assert!(stream.input.capacity() <= BULK, "{}", stream.input.capacity());
    }
}
