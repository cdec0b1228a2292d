//! The wire format of Protocol Buffers, read in place: a message is a run of fields, each a number
//! and a value, and nothing is built that nobody asks for.
//!
//! A library that makes structures of a whole message takes a hundred times its size for one of
//! empty records, before anybody has counted them. This reader borrows, so that its callers decide
//! how many they take; `docs/decisions` says more.
//!
//! A message is read to the end or refused: a field number of 0, a group, a varint of more than ten
//! bytes and a length beyond the end are no messages. Fields that a reader does not know are passed
//! over.

/// Bytes of the longest varint.
const VARINT_BYTES_MAX: usize = 10;

/// It is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is no message of Protocol Buffers as it should be")]
pub struct NoMessage;

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A whole number of any kind, or a truth value.
    Varint(u64),
    /// Eight bytes, as a number.
    Fixed64(u64),
    /// Text, bytes, or another message.
    Bytes(&'a [u8]),
    /// Four bytes, as a number.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// A message or bytes.
    ///
    /// # Errors
    /// [`NoMessage`] when the field is something else.
    pub fn bytes(self) -> Result<&'a [u8], NoMessage> {
        let Self::Bytes(bytes) = self else { return Err(NoMessage) };
        Ok(bytes)
    }

    /// Text. What is no UTF-8 is replaced, because a log line is worth more than the rule.
    ///
    /// # Errors
    /// [`NoMessage`] when the field is something else.
    pub fn text(self) -> Result<String, NoMessage> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    /// A varint.
    ///
    /// # Errors
    /// [`NoMessage`] when the field is something else.
    pub fn number(self) -> Result<u64, NoMessage> {
        let Self::Varint(number) = self else { return Err(NoMessage) };
        Ok(number)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`NoMessage`] when the field is something else.
    pub fn fixed64(self) -> Result<u64, NoMessage> {
        let Self::Fixed64(number) = self else { return Err(NoMessage) };
        Ok(number)
    }
}

/// The fields of a message, with their numbers. After an error there is nothing more.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of a message.
    #[must_use]
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn read(&mut self) -> Result<(u32, Value<'a>), NoMessage> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| NoMessage)?;
        if number == 0 {
            return Err(NoMessage);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| NoMessage)?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(NoMessage),
        };
        Ok((number, value))
    }

    fn varint(&mut self) -> Result<u64, NoMessage> {
        let mut number = 0;
        for at in 0..VARINT_BYTES_MAX {
            let [byte] = self.array()?;
            // Bits beyond the 64th are lost, as every implementation loses them.
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(NoMessage)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NoMessage> {
        self.take(N)?.try_into().map_err(|_| NoMessage)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], NoMessage> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(NoMessage)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), NoMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        Some(read)
    }
}

/// Writes a field of bytes: for answers, and for tests.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, (u64::from(number) << 3) | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a field that is a whole number.
pub fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Writes a field of eight bytes.
pub fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, (u64::from(number) << 3) | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, NoMessage> {
        Fields::new(message).collect()
    }

    #[test]
    fn fields_are_read_as_they_were_written() {
        let mut message = Vec::new();
        put_number(&mut message, 1, 150);
        put_bytes(&mut message, 2, b"testing");
        put_fixed64(&mut message, 3, u64::MAX);
        put_number(&mut message, 536_870_911, u64::MAX);
        // The example of the encoding's documentation.
        assert_eq!(message[..3], [0x08, 0x96, 0x01]);
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"testing")),
            (3, Value::Fixed64(u64::MAX)),
            (536_870_911, Value::Varint(u64::MAX)),
        ];
        assert_eq!(read(&message).unwrap(), expected);
        assert_eq!(read(&[0x0d, 1, 0, 0, 0]).unwrap(), [(1, Value::Fixed32(1))]);
        assert_eq!(read(&[]).unwrap(), []);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [
            &[0x00][..],
            &[0x08],
            &[0x08, 0xff],
            &[0x0a, 0x05, 1],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x09, 1, 2, 3],
            &[0x0b],
            &[0x0c],
            &[0x0e],
            &[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        ] {
            assert_eq!(read(bytes), Err(NoMessage), "{bytes:?}");
        }
        let mut fields = Fields::new(&[0x00, 0x08, 0x01]);
        assert!(fields.next().is_some_and(|field| field.is_err()) && fields.next().is_none());
    }
}
