//! Chains of sources: who answers, and what is reported.

use majordomo_core::ByteSize;
use majordomo_memory::{
    MachineSource, PressureReading, PressureSource, ScriptedSource, SourceChain, SourceError,
    effective_limit,
};

fn reading(mib: u64) -> PressureReading {
    PressureReading::scripted(ByteSize::mib(mib), ByteSize::gib(8))
}

fn reports(chain: &mut SourceChain) -> Vec<String> {
    chain.take_reports().iter().map(ToString::to_string).collect()
}

#[test]
fn a_failing_source_is_replaced_and_comes_back() {
    let (first, handle) = ScriptedSource::shared("first", reading(1));
    let (second, second_handle) = ScriptedSource::shared("second", reading(2));
    let mut chain = SourceChain::new(vec![Box::new(first), Box::new(second)]);
    assert_eq!(chain.read().unwrap(), reading(1));
    assert_eq!(chain.name(), "first");

    handle.fail("was made to fail");
    for _ in 0..3 {
        assert_eq!(chain.read().unwrap(), reading(2));
    }
    assert_eq!(chain.name(), "second");
    assert_eq!(
        reports(&mut chain),
        ["pressure source first failed (the script was made to fail); second is asked instead"]
    );

    second_handle.fail("went away");
    let error = chain.read().unwrap_err();
    assert!(matches!(&error, SourceError::AllFailed(all) if all.len() == 2), "{error}");
    assert_eq!(
        reports(&mut chain),
        ["pressure source second failed (the script went away); nothing stands in for it"]
    );

    handle.set(reading(3));
    assert_eq!(chain.read().unwrap(), reading(3));
    assert_eq!(reports(&mut chain), ["pressure source first works again"]);
}

#[test]
fn a_list_ends_with_an_error_instead_of_a_repetition() {
    let mut source = ScriptedSource::list("list", [Ok(reading(1)), Err("broke".into())]);
    assert_eq!(source.read().unwrap(), reading(1));
    assert_eq!(source.read().unwrap_err().to_string(), "the script broke");
    assert_eq!(source.read().unwrap_err().to_string(), "the script has no further reading");
}

#[test]
fn machine_source_reads_plausible_figures() {
    let mut machine = MachineSource::default();
    let reading = machine.read().unwrap();
    assert!(reading.limit > ByteSize::mib(64), "{reading:?}");
    assert!(reading.available <= reading.limit, "{reading:?}");
    assert_eq!(effective_limit(&mut machine).unwrap(), reading.limit);
}
