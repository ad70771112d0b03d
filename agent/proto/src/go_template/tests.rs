//! Templates against what Go and Loki make of them.

use std::collections::BTreeMap;

use super::*;

/// The labels of a line.
impl Fields for BTreeMap<&str, &str> {
    fn get(&self, name: &str) -> Option<&str> {
        self.get(name).copied()
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.iter().map(|(name, value)| (*name, *value)).collect()
    }
}

/// Runs a template over the line `level=error msg="two words"` of the stream `{app="web"}`.
fn run(text: &str) -> String {
    let template = match Template::parse(text, "line") {
        Ok(template) => template,
        Err(message) => return format!("refused: {message}"),
    };
    let labels = BTreeMap::from([
        ("app", "web"),
        ("level", "error"),
        ("msg", "two words"),
        ("n", "42"),
        ("empty", ""),
    ]);
    let line = r#"{"a":{"b":[1,2.5,"x",null,true]},"c":"d"}"#;
    match template.run(1_717_372_835_000_849_739, line, &labels) {
        Ok(text) => text,
        Err(message) => format!("fails: {message}"),
    }
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (template, wanted) in cases {
        assert_eq!(run(template), *wanted, "{template}");
    }
}

#[test]
fn text_and_blanks() {
    check(&[
        ("plain", "plain"),
        ("", ""),
        ("a {{.app}} b", "a web b"),
        ("a {{- .app -}} b", "awebb"),
        ("a {{- /* note */ -}} b", "ab"),
        ("{{/* note */}}x", "x"),
        ("{{.nope}}|", "|"),
        ("{{ . }}", "map[app:web empty: level:error msg:two words n:42]"),
        ("{{ $x := 1 }}{{ $x }}{{ $x = 2 }}{{ $x }}", "12"),
        ("{{ if true }}{{ $app := 1 }}{{ end }}{{ $.app }}", "web"),
    ]);
}

#[test]
fn blocks() {
    check(&[
        ("{{ if .app }}yes{{ else }}no{{ end }}", "yes"),
        ("{{ if .nope }}yes{{ else if .level }}level{{ else }}no{{ end }}", "level"),
        ("{{ with .app }}<{{ . }}>{{ end }}", "<web>"),
        ("{{ with .nope }}x{{ else with .app }}<{{ . }}>{{ else }}y{{ end }}", "<web>"),
        ("{{ range $i, $x := fromJson `[3,4]` }}{{ $i }}={{ $x }};{{ end }}", "0=3;1=4;"),
        ("{{ range $k, $v := fromJson __line__ }}{{ $k }},{{ end }}", "a,c,"),
        (
            "{{ range fromJson `[1,2,3,4]` }}{{ if eq . 2.0 }}{{ continue }}{{ end }}{{ if eq . 4.0 }}{{ break }}{{ end }}{{ . }}{{ end }}",
            "13",
        ),
        ("{{ range fromJson `[]` }}x{{ else }}none{{ end }}", "none"),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        (
            "{{ range .app }}{{ end }}",
            "fails: template: line:1:9: executing \"line\" at <.app>: range can't iterate over web",
        ),
        ("{{ define \"t\" }}[{{ . }}]{{ end }}{{ template \"t\" .app }}", "[web]"),
        ("{{ block \"t\" .app }}[{{ . }}]{{ end }}", "[web]"),
        (
            "{{ template \"t\" }}",
            "fails: template: line:1:3: executing \"line\" at <{{template \"t\"}}>: template \"t\" not defined",
        ),
    ]);
}

#[test]
fn json_values_have_fields() {
    check(&[
        ("{{ (fromJson __line__).c }}", "d"),
        ("{{ $j := fromJson __line__ }}{{ $j.a.b }}", "[1 2.5 x <nil> true]"),
        ("{{ index (fromJson __line__).a.b 2 }}", "x"),
        ("{{ (fromJson __line__).nope }}", "<no value>"),
        ("{{ fromJson `no` }}", "<no value>"),
        (
            "{{ (fromJson __line__).a.b.c }}",
            "fails: template: line:1:13: executing \"line\" at <__line__>: can't evaluate field c in type []interface {}",
        ),
    ]);
}

