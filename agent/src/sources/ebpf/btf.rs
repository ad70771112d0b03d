//! Struct offsets and tracepoint arguments of the running kernel, from its BTF
//! (`/sys/kernel/btf/vmlinux`).
//!
//! ```text
//! header   magic u16 = 0xeb9f, version u8, flags u8, header_len u32,
//!          types_start u32, types_len u32, strings_start u32, strings_len u32
//! types    each: name u32, info u32 (count:16, _:8, kind:5, _:2, flag:1), size_or_type u32,
//!          then what the kind and the count say
//! strings  NUL-terminated; names are offsets into them
//! ```

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
/// Anonymous structs in structs in … : real kernels stay below 10.
const DEPTH_MAX: usize = 32;

/// What is asked of a kernel's BTF. Made once, before programs are loaded, then dropped.
#[derive(Debug)]
pub(super) struct Btf<'a> {
    types: Vec<Type>,
    strings: &'a [u8],
    /// Structs, enumerations, and the typedefs that tell a tracepoint's arguments.
    by_name: HashMap<&'a [u8], u32>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BtfError {
    #[error("not BTF: it starts with {0:#06x} instead of {MAGIC:#06x}")]
    Magic(u16),
    #[error("BTF ends early, at byte {0}")]
    Short(usize),
    #[error("BTF has a type of kind {0}, which this agent does not know")]
    Kind(u32),
}

#[derive(Debug)]
enum Type {
    /// A struct or a union.
    Aggregate {
        size: u32,
        members: Vec<Member>,
    },
    /// A pointer, typedef, qualifier or tag of another type.
    Reference(u32),
    /// Names and values of an enumeration's members.
    Enum(Vec<(u32, u32)>),
    /// A function's type with so many arguments.
    Function {
        n_args: u32,
    },
    Other,
}

#[derive(Debug)]
struct Member {
    name: u32,
    type_id: u32,
    bit_offset: u32,
}

impl<'a> Btf<'a> {
    /// # Errors
    /// Bytes that are not BTF of this machine's byte order.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let mut header = Reader { bytes, at: 0 };
        let magic = header.u16()?;
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        header.skip(2)?;
        let header_len = header.length()?;
        let (types_start, types_len) = (header.length()?, header.length()?);
        let (strings_start, strings_len) = (header.length()?, header.length()?);
        let section = |start: usize, len: usize| {
            let start = header_len.checked_add(start).ok_or(BtfError::Short(bytes.len()))?;
            let end = start.checked_add(len).ok_or(BtfError::Short(bytes.len()))?;
            bytes.get(start..end).ok_or(BtfError::Short(bytes.len()))
        };
        let strings = section(strings_start, strings_len)?;
        let mut btf = Self { types: vec![Type::Other], strings, by_name: HashMap::new() };
        let mut types = Reader { bytes: section(types_start, types_len)?, at: 0 };
        while types.at < types.bytes.len() {
            btf.read_type(&mut types)?;
        }
        Ok(btf)
    }

    /// The byte offset of `path` in the struct `name`; anonymous structs and unions are looked
    /// into. `None` where this kernel has no such field.
    pub(super) fn offset(&self, name: &str, path: &[&str]) -> Option<u32> {
        let mut type_id = *self.by_name.get(name.as_bytes())?;
        let mut n_bits = 0;
        for field in path {
            let (field_type, bit_offset) = self.member(type_id, field.as_bytes(), 0)?;
            n_bits += bit_offset;
            type_id = self.resolve(field_type);
        }
        Some(n_bits / 8)
    }

    /// The size of a struct in bytes.
    pub(super) fn size(&self, name: &str) -> Option<u32> {
        match self.type_of(*self.by_name.get(name.as_bytes())?) {
            Type::Aggregate { size, .. } => Some(*size),
            _ => None,
        }
    }

    /// The members of an enumeration. `None` where this kernel has none of this name.
    pub(super) fn enum_values(&self, name: &str) -> Option<Vec<(&'a str, u32)>> {
        let Type::Enum(values) = self.type_of(*self.by_name.get(name.as_bytes())?) else {
            return None;
        };
        let text = |name| str::from_utf8(self.string(name)).unwrap_or_default();
        Some(values.iter().map(|(name, value)| (text(*name), *value)).collect())
    }

    /// How many arguments programs at a tracepoint are given. By version one cannot tell: stable
    /// kernels get changed arguments too.
    pub(super) fn tracepoint_args(&self, tracepoint: &str) -> Option<u32> {
        let typedef = *self.by_name.get(format!("btf_trace_{tracepoint}").as_bytes())?;
        match self.type_of(self.resolve(typedef)) {
            // The first one is the tracepoint's own data pointer.
            Type::Function { n_args } => n_args.checked_sub(1),
            _ => None,
        }
    }

    fn read_type(&mut self, types: &mut Reader<'a>) -> Result<(), BtfError> {
        let (name, info, size_or_type) = (types.u32()?, types.u32()?, types.u32()?);
        let (count, kind, has_bitfields) = (info & 0xffff, info >> 24 & 0x1f, info >> 31 == 1);
        let ty = match kind {
            kind::STRUCT | kind::UNION => {
                let mut members = Vec::new();
                for _ in 0..count {
                    members.push(read_member(types, has_bitfields)?);
                }
                Type::Aggregate { size: size_or_type, members }
            }
            kind::ENUM => {
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push((types.u32()?, types.u32()?));
                }
                Type::Enum(values)
            }
            kind::FUNC_PROTO => {
                types.skip_n(count, 8)?;
                Type::Function { n_args: count }
            }
            _ => {
                let (n, size) = kind::trailer(kind, count).ok_or(BtfError::Kind(kind))?;
                types.skip_n(n, size)?;
                if kind::is_reference(kind) { Type::Reference(size_or_type) } else { Type::Other }
            }
        };
        let text = self.string(name);
        let is_wanted = match kind {
            kind::STRUCT | kind::ENUM => !text.is_empty(),
            kind::TYPEDEF => text.starts_with(b"btf_trace_"),
            _ => false,
        };
        if is_wanted && let Ok(type_id) = u32::try_from(self.types.len()) {
            self.by_name.insert(text, type_id);
        }
        self.types.push(ty);
        Ok(())
    }

    fn type_of(&self, type_id: u32) -> &Type {
        usize::try_from(type_id).ok().and_then(|it| self.types.get(it)).unwrap_or(&Type::Other)
    }

    /// What a chain of pointers, typedefs and qualifiers ends in.
    fn resolve(&self, mut type_id: u32) -> u32 {
        for _ in 0..DEPTH_MAX {
            match self.type_of(type_id) {
                Type::Reference(next) if *next != 0 => type_id = *next,
                _ => break,
            }
        }
        type_id
    }

    fn member(&self, type_id: u32, name: &[u8], depth: usize) -> Option<(u32, u32)> {
        let Type::Aggregate { members, .. } = self.type_of(type_id) else { return None };
        if depth == DEPTH_MAX {
            return None;
        }
        members.iter().find_map(|member| {
            let text = self.string(member.name);
            if text == name {
                return Some((member.type_id, member.bit_offset));
            }
            if !text.is_empty() {
                return None;
            }
            let (found, bit_offset) = self.member(self.resolve(member.type_id), name, depth + 1)?;
            Some((found, member.bit_offset + bit_offset))
        })
    }

    /// Empty where the offset leads nowhere.
    fn string(&self, offset: u32) -> &'a [u8] {
        let rest = usize::try_from(offset).ok().and_then(|it| self.strings.get(it..));
        rest.and_then(|it| it.split(|byte| *byte == 0).next()).unwrap_or_default()
    }
}

