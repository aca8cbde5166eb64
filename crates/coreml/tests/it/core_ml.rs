//! Core ML itself: it takes the exported files, answers as the kernels do, and is measured. macOS only; never run.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use majordomo_coreml::{
    BUCKETS, ChildCommand, ComputeUnits, ModelInput, NoStore, Part, PlainChildren, Plan, RealTime,
    Selected, Service, ServiceConfig, Tensor, child_main, open_model, platform_maker,
};
use majordomo_predictor::{Backend, DenseWeights, Head, Probes, SimdBackend};

use crate::back_ends::Folder;

const CHILD: &str = "MAJORDOMO_TEST_CORE_ML_CHILD";

#[test]
fn core_ml_child_entry() {
    if std::env::var_os(CHILD).is_some() {
        let code = child_main(&*platform_maker(), &RealTime::start());
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}

/// Layers of the product's size with numbers that are not symmetric.
fn weights() -> DenseWeights {
    let number = |i: usize| ((i * 7919) % 2003) as f32 / 2003.0 - 0.4;
    let list = |n: usize, from: usize| (0..n).map(|i| 0.3 * number(from + i)).collect::<Vec<_>>();
    DenseWeights::new(1, Head::Exclusive, list(96, 0), list(96 * 12, 200), list(12, 5000))
        .expect("they fit")
}

#[test]
fn exported_files_compile_load_and_answer() {
    let folder = Folder::new("core-ml-answers");
    let (maker, weights) = (platform_maker(), weights());
    maker.prepare(&weights, &folder.0).expect("an export");
    let simd = SimdBackend::new(weights.clone());
    for name in maker.names() {
        let back_end = maker.make(&name, &weights, &folder.0).expect("a back end");
        for rows in [1, 5, 32, 600] {
            let units: Vec<f32> = (0..rows * 96).map(|i| ((i * 31) % 97) as f32 / 97.0).collect();
            let (mut own, mut right) = (vec![0.0; rows * 12], vec![0.0; rows * 12]);
            back_end.infer_batch(&units, rows, &mut own).expect("an answer");
            simd.infer_batch(&units, rows, &mut right).expect("an answer");
            let far = own.iter().zip(&right).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far <= 1e-2, "{name}, {rows} rows: {far}");
        }
        println!("{name}: {:?}", maker.placement(&name, &folder.0));
    }
}

#[test]
fn component_model_predicts_and_wrong_inputs_are_errors() {
    let folder = Folder::new("core-ml-component");
    let (maker, weights) = (platform_maker(), weights());
    maker.prepare(&weights, &folder.0).expect("an export");
    let time_out = Duration::from_secs(60);
    let package = folder.0.join("coreml-cpu-1.mlpackage");
    let model = open_model(&package, ComputeUnits::CpuOnly, time_out).expect("a model");
    let units = |name: &str| {
        ModelInput::from(Tensor {
            name: name.into(),
            shape: vec![1, 96],
            data: vec![0.5; 96].into(),
        })
    };
    let outputs = model.predict(vec![units("units")], time_out).expect("an answer");
    assert_eq!((outputs[0].name.as_str(), outputs[0].data.len()), ("scores", 12));
    assert!(model.predict(vec![units("no such input")], time_out).is_err());
    let picture = ModelInput::Image { name: "units".into(), path: folder.0.join("face.png") };
    let error = model.predict(vec![picture], time_out).expect_err("an array is needed");
    assert!(error.to_string().contains("no picture `units`"), "{error}");
    let whole = Tensor { name: "units".into(), shape: vec![1, 96], data: vec![1; 96].into() };
    println!(
        "whole numbers for numbers of 32 bits: {:?}",
        model.predict(vec![whole.into()], time_out)
    );
    assert_eq!(model.health(), Ok(()));
    assert!(
        open_model(&folder.0.join("missing.mlmodelc"), ComputeUnits::CpuOnly, time_out).is_err()
    );
}

#[test]
fn calibration_with_real_times() {
    let folder = Folder::new("core-ml-calibration");
    let child = ChildCommand {
        program: std::env::current_exe().expect("a program"),
        args: ["--exact", "core_ml::core_ml_child_entry", "--nocapture"].map(Into::into).into(),
        env: vec![(CHILD.into(), "1".into())],
    };
    let config = ServiceConfig {
        maker: platform_maker(),
        child: Ok(child),
        children: Box::new(PlainChildren),
        folder: folder.0.clone(),
        plan: Plan::default(),
        store: Box::new(NoStore),
    };
    let service = Service::start(config).expect("a thread");
    let (to, done) = channel();
    let then = move |selected: &[Arc<Selected>]| {
        to.send(selected[0].names().map(str::to_owned)).expect("the test waits");
    };
    let probes = Probes::of_scores(weights(), Vec::new());
    service.submit(vec![Part { name: "model", probes }], Box::new(then));
    println!("by {BUCKETS:?} rows: {:?}", done.recv().expect("the service lives"));
    println!("{:#?}", service.report());
}