#[test]
fn texts() {
    check(&[
        (
            "{{ .msg | upper }} {{ ToLower \"ABC\" }} {{ title \"don't stop-me\" }}",
            "TWO WORDS abc Don'T Stop-Me",
        ),
        (
            "{{ trim \" x \" }}|{{ trimAll \"$\" \"$5$\" }}|{{ trimPrefix \"-\" \"-a\" }}|{{ trimSuffix \"-\" \"a-\" }}",
            "x|5|a|a",
        ),
        ("{{ trunc 3 .msg }} {{ trunc -5 .msg }} {{ trunc 99 .app }}", "two words web"),
        ("{{ substr 1 3 .app }} {{ substr -1 2 .app }} {{ substr 1 -1 .app }}", "eb we eb"),
        (
            "{{ substr 5 2 .msg }}",
            "fails: template: line:1:3: executing \"line\" at <substr 5 2 .msg>: error calling substr: runtime error: slice bounds out of range [5:2]",
        ),
        ("{{ replace \"o\" \"0\" .msg }} {{ Replace \"aaa\" \"a\" \"b\" 2 }}", "tw0 w0rds bba"),
        (
            "{{ repeat 3 \"ab\" }}|{{ indent 2 \"a\\nb\" }}|{{ nindent 1 \"a\" }}",
            "ababab|  a\n  b|\n a",
        ),
        (
            "{{ repeat -1 \"ab\" }}",
            "fails: template: line:1:3: executing \"line\" at <repeat -1 \"ab\">: error calling repeat: strings: negative Repeat count",
        ),
        (
            "{{ alignLeft 6 .app }}|{{ alignRight 6 .app }}|{{ alignLeft 2 .app }}|{{ alignRight 2 .app }}",
            "web   |   web|we|eb",
        ),
        (
            "{{ contains \"wo\" .msg }} {{ hasPrefix \"two\" .msg }} {{ hasSuffix \"two\" .msg }}",
            "true true false",
        ),
        (
            "{{ regexReplaceAll \"(t)(w)\" .msg \"$2$1\" }} {{ regexReplaceAllLiteral \"o\" .msg \"$1\" }}",
            "wto words tw$1 w$1rds",
        ),
        ("{{ count \"o\" .msg }}", "2"),
        (
            "{{ count \"(\" .msg }}",
            "fails: template: line:1:3: executing \"line\" at <count \"(\" .msg>: error calling count: error parsing regexp: missing closing ): `(`",
        ),
        (
            "{{ b64enc .app }} {{ b64dec \"d2Vi\" }} {{ b64dec \"d2V\" }}",
            "d2Vi web illegal base64 data at input byte 0",
        ),
        ("{{ urlencode \"a b/ü\" }} {{ urldecode \"a+b%2F\" }}", "a+b%2F%C3%BC a b/"),
        (
            "{{ urldecode \"%zz\" }}",
            "fails: template: line:1:3: executing \"line\" at <urldecode \"%zz\">: error calling urldecode: invalid URL escape \"%zz\"",
        ),
        ("{{ html \"<a>\" }} {{ js \"'\" }} {{ urlquery \"a b\" }}", "&lt;a&gt; \\' a+b"),
        ("{{ default \"-\" .empty }} {{ .app | default \"-\" }} {{ default 5 0 }}", "- web 5"),
        ("{{ \"x\" | printf \"%s-%s\" .app }}", "web-x"),
    ]);
}

#[test]
fn numbers() {
    check(&[
        ("{{ add 1 2 3 }} {{ sub 5 3 }} {{ mul 2 3 4 }} {{ div 9 2 }} {{ mod 9 4 }}", "6 2 24 4 1"),
        (
            "{{ \"42\" | int | add 1 }} {{ int \"3.7\" }} {{ int \"x\" }} {{ int \"0x1f\" }}",
            "43 3 0 31",
        ),
        (
            "{{ addf 0.1 0.2 }} {{ subf 3 1.5 }} {{ mulf 1.1 3 }} {{ divf 10 4 }} {{ divf 1 3 }}",
            "0.3 1.5 3.3 2.5 0.3333333333333333",
        ),
        (
            "{{ div 1 0 }}",
            "fails: template: line:1:3: executing \"line\" at <div 1 0>: error calling div: runtime error: integer divide by zero",
        ),
        (
            "{{ divf 1 0 }}",
            "fails: template: line:1:3: executing \"line\" at <divf 1 0>: error calling divf: decimal division by 0",
        ),
        ("{{ max 1 \"5\" 3 }} {{ min 4 2 }} {{ maxf 1.5 2 }} {{ minf 1.5 2 }}", "5 2 2 1.5"),
        (
            "{{ ceil 1.2 }} {{ floor 1.8 }} {{ round 1.256 2 }} {{ round 1.5 0 }} {{ float64 \"3.5\" }}",
            "2 1 1.26 2 3.5",
        ),
        (
            "{{ bytes \"5KiB\" }} {{ bytes \"2MB\" }} {{ duration \"1m30s\" }} {{ duration_seconds \"250ms\" }}",
            "5120 2e+06 90 0.25",
        ),
        (
            "{{ .empty | bytes }}",
            "fails: template: line:1:12: executing \"line\" at <bytes>: error calling bytes: strconv.ParseFloat: parsing \"\": invalid syntax",
        ),
        (
            "{{ 1000000.5 }} {{ 123456.0 }} {{ 1e-5 }} {{ 'a' }} {{ 0x10 }}",
            "1.0000005e+06 123456 1e-05 97 16",
        ),
    ]);
}

