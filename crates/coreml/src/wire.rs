//! Protobuf messages of unknown origin, read in place.
//!
//! Nothing is copied and nothing is allocated: a field is a slice of the input, so a file cannot ask for more memory than it
//! has bytes. Messages inside of messages are read when they are asked for, one level at a time: nesting costs no stack.

use std::fmt;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    Truncated,
    Varint,
    Tag,
    WireType(u8),
    Repeated(u32),
    Kind(u32),
    Text(u32),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("it ends in the middle of a field"),
            Self::Varint => f.write_str("a number in it has more than 64 bits"),
            Self::Tag => f.write_str("it has a field without a number"),
            Self::WireType(kind) => write!(f, "it has a field of the unknown kind {kind}"),
            Self::Repeated(number) => write!(f, "its field {number} stands there twice"),
            Self::Kind(number) => write!(f, "its field {number} is of another kind"),
            Self::Text(number) => write!(f, "its field {number} is no UTF-8 text"),
        }
    }
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// A message whose fields, at this level, are well-formed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            field(&mut rest)?;
        }
        Ok(Self(bytes))
    }

    /// Number and value of every field, in order.
    pub(crate) fn fields(self) -> impl Iterator<Item = (u32, Field<'a>)> {
        let mut rest = self.0;
        // Well-formed: there is a field or the end.
        std::iter::from_fn(move || field(&mut rest).ok())
    }

    fn all(self, number: u32) -> impl Iterator<Item = Field<'a>> {
        self.fields().filter(move |(n, _)| *n == number).map(|(_, field)| field)
    }

    fn one(self, number: u32) -> Result<Option<Field<'a>>, WireError> {
        let mut all = self.all(number);
        let first = all.next();
        if all.next().is_some() { Err(WireError::Repeated(number)) } else { Ok(first) }
    }

    /// A field of bytes; empty where there is none.
    pub(crate) fn bytes(self, number: u32) -> Result<&'a [u8], WireError> {
        match self.one(number)? {
            None => Ok(&[]),
            Some(Field::Bytes(bytes)) => Ok(bytes),
            Some(_) => Err(WireError::Kind(number)),
        }
    }

    /// A text; empty where there is none.
    pub(crate) fn text(self, number: u32) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes(number)?).map_err(|_| WireError::Text(number))
    }

    /// A whole number; 0 where there is none.
    pub(crate) fn number(self, number: u32) -> Result<u64, WireError> {
        match self.one(number)? {
            None => Ok(0),
            Some(Field::Varint(value)) => Ok(value),
            Some(_) => Err(WireError::Kind(number)),
        }
    }

    /// A message in this one, where there is one.
    pub(crate) fn message(self, number: u32) -> Result<Option<Message<'a>>, WireError> {
        match self.one(number)? {
            None => Ok(None),
            Some(Field::Bytes(bytes)) => Message::new(bytes).map(Some),
            Some(_) => Err(WireError::Kind(number)),
        }
    }

    /// The messages of a repeated field.
    pub(crate) fn messages(
        self,
        number: u32,
    ) -> impl Iterator<Item = Result<Message<'a>, WireError>> {
        self.all(number).map(move |field| match field {
            Field::Bytes(bytes) => Message::new(bytes),
            _ => Err(WireError::Kind(number)),
        })
    }

    /// The texts of a repeated field.
    pub(crate) fn texts(self, number: u32) -> impl Iterator<Item = Result<&'a str, WireError>> {
        self.all(number).map(move |field| match field {
            Field::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|_| WireError::Text(number)),
            _ => Err(WireError::Kind(number)),
        })
    }

    /// The value of a map's entry, where there is one.
    pub(crate) fn entry(self, number: u32, key: &str) -> Result<Option<Message<'a>>, WireError> {
        for entry in self.messages(number) {
            let entry = entry?;
            if entry.text(1)? == key {
                return entry.message(2);
            }
        }
        Ok(None)
    }

    /// The whole numbers of a repeated field, packed or not, into `out`. False when there are more than it holds.
    pub(crate) fn numbers(self, number: u32, out: &mut Shape) -> Result<bool, WireError> {
        for field in self.all(number) {
            match field {
                Field::Varint(value) => {
                    if !out.push(value) {
                        return Ok(false);
                    }
                }
                Field::Bytes(mut packed) => {
                    while !packed.is_empty() {
                        if !out.push(varint(&mut packed)?) {
                            return Ok(false);
                        }
                    }
                }
                _ => return Err(WireError::Kind(number)),
            }
        }
        Ok(true)
    }

    /// The numbers of 32 bits of a repeated field, packed or not: how many, and each as its bytes.
    pub(crate) fn floats(
        self,
        number: u32,
    ) -> Result<(usize, impl Iterator<Item = f32> + 'a), WireError> {
        let mut count = 0;
        for field in self.all(number) {
            count += match field {
                Field::Fixed32(_) => 1,
                Field::Bytes(packed) if packed.len() % 4 == 0 => packed.len() / 4,
                _ => return Err(WireError::Kind(number)),
            };
        }
        let values = self.all(number).flat_map(|field| {
            let (packed, single) = match field {
                Field::Bytes(packed) => (packed, None),
                Field::Fixed32(bytes) => (&[][..], Some(bytes)),
                _ => (&[][..], None),
            };
            packed.as_chunks::<4>().0.iter().copied().chain(single).map(f32::from_le_bytes)
        });
        Ok((count, values))
    }
}

