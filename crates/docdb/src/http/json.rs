//! Writing JSON text that contains documents as they are: byte by byte, without a tree of values.

/// A JSON object that is being written, and the arrays and objects within it. Members are written
/// in the order of the calls; the caller closes what it opens.
#[derive(Debug)]
pub(super) struct Text {
    bytes: Vec<u8>,
    /// Whether something stands before the next member or element.
    follows: bool,
}

impl Text {
    /// Begins an object.
    pub(super) fn object() -> Self {
        Self { bytes: vec![b'{'], follows: false }
    }

    /// Ends it.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.push(b'}');
        self.bytes
    }

    /// Begins with nothing; what is written into it is one value.
    pub(super) fn empty() -> Self {
        Self { bytes: Vec::new(), follows: false }
    }

    /// The value.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn comma(&mut self) {
        if self.follows {
            self.bytes.push(b',');
        }
        self.follows = true;
    }

    /// Begins a member, whose value is written next.
    pub(super) fn member(&mut self, name: &str) -> &mut Self {
        self.comma();
        self.quote(name);
        self.bytes.push(b':');
        self
    }

    /// Begins an element, whose value is written next.
    pub(super) fn element(&mut self) -> &mut Self {
        self.comma();
        self
    }

    pub(super) fn open(&mut self, bracket: u8) {
        self.bytes.push(bracket);
        self.follows = false;
    }

    pub(super) fn close(&mut self, bracket: u8) {
        self.bytes.push(bracket);
        self.follows = true;
    }

    pub(super) fn number(&mut self, number: u64) {
        self.bytes.extend_from_slice(number.to_string().as_bytes());
    }

    pub(super) fn string(&mut self, text: &str) {
        self.quote(text);
    }

    /// A value that is JSON already.
    pub(super) fn raw(&mut self, json: &[u8]) {
        self.bytes.extend_from_slice(json);
    }

    fn quote(&mut self, text: &str) {
        serde_json::to_writer(&mut self.bytes, text).expect("a vector takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_and_nowhere_else() {
        let mut out = Text::object();
        out.member("a").open(b'[');
        for n in 0..2 {
            out.element().open(b'{');
            out.member("n").number(n);
            out.member("q\"").string("x\n");
            out.close(b'}');
        }
        out.close(b']');
        out.member("b").raw(b"{ \"exact\" : 1.0 }");
        let text = String::from_utf8(out.end()).unwrap();
        let expected = r#"{"a":[{"n":0,"q\"":"x\n"},{"n":1,"q\"":"x\n"}],"b":{ "exact" : 1.0 }}"#;
        assert_eq!(text, expected);
    }
}