#[test]
fn logic() {
    check(&[
        (
            "{{ eq .app \"web\" \"x\" }} {{ ne 1 2 }} {{ lt 1 2 }} {{ le 2 2 }} {{ gt \"b\" \"a\" }} {{ ge 1.5 2.5 }}",
            "true true true true true false",
        ),
        (
            "{{ eq 1 1.0 }}",
            "fails: template: line:1:3: executing \"line\" at <eq 1 1.0>: error calling eq: incompatible types for comparison",
        ),
        (
            "{{ lt .app 1 }}",
            "fails: template: line:1:3: executing \"line\" at <lt .app 1>: error calling lt: incompatible types for comparison",
        ),
        (
            "{{ and .app .level }} {{ or .nope .app }} {{ not .app }} {{ and .nope (div 1 0) }}",
            "error web false ",
        ),
        (
            "{{ len .msg }} {{ index \"abc\" 1 }} {{ slice \"abcdef\" 1 3 }} {{ len . }}",
            "9 98 bc 5",
        ),
        (
            "{{ index \"abc\" 9 }}",
            "fails: template: line:1:3: executing \"line\" at <index \"abc\" 9>: error calling index: index out of range: 9",
        ),
        (
            "{{ len 5 }}",
            "fails: template: line:1:3: executing \"line\" at <len 5>: error calling len: len of type int",
        ),
        ("{{ print .app 1 2 }} {{ println 1 2 }}", "web1 2 1 2\n"),
    ]);
}

#[test]
fn times() {
    check(&[
        ("{{ __timestamp__ }}", "2024-06-03 00:00:35.000849739 +0000 UTC"),
        (
            "{{ __timestamp__ | unixEpoch }} {{ unixEpochMillis __timestamp__ }} {{ unixEpochNanos __timestamp__ }}",
            "1717372835 1717372835000 1717372835000849739",
        ),
        ("{{ toDate \"2006-01-02\" \"2024-02-29\" | date \"Jan 2, 2006\" }}", "Feb 29, 2024"),
        (
            "{{ toDateInZone \"2006-01-02\" \"Europe/Paris\" \"2021-07-02\" | unixEpoch }}",
            "1625176800",
        ),
        (
            "{{ toDateInZone \"2006-01-02\" \"Europe/Paris\" \"2021-07-02\" }}",
            "2021-07-02 00:00:00 +0200 CEST",
        ),
        ("{{ toDate \"2006\" \"x\" | unixEpoch }}", "-62135596800"),
        (
            "{{ unixToTime \"1679577215\" | date \"2006-01-02\" }} {{ unixToTime \"19373\" }}",
            "2023-03-23 2023-01-16 00:00:00 +0000 UTC",
        ),
        (
            "{{ unixToTime \"x\" }}",
            "fails: template: line:1:3: executing \"line\" at <unixToTime \"x\">: error calling unixToTime: unable to parse time 'x': strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "{{ unixEpoch .app }}",
            "fails: template: line:1:13: executing \"line\" at <.app>: wrong type for value; expected time.Time; got string",
        ),
        (
            "{{ __timestamp__.Year }} {{ (__timestamp__).Unix }} {{ now.IsZero }}",
            "2024 1717372835 false",
        ),
        ("{{ date \"2006\" 0 }}", "1970"),
    ]);
}

