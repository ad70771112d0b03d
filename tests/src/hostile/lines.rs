//! Lines that no one should have to read: a table of kinds, each a generator with a seed.

use std::fmt::Write as _;

use crate::load::Rng;

/// A kind's name, and what makes one of its lines.
pub(super) type Kind = (&'static str, fn(&mut Rng) -> Vec<u8>);

/// What is too long for the server by far.
pub(super) const TOO_LONG_BYTES: usize = 3 << 20;

pub(super) const KINDS: &[Kind] = &[
    ("binary", binary),
    ("nul", nul),
    ("not_utf8", not_utf8),
    ("megabyte", megabyte),
    ("deep_json", deep_json),
    ("deep_arrays", deep_arrays),
    ("odd_json", odd_json),
    ("broken_json", broken_json),
    ("ansi", ansi),
    ("braces", braces),
    ("quotes", quotes),
    ("many_fields", many_fields),
    ("odd_logfmt", odd_logfmt),
    ("scripts", scripts),
    ("numbers", numbers),
    ("units", units),
    ("addresses", addresses),
    ("templates", templates),
    ("patterns", patterns),
    ("white_space", white_space),
    ("packed", packed),
];

fn pick<'t>(rng: &mut Rng, of: &[&'t str]) -> &'t str {
    let n = u64::try_from(of.len()).unwrap_or_default();
    let at = usize::try_from(rng.below(n)).unwrap_or_default();
    of.get(at).copied().unwrap_or_default()
}

fn size(rng: &mut Rng, max: u64) -> usize {
    usize::try_from(rng.below(max)).unwrap_or_default()
}

/// Several of them, one after the other.
fn several(rng: &mut Rng, of: &[&str], n_max: u64) -> Vec<u8> {
    let n = 1 + size(rng, n_max);
    (0..n).map(|_| pick(rng, of)).collect::<String>().into_bytes()
}

fn binary(rng: &mut Rng) -> Vec<u8> {
    let n = 1 + size(rng, 8 << 10);
    (0..n).map(|_| u8::try_from(rng.below(256)).unwrap_or_default()).collect()
}

fn nul(rng: &mut Rng) -> Vec<u8> {
    several(rng, &["\0", "a", "\0=\0", "{\"\0\":\"\0\"}", "level=\0 "], 200)
}

fn not_utf8(rng: &mut Rng) -> Vec<u8> {
    let n = 1 + size(rng, 400);
    let parts: [&[u8]; 8] = [
        b"\xff",
        b"\xc3(",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98",
        b"\xc0\xaf",
        b"ok ",
        b"a=\xfe ",
        b"{\"\x80\":\"\xbf\"}",
    ];
    let picked = (0..n).filter_map(|_| parts.get(size(rng, 8)).copied());
    picked.collect::<Vec<_>>().concat()
}

fn megabyte(rng: &mut Rng) -> Vec<u8> {
    let part = pick(rng, &["x", "ab ", "=", "\"", "{", "\\", "%", "1", "<_>", "é"]);
    part.repeat((1 << 20) / part.len()).into_bytes()
}

fn deep_json(rng: &mut Rng) -> Vec<u8> {
    let depth = 1 + size(rng, 20_000);
    let mut line = "{\"a\":".repeat(depth);
    line.push_str(pick(rng, &["1", "\"x\"", "{}", "[]", ""]));
    line.push_str(&"}".repeat(depth));
    line.into_bytes()
}

fn deep_arrays(rng: &mut Rng) -> Vec<u8> {
    let depth = 1 + size(rng, 50_000);
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    format!("{{\"level\":{open}{close},\"b\":{open}").into_bytes()
}

fn odd_json(rng: &mut Rng) -> Vec<u8> {
    let members = [
        r#""level":"error""#,
        r#""level":null"#,
        r#""a.b":{"c":[1,{"d":2}]}"#,
        r#""\u0000\ud83d\ude00":"\ud800 alone""#,
        r#""":"""#,
        r#""n":1e999999999999"#,
        r#""n":-0.0000000000000000000000000000000000000001"#,
        r#""x":"\u001b[31m","x":"twice""#,
        r#""__error__":"made up""#,
        r#""detected_level":"made up""#,
        r#""1":true,"日本":false"#,
        "\"\u{202e}\":\"\u{202e}\"",
    ];
    let n = size(rng, 30);
    let picked: Vec<&str> = (0..n).map(|_| pick(rng, &members)).collect();
    format!("{{{}}}", picked.join(",")).into_bytes()
}

fn broken_json(rng: &mut Rng) -> Vec<u8> {
    let mut line = odd_json(rng);
    for _ in 0..=size(rng, 4) {
        let at = size(rng, u64::try_from(line.len()).unwrap_or(1).max(1));
        match rng.below(3) {
            0 => line.truncate(at),
            1 => line.insert(at.min(line.len()), b'"'),
            _ => {
                if let Some(byte) = line.get_mut(at) {
                    *byte = b'\\';
                }
            }
        }
    }
    line
}

fn ansi(rng: &mut Rng) -> Vec<u8> {
    let parts = [
        "\u{1b}[31m",
        "\u{1b}[0m",
        "\u{1b}[1;32m",
        "\u{1b}]0;title\u{7}",
        "\u{1b}[",
        "\u{1b}",
        "\u{9b}5A",
        "\u{1b}[38;2;1;2;3m",
        "error ",
        "level=",
    ];
    several(rng, &parts, 60)
}

