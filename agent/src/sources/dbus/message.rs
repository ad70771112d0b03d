//! Messages of D-Bus, in the byte order of this machine
//! (<https://dbus.freedesktop.org/doc/dbus-specification.html>).
//!
//! ```text
//! u8 byte order   u8 type   u8 flags   u8 version   u32 bytes of the body   u32 serial
//! u32 bytes of the fields   { u8 field   variant value } …, each at a multiple of 8
//! body, at a multiple of 8
//! ```

/// Up to and with the length of the fields.
pub(super) const FIXED_BYTES: usize = 16;

const BYTE_ORDER: u8 = if cfg!(target_endian = "little") { b'l' } else { b'B' };
const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const VERSION: u8 = 1;
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// A call of a method that takes nothing but strings.
#[derive(Debug, Clone, Copy)]
pub(in crate::sources) struct Call<'a> {
    pub(in crate::sources) destination: &'a str,
    pub(in crate::sources) path: &'a str,
    pub(in crate::sources) interface: &'a str,
    pub(in crate::sources) member: &'a str,
    pub(in crate::sources) arguments: &'a [&'a str],
}

impl<'a> Call<'a> {
    /// Reads one property: `property` is its interface and its name.
    pub(in crate::sources) fn get(
        destination: &'a str,
        path: &'a str,
        property: &'a [&'a str; 2],
    ) -> Self {
        let interface = "org.freedesktop.DBus.Properties";
        Self { destination, path, interface, member: "Get", arguments: property }
    }

    pub(super) fn write(&self, serial: u32, out: &mut Vec<u8>) {
        let mut body = Writer::default();
        self.arguments.iter().for_each(|it| body.string(it));
        let mut fields = Writer::default();
        fields.field(PATH, "o", self.path);
        fields.field(INTERFACE, "s", self.interface);
        fields.field(MEMBER, "s", self.member);
        fields.field(DESTINATION, "s", self.destination);
        if !self.arguments.is_empty() {
            fields.field(SIGNATURE, "g", &"s".repeat(self.arguments.len()));
        }
        write(METHOD_CALL, serial, fields, &body, out);
    }
}

fn write(kind: u8, serial: u32, mut fields: Writer, body: &Writer, out: &mut Vec<u8>) {
    out.extend_from_slice(&[BYTE_ORDER, kind, 0, VERSION]);
    for number in [body.len(), serial, fields.len()] {
        out.extend_from_slice(&number.to_ne_bytes());
    }
    fields.align(8);
    out.append(&mut fields.bytes);
    out.extend_from_slice(&body.bytes);
}

/// A message that came in.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) reply_to: u32,
    /// Name and text of an error.
    pub(super) error: String,
    pub(super) body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Answer,
    Error,
    /// A signal, or a call that is not for us.
    Other,
}

/// Bytes of the whole message, told by its first [`FIXED_BYTES`]. None in another byte order.
pub(super) fn len(fixed: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(fixed);
    let [byte_order, _, _, VERSION] = *reader.take(4)? else { return None };
    let body = usize::try_from(reader.u32()?).ok()?;
    reader.u32()?;
    let fields = usize::try_from(reader.u32()?).ok()?;
    let total = FIXED_BYTES.checked_add(fields)?.checked_next_multiple_of(8)?.checked_add(body)?;
    (byte_order == BYTE_ORDER).then_some(total)
}

impl Message {
    /// None if it is damaged.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let kind = match *bytes.get(1)? {
            METHOD_RETURN => Kind::Answer,
            ERROR => Kind::Error,
            _ => Kind::Other,
        };
        let mut reader = Reader { bytes, at: FIXED_BYTES - 4 };
        let fields_end = FIXED_BYTES.checked_add(usize::try_from(reader.u32()?).ok()?)?;
        let (mut reply_to, mut error) = (0, String::new());
        while reader.at < fields_end {
            reader.align(8)?;
            let [field] = *reader.take(1)? else { return None };
            match (field, reader.variant()?) {
                (REPLY_SERIAL, Value::Number(serial)) => reply_to = u32::try_from(serial).ok()?,
                (ERROR_NAME, Value::Text(name)) => error = name,
                _ => {}
            }
        }
        reader.align(8)?;
        let body = bytes.get(reader.at..)?.to_vec();
        if kind == Kind::Error
            && let Some(text) = Reader::new(&body).string()
        {
            error = format!("{error}: {text}");
        }
        Some(Self { kind, reply_to, error, body })
    }
}

/// A value of one of the simple types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sources) enum Value {
    Text(String),
    Number(u64),
    Bool(bool),
}