#[test]
fn printf_follows_go() {
    check(&[
        ("{{ printf \"%-10s|%5s|%05d\" .level .app 42 }}", "error     |  web|00042"),
        ("{{ .level | printf \"%q\" }} {{ printf \"%v %T\" .n .n }}", "\"error\" 42 string"),
        (
            "{{ printf \"%5.2f|%e|%g|%8.3f|%+d\" 3.14159 1500.0 0.1 2.0 5 }}",
            " 3.14|1.500000e+03|0.1|   2.000|+5",
        ),
        ("{{ printf \"%x %X %o %b %c %U\" 255 255 8 5 65 65 }}", "ff FF 10 101 A U+0041"),
        ("{{ printf \"%d\" .app }} {{ printf \"%s\" 5 }}", "%!d(string=web) %!s(int=5)"),
        ("{{ printf \"%s %s\" .app }} {{ printf \"x\" 1 }}", "web %!s(MISSING) x%!(EXTRA int=1)"),
        ("{{ printf \"%\" }} {{ printf \"100%%\" }}", "%!(NOVERB) 100%"),
        ("{{ printf \"%.3s|%*d|%[2]s %[1]s\" \"abcdef\" 4 7 }}", "abc|   7|%!s(int=4) abcdef"),
        ("{{ printf \"%t %v\" true nil }}", "true <nil>"),
        (
            "{{ printf 5 }}",
            "fails: template: line:1:10: executing \"line\" at <5>: expected string; found 5",
        ),
    ]);
}

#[test]
fn what_is_no_template_is_refused_in_gos_words() {
    check(&[
        ("{{ .x | nosuch }}", "refused: template: line:1: function \"nosuch\" not defined"),
        ("{{ .unclosed ", "refused: template: line:1: unclosed action"),
        ("{{ if .x }}", "refused: template: line:1: unexpected EOF"),
        ("{{ end }}", "refused: template: line:1: unexpected {{end}}"),
        ("{{ else }}", "refused: template: line:1: unexpected {{else}}"),
        ("{{ }}", "refused: template: line:1: missing value for command"),
        ("{{ if }}x{{ end }}", "refused: template: line:1: missing value for if"),
        ("{{ $x }}", "refused: template: line:1: undefined variable \"$x\""),
        ("{{ \"open }}", "refused: template: line:1: unterminated quoted string"),
        ("{{ (1 }}", "refused: template: line:1: unclosed left paren"),
        ("{{ 1) }}", "refused: template: line:1: unexpected right paren"),
        ("{{ 1x }}", "refused: template: line:1: bad number syntax: \"1x\""),
        ("{{ .x | 5 }}", "refused: template: line:1: non executable command in pipeline stage 2"),
        ("{{ break }}", "refused: template: line:1: {{break}} outside {{range}}"),
        ("{{ # }}", "refused: template: line:1: unexpected \"#\" in command"),
        ("{{ \"a\".b }}", "refused: template: line:1: unexpected . after term \"\\\"a\\\"\""),
        ("a\n{{ .x | nosuch }}", "refused: template: line:2: function \"nosuch\" not defined"),
        ("{{ .x-y }}", "refused: template: line:1: bad character U+002D '-'"),
        ("{{/* open }}", "refused: template: line:1: unclosed comment"),
        (
            "{{ if .x }}{{ else }}{{ else }}{{ end }}",
            "refused: template: line:1: expected end; found {{else}}",
        ),
    ]);
}

#[test]
fn what_cannot_run_says_where() {
    check(&[
        (
            "{{ upper 5 }}",
            "fails: template: line:1:9: executing \"line\" at <5>: expected string; found 5",
        ),
        (
            "{{ .app 1 }}",
            "fails: template: line:1:3: executing \"line\" at <.app>: app is not a method but has arguments",
        ),
        (
            "{{ .app.x }}",
            "fails: template: line:1:7: executing \"line\" at <.app.x>: can't evaluate field x in type string",
        ),
        (
            "{{ upper }}",
            "fails: template: line:1:3: executing \"line\" at <upper>: wrong number of args for upper: want 1 got 0",
        ),
        (
            "{{ lower .app .level }}",
            "fails: template: line:1:3: executing \"line\" at <lower>: wrong number of args for lower: want 1 got 2",
        ),
        (
            "{{ trunc .n .app }}",
            "fails: template: line:1:9: executing \"line\" at <.n>: wrong type for value; expected int; got string",
        ),
        (
            "{{ 5 .app }}",
            "fails: template: line:1:3: executing \"line\" at <5>: can't give argument to non-function 5",
        ),
        (
            "x\n{{ div 1 0 }}",
            "fails: template: line:2:3: executing \"line\" at <div 1 0>: error calling div: runtime error: integer divide by zero",
        ),
        (
            "{{ range 1000000 }}{{ end }}",
            "fails: template: line:1:9: executing \"line\" at <1000000>: template takes more than 100000 steps",
        ),
        (
            "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}",
            "fails: template: line:1:19: executing \"r\" at <{{template \"r\"}}>: exceeded maximum template depth (64)",
        ),
    ]);
}
