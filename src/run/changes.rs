//! What may differ when a run goes on.
//!
//! A step is a function of the weights, the optimiser's state, the position and the settings: what only says
//! how many steps there are and how long each is, or where files lie, may change at any step, and the run is
//! from there on what the new settings make of it. `args.json` then holds the new ones, and under `changes`
//! what changed after how many epochs and batches. Settings that say what is learned, from what and in which
//! order (network, data, seed, batch, ..) may not: the run would be no run of either. A setting that is not
//! in `args.json`, since the version that wrote it had none, is what it is by default; one that is not known
//! here, on its own or inside of another, may mean another run.
//!
//! Which instruction set computes says nothing about f32, whose bits are the same on each: there the setting
//! tells on which the run was begun, and no more. The bits of bf16 belong to an instruction set, and a change
//! of it is recorded.

use super::settings::{self, BITS_NAME, complete};
use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Settings that may change. The checksums of data and weights may not.
const CHANGEABLE: [&str; 9] = ["epochs", "lr", "one_cycle", "decay", "data", "val", "weights", ISA, VERSION];
/// Of these, what says how a step is made, and nothing where none follows.
const OF_STEPS: [&str; 5] = ["lr", "one_cycle", "decay", ISA, VERSION];
/// What says nothing about the result.
const FREE: [&str; 3] = ["threads", CHANGES, BITS_NAME];
const CHANGES: &str = "changes";
const VERSION: &str = "version";
const ISA: &str = "isa";

/// The settings of a run that goes on, and how they differ from those so far.
#[derive(Debug)]
pub(super) struct Resumed {
    now: Map<String, Value>,
    /// Name, before, now.
    changes: Vec<(String, Value, Value)>,
}

impl Resumed {
    /// Compares the settings of the run in a folder with those that it is to go on with.
    ///
    /// # Errors
    /// One differs that may not: the remedy names the command that goes on.
    pub(super) fn new<S: Serialize + DeserializeOwned>(folder: &Path, settings: &S) -> Result<Self> {
        let mut written: Map<String, Value> = settings::read(folder)?;
        let (mut begun, mut now) = (complete(&settings::read::<S>(folder)?)?, complete(settings)?);
        begun.extend(FREE.into_iter().chain([VERSION]).filter_map(|name| written.remove_entry(name)));
        let written = Value::Object(written);
        if let Some((name, value)) = unknown(&written, &Value::Object(begun.clone())) {
            return Err(refused(folder, &name, Some(value), None));
        }
        if let Some((name, then, now)) = difference(&begun, &now) {
            return Err(refused(folder, &name, then, now));
        }
        if let Some(isa) = begun.get(ISA).filter(|_| now.get("precision") != Some(&json!("bf16"))) {
            now.insert(ISA.into(), isa.clone());
        }
        let of = |settings: &Map<String, Value>, name: &str| settings.get(name).cloned().unwrap_or_default();
        let changes = CHANGEABLE.iter().map(|&name| (name.to_string(), of(&begun, name), of(&now, name)));
        let changes = changes.filter(|(_, then, now)| then != now).collect();
        now.extend(begun.get_key_value(CHANGES).map(|(k, v)| (k.clone(), v.clone())));
        Ok(Resumed { now, changes })
    }