/// A short list of sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    sizes: [u64; 4],
    len: usize,
}

impl Shape {
    /// Appends a size. False when it is full.
    pub(crate) fn push(&mut self, size: u64) -> bool {
        let place = self.sizes.get_mut(self.len);
        self.len += 1;
        place.map(|place| *place = size).is_some()
    }

    pub(crate) fn sizes(&self) -> &[u64] {
        &self.sizes[..self.len.min(self.sizes.len())]
    }
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<(u32, Field<'a>), WireError> {
    let tag = varint(rest)?;
    let number = u32::try_from(tag >> 3).ok().filter(|n| *n > 0 && *n < 1 << 29);
    let number = number.ok_or(WireError::Tag)?;
    let value = match (tag & 7) as u8 {
        0 => Field::Varint(varint(rest)?),
        1 => {
            take(rest, 8)?;
            Field::Fixed64
        }
        2 => {
            let length = varint(rest)?;
            let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
            Field::Bytes(take(rest, length)?)
        }
        5 => {
            let bytes = take(rest, 4)?;
            Field::Fixed32([bytes[0], bytes[1], bytes[2], bytes[3]])
        }
        kind => return Err(WireError::WireType(kind)),
    };
    Ok((number, value))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], WireError> {
    let (taken, after) = rest.split_at_checked(length).ok_or(WireError::Truncated)?;
    *rest = after;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(WireError::Truncated)?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(WireError::Varint);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(WireError::Varint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_messages_are_named() {
        let error = |bytes: &[u8]| Message::new(bytes).err();
        assert_eq!(error(&[]), None);
        assert_eq!(error(&[0x0a]), Some(WireError::Truncated));
        assert_eq!(error(&[0x0a, 5, 1]), Some(WireError::Truncated));
        assert_eq!(error(&[0x0b]), Some(WireError::WireType(3)));
        assert_eq!(error(&[0x02, 0]), Some(WireError::Tag));
        assert_eq!(
            error(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2]),
            Some(WireError::Varint)
        );
        assert_eq!(
            error(&[0x12, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
            Some(WireError::Truncated)
        );
    }

    #[test]
    fn fields_are_read_by_kind() {
        let message = Message::new(&[0x08, 0x96, 1, 0x12, 2, b'h', b'i', 0x1a, 2, 3, 4]).unwrap();
        assert_eq!(message.number(1), Ok(150));
        assert_eq!(message.text(2), Ok("hi"));
        assert_eq!(message.number(2), Err(WireError::Kind(2)));
        assert_eq!(message.number(9), Ok(0));
        let mut shape = Shape::default();
        assert_eq!(message.numbers(3, &mut shape), Ok(true));
        assert_eq!(shape.sizes(), [3, 4]);
        let twice = Message::new(&[0x08, 1, 0x08, 2]).unwrap();
        assert_eq!(twice.number(1), Err(WireError::Repeated(1)));
        let floats = Message::new(&[0x0d, 0, 0, 0x80, 0x3f, 0x0a, 4, 0, 0, 0, 0x40]).unwrap();
        let (count, values) = floats.floats(1).unwrap();
        assert_eq!((count, values.collect::<Vec<_>>()), (2, vec![1.0, 2.0]));
    }
}
