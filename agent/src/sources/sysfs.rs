//! Attributes: files of one value, as sysfs has them.

use std::{fs, io, path::Path};

use super::{SourceError, files};
use crate::exposition::as_f64;

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

fn read(path: &Path) -> io::Result<String> {
    let bytes = files::attribute(&files::open(path)?)?;
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
    fn bad_bytes_are_replaced() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b" LNV\xff\xfe1\xff\n").unwrap();
        assert_eq!(text(file.path()).unwrap(), "LNV\u{fffd}1\u{fffd}");
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
