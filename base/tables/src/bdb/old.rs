//! Berkeley DB 1.85 and 1.86, as BSD systems still use it.
//!
//! Hash: a header in big-endian order, then buckets of pages with 16-bit offsets at their start and entries
//! from their end. Btree: leaf pages with a 20-byte header, long items on overflow pages.

use super::{BdbError, Bytes};

const HASH: u32 = 0x061561;
const BTREE: u32 = 0x053162;

/// Calls `each` for every entry.
pub fn each(bytes: &[u8], mut each: impl FnMut(&[u8], &[u8])) -> Result<(), BdbError> {
    for big in [false, true] {
        let header = Bytes { bytes, big };
        match header.u32(0) {
            Ok(HASH) => return Hash::open(header)?.each(&mut each),
            Ok(BTREE) => return Btree::open(header)?.each(&mut each),
            _ => (),
        }
    }
    Err(BdbError::Format)
}

struct Hash<'a> {
    file: &'a [u8],
    /// Byte order of the pages.
    big: bool,
    page_size: usize,
    header_pages: usize,
    buckets: usize,
    spares: Vec<usize>,
    split_shift: u32,
}

impl<'a> Hash<'a> {
    fn open(header: Bytes<'a>) -> Result<Hash<'a>, BdbError> {
        let page_size = header.size(12)?;
        let max_bucket = header.size(40)?;
        let spares = (0..32).map(|i| header.size(64 + i * 4)).collect::<Result<_, _>>()?;
        let sane = page_size.is_power_of_two() && (64..=65536).contains(&page_size);
        if !sane || max_bucket > header.bytes.len() {
            return Err(BdbError::Damaged);
        }
        Ok(Hash {
            file: header.bytes,
            big: header.u32(8)? == 4321,
            page_size,
            header_pages: header.size(56)?,
            buckets: max_bucket + 1,
            spares,
            split_shift: 11,
        })
    }

    fn page(&self, number: usize) -> Result<Bytes<'a>, BdbError> {
        let whole = Bytes { bytes: self.file, big: self.big };
        let at = number.checked_mul(self.page_size).ok_or(BdbError::Damaged)?;
        // The last page may be cut short only when it was never written.
        Ok(Bytes { bytes: whole.get(at, self.page_size)?, big: self.big })
    }

    /// The number of pages allotted up to the doubling before this bucket.
    fn bucket_page(&self, bucket: usize) -> Result<usize, BdbError> {
        let spares = match bucket {
            0 => 0,
            _ => {
                let log2 = usize::try_from((bucket + 1).next_power_of_two().trailing_zeros()).unwrap_or(0);
                *log2.checked_sub(1).and_then(|i| self.spares.get(i)).ok_or(BdbError::Damaged)?
            }
        };
        Ok(bucket + self.header_pages + spares)
    }

    fn overflow_page(&self, address: usize) -> Result<usize, BdbError> {
        let (split, page) = (address >> self.split_shift, address & ((1 << self.split_shift) - 1));
        let base = (1usize << split.min(32)).checked_sub(1).ok_or(BdbError::Damaged)?;
        Ok(self.bucket_page(base)? + page)
    }

    fn each(&self, each: &mut impl FnMut(&[u8], &[u8])) -> Result<(), BdbError> {
        let limit = self.file.len() / self.page_size + 1;
        for bucket in 0..self.buckets {
            let Ok(mut page) = self.page(self.bucket_page(bucket)?) else { continue };
            let mut steps = 0;
            while let Some(next) = self.entries(page, each)? {
                page = self.page(self.overflow_page(next)?)?;
                steps += 1;
                if steps > limit {
                    return Err(BdbError::Damaged);
                }
            }
        }
        Ok(())
    }

