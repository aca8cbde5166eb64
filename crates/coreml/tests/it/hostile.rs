//! Files that are damaged or made to harm: an error that names the fault, no panic, and memory within bounds.

use majordomo_coreml::{ExportSettings, Format, ModelFile, Precision};
use proptest::prelude::*;

use super::counting::peak_of;
use super::seeds::data;
use super::support::{export, kinds, parts, weights};
use super::target::target;

/// Besides four times the file: errors and other small things.
const SLACK: usize = 16 * 1024;

/// Reads, within the bound.
fn read(model: &[u8], blobs: Option<&[u8]>) -> Result<ModelFile, String> {
    let n_bytes = model.len() + blobs.map_or(0, <[u8]>::len);
    let (result, peak) = peak_of(|| ModelFile::from_bytes(model, blobs));
    assert!(peak <= 4 * n_bytes + SLACK, "{peak} bytes for a file of {n_bytes}");
    result.map_err(|error| error.to_string())
}

fn refused(model: &[u8], blobs: Option<&[u8]>, expected: &str) {
    let error = read(model, blobs).expect_err(expected);
    assert!(error.contains(expected), "{error}, expected {expected}");
}

fn single() -> ExportSettings {
    ExportSettings::default()
}

/// The bytes with the `n`th `from` replaced.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8], n: usize) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut at = bytes.windows(from.len()).enumerate().filter(|(_, window)| *window == from);
    let (at, _) = at.nth(n).expect("the bytes are there");
    let mut out = bytes.to_vec();
    out[at..at + from.len()].copy_from_slice(to);
    out
}

#[test]
fn memory_is_bounded_for_good_files_too() {
    for settings in kinds() {
        let exported = export(&weights(96, 150), settings);
        let (model, blobs) = parts(&exported);
        read(model, blobs).unwrap();
    }
}

#[test]
fn every_cut_and_every_changed_byte_is_survived() {
    for settings in kinds() {
        let exported = export(&weights(11, 3), settings);
        let (model, blobs) = parts(&exported);
        for length in 0..model.len() {
            // No cut leaves the graph as it was; one may leave out the metadata only.
            let cut = read(&model[..length], blobs);
            assert!(cut.is_err() || cut.is_ok_and(|read| read.stamp().is_none()));
        }
        for length in 0..blobs.map_or(0, <[u8]>::len) {
            let cut = blobs.map(|blobs| &blobs[..length]);
            refused(model, cut, "the file of weights");
        }
        let mut bytes = data(model, blobs);
        for at in 4..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at].wrapping_add(1)] {
                let before = std::mem::replace(&mut bytes[at], value);
                let (_, peak) = peak_of(|| target(&bytes));
                assert!(peak <= 4 * bytes.len() + SLACK, "{peak} bytes");
                bytes[at] = before;
            }
        }
        assert!(target(&bytes));
    }
}

#[test]
fn faults_of_a_program_are_named() {
    let exported = export(&weights(96, 12), single());
    let (model, blobs) = parts(&exported);
    // The last operation reads its own result.
    let name = |text: &str| [&[0x0a, text.len() as u8], text.as_bytes()].concat();
    let n_hidden = model.windows(8).filter(|window| **window == name("hidden")).count();
    let cycle = replaced(model, &name("hidden"), &name("scores"), n_hidden - 1);
    refused(&cycle, blobs, "the operations form a cycle");
    refused(
        &replaced(model, b"relu", b"tanh", 0),
        blobs,
        "operations \"tanh\" are not evaluated here",
    );
    refused(&replaced(model, b"linear", b"lineal", 0), blobs, "\"lineal\"");
    refused(&replaced(model, b"main", b"mein", 0), blobs, "no function `main`");
    refused(&replaced(model, b"CoreML5", b"CoreML9", 0), blobs, "no block for its operations");
    let outside =
        replaced(model, b"@model_path/weights/weight.bin", b"@model_path/../../weight.bin\0\0", 0);
    refused(&outside, blobs, "its file is");
    refused(model, None, "there is no file of weights");
    refused(
        &replaced(model, b"majordomo.head", b"majordomo.hood", 0),
        blobs,
        "`majordomo.head` is missing",
    );
    refused(&replaced(model, b"label-3", b"label 3", 0), blobs, "`majordomo.labels`");
    refused(&replaced(model, b"label-3", b"label\n3", 0), blobs, "labels do not fit");
    // Kind 11 is 32 bits, 10 is 16: of the value, then of the result.
    let types = |n: usize| replaced(model, &[0x08, 11, 0x10], &[0x08, 10, 0x10], n);
    refused(&types(0), blobs, "its input is not the one that is described");
    refused(&types(1), blobs, "not of the type that it states");
    refused(&types(3), blobs, "not of the type that it states");
    refused(&replaced(model, &[0x08, 11, 0x10], &[0x08, 12, 0x10], 0), blobs, "values of kind 12");
}

