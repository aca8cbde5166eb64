//! The learned text model as a Core ML file.

use std::sync::atomic::AtomicBool;

use majordomo::{
    ComponentId, ComponentSpec, Config, CoreMlExportSettings, CoreMlFile, IntentExportError,
    Manager, OfflineIntents,
};

#[tokio::test]
async fn manager_without_a_model_exports_none() {
    let spec = ComponentSpec::builtin("music").expect("a name");
    let manager = Manager::builder().builtin(spec, |_| Ok(())).start().await.expect("it starts");
    let refused = manager.intents().export(CoreMlExportSettings::default());
    assert_eq!(refused, Err(IntentExportError::NoModel));
    manager.shutdown(None).await;
}

#[test]
fn labels_of_a_file_are_the_components_of_its_outputs() {
    let mut intents = OfflineIntents::open(None, &Config::default()).expect("it is empty");
    let names = ["music", "clock"].map(|name| ComponentId::new(name).expect("a name"));
    for i in 0..40 {
        intents.learn(&format!("play some jazz {i}"), &names[..1]).expect("words");
        intents.learn(&format!("wake me at {i}"), &names[1..]).expect("words");
    }
    intents.train(&AtomicBool::new(false)).expect("outcomes");
    let exported = intents.export(CoreMlExportSettings::default()).expect("a model");
    let [_, (_, model), (_, weights)] = exported.files() else { panic!("three files") };
    let file = CoreMlFile::from_bytes(model, Some(weights)).expect("it is sound");
    let stamp = file.stamp().expect("it is ours");
    assert_eq!(stamp.labels().collect::<Vec<_>>(), ["music", "clock"]);
    assert_eq!(stamp.snapshot, intents.learned().version);

    // A component that is learned after the model has an output only where the model was made to have one.
    let lights = [ComponentId::new("lights").expect("a name")];
    intents.learn("dim the lamp", &lights).expect("words");
    let exported = intents.export(CoreMlExportSettings::default()).expect("a model");
    let [_, (_, model), (_, weights)] = exported.files() else { panic!("three files") };
    let file = CoreMlFile::from_bytes(model, Some(weights)).expect("it is sound");
    assert_eq!(file.stamp().expect("it is ours").labels().count() + 1, file.n_outputs());
}
