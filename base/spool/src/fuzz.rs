//! Check functions for arbitrary input: called by the fuzz targets and by tests on stable Rust.

use crate::{
    disk::Disk,
    format::{self, FIRST_RECORD, SegmentHeader, decode_index, encode_index, scan},
    read,
};
use std::sync::atomic::{AtomicU32, Ordering};

/// Reads `data` as a segment file: header, records, index, and each record's payload. Panics only on a bug.
pub fn check_segment(data: &[u8]) {
    let header = SegmentHeader::of_block(data).unwrap_or_default();
    let found = scan(data, header.generation);
    let mut end = FIRST_RECORD;
    for placed in &found.records {
        assert!(u64::from(placed.offset) >= end, "records overlap");
        end = u64::from(placed.offset) + placed.record.size();
        let from = placed.offset as usize;
        let bytes = data.get(from..).unwrap_or_default();
        let again = format::Record::decode(bytes, header.generation, u64::from(placed.offset));
        assert_eq!(again, Some(placed.record));
        let payload = bytes.get(format::RECORD_HEADER..).unwrap_or_default();
        let payload = payload.get(..placed.record.len as usize).unwrap_or_default();
        check_payload(placed.record, payload);
    }
    let index = encode_index(&found.records, header.generation);
    assert_eq!(decode_index(&index, header.generation).as_ref(), Some(&found.records));
    let _ = decode_index(data, header.generation);
}

fn check_payload(record: format::Record, payload: &[u8]) {
    let stored = read::Stored { record, payload: bytes::Bytes::copy_from_slice(payload) };
    if let Some(parts) = read::parts(&stored) {
        let _ = base_calls::codec::decode_envelope(&parts.envelope);
        let _ = base_calls::codec::decode_changes(&parts.changes);
        let _ = crate::large::referred_len(&parts.rest);
    }
    let _ = base_calls::codec::decode_changes(payload);
}

/// A small valid segment, as a seed for the fuzzer.
pub fn seed() -> Vec<u8> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("hikyaku-spool-seed-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let dir = std::env::temp_dir().join(name);
    let made = make_seed(&dir).unwrap_or_default();
    let _ = std::fs::remove_dir_all(&dir);
    made
}

fn make_seed(dir: &std::path::Path) -> Result<Vec<u8>, crate::SpoolError> {
    let disk = crate::disk::RealDisk::new(dir.to_owned(), true)?;
    let options = crate::Options { segment_size: 8 << 10, ..crate::Options::default() };
    let spool = crate::FileSpool::open(dir, options)?;
    for n in 0..4u8 {
        let mut draft = crate::Spool::draft(&spool, n % 2 == 0)?;
        draft.write(&[b'a' + n; 100])?;
        let id = draft.id();
        let _ = poll(crate::Spool::commit(&spool, draft, base_calls::Envelope::default(), false));
        let _ = poll(crate::Spool::change(&spool, id, vec![base_calls::Change::Held(true)], false));
        if n == 2 {
            let _ = poll(crate::Spool::remove(&spool, id));
        }
    }
    crate::Spool::close(&spool);
    let file = disk.open("segments/00000001.seg", false)?;
    let len = usize::try_from(file.len()?).unwrap_or(0);
    Ok(crate::disk::read_range(file.as_ref(), 0, len.min(16 << 10))?)
}

/// Waits for a future by asking again; for seeds only.
fn poll<T>(mut future: base_calls::Fut<'_, T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_seed_is_read_whole() {
        let seed = seed();
        let header = SegmentHeader::of_block(&seed).unwrap();
        let found = scan(&seed, header.generation);
        assert_eq!((found.records.len(), found.damage.len(), found.torn), (9, 0, 0));
        check_segment(&seed);
    }

    #[test]
    fn cut_at_every_byte() {
        let seed = seed();
        for end in (0..seed.len()).step_by(7) {
            check_segment(&seed[..end]);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes(data in proptest::collection::vec(any::<u8>(), 0..6000)) {
            check_segment(&data);
        }
    }

    #[test]
    fn mutations_of_a_valid_segment() {
        let seed = seed();
        let mut rng = crate::sim::Rng(99);
        for _ in 0..3000 {
            let mut data = seed.clone();
            for _ in 0..1 + rng.next() % 4 {
                let at = (rng.next() % data.len() as u64) as usize;
                data[at] = rng.next() as u8;
            }
            check_segment(&data);
        }
    }
}
