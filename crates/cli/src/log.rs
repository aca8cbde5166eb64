//! The log of this program on standard error, as text or as JSON.
//!
//! Owns that the values of a record are escaped ([`majordomo::printable`]): the words of components, clients and
//! configurations are among them.

use std::fmt;
use std::io::Write;

use majordomo::{environment_variable, printable, printable_json, quoted};
use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::args::LogFormat;
use crate::print;

/// Warnings go to standard error, and of a server what it does as well; `-v` shows more, `RUST_LOG` decides over both.
pub(crate) fn start(verbose: u8, format: LogFormat) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let requested = environment_variable("RUST_LOG").map(|text| {
        let text = text.to_string_lossy().into_owned();
        EnvFilter::try_new(&text).map_err(|error| format!("RUST_LOG is {}: {error}", quoted(&text)))
    });
    let (filter, problem) = match requested {
        Some(Ok(filter)) => (filter, None),
        Some(Err(problem)) => (EnvFilter::new(level), Some(problem)),
        None => (EnvFilter::new(level), None),
    };
    // A line that cannot be written is lost; to complain of it on the same standard error would be a panic.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    match format {
        LogFormat::Text => builder
            .with_writer(std::io::stderr)
            .with_ansi(print::colour(print::error_is_terminal()))
            .with_target(false)
            .fmt_fields(EscapedFields)
            .init(),
        LogFormat::Json => {
            builder
                .json()
                .flatten_event(true)
                .with_writer(|| EscapedJson(std::io::stderr()))
                .init();
        }
    }
    if let Some(problem) = problem {
        tracing::warn!("{problem}; the log shows {level} instead");
    }
}

/// Writes the message, then `name=value` for each other field.
#[derive(Debug)]
struct EscapedFields;

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { writer, is_first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'w> {
    writer: Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

impl Visitor<'_> {
    fn put(&mut self, field: &Field, value: &str) {
        let space = if std::mem::take(&mut self.is_first) { "" } else { " " };
        let name = match field.name() {
            "message" => String::new(),
            name => format!("{name}="),
        };
        self.result = self.result.and_then(|()| write!(self.writer, "{space}{name}{value}"));
    }
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.put(field, &printable(value)),
            _ => self.put(field, &quoted(value).to_string()),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, &printable(&value.to_string()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &printable(&format!("{value:?}")));
    }
}

/// Escapes in JSON what JSON does not.
struct EscapedJson<W>(W);

impl<W: Write> Write for EscapedJson<W> {
    fn write(&mut self, record: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        self.0.write_all(printable_json(&text).as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn values_of_records_are_escaped() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .fmt_fields(EscapedFields)
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(name = "संगीत\u{1b}", how = %"a\nb", "ended: \u{202e}x\r");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, " WARN ended: \\u{202e}x\\r name=\"संगीत\\u{1b}\" how=a\\nb\n");
        let mut json = EscapedJson(Vec::new());
        json.write_all("{\"m\":\"\u{9b}\u{202e}\"}\n".as_bytes()).unwrap();
        assert_eq!(json.0, b"{\"m\":\"\\u009b\\u202e\"}\n");
    }
}