    /// Writes the settings, and since when they hold: so many epochs and batches of the next are behind. At
    /// the beginning they are the run's own. Where the run is `done`, those of its steps stay what they were.
    pub(super) fn record(mut self, folder: &Path, [epochs, batches]: [usize; 2], done: bool) -> Result<()> {
        if done {
            let of_steps = |change: &mut (String, _, _)| OF_STEPS.contains(&change.0.as_str());
            self.now.extend(self.changes.extract_if(.., of_steps).map(|(name, then, _)| (name, then)));
        }
        if self.changes.is_empty() {
            return Ok(());
        }
        if (epochs, batches) != (0, 0) {
            let mut entry = Map::new();
            entry.insert("after_epochs".into(), epochs.into());
            entry.insert("after_batches".into(), batches.into());
            for (name, then, now) in &self.changes {
                entry.insert(name.clone(), json!([then, now]));
                let note = if name == ISA { ", and bf16's bits belong to an instruction set" } else { "" };
                say!("{}: from here on {name} is {now}; it was {then}{note}", folder.display());
            }
            match self.now.entry(CHANGES).or_insert_with(|| json!([])) {
                Value::Array(list) => list.push(Value::Object(entry)),
                other => *other = json!([entry]),
            }
        }
        settings::write(folder, self.now)
    }
}

fn refused(folder: &Path, name: &str, then: Option<&Value>, now: Option<&Value>) -> Error {
    let show = |v: Option<&Value>| v.map_or("unset".to_string(), Value::to_string);
    let own = format!("`gradus train --resume {}`", folder.display());
    let own_settings = format!("{own} goes on with its own settings; choose another --out for these");
    let (what, remedy) = match name {
        "reading.skip_bad" => {
            let how = if then == Some(&Value::Bool(true)) { "with" } else { "without" };
            (format!("was begun {how} --skip-bad"), own_settings)
        }
        "data_checksum" => (
            "was begun with other data: since then files came, went, or were changed".to_string(),
            format!("{own} --data SRC goes on where SRC holds the same data; choose another --out for these"),
        ),
        "val_checksum" => (
            "was begun with other data to test on".to_string(),
            format!("{own} --val SRC goes on where SRC holds the same data; choose another --out for these"),
        ),
        "weights_sha256" => (
            "was begun with other first weights".to_string(),
            format!("{own} --weights FILE goes on where FILE is the same; choose another --out for these"),
        ),
        _ => (format!("was begun with {name} {}, not {}", show(then), show(now)), own_settings),
    };
    Error::input(what).in_file(folder).remedy(remedy)
}

/// The first setting of a file that was not read, as `name` or, inside of others, `outer.name`.
fn unknown<'a>(written: &'a Value, read: &Value) -> Option<(String, &'a Value)> {
    let look = |name: &str, written: &'a Value, read: Option<&Value>| match read {
        None => Some((name.to_string(), written)),
        Some(read) => unknown(written, read).map(|(inner, value)| (format!("{name}.{inner}"), value)),
    };
    match (written, read) {
        (Value::Object(w), Value::Object(r)) => w.iter().find_map(|(name, w)| look(name, w, r.get(name))),
        (Value::Array(w), Value::Array(r)) => {
            w.iter().enumerate().find_map(|(i, w)| look(&i.to_string(), w, r.get(i)))
        }
        _ => None,
    }
}

/// A setting's name, what it was, and what it is to be.
type Difference<'a> = (String, Option<&'a Value>, Option<&'a Value>);

