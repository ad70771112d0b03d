//! `skep-server convert`: another front door's configuration as this server's own.

mod caddyfile;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;

use self::caddyfile::Outside;

/// Something of the file was left out; standard error says what.
pub(crate) const EXIT_LEFT_OUT: u8 = 3;
/// Larger files are no configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Prints what is made of `file`, or writes it to `output`.
pub(crate) fn run(file: &Path, output: Option<&Path>) -> anyhow::Result<ExitCode> {
    let text = read(file).with_context(|| format!("reading {}", file.display()))?;
    let converted = caddyfile::convert(&file.display().to_string(), &text, &Machine)
        .with_context(|| format!("converting {}", file.display()))?;
    match output {
        Some(path) => std::fs::write(path, &converted.toml)
            .with_context(|| format!("writing {}", path.display()))?,
        None => print!("{}", converted.toml),
    }
    for note in &converted.notes {
        eprintln!("note: {note}");
    }
    for loss in &converted.losses {
        eprintln!("warning: left out: {loss}");
    }
    Ok(match converted.losses.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_LEFT_OUT),
    })
}

/// The environment and the files of this machine.
struct Machine;

impl Outside for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn files(&self, from: &str, pattern: &str) -> io::Result<Vec<(String, String)>> {
        let dir = Path::new(from).parent().unwrap_or(Path::new(""));
        let paths = matching(&dir.join(pattern))?;
        let texts = paths.into_iter().map(|it| Ok((it.display().to_string(), read(&it)?)));
        texts.collect()
    }
}

fn read(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    std::fs::read_to_string(path)
}

/// The file, or those that a `*` in its name means, in order of their names.
fn matching(path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    let Some((start, end)) = name.split_once('*') else { return Ok(vec![path.to_owned()]) };
    if end.contains('*') {
        return Err(io::Error::other("more than one * is not known"));
    }
    let dir = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let is_meant = entry.file_name().to_str().is_some_and(|it| {
            it.len() >= start.len() + end.len() && it.starts_with(start) && it.ends_with(end)
        });
        if is_meant && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Faults};

    /// With the secrets that the notes ask for in `/etc/skep`, without the certificates in `/etc/ssl`.
    fn loads(toml: &str) -> Result<Config, Faults> {
        let dir = tempfile::tempdir().unwrap();
        for name in ["cloudflare-token", "eab-key"] {
            std::fs::write(dir.path().join(name), "c2VjcmV0").unwrap();
        }
        let etc = dir.path().display().to_string();
        Config::parse_in(dir.path(), &toml.replace("/etc/skep", &etc))
            .map_err(|faults| Faults::new("server.toml", faults))
    }

    #[test]
    fn what_is_made_of_each_caddyfile_is_a_configuration() {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/convert/caddyfile/cases");
        let mut n_loaded = 0;
        for entry in std::fs::read_dir(cases).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "caddyfile") {
                let text = std::fs::read_to_string(&path).unwrap();
                let name = path.display().to_string();
                let converted = caddyfile::convert(&name, &text, &Machine).unwrap();
                if let Err(error) = loads(&converted.toml) {
                    panic!("{name}: {error}\n{}", converted.toml);
                }
                n_loaded += 1;
            }
        }
        assert!(n_loaded >= 10, "{n_loaded}");
    }

    #[test]
    fn files_and_snippets_are_imported_with_their_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("Caddyfile", "import snippets.conf\nimport *.site\n");
        write("snippets.conf", "(proxied) {\n\treverse_proxy {args[0]}:{args.1}\n}\n");
        write("a.site", "a.lan {\n\timport proxied one 80\n}\n");
        write("b.site", "b.lan {\n\timport proxied two 81\n}\n");
        let path = dir.path().join("Caddyfile");
        let output = dir.path().join("server.toml");
        assert_eq!(run(&path, Some(&output)).unwrap(), ExitCode::SUCCESS);
        let toml = std::fs::read_to_string(&output).unwrap();
        assert!(toml.contains("http://one:80") && toml.contains("http://two:81"), "{toml}");

        write("Caddyfile", "import Caddyfile\n");
        let error = format!("{:#}", run(&path, Some(&output)).unwrap_err());
        assert!(error.ends_with("the file has too many words, or imports itself"), "{error}");
        write("Caddyfile", "c.lan {\n\timport nothere\n}\n");
        let error = format!("{:#}", run(&path, Some(&output)).unwrap_err());
        assert!(error.contains("Caddyfile:2: cannot import \"nothere\": No such file"), "{error}");
    }
}
