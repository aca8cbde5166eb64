//! Calls of components: the request from the command line, the answer to standard output.

use majordomo_server::wire::{Answered, Call};
use serde_json::value::RawValue;

use super::{Remote, leases::millis};
use crate::args::CallArgs;
use crate::exit::Exit;

impl Remote {
    pub(super) async fn call(&self, args: &CallArgs) -> anyhow::Result<Exit> {
        let call = match &args.object {
            Some(json) => Call::object(object(json)?),
            None => Call::text(args.text.join(" ")),
        };
        let call = Call { deadline_ms: args.deadline.map(millis), ..call };
        let answered = self.wait(self.client.call_component(&args.name, &call)).await?;
        self.show(&answered, text)?;
        Ok(Exit::Success)
    }
}

fn object(json: &str) -> anyhow::Result<Box<RawValue>> {
    let wrong = "--object needs a JSON object, such as '{\"page\": 3}'";
    let object: Box<RawValue> =
        serde_json::from_str(json).map_err(|error| anyhow::anyhow!("{wrong}: {error}"))?;
    anyhow::ensure!(object.get().starts_with('{'), "{wrong}, not another kind of JSON");
    Ok(object)
}

/// The answer: the lines of a text, and other JSON as it is.
fn text(answered: &Answered) -> Vec<String> {
    let json = answered.answer.get();
    let text = serde_json::from_str::<String>(json);
    text.unwrap_or_else(|_| json.to_owned()).lines().map(str::to_owned).collect()
}