fn read_member(types: &mut Reader<'_>, has_bitfields: bool) -> Result<Member, BtfError> {
    let (name, type_id, offset) = (types.u32()?, types.u32()?, types.u32()?);
    // With the flag the high byte is a bit field's width.
    let bit_offset = if has_bitfields { offset & 0x00ff_ffff } else { offset };
    Ok(Member { name, type_id, bit_offset })
}

/// `BTF_KIND_*` of the kernel's `include/uapi/linux/btf.h`.
mod kind {
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const FUNC_PROTO: u32 = 13;

    /// How many records of how many bytes follow a type; `None` for an unknown kind.
    pub(super) fn trailer(kind: u32, count: u32) -> Option<(u32, usize)> {
        Some(match kind {
            // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
            2 | 7 | 8 | 9 | 10 | 11 | 12 | 16 | 18 => (0, 0),
            // Integer, variable, declaration tag.
            1 | 14 | 17 => (1, 4),
            // Array.
            3 => (1, 12),
            // Section, 64-bit enum.
            15 | 19 => (count, 12),
            _ => return None,
        })
    }

    pub(super) fn is_reference(kind: u32) -> bool {
        matches!(kind, 2 | 8 | 9 | 10 | 11 | 18)
    }
}

#[derive(Debug)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BtfError> {
        let rest = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        let array = *rest.ok_or(BtfError::Short(self.at))?;
        self.at += N;
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, BtfError> {
        self.array().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Result<u32, BtfError> {
        self.array().map(u32::from_ne_bytes)
    }

    fn length(&mut self) -> Result<usize, BtfError> {
        let length = self.u32()?;
        usize::try_from(length).map_err(|_too_long| BtfError::Short(self.at))
    }

    fn skip(&mut self, n_bytes: usize) -> Result<(), BtfError> {
        let at = self.at.saturating_add(n_bytes);
        if at > self.bytes.len() {
            return Err(BtfError::Short(self.at));
        }
        self.at = at;
        Ok(())
    }

    fn skip_n(&mut self, n: u32, size: usize) -> Result<(), BtfError> {
        for _ in 0..n {
            self.skip(size)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Builds a BTF blob type by type, as the kernel's `pahole` would.
    #[derive(Default)]
    struct Blob {
        types: Vec<u8>,
        strings: Vec<u8>,
        n_types: u32,
    }

    impl Blob {
        fn new() -> Self {
            Self { strings: vec![0], ..Self::default() }
        }

        fn name(&mut self, name: &str) -> u32 {
            if name.is_empty() {
                return 0;
            }
            let at = u32::try_from(self.strings.len()).unwrap();
            self.strings.extend(name.bytes().chain([0]));
            at
        }

        fn words(&mut self, words: &[u32]) {
            self.types.extend(words.iter().flat_map(|it| it.to_ne_bytes()));
        }

        /// Adds a type and returns its id.
        fn ty(&mut self, name: &str, kind: u32, count: u32, word: u32, rest: &[u32]) -> u32 {
            let name = self.name(name);
            self.words(&[name, kind << 24 | count, word]);
            self.words(rest);
            self.n_types += 1;
            self.n_types
        }

        fn aggregate(
            &mut self,
            name: &str,
            kind: u32,
            size: u32,
            members: &[(&str, u32, u32)],
        ) -> u32 {
            let rest: Vec<u32> = members
                .iter()
                .flat_map(|&(name, type_id, byte)| [self.name(name), type_id, byte * 8])
                .collect();
            self.ty(name, kind, u32::try_from(members.len()).unwrap(), size, &rest)
        }

        fn finish(&self) -> Vec<u8> {
            let (types, strings) = (self.types.len(), self.strings.len());
            let mut out = Vec::new();
            out.extend(MAGIC.to_ne_bytes());
            out.extend([1, 0]);
            for word in [24, 0, types, types, strings] {
                out.extend(u32::try_from(word).unwrap().to_ne_bytes());
            }
            out.extend(&self.types);
            out.extend(&self.strings);
            out
        }
    }

    fn kernel() -> Vec<u8> {
        let mut blob = Blob::new();
        let int = blob.ty("int", 1, 0, 4, &[32]);
        let inner = blob.aggregate("", kind::UNION, 8, &[("raw", int, 0), ("counter", int, 4)]);
        let entity =
            blob.aggregate("entity", kind::STRUCT, 24, &[("load", int, 0), ("sum", int, 16)]);
        let entity_t = blob.ty("entity_t", kind::TYPEDEF, 0, entity, &[]);
        let constant = blob.ty("", 10, 0, entity_t, &[]);
        blob.aggregate(
            "task",
            kind::STRUCT,
            64,
            &[("pid", int, 8), ("", inner, 16), ("se", constant, 32)],
        );
        let proto = blob.ty("", kind::FUNC_PROTO, 4, 0, &[0, int, 0, int, 0, int, 0, int]);
        let pointer = blob.ty("", 2, 0, proto, &[]);
        blob.ty("btf_trace_sched_switch", kind::TYPEDEF, 0, pointer, &[]);
        let (no, yes) = (blob.name("NO"), blob.name("YES"));
        blob.ty("answer", kind::ENUM, 2, 4, &[no, 0, yes, 7]);
        blob.finish()
    }

    #[test]
    fn fields_are_found_through_typedefs_and_anonymous_unions() {
        let bytes = kernel();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.offset("task", &["pid"]), Some(8));
        assert_eq!(btf.offset("task", &["counter"]), Some(20));
        assert_eq!(btf.offset("task", &["se", "sum"]), Some(48));
        assert_eq!(btf.size("task"), Some(64));
    }

    #[test]
    fn what_this_kernel_lacks_is_absent() {
        let bytes = kernel();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.offset("task", &["tgid"]), None);
        assert_eq!(btf.offset("task", &["pid", "deeper"]), None);
        assert_eq!(btf.offset("request", &["rq_disk"]), None);
        assert_eq!(btf.tracepoint_args("block_rq_issue"), None);
    }

    #[test]
    fn members_of_an_enumeration_have_names_and_values() {
        let bytes = kernel();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.enum_values("answer"), Some(vec![("NO", 0), ("YES", 7)]));
        assert_eq!(btf.enum_values("task"), None);
    }

    #[test]
    fn a_tracepoints_arguments_are_counted_without_its_own_data() {
        let bytes = kernel();
        assert_eq!(Btf::parse(&bytes).unwrap().tracepoint_args("sched_switch"), Some(3));
    }

    #[test]
    fn an_unknown_kind_is_an_error_because_its_length_is_unknown() {
        let mut blob = Blob::new();
        blob.ty("", 30, 0, 0, &[]);
        assert_eq!(Btf::parse(&blob.finish()).unwrap_err(), BtfError::Kind(30));
    }

    #[test]
    fn a_type_that_points_at_itself_ends() {
        let mut blob = Blob::new();
        blob.ty("", 10, 0, 1, &[]);
        blob.aggregate("loop", kind::STRUCT, 0, &[("a", 1, 0), ("", 2, 0)]);
        let bytes = blob.finish();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.offset("loop", &["a", "b"]), None);
        assert_eq!(btf.offset("loop", &["b"]), None);
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(
            cut in 0_usize..400,
            at in 0_usize..400,
            byte in any::<u8>(),
        ) {
            let mut bytes = kernel();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut.max(1));
            if let Ok(btf) = Btf::parse(&bytes) {
                let _ = (btf.offset("task", &["counter"]), btf.tracepoint_args("sched_switch"));
            }
        }
    }
}