#[test]
fn operation_on_two_precisions_is_refused() {
    let exported = export(&weights(96, 12), single());
    let (model, Some(blobs)) = parts(&exported) else { panic!("a package") };
    // The first constant as one of 16 bits: the type of its result, that of its value, and its record.
    let half = |model: &[u8]| replaced(model, &[0x08, 11, 0x10], &[0x08, 10, 0x10], 1);
    let mut blobs = blobs.to_vec();
    blobs[68] = 1;
    blobs[72..80].copy_from_slice(&192u64.to_le_bytes());
    blobs[128..320].fill(0);
    refused(&half(&half(model)), Some(&blobs), "mixes rows of 32 bits and constants of 16");
}

#[test]
fn faults_of_the_file_of_weights_are_named() {
    let exported = export(&weights(96, 12), single());
    let (model, Some(blobs)) = parts(&exported) else { panic!("a package") };
    let changed = |at: usize, bytes: &[u8], expected: &str| {
        let mut blobs = blobs.to_vec();
        blobs[at..at + bytes.len()].copy_from_slice(bytes);
        refused(model, Some(&blobs), expected);
    };
    changed(4, &[3], "its version is 3");
    changed(64, &[0], "no mark");
    changed(68, &[9], "unknown kind 9");
    changed(68, &[1], "another precision");
    changed(72, &[0xff; 8], "are not in its");
    changed(72, &(1u64 << 40).to_le_bytes(), "are not in its");
    changed(72, &380u64.to_le_bytes(), "95 numbers are not 1 x 96");
    changed(80, &[0xff; 8], "are not in its");
    changed(80, &129u64.to_le_bytes(), "are not in its");
    changed(128, &f32::NAN.to_le_bytes(), "not finite");
    refused(model, Some(&[]), "ends before its head");
}

/// A field of bytes, for models made by hand.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = varint(u64::from(number) << 3 | 2);
    out.extend(varint(content.len() as u64));
    out.extend_from_slice(content);
    out
}

fn number(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A model of a neural network with these layers, from `rows` × `n_inputs` to `n_outputs`.
fn network(rows: u64, n_inputs: u64, n_outputs: u64, layers: &[Vec<u8>]) -> Vec<u8> {
    let feature = |name: &str, columns: u64| {
        let shape = field(1, &[varint(rows), varint(columns)].concat());
        let array = field(5, &[shape, number(2, 65_568)].concat());
        [field(1, name.as_bytes()), field(3, &array)].concat()
    };
    let description =
        [field(1, &feature("units", n_inputs)), field(10, &feature("scores", n_outputs))].concat();
    let layers: Vec<u8> = layers.iter().flat_map(|layer| field(1, layer)).collect();
    let network = [layers, number(5, 1)].concat();
    [number(1, 4), field(2, &description), field(500, &network)].concat()
}

fn layer(inputs: &[&str], output: &str, kind: u32, params: &[u8]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|name| field(2, name.as_bytes())).collect();
    [field(1, output.as_bytes()), inputs, field(3, output.as_bytes()), field(kind, params)].concat()
}

