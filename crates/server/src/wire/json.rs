//! Whole numbers and objects as JSON has them.

use majordomo_core::whole_number;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, Unexpected};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// A whole number or null. JSON has one kind of number (RFC 8259, section 6), so that `60000.0` and `6e4` are the integer
/// 60000, as JSON schema has it; some languages write integers so.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = Option::<Number>::deserialize(deserializer)?;
    number.as_ref().map(integer).transpose()
}

/// A whole number of a query, written as in a body.
pub(crate) fn whole_in_text<'de, D>(deserializer: D) -> Result<Option<u64>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    let number: Option<Number> = serde_json::from_str(&text).ok();
    match number {
        Some(number) => integer(&number).map(Some),
        None => Err(D::Error::invalid_value(Unexpected::Str(&text), &WHOLE)),
    }
}

/// Expected of every number, in errors.
const WHOLE: &str = "a whole number from 0 on";

fn integer<E: Error>(number: &Number) -> Result<u64, E> {
    if let Some(n) = number.as_u64() {
        return Ok(n);
    }
    let float = number.as_f64();
    let other = || E::invalid_value(Unexpected::Float(float.unwrap_or(f64::NAN)), &WHOLE);
    float.and_then(whole_number).ok_or_else(other)
}

/// An object or null. Left to itself, a list would be taken for the members in their order.
pub(super) fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let members: Option<Map<String, Value>> = Option::deserialize(deserializer)?;
    let read = members.map(|m| serde_json::from_value(Value::Object(m)));
    read.transpose().map_err(D::Error::custom)
}

/// The JSON of an object, or null.
pub(super) fn raw_object<'de, D>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error>
where
    D: Deserializer<'de>,
{
    let object: Option<Box<RawValue>> = Option::deserialize(deserializer)?;
    match object {
        Some(other) if !other.get().starts_with('{') => {
            Err(D::Error::invalid_type(Unexpected::Other("another kind of JSON"), &"an object"))
        }
        object => Ok(object),
    }
}

/// A span in milliseconds, to the microsecond.
pub(crate) fn ms(span: std::time::Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for (json, want) in [
            ("60000", Some(Some(60_000))),
            ("60000.0", Some(Some(60_000))),
            ("6e4", Some(Some(60_000))),
            ("-0.0", Some(Some(0))),
            ("18446744073709551615", Some(Some(u64::MAX))),
            ("null", Some(None)),
            ("60000.5", None),
            ("-1", None),
            ("-1.0", None),
            ("1e300", None),
            ("9007199254740992.0", None),
            ("\"60000\"", None),
            ("true", None),
        ] {
            let got = super::whole(&mut serde_json::Deserializer::from_str(json));
            assert_eq!(got.ok(), want, "{json}");
        }
    }
}