/// The first setting that differs and may not, as `name` or, inside of others, `outer.name`. That the seed, from
/// which drawn data come, the data or the weights are others says more than what follows from it, and comes first.
fn difference<'a>(then: &'a Map<String, Value>, now: &'a Map<String, Value>) -> Option<Difference<'a>> {
    let differs =
        |name: &&str| !FREE.contains(name) && !CHANGEABLE.contains(name) && then.get(*name) != now.get(*name);
    let first = ["seed", "data_checksum", "val_checksum", "weights_sha256"].into_iter();
    let name = first.chain(then.keys().chain(now.keys()).map(String::as_str)).find(differs)?;
    match (then.get(name), now.get(name)) {
        (Some(Value::Object(then)), Some(Value::Object(now))) => {
            difference(then, now).map(|(inner, a, b)| (format!("{name}.{inner}"), a, b))
        }
        (then, now) => Some((name.to_string(), then, now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(v: Value) -> Map<String, Value> {
        v.as_object().cloned().unwrap()
    }

    fn begun(settings: Value) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        settings::write(dir.path(), object(settings)).unwrap();
        dir
    }

    #[test]
    fn the_setting_that_differs_is_named_however_deep() {
        let then = object(json!({"lr": 1, "config": {"sizes": {"min": 3}, "n": 1}, "data": "a"}));
        let now = object(json!({"lr": 2, "config": {"sizes": {"min": 4}, "n": 1}, "data": "b"}));
        let (name, a, b) = difference(&then, &now).unwrap();
        assert_eq!((name.as_str(), a.unwrap(), b.unwrap()), ("config.sizes.min", &3.into(), &4.into()));
        assert!(difference(&then, &then).is_none());
        // Classes differ because the data do.
        let (then, now) = (object(json!({"classes": [1], "data_checksum": "x"})), Map::new());
        assert_eq!(difference(&then, &now).unwrap().0, "data_checksum");
    }

    #[test]
    fn what_is_exact_may_change_and_is_recorded() {
        let dir = begun(json!({"epochs": 10, "lr": 0.1, "isa": "avx512", "batch": 2, "precision": "f32"}));
        let go_on = |now: Value, epochs, batches| {
            Resumed::new(dir.path(), &now).unwrap().record(dir.path(), [epochs, batches], false).unwrap();
            settings::read::<Value>(dir.path()).unwrap()
        };
        let now = |lr, isa: &str| json!({"epochs": 20, "lr": lr, "isa": isa, "batch": 2, "precision": "f32"});
        let args = go_on(now(0.1, "avx512"), 4, 12);
        let first = json!({"after_epochs": 4, "after_batches": 12, "epochs": [10, 20]});
        assert_eq!((&args["epochs"], &args[CHANGES]), (&json!(20), &json!([first])));
        let args = go_on(now(0.01, "avx512"), 7, 0);
        let second = json!({"after_epochs": 7, "after_batches": 0, "lr": [0.1, 0.01]});
        assert_eq!(args[CHANGES], json!([first, second]));
        // Nothing changed: nothing is written. Another instruction set is no change.
        assert_eq!(go_on(now(0.01, "avx512"), 8, 0), args);
        assert_eq!(go_on(now(0.01, "avx2"), 9, 0), args);
    }

    #[test]
    fn the_instruction_set_is_a_setting_of_bf16_alone() {
        for (precision, isas) in
            [(json!("f32"), ["avx512", "avx512"]), (json!("bf16"), ["amx", "avx512bf16"])]
        {
            let settings = |epochs, isa| json!({"epochs": epochs, "isa": isa, "precision": precision});
            let dir = begun(settings(1, isas[0]));
            let now = settings(2, "avx512bf16");
            Resumed::new(dir.path(), &now).unwrap().record(dir.path(), [1, 0], false).unwrap();
            let args: Value = settings::read(dir.path()).unwrap();
            let change = args[CHANGES][0].get(ISA);
            assert_eq!(args[ISA], isas[1], "{precision}");
            assert_eq!(change, (precision == "bf16").then_some(&json!(isas)), "{precision}");
        }
    }

    #[test]
    fn before_the_first_state_the_settings_are_simply_the_new_ones() {
        let dir = begun(json!({"epochs": 10}));
        Resumed::new(dir.path(), &json!({"epochs": 3})).unwrap().record(dir.path(), [0, 0], false).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let args: Value = settings::read(dir.path()).unwrap();
        assert_eq!(args, json!({"epochs": 3, "version": version, "bits": settings::BITS}));
    }

    #[derive(Serialize, serde::Deserialize)]
    struct Grown {
        epochs: usize,
        #[serde(default)]
        lr: f64,
        #[serde(default)]
        depth: usize,
    }

    #[test]
    fn a_setting_that_was_not_written_has_its_default() {
        let dir = begun(json!({"epochs": 10, "version": "0.0.1"}));
        let go_on = |lr, depth| Resumed::new(dir.path(), &Grown { epochs: 10, lr, depth });
        let text = go_on(0.0, 3).unwrap_err().to_string();
        assert!(text.contains("was begun with depth 0, not 3"), "{text}");
        go_on(0.5, 0).unwrap().record(dir.path(), [4, 2], false).unwrap();
        let args: Value = settings::read(dir.path()).unwrap();
        assert_eq!((&args["lr"], &args[CHANGES][0]["lr"]), (&json!(0.5), &json!([0.0, 0.5])));
        let versions = json!(["0.0.1", env!("CARGO_PKG_VERSION")]);
        assert_eq!(args[CHANGES][0][VERSION], versions);
        // What this version does not know may mean another run.
        let dir = begun(json!({"epochs": 10, "width": 2}));
        let text =
            Resumed::new(dir.path(), &Grown { epochs: 10, lr: 0.0, depth: 0 }).unwrap_err().to_string();
        assert!(text.contains("was begun with width 2, not unset"), "{text}");
    }

    #[derive(Serialize, serde::Deserialize)]
    struct Nested {
        decay: Grown,
        classes: Vec<Grown>,
    }

    #[test]
    fn what_is_not_known_inside_of_a_setting_is_refused_too() {
        let grown = || Grown { epochs: 1, lr: 0.0, depth: 0 };
        let inside = json!({"epochs": 1, "warm_up": 3});
        // `decay` may change; what it was must be known even so.
        for (written, name) in [
            (json!({"decay": inside, "classes": [{"epochs": 1}]}), "decay.warm_up"),
            (json!({"decay": {"epochs": 1}, "classes": [{"epochs": 1}, inside]}), "classes.1.warm_up"),
        ] {
            let dir = begun(written);
            let now = Nested { decay: grown(), classes: vec![grown(), grown()] };
            let text = Resumed::new(dir.path(), &now).unwrap_err().to_string();
            assert!(text.contains(&format!("was begun with {name} 3, not unset")), "{text}");
        }
    }

    #[test]
    fn where_no_step_follows_the_settings_of_steps_stay() {
        let dir = begun(json!({"epochs": 10, "lr": 0.1, "data": "a"}));
        let go_on = |epochs: usize, data: &str| {
            let now = json!({"epochs": epochs, "lr": 0.5, "data": data});
            Resumed::new(dir.path(), &now).unwrap().record(dir.path(), [8, 0], true).unwrap();
            settings::read::<Value>(dir.path()).unwrap()
        };
        assert_eq!(go_on(10, "a"), json!({"epochs": 10, "lr": 0.1, "data": "a"}));
        let args = go_on(8, "b");
        assert_eq!((&args["epochs"], &args["lr"], &args["data"]), (&json!(8), &json!(0.1), &json!("b")));
        let change = json!({"after_epochs": 8, "after_batches": 0, "epochs": [10, 8], "data": ["a", "b"]});
        assert_eq!(args[CHANGES], json!([change]));
    }

    #[test]
    fn what_would_mean_another_run_is_refused_with_what_works() {
        let dir = begun(json!({"batch": 2, "data_checksum": "a", "classes": ["x"]}));
        let said = |now: Value| Resumed::new(dir.path(), &now).unwrap_err().to_string();
        let own = format!("`gradus train --resume {}`", dir.path().display());
        let batch = said(json!({"batch": 4, "data_checksum": "a", "classes": ["x"]}));
        assert!(batch.contains("was begun with batch 2, not 4") && batch.contains(&own), "{batch}");
        let data = said(json!({"batch": 2, "data_checksum": "b", "classes": ["y"]}));
        let seed = said(json!({"seed": 3, "data_checksum": "b"}));
        assert!(seed.contains("was begun with seed unset, not 3"), "{seed}");
        assert!(data.contains("other data") && data.contains(&format!("{own} --data SRC")), "{data}");
    }
}
