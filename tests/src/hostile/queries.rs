//! What is asked of hostile lines: every stage alone and some of them together, as a query for lines
//! and under the aggregations that go through other code.

/// Behind a selector.
pub(super) const STAGES: &[&str] = &[
    "",
    "|= `error`",
    "!= `{`",
    "|~ `(?i)ERR[oO]r|\\x00|[^\\x00-\\x7f]{3}`",
    "!~ `^.{0,100}$`",
    "|= `a` or `}}` or ``",
    "|= ip(`10.0.0.0/8`)",
    "!= ip(`::1`)",
    "|= ip(`192.168.4.0-192.168.5.255`)",
    "|> `<_>error<_>`",
    "|> `<_>=<_> <_>`",
    "!> `{<_>}`",
    "| json",
    "| json a=`a.a.a`, b=`[\"a.b\"].c[1].d`, level",
    "| json | level = `error`",
    "| logfmt",
    "| logfmt --strict",
    "| logfmt --keep-empty",
    "| logfmt --strict --keep-empty a=`k`, level",
    "| logfmt | k1 > 3",
    "| json | logfmt",
    "| unpack",
    "| unpack | logfmt",
    "| pattern `<a>=<b> <_>`",
    "| pattern `<_>{<a>}<b>`",
    "| regexp `(?P<a>\\w+)=(?P<b>[^ ]*)`",
    "| regexp `(?s)(?P<all>.*)`",
    "| decolorize",
    "| decolorize | logfmt | line_format `{{.level}}`",
    "| line_format `{{ __line__ | upper | trunc 50 }} {{ __timestamp__ }}`",
    "| line_format `{{ __line__ | fromJson }}`",
    "| line_format `{{ __line__ | regexReplaceAll \"(.)(.)\" \"${2}$1\" | b64enc | b64dec }}`",
    "| line_format `{{ __line__ | urlencode | urldecode | lower | substr 3 9 }}`",
    "| logfmt | line_format `{{ range $k, $v := .k }}{{ $v }}{{ end }}{{ .v | int }}`",
    "| logfmt | label_format x=v, y=`{{ .duration | duration_seconds }}`",
    "| label_format line=`{{ __line__ | printf \"%.20q\" }}`",
    "| logfmt | v > 1s or size > 1KB or status >= 400",
    "| logfmt | duration > 10ms and size < 5PiB",
    "| logfmt | addr = ip(`10.0.0.0/8`)",
    "| json | drop level, __error__, __error_details__",
    "| logfmt | keep level, k1",
    "| json | line_format `{{ . }}` | logfmt | drop __error__=~`.+`",
    "| detected_level = `error`",
];

/// Of a metric: behind `| …`.
pub(super) const UNWRAPS: &[&str] = &[
    "| logfmt | unwrap v",
    "| logfmt | unwrap duration(v)",
    "| logfmt | unwrap duration_seconds(duration)",
    "| logfmt | unwrap bytes(size)",
    "| json | unwrap n",
    "| json | unwrap duration(duration)",
    "| regexp `(?P<n>[0-9]+)` | unwrap n",
];

/// Around what [`UNWRAPS`] say.
pub(super) const RANGES: &[&str] = &[
    "sum_over_time",
    "max_over_time",
    "quantile_over_time",
    "stddev_over_time",
    "first_over_time",
    "rate",
    "rate_counter",
];
