//! Root's rights are not used on other users' tables: by default the work is done as the owner of the source.

use crate::console::Fatal;
use base_sys::effective::{ActingAs, act_as};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Acts as the owner of `source` until the result is dropped.
pub fn as_owner_of(source: &Path, keep_root: bool) -> Result<Option<ActingAs>, Fatal> {
    match fs::metadata(source) {
        Ok(meta) if !keep_root => act_as(meta.uid(), meta.gid()).map(Some).map_err(Fatal::new),
        _ => Ok(None),
    }
}
