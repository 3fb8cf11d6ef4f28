//! Berkeley DB 2.x to 5.3 (and 18): pages with a 26-byte header, the kind of page in it.

use super::{BdbError, Bytes};

const HASH: u32 = 0x061561;
const BTREE: u32 = 0x053162;
/// Page kinds with entries, and overflow pages.
const P_HASH_UNSORTED: u8 = 2;
const P_LBTREE: u8 = 5;
const P_OVERFLOW: u8 = 7;
const P_HASH: u8 = 13;

/// An opened file.
pub struct File<'a> {
    bytes: &'a [u8],
    big: bool,
    page_size: usize,
    /// Where the item offsets start: behind the page header, and the checksum if there is one.
    items_at: usize,
}

/// The bytes of an item, in the page or put together from overflow pages.
type Item<'a> = std::borrow::Cow<'a, [u8]>;

impl<'a> File<'a> {
    /// `None` when this is no such file.
    pub fn open(bytes: &'a [u8]) -> Result<Option<File<'a>>, BdbError> {
        for big in [false, true] {
            let meta = Bytes { bytes, big };
            let Ok(magic) = meta.u32(12) else { return Ok(None) };
            if magic != HASH && magic != BTREE {
                continue;
            }
            let (version, page_size) = (meta.u32(16)?, meta.size(20)?);
            if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) || version == 0 {
                return Err(BdbError::Damaged);
            }
            // Since 4.x the header has room for encryption and checksum flags.
            let recent = if magic == HASH { version >= 8 } else { version >= 9 };
            if recent && meta.u8(24)? != 0 {
                return Err(BdbError::Encrypted);
            }
            let checksummed = recent && meta.u8(26)? & 1 != 0;
            return Ok(Some(File { bytes, big, page_size, items_at: if checksummed { 32 } else { 26 } }));
        }
        Ok(None)
    }

    fn page(&self, number: usize) -> Result<Bytes<'a>, BdbError> {
        let whole = Bytes { bytes: self.bytes, big: self.big };
        let at = number.checked_mul(self.page_size).ok_or(BdbError::Damaged)?;
        Ok(Bytes { bytes: whole.get(at, self.page_size)?, big: self.big })
    }

    /// Calls `each` for every entry.
    pub fn each(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), BdbError> {
        if !self.bytes.len().is_multiple_of(self.page_size) {
            return Err(BdbError::Damaged);
        }
        for number in 1..self.bytes.len() / self.page_size {
            let page = self.page(number)?;
            match page.u8(25)? {
                P_HASH | P_HASH_UNSORTED => self.hash_page(page, &mut each)?,
                P_LBTREE => self.leaf(page, &mut each)?,
                _ => (),
            }
        }
        Ok(())
    }

    fn hash_page(&self, page: Bytes<'a>, each: &mut impl FnMut(&[u8], &[u8])) -> Result<(), BdbError> {
        let count = page.u16(20)?;
        for pair in 0..count / 2 {
            let key = self.hash_item(page, pair * 2)?;
            let value = self.hash_item(page, pair * 2 + 1)?;
            if let (Some(key), Some(value)) = (key, value) {
                each(&key, &value);
            }
        }
        Ok(())
    }

    fn hash_item(&self, page: Bytes<'a>, index: usize) -> Result<Option<Item<'a>>, BdbError> {
        let start = page.u16(self.items_at + index * 2)?;
        let end = match index.checked_sub(1) {
            None => self.page_size,
            Some(before) => page.u16(self.items_at + before * 2)?,
        };
        let len = end.checked_sub(start).filter(|len| *len > 0).ok_or(BdbError::Damaged)?;
        let data = page.get(start + 1, len - 1)?;
        match page.u8(start)? {
            1 => Ok(Some(data.into())),
            2 => {
                let first = Bytes { bytes: data, big: self.big };
                Ok(Some(first.get(2, first.u16(0)?)?.into()))
            }
            3 => Ok(Some(self.overflow(page.u32(start + 4)?, page.size(start + 8)?)?.into())),
            _ => Ok(None),
        }
    }

    fn leaf(&self, page: Bytes<'a>, each: &mut impl FnMut(&[u8], &[u8])) -> Result<(), BdbError> {
        let count = page.u16(20)?;
        let mut last = None;
        for pair in 0..count / 2 {
            let key_at = page.u16(self.items_at + pair * 4)?;
            // Values of one key share the key item; the first counts.
            if last.replace(key_at) == Some(key_at) {
                continue;
            }
            let key = self.leaf_item(page, key_at)?;
            let value = self.leaf_item(page, page.u16(self.items_at + pair * 4 + 2)?)?;
            if let (Some(key), Some(value)) = (key, value) {
                each(&key, &value);
            }
        }
        Ok(())
    }

    fn leaf_item(&self, page: Bytes<'a>, at: usize) -> Result<Option<Item<'a>>, BdbError> {
        const DELETED: u8 = 0x80;
        match page.u8(at + 2)? {
            kind if kind & DELETED != 0 => Ok(None),
            1 => Ok(Some(page.get(at + 3, page.u16(at)?)?.into())),
            3 => Ok(Some(self.overflow(page.u32(at + 4)?, page.size(at + 8)?)?.into())),
            _ => Ok(None),
        }
    }

    fn overflow(&self, mut number: u32, len: usize) -> Result<Vec<u8>, BdbError> {
        if len > self.bytes.len() {
            return Err(BdbError::Damaged);
        }
        let mut data = Vec::with_capacity(len);
        while data.len() < len {
            let page = self.page(usize::try_from(number).map_err(|_| BdbError::Damaged)?)?;
            let here = page.u16(22)?;
            if page.u8(25)? != P_OVERFLOW || here == 0 {
                return Err(BdbError::Damaged);
            }
            data.extend_from_slice(page.get(self.items_at, here)?);
            number = page.u32(16)?;
        }
        data.truncate(len);
        Ok(data)
    }
}
