//! A policy server that starts anew closes all connections that wait for a request.

use crate::world::World;
use base_dns::{Options, Resolver};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::broadcast::{self, Receiver},
};

/// Says DUNNO until told to hang up.
async fn answer(mut stream: TcpStream, mut hang_up: Receiver<()>) {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            _ = hang_up.recv() => return,
        };
        match line {
            Ok(Some(line)) if line.is_empty() => {
                // All requests of the test are open at the same time.
                tokio::time::sleep(Duration::from_millis(100)).await;
                let _ = write.write_all(b"action=DUNNO\n\n").await;
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

#[tokio::test]
async fn connections_that_wait_may_all_be_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (hang_up, _) = broadcast::channel(1);
    let listeners = hang_up.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, listeners.subscribe()));
        }
    });
    let main_cf = format!(
        "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:{address}"
    );
    let world = World::new(&main_cf, Resolver::new(Options::default()));
    let sessions: Vec<_> = (1..=4).map(|i| world.session(&format!("192.0.2.{i}"))).collect();
    let (a, b, c, d) =
        tokio::join!(sessions[0].rcpt(), sessions[1].rcpt(), sessions[2].rcpt(), sessions[3].rcpt());
    assert!([a, b, c, d].iter().all(|o| o.refusal.is_none()));
    hang_up.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(sessions[0].rcpt().await.refusal, None);
    assert_eq!(world.logged.texts(), Vec::<String>::new());
}