    /// The entries of a page; gives the address of the overflow page behind it.
    fn entries(
        &self,
        page: Bytes<'a>,
        each: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<Option<usize>, BdbError> {
        let count = page.u16(0)?;
        let mut end = self.page_size;
        let mut at = 1;
        while at < count {
            let (first, second) = (page.u16(at * 2)?, page.u16(at * 2 + 2)?);
            match second {
                // An overflow page follows.
                0 => return Ok(Some(first)),
                // A pair larger than a page: read on over the pages behind.
                1..=3 => {
                    self.long_pair(page, each)?;
                    return Ok(None);
                }
                _ => {
                    let key = page.get(first, end.checked_sub(first).ok_or(BdbError::Damaged)?)?;
                    let value = page.get(second, first.checked_sub(second).ok_or(BdbError::Damaged)?)?;
                    each(key, value);
                    end = second;
                }
            }
            at += 2;
        }
        Ok(None)
    }

    /// A key or value that spans pages: postmap lines are never that long; it is left out rather than guessed.
    fn long_pair(&self, _page: Bytes<'a>, _each: &mut impl FnMut(&[u8], &[u8])) -> Result<(), BdbError> {
        Err(BdbError::Damaged)
    }
}

struct Btree<'a> {
    file: &'a [u8],
    big: bool,
    page_size: usize,
}

const P_BLEAF: u32 = 0x02;
const P_TYPE: u32 = 0x1f;
const BIG_DATA: u8 = 1;
const BIG_KEY: u8 = 2;

impl<'a> Btree<'a> {
    fn open(header: Bytes<'a>) -> Result<Btree<'a>, BdbError> {
        let page_size = header.size(8)?;
        match page_size.is_power_of_two() && (512..=65536).contains(&page_size) {
            true => Ok(Btree { file: header.bytes, big: header.big, page_size }),
            false => Err(BdbError::Damaged),
        }
    }

    fn page(&self, number: usize) -> Result<Bytes<'a>, BdbError> {
        let whole = Bytes { bytes: self.file, big: self.big };
        let at = number.checked_mul(self.page_size).ok_or(BdbError::Damaged)?;
        Ok(Bytes { bytes: whole.get(at, self.page_size)?, big: self.big })
    }

    /// Page numbers on the free list, whose old content must not count.
    fn free_pages(&self) -> Result<Vec<usize>, BdbError> {
        let mut free = Vec::new();
        let mut next = Bytes { bytes: self.file, big: self.big }.size(12)?;
        while next != 0 && free.len() <= self.file.len() / self.page_size {
            free.push(next);
            next = self.page(next)?.size(8)?;
        }
        Ok(free)
    }

    fn each(&self, each: &mut impl FnMut(&[u8], &[u8])) -> Result<(), BdbError> {
        let free = self.free_pages()?;
        for number in (1..self.file.len() / self.page_size).filter(|n| !free.contains(n)) {
            let page = self.page(number)?;
            if page.u32(12)? & P_TYPE == P_BLEAF {
                self.leaf(page, each)?;
            }
        }
        Ok(())
    }

    fn leaf(&self, page: Bytes<'a>, each: &mut impl FnMut(&[u8], &[u8])) -> Result<(), BdbError> {
        let items = page.u16(16)?.checked_sub(20).ok_or(BdbError::Damaged)? / 2;
        for item in 0..items {
            let at = page.u16(20 + item * 2)?;
            let (key_len, value_len, flags) = (page.size(at)?, page.size(at + 4)?, page.u8(at + 8)?);
            let (key, value) = (page.get(at + 9, key_len)?, page.get(at + 9 + key_len, value_len)?);
            let key = self.item(key, flags & BIG_KEY != 0)?;
            let value = self.item(value, flags & BIG_DATA != 0)?;
            each(&key, &value);
        }
        Ok(())
    }