fn product(n_inputs: u64, n_outputs: u64, values: &[f32], bias: &[f32]) -> Vec<u8> {
    let numbers = |values: &[f32]| {
        field(1, &values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
    };
    [
        number(1, n_inputs),
        number(2, n_outputs),
        number(10, 1),
        field(20, &numbers(values)),
        field(21, &numbers(bias)),
    ]
    .concat()
}

#[test]
fn faults_of_a_network_are_named() {
    let relu = |from: &str, to: &str| layer(&[from], to, 130, &field(10, &[]));
    let last = |params: &[u8]| vec![layer(&["units"], "scores", 140, params)];
    let of = |layers: &[Vec<u8>]| network(1, 2, 1, layers);
    let good = product(2, 1, &[1.0, 2.0], &[0.5]);
    let mut scores = [0.0];
    read(&of(&last(&good)), None).unwrap().evaluate(&[1.0, 3.0], &mut scores).unwrap();
    assert_eq!(scores, [7.5]);

    refused(&of(&[]), None, "\"scores\": it is read before");
    refused(&of(&[relu("scores", "scores")]), None, "form a cycle");
    refused(&of(&[relu("b", "a"), relu("a", "b")]), None, "form a cycle");
    refused(&of(&[relu("units", "units")]), None, "two operations give this value");
    refused(&of(&[relu("units", "scores")]), None, "described are 1 of 32");
    refused(&of(&last(&product(2, 1, &[1.0], &[0.5]))), None, "1 numbers are not 1 x 2");
    refused(&of(&last(&product(3, 1, &[1.0; 3], &[0.5]))), None, "do not fit rows of 2");
    refused(&of(&last(&product(u64::MAX, u64::MAX, &[1.0], &[]))), None, "numbers are not");
    refused(&of(&last(&product(1 << 32, 1 << 32, &[], &[]))), None, "numbers are not");
    refused(&of(&last(&product(2, 1, &[1.0, f32::INFINITY], &[0.5]))), None, "not finite");
    refused(&of(&last(&number(1, 2))), None, "without bias");
    refused(&of(&[layer(&["units"], "scores", 130, &field(40, &[]))]), None, "not ReLU");
    refused(&of(&[layer(&["units"], "scores", 100, &[])]), None, "layers of kind 100");
    refused(&of(&[layer(&["a", "b", "c"], "scores", 880, &[])]), None, "not two inputs at most");
    let many: Vec<_> = (0..100).map(|i| relu("units", &format!("v{i}"))).collect();
    refused(&of(&many), None, "more than 64 operations");

    refused(&network(0, 2, 1, &last(&good)), None, "0 rows of 2 numbers are no batch");
    refused(&network(1 << 40, 2, 1, &last(&good)), None, "are no batch");
    refused(&network(1, 1 << 60, 1, &last(&good)), None, "are no batch");
    refused(&network(1, 1 << 27, 1, &last(&good)), None, "more numbers than the file can have");
    refused(&[], None, "its version 0 is unknown");
    refused(&number(1, 4), None, "no description");
    refused(&[field(500, &[]), field(500, &[])].concat(), None, "its version 0");
    let of_nothing = network(1, 2, 1, &[]);
    refused(&of_nothing[..of_nothing.len() - 6], None, "it ends in the middle of a field");
}

/// One constant that every layer reads would be decoded again and again.
#[test]
fn constant_that_is_read_often_does_not_multiply() {
    let n = 4096_u64;
    let values: Vec<u8> = (0..n).flat_map(|_| 1.0f32.to_le_bytes()).collect();
    let shape = field(1, &[varint(1), varint(n)].concat());
    let constant = [shape, field(2, &field(1, &values))].concat();
    let mut layers = vec![layer(&[], "c", 1070, &constant)];
    for i in 0..50 {
        let from = if i == 0 { "units".to_owned() } else { format!("v{}", i - 1) };
        layers.push(layer(&[&from, "c"], &format!("v{i}"), 880, &[]));
    }
    layers.push(layer(&["v49"], "scores", 130, &field(10, &[])));
    refused(&network(1, n, n, &layers), None, "one is read again and again");
}

/// A change to a file.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Remove(usize, usize),
    Repeat(usize, usize),
    Insert(usize, Vec<u8>),
    /// The largest number that a varint holds.
    Huge(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Change::Set(at, value)),
        (any::<usize>(), 1..40_usize).prop_map(|(at, n)| Change::Remove(at, n)),
        (any::<usize>(), 1..200_usize).prop_map(|(at, n)| Change::Repeat(at, n)),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..12))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        any::<usize>().prop_map(Change::Huge),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let place = |at: usize| at % bytes.len().max(1);
    match change {
        Change::Set(at, value) => {
            let at = place(*at);
            bytes[at] = *value;
        }
        Change::Remove(at, n) => {
            let at = place(*at);
            let end = (at + n).min(bytes.len());
            // One byte stays.
            bytes.drain(at.max(1)..end.max(at.max(1)));
        }
        Change::Repeat(at, n) => {
            let at = place(*at);
            let part = bytes[at..(at + n).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
        Change::Insert(at, part) => {
            let at = place(*at);
            bytes.splice(at..at, part.iter().copied());
        }
        Change::Huge(at) => {
            let at = place(*at);
            let end = (at + 9).min(bytes.len());
            bytes.splice(at..end, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutations_are_survived_within_bounds(
        kind in 0..4_usize,
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let half = ExportSettings { precision: Precision::Half, ..single() };
        let [a, b, c] = kinds();
        debug_assert_eq!(c.format, Format::MlModel);
        let exported = export(&weights(9 + kind, 3), [a, b, c, half][kind]);
        let (model, blobs) = parts(&exported);
        let mut bytes = data(model, blobs);
        changes.iter().for_each(|change| apply(&mut bytes, change));
        let (_, peak) = peak_of(|| target(&bytes));
        prop_assert!(peak <= 4 * bytes.len() + SLACK, "{} bytes for {}", peak, bytes.len());
    }
}
