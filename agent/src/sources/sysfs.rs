//! Attributes: files of one value, as sysfs has them.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use super::SourceError;
use crate::exposition::as_f64;

/// The kernel hands out an attribute whole at the first read, and none is longer than a page.
const PAGE_BYTES: usize = 4096;

/// The attribute's text without the white space around it.
pub(super) fn text(path: &Path) -> Result<String, SourceError> {
    read(path).map_err(|source| SourceError::Read { path: path.to_owned(), source })
}

/// None where there is no such attribute or the driver does not answer for this device.
pub(super) fn text_if_any(path: &Path) -> Result<Option<String>, SourceError> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(SourceError::Read { path: path.to_owned(), source }),
    }
}

/// A whole number, decimal or with `0x` hexadecimal.
pub(super) fn value(path: &Path) -> Result<f64, SourceError> {
    parse(path, &text(path)?)
}

/// None as in [`text_if_any`].
pub(super) fn value_if_any(path: &Path) -> Result<Option<f64>, SourceError> {
    text_if_any(path)?.map(|text| parse(path, &text)).transpose()
}

/// What lies in a folder, sorted; without the folder this host has no `what`.
pub(super) fn names(dir: &Path, what: &'static str) -> Result<Vec<String>, SourceError> {
    let failed = |source| SourceError::Read { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(SourceError::NoData { what });
        }
        Err(source) => return Err(failed(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// The number `text` is, or an error that names the file.
pub(super) fn parse(path: &Path, text: &str) -> Result<f64, SourceError> {
    parse_integer(text)
        .ok_or_else(|| SourceError::Value { path: path.to_owned(), text: text.to_owned() })
}

pub(super) fn parse_integer(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(as_f64);
    }
    match text.strip_prefix('-') {
        Some(digits) => digits.parse().ok().map(|it| -as_f64(it)),
        None => text.parse().ok().map(as_f64),
    }
}

/// Firmware writes anything. As in Go, a run of bad bytes becomes one replacement character.
pub(super) fn valid_utf8(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut is_bad = false;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        is_bad &= chunk.valid().is_empty();
        if !chunk.invalid().is_empty() {
            text.extend((!is_bad).then_some(char::REPLACEMENT_CHARACTER));
            is_bad = true;
        }
    }
    text
}

/// One open, one read and one close instead of the five calls of `fs::read`.
fn read(path: &Path) -> io::Result<String> {
    let mut page = [0; PAGE_BYTES];
    let mut file = File::open(path)?;
    let n_read = file.read(&mut page)?;
    let bytes = page.get(..n_read).unwrap_or_default();
    if n_read < PAGE_BYTES {
        return Ok(valid_utf8(bytes.trim_ascii()));
    }
    let mut bytes = bytes.to_vec();
    file.read_to_end(&mut bytes)?;
    Ok(valid_utf8(bytes.trim_ascii()))
}

fn is_absent(error: &io::Error) -> bool {
    let absent = [libc::ENOENT, libc::ENODEV, libc::EINVAL, libc::EOPNOTSUPP, libc::ENODATA];
    error.raw_os_error().is_some_and(|it| absent.contains(&it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(parse_integer("42"), Some(42.0));
        assert_eq!(parse_integer("-42"), Some(-42.0));
        assert_eq!(parse_integer("0x1f"), Some(31.0));
        assert_eq!(parse_integer("0xffffffffffffffff"), Some(18_446_744_073_709_551_615.0));
        for text in ["", "-", "--1", "1.5", "1e3", "inf", "0x", "12 V"] {
            assert_eq!(parse_integer(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_longer_than_a_page_is_read_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = "x".repeat(3 * PAGE_BYTES);
        for text in [long.as_str(), "short", ""] {
            fs::write(file.path(), format!(" {text}\n")).unwrap();
            assert_eq!(super::text(file.path()).unwrap(), text);
        }
    }

    #[test]
    fn a_folder_that_is_missing_is_no_fault_and_one_that_cannot_be_read_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let missing = names(&file.path().with_extension("no"), "tapes").unwrap_err();
        assert!(matches!(missing, SourceError::NoData { what: "tapes" }), "{missing}");
        let error = names(file.path(), "tapes").unwrap_err();
        assert!(matches!(error, SourceError::Read { .. }), "{error}");
    }
}