    fn item(&self, bytes: &'a [u8], is_long: bool) -> Result<std::borrow::Cow<'a, [u8]>, BdbError> {
        if !is_long {
            return Ok(bytes.into());
        }
        let place = Bytes { bytes, big: self.big };
        let (mut number, len) = (place.size(0)?, place.size(4)?);
        if len > self.file.len() {
            return Err(BdbError::Damaged);
        }
        let mut data = Vec::with_capacity(len);
        while data.len() < len {
            let page = self.page(number)?;
            let here = (len - data.len()).min(self.page_size - 20);
            data.extend_from_slice(page.get(20, here)?);
            number = page.size(8)?;
        }
        Ok(data.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }

    fn collect(bytes: &[u8]) -> Result<Vec<String>, BdbError> {
        let mut found = Vec::new();
        each(bytes, |k, v| {
            found.push(format!("{}={}", String::from_utf8_lossy(k), String::from_utf8_lossy(v)))
        })?;
        Ok(found)
    }

    /// A btree with one leaf, laid out by hand as db(3) of 4.4BSD documents it.
    fn btree(big: bool, entries: &[(&str, &str)]) -> Vec<u8> {
        const PAGE: usize = 512;
        let u32b = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let u16b = |v: usize| if big { (v as u16).to_be_bytes() } else { (v as u16).to_le_bytes() };
        let mut file = vec![0; PAGE * 2];
        for (n, word) in [BTREE, 3, PAGE as u32, 0, entries.len() as u32, 0].into_iter().enumerate() {
            put(&mut file, n * 4, &u32b(word));
        }
        let page = &mut file[PAGE..];
        put(page, 0, &u32b(1));
        put(page, 12, &u32b(P_BLEAF));
        let mut upper = PAGE;
        for (n, (key, value)) in entries.iter().enumerate() {
            upper -= (9 + key.len() + value.len()).next_multiple_of(4);
            put(page, upper, &u32b(key.len() as u32));
            put(page, upper + 4, &u32b(value.len() as u32));
            put(page, upper + 9, format!("{key}{value}").as_bytes());
            put(page, 20 + n * 2, &u16b(upper));
        }
        put(page, 16, &u16b(20 + entries.len() * 2));
        put(page, 18, &u16b(upper));
        file
    }

    /// A hash with two buckets, of one page each; the second goes on on an overflow page.
    fn hash(lorder: u32) -> Vec<u8> {
        const PAGE: usize = 256;
        let big = lorder == 4321;
        let u16b = |v: usize| if big { (v as u16).to_be_bytes() } else { (v as u16).to_le_bytes() };
        // Header, bucket 0, bucket 1, overflow page 1 behind the second doubling.
        let mut file = vec![0; PAGE * 5];
        let header = [HASH, 2, lorder, 256, 8, 256, 256, 8, 1, 1, 1, 3, 1, 8, 1, 0x100];
        // header pages is the 15th word (offset 56).
        for (n, word) in header.into_iter().enumerate() {
            put(&mut file, n * 4, &word.to_be_bytes());
        }
        (0..32).for_each(|n| put(&mut file, 64 + n * 4, &0u32.to_be_bytes()));
        let mut page = |number: usize, entries: &[(&str, &str)], next: Option<usize>| {
            let page = &mut file[number * PAGE..(number + 1) * PAGE];
            let mut end = PAGE;
            let mut words = Vec::new();
            for (key, value) in entries {
                end -= key.len();
                put(page, end, key.as_bytes());
                words.push(end);
                end -= value.len();
                put(page, end, value.as_bytes());
                words.push(end);
            }
            words.extend(next.into_iter().flat_map(|address| [address, 0]));
            put(page, 0, &u16b(words.len()));
            words.iter().enumerate().for_each(|(n, word)| put(page, 2 + n * 2, &u16b(*word)));
        };
        page(1, &[("a", "one")], None);
        // Address: split point 1, page 1, which is page 1 + 1 + 1 = 3 of the file.
        page(2, &[("bb", "two")], Some(1 << 11 | 1));
        page(3, &[("c", "three")], None);
        file
    }

    #[test]
    fn btree_files() {
        for big in [false, true] {
            let file = btree(big, &[("alpha", "1"), ("beta", "zwei"), ("c", "")]);
            assert_eq!(collect(&file).unwrap(), ["alpha=1", "beta=zwei", "c="]);
        }
    }

    #[test]
    fn hash_files() {
        for lorder in [1234, 4321] {
            assert_eq!(collect(&hash(lorder)).unwrap(), ["a=one", "bb=two", "c=three"], "{lorder}");
        }
    }

    #[test]
    fn damage_is_noticed() {
        assert_eq!(collect(b"nothing of the kind, but long enough"), Err(BdbError::Format));
        let file = btree(false, &[("alpha", "1")]);
        let mut bad = file.clone();
        put(&mut bad, 512 + 20, &0xfff0u16.to_le_bytes());
        assert_eq!(collect(&bad), Err(BdbError::Damaged));
        for at in 0..1024 {
            for bit in 0..8 {
                let mut bad = file.clone();
                bad[at] ^= 1 << bit;
                let _ = collect(&bad);
            }
        }
    }
}
