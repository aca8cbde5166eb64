//! Lines of honest, careless and hostile programs.

use proptest::prelude::*;

use super::*;

/// The pieces as words; log text that follows log text is one piece.
fn pieces(max: usize, feeds: &[&[u8]]) -> Vec<String> {
    let mut decoder = LineDecoder::new(max);
    let mut got: Vec<String> = Vec::new();
    let mut emit = |piece: Piece<'_>| {
        let word = match piece {
            Piece::Log(text) => {
                let text = format!("log {}", text.escape_ascii());
                match got.last_mut().filter(|last| last.starts_with("log ")) {
                    Some(last) => return last.push_str(&text[4..]),
                    None => text,
                }
            }
            Piece::Ready => "ready".to_owned(),
            Piece::Answer { id, result: Ok(json) } => format!("{id} answer {json}"),
            Piece::Answer { id, result: Err(error) } => format!("{id} error {error}"),
            Piece::TooLong { id, len } => format!("too long {id:?} {len}"),
        };
        got.push(word);
    };
    for bytes in feeds {
        decoder.feed(bytes, &mut emit);
    }
    decoder.finish(&mut emit);
    got
}

#[test]
fn line_is_an_answer_or_readiness_or_log_text() {
    let check = |line: &str, want: &str| {
        let text = format!("{line}\n");
        assert_eq!(pieces(1000, &[text.as_bytes()]), [want], "{line}");
    };
    check(r#"{"ready":true}"#, "ready");
    check(r#"{ "ready" : true, "model": "x" }"#, "ready");
    check(r#"{"id":7,"answer":{"a":[1, 2]}}"#, r#"7 answer {"a":[1, 2]}"#);
    check(r#"{"answer":null,"id":18446744073709551615}"#, "18446744073709551615 answer null");
    check(r#"{"id":7.0,"answer":1,"took":3}"#, "7 answer 1");
    check(r#"{"id":7,"error":"no\tpage"}"#, "7 error no\tpage");
    check(r#"{"id":7,"error":{"code":3}}"#, r#"7 error {"code":3}"#);
    check(r#"{"id":7,"answer":1,"error":null}"#, "7 answer 1");
    check(r#"{"id":7,"answer":null,"error":"x"}"#, "7 error x");
    for log in [
        r#"{"ready":false}"#,
        r#"{"ready":"true"}"#,
        r#"{"id":7}"#,
        r#"{"id":7,"error":null}"#,
        r#"{"id":"7","answer":1}"#,
        r#"{"id":-7,"answer":1}"#,
        r#"{"id":7.5,"answer":1}"#,
        r#"{"id":7,"answer":1} trailing"#,
        r#"{"id":7,"answer":1"#,
        r#"{"id":7,"answer":1,"answer":2}"#,
        r#"{"level":"info"}"#,
        r#" {"id":7,"answer":1}"#,
        "[1]",
        "plain",
        "{",
        "",
    ] {
        check(log, &format!("log {}\\n", log.as_bytes().escape_ascii()));
    }
}

#[test]
fn lines_end_at_newline_return_or_both_and_at_the_end_of_the_stream() {
    let check = |feeds: &[&[u8]], want: &[&str]| assert_eq!(pieces(1000, feeds), want);
    check(&[b"a\n{\"id\":1,\"answer\":2}\r\nb"], &["log a\\n", "1 answer 2", "log b"]);
    check(&[b"{\"id\":1,\"answer\":2}\r", b"\n\n"], &["1 answer 2", "log \\n"]);
    check(&[b"5%\r6%\r{\"id\":1,", b"\"answer\":2}"], &["log 5%\\r6%\\r", "1 answer 2"]);
    check(&[b"{\"id\":1,\"answer\":2"], &["log {\\\"id\\\":1,\\\"answer\\\":2"]);
    check(&[b"\xff{\"id\":1,\"answer\":2}\n"], &["log \\xff{\\\"id\\\":1,\\\"answer\\\":2}\\n"]);
    check(
        &[b"{\"id\":1,\"answer\":\"\xff\"}\n"],
        &["log {\\\"id\\\":1,\\\"answer\\\":\\\"\\xff\\\"}\\n"],
    );
}

#[test]
fn rest_of_a_long_line_is_skipped_and_its_id_found_at_either_edge() {
    let long = "x".repeat(100);
    let check = |line: &str, id: &str| {
        let text = format!("{line}\nnext\n");
        let want = [format!("too long {id} {}", line.len()), "log next\\n".to_owned()];
        assert_eq!(pieces(40, &[text.as_bytes()]), want);
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(pieces(40, &bytes), want);
    };
    check(&format!(r#"{{"id": 12, "answer":"{long}"}}"#), "Some(12)");
    check(&format!(r#"{{"answer":"{long}", "id" : 12 }}"#), "Some(12)");
    check(&format!(r#"{{"answer":"{long}","a":{{"id":12}}}}"#), "None");
    check(&format!(r#"{{"answer":"{long}\"id\":12"}}"#), "None");
    check(&format!("{{{long}"), "None");
    let line = r#"{"id":1,"answer":2}"#;
    assert_eq!(pieces(line.len(), &[line.as_bytes()]), ["1 answer 2"]);
    assert_eq!(pieces(line.len() - 1, &[line.as_bytes()]), ["too long Some(1) 19"]);
}

#[test]
fn request_is_one_line() {
    let check = |content, want: &str| {
        assert_eq!(String::from_utf8(encode(3, content)).unwrap(), want);
    };
    check(Content::Text("a \"b\"\n\u{2028}é"), "{\"id\":3,\"text\":\"a \\\"b\\\"\\n\\u2028é\"}\n");
    check(Content::Object("{\"a\": 1}"), "{\"id\":3,\"object\":{\"a\": 1}}\n");
}

/// Lines as a hostile, a broken or a normal program writes them.
fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => any::<u64>().prop_map(|id| format!("{{\"id\":{id},\"answer\":[1,{{\"a\":\"b\"}}]}}").into_bytes()),
        1 => (any::<u64>(), ".*").prop_map(|(id, text)| {
            let error = serde_json::to_string(&text).unwrap();
            format!("{{\"error\":{error},\"id\":{id}}}").into_bytes()
        }),
        2 => proptest::collection::vec(any::<u8>(), 0..200),
        2 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(|rest| [b"{".to_vec(), rest].concat()),
        1 => (0..400usize).prop_map(|n| [b"{\"id\":5,\"answer\":\"".to_vec(), vec![b'x'; n]].concat()),
        1 => (1..3000usize).prop_map(|n| [b"{\"id\":6,\"answer\":".to_vec(), vec![b'['; n]].concat()),
        1 => Just(b"{\"ready\":true}".to_vec()),
        1 => Just(b"{\"id\":1,\"answer\":1,\"id\":2}".to_vec()),
        1 => Just(Vec::new()),
    ]
}

fn line_end() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![Just(&b"\n"[..]), Just(&b"\r\n"[..]), Just(&b"\r"[..])]
}

#[test]
fn request_has_no_character_at_which_a_language_ends_a_line() {
    let text = "a\u{85}b\u{2028}c\u{2029}d\u{b}e\u{c}f\u{1c}g";
    let object = serde_json::json!({ text: text }).to_string();
    for content in [Content::Text(text), Content::Object(&object)] {
        let line = String::from_utf8(encode(7, content)).unwrap();
        let ends = ['\r', '\u{b}', '\u{c}', '\u{1c}', '\u{85}', '\u{2028}', '\u{2029}'];
        assert!(!line.contains(ends) && line.find('\n') == Some(line.len() - 1), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(read["text"] == text || read["object"][text] == text, "{read}");
    }
}

proptest! {
    #[test]
    fn pieces_do_not_depend_on_the_borders_of_reads(
        lines in proptest::collection::vec((line(), line_end()), 0..12),
        borders in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let text: Vec<u8> =
            lines.into_iter().flat_map(|(line, end)| [line, end.to_vec()].concat()).collect();
        let mut at: Vec<usize> = borders.iter().map(|b| b.index(text.len() + 1)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let reads: Vec<&[u8]> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
        let single: Vec<&[u8]> = text.chunks(1).collect();
        let whole = pieces(256, &[&text]);
        prop_assert_eq!(&pieces(256, &reads), &whole);
        prop_assert_eq!(&pieces(256, &single), &whole);
    }

    #[test]
    fn answer_on_a_line_of_its_own_is_found_after_hostile_lines_within_bounded_memory(
        lines in proptest::collection::vec((line(), line_end()), 0..12),
        read in 1..5000usize,
    ) {
        let mut text: Vec<u8> =
            lines.into_iter().flat_map(|(line, end)| [line, end.to_vec()].concat()).collect();
        text.extend_from_slice(b"{\"id\":77,\"answer\":\"found\"}\n");
        let mut decoder = LineDecoder::new(256);
        let mut last = None;
        for bytes in text.chunks(read) {
            decoder.feed(bytes, |piece| {
                last = match piece {
                    Piece::Answer { id, result: Ok(json) } => Some((id, json.get().to_owned())),
                    _ => None,
                };
            });
            prop_assert!(decoder.kept() <= 512, "{} bytes kept", decoder.kept());
        }
        prop_assert_eq!(last, Some((77, "\"found\"".to_owned())));
    }

    #[test]
    fn bytes_are_log_text_or_counted(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut decoder = LineDecoder::new(64);
        let mut n = 0;
        let mut emit = |piece: Piece<'_>| match piece {
            Piece::Log(text) => n += text.len() as u64,
            Piece::TooLong { len, .. } => n += len,
            other => panic!("{other:?} of random bytes"),
        };
        decoder.feed(&text, &mut emit);
        decoder.finish(&mut emit);
        let n_ends = text.iter().filter(|b| matches!(b, b'\n' | b'\r')).count() as u64;
        // The end of a line that was skipped is in neither.
        prop_assert!(n <= text.len() as u64 && n + n_ends >= text.len() as u64);
    }

    #[test]
    fn request_is_read_back_as_it_was(id in any::<u64>(), text in ".*") {
        let line = encode(id, Content::Text(&text));
        prop_assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
        let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(read, serde_json::json!({ "id": id, "text": text }));
    }
}
