//! How a file that was packed beforehand is packed, and which ways a client takes.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Zstd,
    Brotli,
    Gzip,
}

impl Encoding {
    /// The best first.
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// As `content-encoding` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What the file's name ends with, after its own.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }

    /// Those that a client takes, the best first.
    pub fn accepted(headers: &HeaderMap) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|it| accepts(headers, it.name()))
    }
}

fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    values.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(',')).any(|it| {
        let (name, params) = it.split_once(';').unwrap_or((it, ""));
        let is_refused = params.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case(encoding) && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn accepted(text: &'static str) -> Vec<Encoding> {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(text))]);
        Encoding::accepted(&headers).collect()
    }

    #[test]
    fn the_best_comes_first_and_what_is_refused_not_at_all() {
        use Encoding::{Brotli, Gzip, Zstd};
        assert_eq!(accepted("gzip, deflate, br, zstd"), [Zstd, Brotli, Gzip]);
        assert_eq!(accepted("GZip;q=0.5, br; q=0, zstd;q=0.0"), [Gzip]);
        assert_eq!(accepted("identity"), []);
        assert_eq!(Encoding::accepted(&HeaderMap::new()).count(), 0);
    }
}