fn braces(rng: &mut Rng) -> Vec<u8> {
    several(rng, &["{", "}", "{{", "}}", "{}", "[", "]", "(", ")", "<", ">", " "], 400)
}

fn quotes(rng: &mut Rng) -> Vec<u8> {
    several(rng, &["\"", "'", "`", "\\", "\\\\", "\\\"", "\\x", "\\u12", "a=\"", " "], 400)
}

fn many_fields(rng: &mut Rng) -> Vec<u8> {
    let n = 1 + size(rng, 100_000);
    let is_distinct = rng.below(2) == 0;
    let mut line = String::new();
    for i in 0..n {
        let (key, value) = if is_distinct { (i, i % 7) } else { (i % 20, i) };
        let written = write!(line, "k{key}={value} ");
        written.expect("a string takes everything");
    }
    line.into_bytes()
}

fn odd_logfmt(rng: &mut Rng) -> Vec<u8> {
    let parts = [
        "level=error ",
        "a=b=c ",
        "= ",
        "==",
        "k= ",
        "k ",
        "k=\"v \\\" w\" ",
        "k=\"open ",
        "\"k\"=v ",
        "__error__=x ",
        "a.b-c=1 ",
        "é=ü ",
        "k=\"\\u00\" ",
        "duration=1h99m ",
        "\t",
        "size=9YB ",
    ];
    several(rng, &parts, 40)
}

fn scripts(rng: &mut Rng) -> Vec<u8> {
    let parts = [
        "\u{202e}rtl\u{202c}",
        "שלום",
        "مرحبا",
        "e\u{301}\u{302}\u{303}",
        "👨\u{200d}👩\u{200d}👧\u{200d}👦",
        "🏴\u{e0067}\u{e0062}\u{e007f}",
        "ﷺ",
        "İıſK",
        "ß",
        "\u{feff}",
        "\u{2028}",
        "Z\u{335}\u{321}\u{353}",
        "日本語",
        "\u{10ffff}",
        " error ",
    ];
    several(rng, &parts, 80)
}

fn numbers(rng: &mut Rng) -> Vec<u8> {
    let parts = [
        "9".repeat(1_000),
        format!("0.{}1", "0".repeat(2_000)),
        "1e308".to_owned(),
        "1e999999999".to_owned(),
        "-1e-999999999".to_owned(),
        "NaN".to_owned(),
        "+Inf".to_owned(),
        "-0".to_owned(),
        "0x7fffffffffffffffffff".to_owned(),
        "9223372036854775808".to_owned(),
        "1_000".to_owned(),
        "１２３".to_owned(),
    ];
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (a, b) = (pick(rng, &parts), pick(rng, &parts));
    format!("v={a} status={b} {{\"v\":{a}}} {b}").into_bytes()
}

fn units(rng: &mut Rng) -> Vec<u8> {
    let durations = [
        "1h",
        "-5m",
        "99999999999999h",
        "1ns1",
        "0.0000001ns",
        "µs",
        "1us",
        "3d",
        "1e5s",
        ".s",
        "∞s",
    ];
    let sizes = ["1KB", "9999999999PiB", "-5MB", "1.5.5GB", "EiB", "1e9B", "0.1b", "KB1"];
    let (d, s) = (pick(rng, &durations), pick(rng, &sizes));
    format!("v={d} duration={d} size={s} d={d} {{\"duration\":\"{d}\"}}").into_bytes()
}

fn addresses(rng: &mut Rng) -> Vec<u8> {
    let parts = [
        "192.168.4.5 ",
        "256.1.1.1 ",
        "1.2.3.4.5.6.7 ",
        "::1 ",
        "fe80::1%eth0 ",
        ":::::: ",
        "::ffff:1.2.3.4 ",
        "10.0.0.0/8 ",
        "1.2.3 ",
        "addr=10.0.0.1 ",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ",
        "001.002.003.004 ",
    ];
    several(rng, &parts, 40)
}

fn templates(rng: &mut Rng) -> Vec<u8> {
    let parts =
        ["{{.a}}", "{{ end }}", "{{", "}}", "%s%n%d", "${HOME}", "$1", "{{ .a | b }}", "`", "a={{"];
    several(rng, &parts, 60)
}

fn patterns(rng: &mut Rng) -> Vec<u8> {
    let parts = ["<_>", "<a>", "<", ">", "aaaaaaaaaaaaaaaaaaaa", "!", "(a+)+$", ".*", "[", " - "];
    several(rng, &parts, 200)
}

fn white_space(rng: &mut Rng) -> Vec<u8> {
    several(rng, &[" ", "\t", "\n", "\r\n", "\u{a0}", "\u{85}", "\u{b}", "", "\u{3000}"], 300)
}

fn packed(rng: &mut Rng) -> Vec<u8> {
    let parts = [
        r#"{"_entry":"level=info","pod":"p"}"#,
        r#"{"_entry":null}"#,
        r#"{"_entry":{"_entry":"x"}}"#,
        r#"{"_entry":"\u0000{{}}","_entry":"twice"}"#,
        r#"{"pod":"only"}"#,
        r#"{"_entry":""#,
    ];
    several(rng, &parts, 2)
}
