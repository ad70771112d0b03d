//! Series whose labels the store knows by their spelling.

use super::*;

/// A store's knowledge, as simple as can be.
#[derive(Default)]
struct Cache(Option<HashSecret>, std::collections::HashMap<Fingerprint, SeriesRef>);

impl KnownSeries for Cache {
    fn secret(&self) -> &HashSecret {
        self.0.as_ref().unwrap()
    }

    fn find(&mut self, fingerprint: Fingerprint) -> Option<SeriesRef> {
        self.1.get(&fingerprint).copied()
    }
}

impl Cache {
    /// Each series' labels, or its number where it is known; the unknown ones get numbers.
    fn tell(&mut self, format: Format, body: &[u8]) -> String {
        self.0.get_or_insert_with(HashSecret::random);
        let limits = small();
        let plain = decompress(format, body, &limits).unwrap();
        let decoded = decode_known(format, &plain, &limits, self).unwrap();
        let mut out = String::new();
        for row in decoded.rows.series() {
            match row.key {
                SeriesKey::Known(SeriesRef(series)) => out += &format!("known {series}"),
                SeriesKey::Labels(labels, fingerprint) => {
                    out += &labels_text(labels);
                    let next = SeriesRef(u32::try_from(self.1.len()).unwrap());
                    match fingerprint {
                        Some(it) => assert_eq!(self.1.insert(it, next), None),
                        None => out += " without a fingerprint",
                    }
                }
            }
            out += &format!(" {} samples\n", row.ts.len());
        }
        if !decoded.refused.is_empty() {
            out += &format!("{}\n", decoded.refused);
        }
        out
    }
}

#[test]
fn labels_spelled_as_before_are_not_looked_at() {
    let mut cache = Cache::default();
    let first = expect![[r#"
        {__name__="up", job="a"} 2 samples
        {__name__="wait_bucket", le="1"} 2 samples
        {__name__="wait_bucket", le="+Inf"} 2 samples
        {__name__="plain"} 2 samples
        {__name__="s_sum"} 2 samples
    "#]];
    first.assert_eq(&cache.tell(V1, &encode_v1(&batch())));
    // 2.0 spells in another way.
    first.assert_eq(&cache.tell(V2, &encode_v2(&batch())));
    expect![[r#"
        known 0 2 samples
        known 1 2 samples
        known 2 2 samples
        known 3 2 samples
        known 4 2 samples
    "#]]
    .assert_eq(&cache.tell(V1, &encode_v1(&batch())));
    // The symbols have other numbers when a series is missing.
    expect![[r#"
        known 6 2 samples
        known 7 2 samples
        known 8 2 samples
        known 9 2 samples
    "#]]
    .assert_eq(&cache.tell(V2, &encode_v2(&batch()[1..])));
    expect![[r#"
        {__name__="up", job="a"} 1 samples
    "#]]
    .assert_eq(&cache.tell(V1, &v1(vec![series(&[("job", "a"), ("__name__", "up")])])));
}

#[test]
fn a_refused_series_stays_refused() {
    let mut cache = Cache::default();
    let body = v1(vec![series(&[("job", "a")]), series(&[("__name__", "up"), ("__name__", "b")])]);
    let expected = expect![[r#"
        invalid metric name or labels, got {job="a"}
        invalid labels for series, labels {__name__="b", __name__="up"}, duplicated label __name__
    "#]];
    for _ in 0..2 {
        expected.assert_eq(&cache.tell(V1, &body));
    }
    assert!(cache.1.is_empty());
}

#[test]
fn a_label_behind_the_samples_counts() {
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let part = |labels, samples| TimeSeries { labels, samples }.encode_to_vec();
    let sample = WireSample { value: 0.0, timestamp: 0 };
    // Parts of a message that follow each other are one message.
    let message =
        [part(vec![label("__name__", "up")], vec![sample]), part(vec![label("job", "a")], vec![])]
            .concat();
    let known = v1(vec![series(&[("__name__", "up")])]);
    let mut plain = vec![0x0a, u8::try_from(message.len()).unwrap()];
    plain.extend(message);
    let mut cache = Cache::default();
    cache.tell(V1, &known);
    for _ in 0..2 {
        expect![[r#"
            {__name__="up", job="a"} without a fingerprint 1 samples
        "#]]
        .assert_eq(&cache.tell(V1, &snappy::compress(&plain)));
    }
}

#[test]
fn metadata_that_changes_is_told_again() {
    let mut cache = Cache(Some(HashSecret::random()), Default::default());
    let mut told = |help: &'static str| {
        let mut batch = batch();
        batch.truncate(1);
        batch[0].help = Cow::Borrowed(help);
        let plain = decompress(V2, &encode_v2(&batch), &small()).unwrap();
        let decoded = decode_known(V2, &plain, &small(), &mut cache).unwrap();
        for row in decoded.rows.series() {
            if let SeriesKey::Labels(_, Some(fingerprint)) = row.key {
                cache.1.insert(fingerprint, SeriesRef(1));
            }
        }
        decoded.rows.metadata.iter().map(|it| it.help.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told("Up."), ["Up."]);
    assert_eq!(told("Up."), [""; 0]);
    assert_eq!(told("Up or not."), ["Up or not."]);
}
