//! A scanner over protobuf's wire format: the fields of a message as they come, borrowed, without
//! a schema and without allocation.
//!
//! <https://protobuf.dev/programming-guides/encoding/>. Nothing recurses: nested messages are
//! scanned by whoever knows them.

/// Why bytes are not the protobuf message they should be. Texts are those of the library that
/// Prometheus and Loki use, as far as it has one without a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("unexpected EOF")]
    Truncated,
    #[error("proto: integer overflow")]
    VarintTooLong,
    #[error("proto: illegal tag {0}")]
    Tag(u64),
    #[error("proto: wrong wire type for field {0}")]
    WireType(u64),
    #[error("proto: field {0} is not valid UTF-8")]
    Utf8(u64),
}

/// One field: its number and its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    value: Value<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Field<'a> {
    /// A string, bytes, nested message or packed list.
    pub(crate) fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::WireType(self.number)),
        }
    }

    pub(crate) fn text(&self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|std::str::Utf8Error { .. }| WireError::Utf8(self.number))
    }

    pub(crate) fn message(&self) -> Result<Fields<'a>, WireError> {
        self.bytes().map(fields)
    }

    pub(crate) fn varint(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(WireError::WireType(self.number)),
        }
    }

    pub(crate) fn int64(&self) -> Result<i64, WireError> {
        self.varint().map(u64::cast_signed)
    }

    pub(crate) fn double(&self) -> Result<f64, WireError> {
        match self.value {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(WireError::WireType(self.number)),
        }
    }

    /// `sint32` and `sint64`.
    pub(crate) fn zigzag(&self) -> Result<i64, WireError> {
        self.varint().map(unzigzag)
    }

    /// A `repeated double` field: packed, or one element of an unpacked one. Bytes behind the last
    /// whole one are damage.
    pub(crate) fn doubles(&self, into: &mut Vec<f64>) -> Result<(), WireError> {
        match self.value {
            Value::Fixed64(bits) => into.push(f64::from_bits(bits)),
            Value::Bytes(bytes) => {
                let (doubles, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(WireError::Truncated);
                }
                into.extend(doubles.iter().map(|it| f64::from_le_bytes(*it)));
            }
            _ => return Err(WireError::WireType(self.number)),
        }
        Ok(())
    }

    /// A `repeated` integer field: packed, or one element of an unpacked one.
    pub(crate) fn varints(&self) -> Result<Varints<'a>, WireError> {
        match self.value {
            Value::Varint(value) => Ok(Varints { single: Some(value), rest: &[] }),
            Value::Bytes(rest) => Ok(Varints { single: None, rest }),
            _ => Err(WireError::WireType(self.number)),
        }
    }
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// The fields of a message; ends after the first error.
pub(crate) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = next_field(&mut self.rest);
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[derive(Debug)]
pub(crate) struct Varints<'a> {
    single: Option<u64>,
    rest: &'a [u8],
}

impl Iterator for Varints<'_> {
    type Item = Result<u64, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(value) = self.single.take() {
            return Some(Ok(value));
        }
        if self.rest.is_empty() {
            return None;
        }
        let value = take_varint(&mut self.rest);
        if value.is_err() {
            self.rest = &[];
        }
        Some(value)
    }
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, WireError> {
    let tag = take_varint(rest)?;
    let number = tag >> 3;
    if number == 0 {
        return Err(WireError::Tag(tag));
    }
    let value = match tag & 7 {
        0 => Value::Varint(take_varint(rest)?),
        1 => Value::Fixed64(u64::from_le_bytes(take_array(rest)?)),
        2 => {
            let len = usize::try_from(take_varint(rest)?).unwrap_or(usize::MAX);
            let (bytes, tail) = rest.split_at_checked(len).ok_or(WireError::Truncated)?;
            *rest = tail;
            Value::Bytes(bytes)
        }
        5 => {
            take_array::<4>(rest)?;
            Value::Fixed32
        }
        // Groups are long gone from every schema we read; 6 and 7 never were.
        _ => return Err(WireError::Tag(tag)),
    };
    Ok(Field { number, value })
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], WireError> {
    let (array, tail) = rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
    *rest = tail;
    Ok(*array)
}

#[inline]
pub(crate) fn take_varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    // Nearly every tag and length.
    if let [byte @ ..0x80, tail @ ..] = *rest {
        *rest = tail;
        return Ok(u64::from(*byte));
    }
    take_long_varint(rest)
}

fn take_long_varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0;
    for (i, &byte) in rest.iter().enumerate().take(10) {
        // The tenth byte has room for one bit only.
        if i == 9 && byte > 1 {
            return Err(WireError::VarintTooLong);
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *rest = rest.get(i + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(if rest.len() < 10 { WireError::Truncated } else { WireError::VarintTooLong })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &[u8], expected: &expect_test::Expect) {
        let fields: Vec<String> = fields(message)
            .map(|it| match it {
                Ok(Field { number, value }) => format!("{number}: {value:?}"),
                Err(error) => format!("error: {error}"),
            })
            .collect();
        expected.assert_eq(&fields.join("\n"));
    }

    #[test]
    fn every_wire_type_is_read_or_skipped() {
        check(
            &[
                0x08, 0x96, 0x01, 0x11, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x1a, 2, b'h', b'i', 0x25, 1,
                0, 0, 0, 0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
            ],
            &expect_test::expect![[r#"
                1: Varint(150)
                2: Fixed64(4607182418800017408)
                3: Bytes([104, 105])
                4: Fixed32
                5: Varint(18446744073709551615)"#]],
        );
    }

    #[test]
    fn damage_is_named_and_ends_the_scan() {
        check(&[0x0a, 5, 1], &expect_test::expect!["error: unexpected EOF"]);
        check(&[0x08], &expect_test::expect!["error: unexpected EOF"]);
        check(&[0x08, 0xff], &expect_test::expect!["error: unexpected EOF"]);
        check(&[0x00, 1], &expect_test::expect!["error: proto: illegal tag 0"]);
        check(&[0x0b, 1], &expect_test::expect!["error: proto: illegal tag 11"]);
        check(
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &expect_test::expect!["error: proto: integer overflow"],
        );
        check(
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &expect_test::expect!["error: unexpected EOF"],
        );
    }

    #[test]
    fn repeated_integers_are_read_packed_and_one_by_one() {
        let message = [0x0a, 3, 1, 0xac, 2, 0x08, 7];
        let all: Result<Vec<u64>, WireError> =
            fields(&message).flat_map(|it| it.unwrap().varints().unwrap()).collect();
        assert_eq!(all, Ok(vec![1, 300, 7]));
    }
}
