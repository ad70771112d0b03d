//! `{{HOMEPAGE_VAR_X}}` and `{{HOMEPAGE_FILE_X}}`: values that stand in the environment, or in a
//! file that the environment names.

use std::path::Path;

use crate::config::{Variables, read};

/// The text with every variable in its place; a line and what is wrong there.
pub(super) fn variables(
    text: &str,
    variables: Variables<'_>,
    file_bytes_max: u64,
) -> Result<String, (usize, String)> {
    let mut rest = text;
    let mut filled = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once("{{HOMEPAGE_") {
        let line = text.len() - after.len();
        let line = text.get(..line).unwrap_or(text).matches('\n').count() + 1;
        let (name, after) = after
            .split_once("}}")
            .ok_or_else(|| (line, "{{HOMEPAGE_ is not closed by }}".to_owned()))?;
        let variable = format!("HOMEPAGE_{name}");
        let value = variables(&variable)
            .ok_or_else(|| (line, format!("the environment has no variable {variable}")))?;
        let value = if name.starts_with("FILE_") {
            let secret = read(Path::new(&value), file_bytes_max);
            secret.map_err(|fault| (line, fault.to_string()))?.trim().to_owned()
        } else {
            value
        };
        if value.contains(['\n', '\r']) {
            return Err((line, format!("{variable} has more than one line")));
        }
        filled.push_str(before);
        filled.push_str(&value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_files_take_their_places() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "s3cret\n").unwrap();
        let find = |name: &str| match name {
            "HOMEPAGE_VAR_HOST" => Some("nas.lan".to_owned()),
            "HOMEPAGE_FILE_KEY" => Some(secret.display().to_string()),
            _other => None,
        };
        let filled =
            variables("a: {{HOMEPAGE_VAR_HOST}}/{{HOMEPAGE_FILE_KEY}}\nb: {{x}}", &find, 100);
        assert_eq!(filled, Ok("a: nas.lan/s3cret\nb: {{x}}".to_owned()));
        let (line, text) = variables("a: 1\nb: {{HOMEPAGE_VAR_X}}", &find, 100).unwrap_err();
        assert_eq!((line, text.as_str()), (2, "the environment has no variable HOMEPAGE_VAR_X"));
    }
}