/// Reads values one after the other; None where they end or are damaged.
#[derive(Debug, Clone)]
pub(in crate::sources) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(in crate::sources) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(in crate::sources) fn u32(&mut self) -> Option<u32> {
        self.align(4)?;
        self.take(4)?.first_chunk().map(|it| u32::from_ne_bytes(*it))
    }

    pub(in crate::sources) fn string(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.u32()?).ok()?;
        let text = self.take(len)?;
        self.take(1)?;
        str::from_utf8(text).ok()
    }

    /// A variant of a simple type.
    pub(in crate::sources) fn variant(&mut self) -> Option<Value> {
        let [len] = *self.take(1)? else { return None };
        let signature = self.take(usize::from(len))?;
        self.take(1)?;
        Some(match signature {
            b"s" | b"o" => Value::Text(self.string()?.to_owned()),
            b"g" => {
                let [len] = *self.take(1)? else { return None };
                let text = self.take(usize::from(len))?;
                self.take(1)?;
                Value::Text(String::from_utf8_lossy(text).into_owned())
            }
            b"u" => Value::Number(self.u32()?.into()),
            b"t" => {
                self.align(8)?;
                Value::Number(self.take(8)?.first_chunk().map(|it| u64::from_ne_bytes(*it))?)
            }
            b"b" => Value::Bool(self.u32()? != 0),
            _ => return None,
        })
    }

    /// Each element of an array of structures, as `element` reads it.
    pub(in crate::sources) fn structs<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let len = usize::try_from(self.u32()?).ok()?;
        self.align(8)?;
        let end = self.at.checked_add(len).filter(|it| *it <= self.bytes.len())?;
        let mut elements = Vec::new();
        while self.at < end {
            self.align(8)?;
            elements.push(element(self)?);
        }
        Some(elements)
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        Some(())
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}

/// Writes values one after the other.
#[derive(Debug, Default)]
pub(in crate::sources) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&value.to_ne_bytes());
    }

    pub(super) fn string(&mut self, text: &str) {
        self.u32(u32::try_from(text.len()).expect("names are short"));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.bytes.push(u8::try_from(text.len()).expect("signatures are short"));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    fn field(&mut self, field: u8, signature: &str, value: &str) {
        self.align(8);
        self.bytes.push(field);
        self.signature(signature);
        if signature == "g" { self.signature(value) } else { self.string(value) }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("calls are short")
    }
}

#[cfg(test)]
pub(super) mod fake {
    //! The other side, for tests: reads calls and writes answers.

    use super::{
        ERROR, ERROR_NAME, MEMBER, METHOD_RETURN, PATH, REPLY_SERIAL, Reader, Value, Writer, write,
    };

    /// Serial number, path, member and arguments of a call.
    pub(in crate::sources) fn parse_call(
        bytes: &[u8],
    ) -> Option<(u32, String, String, Vec<String>)> {
        let mut reader = Reader { bytes, at: 8 };
        let serial = reader.u32()?;
        let fields_end = 16 + usize::try_from(reader.u32()?).ok()?;
        let (mut path, mut member) = (String::new(), String::new());
        while reader.at < fields_end {
            reader.align(8)?;
            let field = reader.take(1)?[0];
            match (field, reader.variant()?) {
                (PATH, Value::Text(text)) => path = text,
                (MEMBER, Value::Text(text)) => member = text,
                _ => {}
            }
        }
        reader.align(8)?;
        let mut arguments = Vec::new();
        while reader.at < bytes.len() {
            arguments.push(reader.string()?.to_owned());
        }
        Some((serial, path, member, arguments))
    }

    pub(in crate::sources) fn answer(reply_to: u32, body: &Writer) -> Vec<u8> {
        let mut fields = Writer::default();
        fields.bytes.push(REPLY_SERIAL);
        fields.signature("u");
        fields.u32(reply_to);
        let mut out = Vec::new();
        write(METHOD_RETURN, 7, fields, body, &mut out);
        out
    }

    pub(in crate::sources) fn error(reply_to: u32, name: &str, text: &str) -> Vec<u8> {
        let mut fields = Writer::default();
        fields.field(ERROR_NAME, "s", name);
        fields.align(8);
        fields.bytes.push(REPLY_SERIAL);
        fields.signature("u");
        fields.u32(reply_to);
        let mut body = Writer::default();
        body.string(text);
        let mut out = Vec::new();
        write(ERROR, 7, fields, &body, &mut out);
        out
    }

    impl Writer {
        pub(in crate::sources) fn variant(&mut self, value: &Value, is_long: bool) {
            match value {
                Value::Text(text) => {
                    self.signature("s");
                    self.string(text);
                }
                Value::Number(number) if is_long => {
                    self.signature("t");
                    self.align(8);
                    self.bytes.extend_from_slice(&number.to_ne_bytes());
                }
                Value::Number(number) => {
                    self.signature("u");
                    self.u32((*number).try_into().unwrap());
                }
                Value::Bool(value) => {
                    self.signature("b");
                    self.u32((*value).into());
                }
            }
        }

        /// An array of structures of strings and numbers; a word of digits is a number.
        pub(in crate::sources) fn structs(&mut self, rows: &[&str]) {
            let start = self.bytes.len() + 8;
            self.u32(0);
            self.align(8);
            for row in rows {
                self.align(8);
                for word in row.split(' ') {
                    match word.parse() {
                        Ok(number) => self.u32(number),
                        Err(_) => self.string(word.trim_matches('-')),
                    }
                }
            }
            let len = u32::try_from(self.bytes.len() - start).unwrap();
            self.bytes[start - 8..start - 4].copy_from_slice(&len.to_ne_bytes());
        }
    }
}
