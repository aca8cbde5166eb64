//! The field `model` of a form (`multipart/form-data`, RFC 7578), found while the form comes in.
//!
//! Reads as far as the field and no further: the file that is uploaded may be of any size after it. Pure: bytes in, the field out.

use std::ops::Range;

use majordomo::quoted_start;

use crate::refused::Refused;

/// The longest value of the field.
const MAX_VALUE: usize = 1024;
/// The longest head of a part.
const MAX_HEAD: usize = 8 << 10;

/// Looks for the field in a form that grows.
#[derive(Debug)]
pub(crate) struct Form {
    /// `\r\n--boundary`; the first one lacks the line end.
    delimiter: Vec<u8>,
    /// Bytes that have been looked at.
    at: usize,
    /// The delimiter before the first part is not there yet.
    is_before: bool,
}

/// The field, once it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// More of the form is needed.
    NotYet,
    /// The value, and where it stands.
    Field(String, Range<usize>),
    /// The form has ended without it.
    Nowhere,
}

impl Form {
    /// A form by its content type; none for another one.
    ///
    /// # Errors
    /// A form without a boundary.
    pub(crate) fn of(content_type: &str) -> Result<Option<Self>, Refused> {
        let mut parts = content_type.split(';').map(str::trim);
        if !parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/form-data")) {
            return Ok(None);
        }
        let boundary = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
        });
        match boundary.filter(|boundary| (1..=70).contains(&boundary.len())) {
            Some(boundary) => {
                let delimiter = format!("\r\n--{boundary}").into_bytes();
                Ok(Some(Self { delimiter, at: 0, is_before: true }))
            }
            None => Err(Refused::bad_request(format!(
                "the Content-Type {} has no boundary",
                quoted_start(content_type)
            ))),
        }
    }

    /// Looks at the form so far, which begins where it began before.
    ///
    /// # Errors
    /// A part whose head is no head.
    pub(crate) fn find(&mut self, form: &[u8]) -> Result<Found, Refused> {
        loop {
            let delimiter = if self.is_before { &self.delimiter[2..] } else { &self.delimiter[..] };
            let Some(found) = position(&form[self.at..], delimiter) else {
                // A delimiter may be there in part.
                self.at = self.at.max(form.len().saturating_sub(delimiter.len()));
                return Ok(Found::NotYet);
            };
            let part = self.at + found + delimiter.len();
            let rest = &form[part..];
            if rest.starts_with(b"--") {
                return Ok(Found::Nowhere);
            }
            let Some(head) = position(rest, b"\r\n\r\n") else {
                if rest.len() > MAX_HEAD {
                    return Err(Refused::bad_request("a part of the form has no end of its head"));
                }
                return Ok(Found::NotYet);
            };
            let value = part + head + 4;
            if !is_model(&rest[..head]) {
                (self.at, self.is_before) = (value.saturating_sub(2), false);
                continue;
            }
            // A value may be empty: the line end of the head is that of the delimiter then.
            let from = value.saturating_sub(2);
            let Some(end) = position(&form[from..], &self.delimiter) else {
                if form.len() - value > MAX_VALUE {
                    return Err(Refused::bad_request("the field `model` of the form is too long"));
                }
                return Ok(Found::NotYet);
            };
            let range = value..(from + end).max(value);
            let text = std::str::from_utf8(&form[range.clone()]);
            let text = text.map_err(|_| Refused::bad_request("the field `model` is not UTF-8"))?;
            return Ok(Found::Field(text.trim().to_owned(), range));
        }
    }
}

/// Whether the head of a part is that of the field.
fn is_model(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let disposition = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.to_owned())
    });
    disposition.is_some_and(|value| {
        let mut parts = value.split(';').map(str::trim);
        parts.any(|part| part.eq_ignore_ascii_case("name=\"model\"") || part == "name=model")
    })
}

fn position(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    loop {
        from += bytes.get(from..)?.iter().position(|b| *b == first)?;
        if bytes[from..].starts_with(what) {
            return Some(from);
        }
        from += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form() -> Form {
        Form::of("multipart/form-data; boundary=\"b0\"").unwrap().unwrap()
    }

    const FORM: &str = "--b0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
        Content-Type: audio/wav\r\n\r\nmodel\r\n--b\r\n\r\n--b0\r\n\
        content-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b0--\r\n";

    #[test]
    fn field_is_found_after_a_file_however_the_bytes_are_split() {
        let want = Found::Field("whisper-1".to_owned(), {
            let at = FORM.find("whisper-1").unwrap();
            at..at + 9
        });
        assert_eq!(form().find(FORM.as_bytes()).unwrap(), want);
        let mut split = form();
        let mut found = Found::NotYet;
        for n in 0..=FORM.len() {
            found = split.find(&FORM.as_bytes()[..n]).unwrap();
            if found != Found::NotYet {
                break;
            }
        }
        assert_eq!(found, want);
    }

    #[test]
    fn form_without_the_field_ends() {
        let text = "--b0\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b0--\r\n";
        assert_eq!(form().find(text.as_bytes()).unwrap(), Found::Nowhere);
        let empty = "--b0\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n\r\n--b0--\r\n";
        assert!(
            matches!(form().find(empty.as_bytes()).unwrap(), Found::Field(m, _) if m.is_empty())
        );
        assert!(Form::of("application/json").unwrap().is_none());
        assert!(Form::of("multipart/form-data").is_err());
        assert!(Form::of("multipart/form-data; boundary=").is_err());
        let endless = format!("--b0\r\n{}", "x".repeat(MAX_HEAD + 1));
        assert!(form().find(endless.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(parts in proptest::collection::vec("(--b0|\r\n|: |name=\"model\"|a){0,9}", 0..9)) {
            let mut split = form();
            let mut text = String::new();
            for part in parts {
                text += &part;
                if !matches!(split.find(text.as_bytes()), Ok(Found::NotYet)) {
                    break;
                }
            }
        }
    }
}
