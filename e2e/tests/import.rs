//! `postfix import-queue`: a hundred messages that the real Postfix has queued, in all of its queues, are delivered by us; each once.
//! What is left is chosen by the options of postqueue and postsuper.
//! Needs root and Debian's Postfix; see parity.rs.

mod common;

/// Somebody's mail is redirected to Alice.
const CONFIGURATION: &str = "@main
defer_transports = smtp
header_checks = regexp:/mnt/checks
@file /mnt/checks
/^Subject: n80$/ REDIRECT alice@example.com
";

/// For all parts; `BIN` is put in front.
const COMMON: &str = r#"
Q=/var/spool/postfix
left() { find $Q/incoming $Q/active $Q/deferred $Q/hold $Q/maildrop -type f | wc -l; }
send() { # FROM TO RECIPIENT...
    i=$1 end=$2; shift 2
    while [ $i -le $end ]; do
        printf 'Subject: n%d\nTo: you\n\nbody %d\n.dot\n' $i $i | sendmail -f bob@example.com -N failure,delay -V env$i "$@"
        i=$((i + 1))
    done
}
wait_for() { n=0; while [ $n -lt 300 ] && ! eval "$1"; do n=$((n + 1)); sleep 0.1; done; eval "$1" || echo "waited in vain for $1"; }
"#;

/// Postfix queues and stops.
const QUEUE: &str = r#"
# Alice has her mail already, the rest waits.
send 1 20 alice@example.com away@example.net
wait_for '[ $(grep -c ^Subject: /var/mail/alice) -eq 20 ]'
postconf defer_transports=local,smtp && postfix reload
sleep 1.2
send 21 79 alice@example.com
send 80 80 nobody@example.com away@example.net # which is redirected to her
wait_for '[ $(find $Q/deferred -type f | wc -l) -eq 80 ]'
postqueue -j | sed -n 's/.*"queue_id": "\([^"]*\)".*/\1/p' | head -5 | postsuper -h -
postfix stop
send 81 98 alice@example.com
printf 'Subject: n99\nTo: Alice <alice@example.com>\n\nbody\n.dot\n' | sendmail -f bob@example.com -t -i
printf 'Subject: n100\nTo: alice@example.com\n\nbody\n.dot\n' | sendmail -f bob@example.com -i alice@example.com
sendmail -f bob@example.com -bv alice@example.com </dev/null >/dev/null
for f in $(find $Q/deferred -type f | head -10); do mv $f $Q/incoming/; done
for f in $(find $Q/deferred -type f | head -10); do mv $f $Q/active/; done
echo "queued: $(left)"
"#;

/// The import.
const IMPORT: &str = r#"
PATH=/mnt/ours:$PATH
/mnt/ours/postfix import-queue -n
/mnt/ours/postfix import-queue; echo "status $?"
# As if the first run had been broken off before it released what had waited.
/mnt/ours/postsuper -h ALL
for f in $Q/imported/deferred/*; do mv $f $Q/imported/deferred/.${f##*/}; done
/mnt/ours/postfix import-queue; echo "again $?"
echo "held: $(/mnt/ours/postqueue -j | grep -c '"queue_name": "hold"')"
echo "left: $(find $Q/incoming $Q/active $Q/deferred $Q/hold -type f | wc -l), kept: $(find $Q/imported -type f | wc -l)"
"#;

/// We deliver.
const DELIVER: &str = r#"
postconf defer_transports=smtp
/mnt/ours/postfix start
/mnt/ours/postsuper -H ALL; /mnt/ours/postqueue -f
wait_for '[ $(grep -c ^Subject: /var/mail/alice) -ge 100 ]'
sleep 0.5
echo "different: $(grep ^Subject: /var/mail/alice | sort -u | wc -l), all: $(grep -c ^Subject: /var/mail/alice), dots: $(grep -c '^\.dot$' /var/mail/alice)"
echo "waiting: $(/mnt/ours/postqueue -j | grep -c 'away@example.net'), other: $(/mnt/ours/postqueue -j | grep -vc 'away@example.net')"
/mnt/ours/postcat -q $(/mnt/ours/postqueue -j | head -1 | sed 's/.*"queue_id": "\([^"]*\)".*/\1/') | grep -E 'env[0-9]|done_recipient|notify_flags|^sender:' | sort -u | sed 's/=env[0-9]*/=envN/'
echo "chosen: $(/mnt/ours/postqueue -j --to example.net --from '<>' | wc -l), $(/mnt/ours/postqueue -j --to=away@* | wc -l), $(/mnt/ours/postqueue -j --older-than 1d | wc -l)"
/mnt/ours/postsuper -d ALL --to other.example
/mnt/ours/postsuper -h ALL --to example.net --from bob@example.com | tail -1
/mnt/ours/postsuper -d ALL --older-than 0s hold | tail -1
echo "emptied: $(/mnt/ours/postqueue -j | wc -l)"
/mnt/ours/postfix stop
"#;

#[test]
fn a_hundred_messages_of_postfix() {
    if !common::ready() {
        return;
    }
    let tools = common::programs();
    let mut script = format!("mkdir -p /mnt/ours; BIN={}\n", tools.display());
    script.push_str("for c in postfix postsuper postcat postconf sendmail; do ln -sf $BIN/hikyaku-tools /mnt/ours/$c; done\nln -sf $BIN/hikyaku-submit /mnt/ours/postqueue\nfor p in master worker courier submit tools; do ln -sf $BIN/hikyaku-$p /mnt/ours/hikyaku-$p; done\n");
    script.push_str(COMMON);
    let mut scenario = format!("### import: from Postfix\n{CONFIGURATION}@file /mnt/common.sh\n{script}\n");
    for (name, part) in [("queue", QUEUE), ("import", IMPORT), ("deliver", DELIVER)] {
        scenario.push_str(&format!("@file /mnt/{name}.sh\n. /mnt/common.sh\n{part}\n"));
    }
    scenario.push_str("@run (sh /mnt/queue.sh; sh /mnt/import.sh) 2>&1\n@run sh /mnt/deliver.sh 2>&1\n");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("import.txt");
    std::fs::write(&file, scenario).expect("written");
    let outcome = common::run(&file, "import", "theirs").expect("a run");
    let said = common::lines(&outcome, "cmd").join("\n");
    for want in [
        "queued: 101",
        "deferred: 55",
        "status 0",
        "again 0",
        "held: 25",
        "left: 0, kept: 101",
        "different: 100, all: 100, dots: 100",
        "waiting: 20, other: 0",
        "envelope_id=envN",
        "done_recipient: alice@example.com",
        "notify_flags=12",
        "sender: bob@example.com",
        "chosen: 0, 20, 0",
        "Deleted: 0 messages",
        "Placed on hold: 20 messages",
        "Deleted: 20 messages",
        "emptied: 0",
    ] {
        assert!(said.contains(want), "{want}: {said}");
    }
}
