//! Training: steps, tapes, what is not a number, and runs that go on.

use gradus::data::Ahead;
use gradus::engine::culprit::Shown;
use gradus::engine::trainer::{Tally, Task, Trainer};
use gradus::error::Result;
use gradus_core::nn::Linear;
use gradus_core::optim::{Adam, Optimizer, Sgd};
use gradus_core::{Activation, Layout, Module, Param, Rng, Tape, Tensor, Var, Visitor};
use gradus_models::checkpoint::{self, Metadata, load_exact, save_module, state_dict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What the panic of `f` says.
#[track_caller]
fn said(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
    payload.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// y = relu(x V) W.
struct Net {
    hidden: Linear,
    out: Linear,
}

impl Net {
    fn new(inputs: usize) -> Self {
        let weight = |i: usize, o: usize| Tensor::from_fn([i, o], |k| ((7 * k + 3) % 11) as f32 / 11.0 - 0.4);
        Net { hidden: Linear::new(weight(inputs, 8), true), out: Linear::new(weight(8, 3), true) }
    }

    fn forward(&self, g: &mut Tape, x: Var) -> Var {
        let x = self.hidden.forward(g, x, Activation::Relu);
        self.out.forward(g, x, Activation::None)
    }
}

impl Module for Net {
    fn visit(&mut self, v: &mut Visitor<'_, f32>) {
        v.child("hidden", &mut self.hidden);
        v.child("out", &mut self.out);
    }
}

/// Decays the weights of what it wraps by itself, wherever its values are shown: it looks at shapes and
/// values in `visit`.
struct Counting {
    net: Net,
    elements: usize,
    sizes: f32,
}

impl Module for Counting {
    fn visit(&mut self, v: &mut Visitor<'_, f32>) {
        let weights = [&self.net.hidden.weight.value, &self.net.out.weight.value];
        self.elements = weights.iter().map(|w| w.len()).sum();
        self.sizes = weights.iter().flat_map(|w| w.data()).map(|v| v.abs()).sum();
        // A layer without elements would be none: a wrapper may well leave it out.
        if !self.net.hidden.weight.value.shape().is_empty() {
            v.child("hidden", &mut self.net.hidden);
        }
        if !self.net.out.weight.value.shape().is_empty() {
            v.child("out", &mut self.net.out);
        }
    }
}

/// tracel-ai/burn 5228, LaurentMazare/tch-rs 269: parameters that a module looks at while it is stepped.
#[test]
fn a_module_that_looks_at_its_parameters_keeps_them_in_a_step() {
    let mut net = Counting { net: Net::new(4), elements: 0, sizes: 0.0 };
    let mut plain = Net::new(4);
    let (mut a, mut b) = (Optimizer::new(Adam::new(0.1)), Optimizer::new(Adam::new(0.1)));
    let step = |net: &Net| {
        let mut g = Tape::eval();
        let logits = net.forward(&mut g, Tensor::full([2, 4], 0.5).into());
        let loss = g.cross_entropy(logits, &[0, 2]);
        g.backward(&loss)
    };
    for _ in 0..3 {
        let gradients = step(&net.net);
        a.step(&mut net, &gradients).unwrap();
        assert_eq!(net.elements, 4 * 8 + 8 * 3);
        assert!(net.sizes > 1.0);
        let gradients = step(&plain);
        b.step(&mut plain, &gradients).unwrap();
    }
    assert_eq!(net.num_params(), 32 + 8 + 24 + 3);
    assert!(state_dict(&mut net) == state_dict(&mut plain));
}

/// coreylowman/dfdx 507: a variable of another tape gave a wrong gradient (52 for 30), or an index beyond the
/// tape.
#[test]
fn a_variable_of_another_tape_is_refused() {
    let scalar = |v: f64| Tensor::from_slice([], &[v]);
    let mut other = Tape::<f64>::eval();
    let a = other.input(scalar(4.0));
    let a = other.mul(a.clone(), a);
    for places in [0, 5] {
        let mut g = Tape::eval();
        (0..places).for_each(|_| _ = g.input(scalar(1.0)));
        let x = g.input(scalar(3.0));
        let refused = said(|| drop(g.mul(x.clone(), a.clone())));
        assert_eq!(refused, "mul: a variable belongs to another tape; detach it");

        let y = g.mul(x.clone(), a.detach());
        let y = g.mul(y, scalar(10.0).into());
        assert_eq!(g.backward(&y).of(&x).unwrap().item(), 160.0);
    }
}

/// One matrix under two names, as an embedding and a classifier share it.
struct Tied {
    w: Param,
    also: Option<Param>,
}

impl Tied {
    fn new() -> Self {
        Tied { w: Param::new(Tensor::from_fn([2, 2], |i| i as f32), Layout::Linear), also: None }
    }
}

impl Module for Tied {
    fn visit(&mut self, v: &mut Visitor<'_, f32>) {
        v.param("encoder.weight", &mut self.w);
        v.param("decoder.weight", &mut self.w);
        if let Some(also) = &mut self.also {
            v.param("decoder.weight", also);
        }
    }
}

/// pytorch/pytorch 188346: tied weights are one parameter: stepped and counted once, saved under both names,
/// found under either.
#[test]
fn tied_weights_are_one_parameter_and_two_of_one_name_are_refused() {
    let mut net = Tied::new();
    let gradients = |net: &Tied| {
        let mut g = Tape::eval();
        let w = g.param(&net.w);
        g.backward_from([(w.node, Tensor::full([2, 2], 1.0))])
    };
    let mut sgd = Optimizer::new(Sgd::new(0.5));
    let g = gradients(&net);
    sgd.step(&mut net, &g).unwrap();
    assert_eq!(net.w.value.data(), [-0.5, 0.5, 1.5, 2.5]);
    assert_eq!(net.num_params(), 4);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tied.safetensors");
    save_module(&file, &mut net, &Metadata::new()).unwrap();
    let saved = checkpoint::load(&file).unwrap().tensors;
    assert_eq!(saved.keys().collect::<Vec<_>>(), ["encoder.weight", "decoder.weight"]);
    for left_out in [None, Some("encoder.weight"), Some("decoder.weight")] {
        let mut state = saved.clone();
        left_out.map(|name| state.shift_remove(name));
        let mut other = Tied::new();
        load_exact(&mut other, &state, &file).unwrap();
        assert!(other.w.value == net.w.value);
    }
    let mut torn = saved.clone();
    let one = torn["decoder.weight"].to_f32().iter().map(|v| v + 1.0).collect::<Vec<_>>();
    torn.insert("decoder.weight".into(), checkpoint::RawTensor::from_f32(&[2, 2], &one));
    let refused = load_exact(&mut Tied::new(), &torn, &file).unwrap_err().to_string();
    assert!(refused.contains("encoder.weight and decoder.weight are one parameter"), "{refused}");
    assert!(load_exact(&mut Tied::new(), &Default::default(), &file).is_err());

    let mut mixed = Tied { also: Some(Param::new(Tensor::zeros([2, 2]), Layout::Linear)), ..Tied::new() };
    let g = gradients(&mixed);
    let message = "visit: two tensors are called decoder.weight";
    assert_eq!(said(|| drop(Optimizer::new(Sgd::new(0.5)).step(&mut mixed, &g))), message);
    assert_eq!(said(|| drop(state_dict(&mut mixed))), message);
    assert_eq!(said(|| drop(load_exact(&mut mixed, &saved, &file))), message);
}

/// pytorch/pytorch 46849: gradients can be clipped. 14.775.. and what follows are
/// torch.nn.utils.clip_grad_norm_'s.
#[test]
fn gradients_can_be_clipped() {
    let p = Param::<f64>::new(Tensor::zeros([7]), Layout::Plain);
    let gradients = || {
        let mut g = Tape::eval();
        let seed = Tensor::from_slice([7], &[3.0, -4.0, 0.5, 12.0, -0.25, 1e-3, 7.0]);
        let node = g.param(&p).node;
        g.backward_from([(node, seed)])
    };
    let mut g = gradients();
    assert!((g.clip_norm(2.5) - 14.775401889627233).abs() < 1e-13);
    let want = [0.507600371781755, -0.6768004957090067, 0.08460006196362584, 2.03040148712702];
    for (got, want) in g.param(&p).unwrap().data().iter().zip(want) {
        assert!((got - want).abs() < 1e-14, "{got} {want}");
    }
    let mut g = gradients();
    g.clip_value(2.0);
    assert_eq!(g.param(&p).unwrap().data(), [2.0, -2.0, 0.5, 2.0, -0.25, 1e-3, 2.0]);
}

/// A step with one NaN pixel, made with the library: a network that pools it away has a loss that is a
/// number.
#[test]
fn one_nan_pixel_changes_no_weight() {
    let mut rng = Rng::seed(1);
    let mut net = gradus_models::AlexNet::<f32>::cifar(10, &mut rng);
    let before = state_dict(&mut net);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut images = gradus_core::init::normal::<f32>([2, 32, 32, 3], 0.0, 1.0, &mut rng);
        images.data_mut()[100] = bad;
        let mut g = Tape::train(&mut rng);
        let logits = net.forward(&mut g, images.into());
        let loss = g.cross_entropy(logits, &[3, 4]);
        let step = Optimizer::new(Adam::new(1e-3)).step(&mut net, &g.backward(&loss));
        assert!(step.unwrap_err().what.starts_with("the gradient of features.0.weight"));
        assert!(state_dict(&mut net) == before, "{bad}");
    }
}

#[derive(Clone, Default, Debug, Serialize, Deserialize)]
struct Seen(usize);

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} images", self.0)
    }
}

impl Tally for Seen {
    fn images(&self) -> usize {
        self.0
    }
}

/// Batches of two images of 4 numbers; the second batch's second image holds `bad`.
struct Numbers {
    bad: f32,
}

impl Task for Numbers {
    type Net = Net;
    type Batch = Tensor;
    type Tally = Seen;
    type Score = f64;

    fn epochs(&self) -> usize {
        1
    }
    fn images(&self) -> usize {
        6
    }
    fn batches(&self, _: usize, start: usize) -> Ahead<Tensor> {
        let bad = self.bad;
        Ahead::new(start..3, "numbers", move |n| {
            Ok(Tensor::from_fn([2, 4], |i| if (n, i) == (1, 6) { bad } else { i as f32 / 8.0 }))
        })
    }
    fn shown<'b>(&self, batch: &'b Tensor) -> Vec<Shown<'b>> {
        let names = ["left.png", "right.png"].into_iter();
        names.zip(batch.data().chunks(4)).map(|(n, pixels)| Shown { name: n.into(), pixels }).collect()
    }
    fn lr(&self, _: usize, _: usize) -> f64 {
        1e-13
    }
    fn rng(&self, step: u64) -> Rng {
        Rng::seed(step)
    }
    fn loss(&self, net: &Net, g: &mut Tape, batch: &Tensor, tally: &mut Seen) -> Result<Var> {
        tally.0 += 2;
        let logits = net.forward(g, batch.clone().into());
        Ok(g.cross_entropy(logits, &[0, 1]))
    }
    fn judge(&self, _: &Net) -> Result<f64> {
        Ok(0.0)
    }
    fn better(_: &f64, _: &f64) -> bool {
        true
    }
}

/// The run stops at the step that meets it, and says which image it was, or which result was the first that
/// is no number.
#[test]
fn a_run_that_meets_nan_stops_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let stops = |bad: f32| {
        // Hidden values of 1e10 for images in 0..1, and answers of 1.
        let mut net = Net::new(4);
        net.hidden.weight.value.data_mut().iter_mut().for_each(|w| *w *= 1e10);
        net.out.weight.value.data_mut().iter_mut().for_each(|w| *w *= 1e-10);
        let mut trainer = Trainer::new(Numbers { bad }, net, Adam::new(0.1), folder.path(), Metadata::new());
        let e = trainer.run(|_| Ok(())).unwrap_err();
        (e.exit_code(), e.to_string())
    };
    let (code, nan) = stops(f32::NAN);
    assert_eq!(code, 2);
    assert!(nan.starts_with("right.png: step 2 (epoch 1, batch 2: left.png, right.png)"), "{nan}");
    assert!(nan.contains("holds NaN or infinity") && nan.ends_with("mend or remove it"), "{nan}");
    let (code, large) = stops(1e30);
    assert_eq!(code, 1);
    assert!(large.contains("step 2") && large.contains("the first of it: the result of linear 1"), "{large}");
    // No state was saved that it could go on from.
    assert!(large.contains("--lr RATE` begins again at a lower rate"), "{large}");
    assert!(!folder.path().join("state").exists());
}

fn gradus(args: &[&str], isa: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.args(args).envs(isa.map(|isa| ("GRADUS_ISA", isa))).output().unwrap()
}

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[track_caller]
fn done(args: &[&str]) -> String {
    let out = gradus(args, None);
    assert!(out.status.success(), "gradus {args:?}: {}", text(&out));
    text(&out)
}

#[track_caller]
fn refused(args: &[&str], words: &[&str]) {
    let out = gradus(args, None);
    let said = text(&out);
    assert_eq!(out.status.code(), Some(2), "gradus {args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "gradus {args:?} says nothing of `{word}`: {said}");
    }
}

fn args_of(run: &str) -> Value {
    serde_json::from_slice(&fs::read(Path::new(run).join("args.json")).unwrap()).unwrap()
}

fn last_weights(run: &str) -> Vec<u8> {
    fs::read(Path::new(run).join("weights/last.safetensors")).unwrap()
}

fn own_command(run: &str) -> String {
    format!("`gradus train --resume {run}`")
}

/// Begins a run of AlexNet on drawn shapes.
fn begin(run: &str, more: &[&str]) {
    let small = ["train", "alexnet", "--data", "synthetic:48", "--batch", "12", "--seed", "7", "--out", run];
    done(&[&small, more].concat());
}

/// ultralytics/yolov5 4513, 2650: more epochs, and a lower rate, for a run that is there. Its folder is
/// enough.
#[test]
fn a_run_goes_on_by_its_folder_with_more_epochs_and_another_rate() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, run] = ["whole", "run"].map(|n| folder.path().join(n).to_str().unwrap().to_string());
    begin(&whole, &["--epochs", "2"]);
    begin(&run, &["--epochs", "1"]);
    let said = done(&["train", "--resume", &run, "--epochs", "2"]);
    assert!(said.contains("resuming at epoch 2 of 2, batch 1"), "{said}");
    // At a constant rate that is the run that was to have two epochs from the start.
    assert!(last_weights(&run) == last_weights(&whole));
    let lines = |run: &str| fs::read_to_string(Path::new(run).join("log.jsonl")).unwrap().lines().count();
    assert_eq!(lines(&run), lines(&whole));
    let args = args_of(&run);
    let first = json!({"after_epochs": 1, "after_batches": 0, "epochs": [1, 2]});
    assert_eq!((&args["epochs"], &args["changes"]), (&json!(2), &json!([first])));

    done(&["train", "--resume", &run, "--epochs", "3", "--lr", "1e-4"]);
    let args = args_of(&run);
    assert_eq!((&args["lr"], &args["changes"][1]["lr"]), (&json!(1e-4), &json!([1e-3, 1e-4])));
    // Where no step follows, nothing is another step's.
    let said = done(&["train", "--resume", &run, "--lr", "1e-5"]);
    assert!(said.contains("all 3 epochs are trained already") && !said.contains("from here on"), "{said}");
    assert_eq!(args_of(&run), args);
    let with_command = ["train", "alexnet", "--data", "synthetic:48", "--resume", "--out", &run];
    assert!(done(&with_command).contains("trained already"));
    assert!(done(&[&with_command[..], &["--strict"]].concat()).contains("trained already"));
    refused(
        &[&with_command[..], &["--skip-bad"]].concat(),
        &["was begun without --skip-bad", &own_command(&run)],
    );

    // What would mean another run is refused, with a command that works.
    let own = own_command(&run);
    refused(&[&with_command[..], &["--batch", "6"]].concat(), &["batch 12, not 6", &own]);
    refused(&["train", "--resume", &run, "--seed", "8"], &["was begun with", &own]);
    refused(&["train", "--resume", &run, "--data", "synthetic:60"], &["other data", "--data SRC"]);
    refused(&["train", "--resume", &run, "--epochs", "2"], &["has trained 3 epochs", "--epochs"]);
    refused(&["train", "--resume", &run, "--lr", "-1"], &["--lr -1", "positive"]);
    refused(&["train", "--resume", folder.path().to_str().unwrap()], &["holds no run to resume"]);
    let nowhere = folder.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    refused(&["train", "alexnet", "--data", "synthetic:48", "--resume", "--out", nowhere], &["holds no run"]);
    assert!(!Path::new(nowhere).exists());
    refused(
        &["train", "detector", "--data", "synthetic:6:64x48", "--resume", "--out", &run],
        &["train alexnet"],
    );
}

/// What is said to whoever interrupts a run is the command that goes on with it.
#[cfg(unix)]
#[test]
fn an_interrupted_run_names_the_command_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.args(["train", "alexnet", "--data", "synthetic:48", "--batch", "12", "--epochs", "500", "--out"]);
    let child = command.arg(&run).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    while !run.join("train_batch0.png").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130), "{}", text(&out));
    let own = format!("the state is saved; `gradus train --resume {}` goes on", run.display());
    assert!(text(&out).contains(&own), "{}", text(&out));
}

/// facebookresearch/detectron2 2312: a run goes on on another processor; where the bits may differ, it says
/// so. And one that was killed before its first state begins at the beginning.
#[test]
fn another_instruction_set_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run").to_str().unwrap().to_string();
    begin(&run, &["--epochs", "1"]);
    let (before, own) = (last_weights(&run), args_of(&run)["isa"].clone());
    let path = Path::new(&run);
    for file in
        ["weights/last.safetensors", "weights/best.safetensors", "state/state.safetensors", "results.csv"]
    {
        fs::remove_file(path.join(file)).unwrap();
    }
    let said = done(&["train", "--resume", &run]);
    assert!(said.contains("begins at the beginning"), "{said}");
    assert!(last_weights(&run) == before);

    let out = gradus(&["train", "--resume", &run, "--epochs", "2"], Some("portable"));
    assert!(out.status.success(), "{}", text(&out));
    let args = args_of(&run);
    assert_eq!(args["isa"], "portable");
    let change = &args["changes"][0];
    assert_eq!(change["epochs"], json!([1, 2]));
    if own == "portable" {
        assert!(change["isa"].is_null() && change["bits"].is_null(), "{change}");
    } else {
        assert_eq!(change["isa"], json!([own, "portable"]));
        assert!(change["bits"].as_str().unwrap().contains("may differ"), "{change}");
    }
}

/// hukenovs/hagrid 12: how the rate falls can be said, so that trainings of more than ten epochs learn to
/// their end.
#[test]
fn a_detectors_rate_falls_as_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run").to_str().unwrap().to_string();
    let small =
        ["--backbone", "mobilenet-v2-fpn", "--min-size", "48", "--max-size", "64", "--test-split", "last:1"];
    let task = ["train", "detector", "--data", "synthetic:4:64x48", "--out", &run, "--epochs", "2"];
    done(&[&task[..], &small, &["--lr", "0.001", "--lr-step", "1", "--lr-gamma", "0.5"]].concat());
    // A version that knew no other fall wrote none down: 3 and 0.1 it was.
    let mut args = args_of(&run);
    args.as_object_mut().unwrap().remove("decay");
    fs::write(Path::new(&run).join("args.json"), args.to_string()).unwrap();
    done(&["train", "--resume", &run, "--epochs", "3", "--lr-step", "2", "--lr-gamma", "0.5"]);
    let text = fs::read_to_string(Path::new(&run).join("results.csv")).unwrap();
    let column = text.lines().next().unwrap().split(',').position(|n| n == "lr").unwrap();
    let rates: Vec<f64> =
        text.lines().skip(1).map(|l| l.split(',').nth(column).unwrap().parse().unwrap()).collect();
    // The last is 0.001 · 0.5^⌊2/2⌋.
    assert_eq!(rates, [0.001, 0.0005, 0.0005]);
    let now = json!({"every": 2, "factor": 0.5});
    let change = json!([{"every": 3, "factor": 0.1}, now]);
    assert_eq!((&args_of(&run)["decay"], &args_of(&run)["changes"][0]["decay"]), (&now, &change));
    refused(&["train", "--resume", &run, "--one-cycle"], &["--one-cycle", "detector"]);
    // What only a run that goes on listens to is not passed over before a command.
    for option in ["--lr-step", "--lr-gamma", "--lr", "--epochs"] {
        refused(&["train", option, "1", "detector", "--data", "synthetic:4:64x48"], &["--resume"]);
    }
}

/// A detector's first weights are in its state: whoever goes on needs their file no more, and no epoch need
/// be whole.
#[test]
fn a_detector_goes_on_without_the_file_of_its_first_weights() {
    let folder = tempfile::tempdir().unwrap();
    let [first, run, whole] =
        ["first", "run", "whole"].map(|n| folder.path().join(n).to_str().unwrap().to_string());
    let small = ["train", "detector", "--data", "synthetic:4:64x48", "--backbone", "mobilenet-v2-fpn"];
    let sizes = ["--min-size", "48", "--max-size", "64", "--test-split", "last:1"];
    let begin = |out: &str, more: &[&str]| done(&[&small[..], &sizes, &["--out", out], more].concat());
    begin(&first, &["--epochs", "1"]);
    // The network's ε is one that no network has by itself.
    let from = format!("{first}/weights/last.safetensors");
    let mut loaded = checkpoint::load_verbatim(&from).unwrap();
    assert!(loaded.metadata.insert(checkpoint::NORM_EPS.into(), "0.001".into()).is_some());
    let weights = folder.path().join("weights.safetensors");
    let weights = weights.to_str().unwrap();
    checkpoint::save(weights, &loaded.tensors, &loaded.metadata).unwrap();

    begin(&whole, &["--weights", weights, "--epochs", "2"]);
    begin(&run, &["--weights", weights, "--epochs", "1"]);
    fs::remove_file(weights).unwrap();
    let said = done(&["train", "--resume", &run, "--epochs", "2"]);
    assert!(said.contains("weights: the run's own"), "{said}");
    assert!(last_weights(&run) == last_weights(&whole));
    // The state alone knows ε; without a state the run begins anew, and needs the file.
    fs::remove_file(format!("{run}/weights/last.safetensors")).unwrap();
    done(&["train", "--resume", &run, "--epochs", "3"]);
    let eps = &checkpoint::load_verbatim(format!("{run}/weights/last.safetensors")).unwrap().metadata;
    assert_eq!(eps[checkpoint::NORM_EPS], "0.001");
    fs::remove_file(format!("{run}/state/state.safetensors")).unwrap();
    refused(&["train", "--resume", &run], &[weights, "where it is now with --weights"]);
}

/// Data that moved are asked for by --data; other faults of theirs keep their own remedy.
#[test]
fn only_data_that_are_gone_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let [run, data] = ["run", "data"].map(|n| folder.path().join(n).to_str().unwrap().to_string());
    for (class, shade) in [("black", 0), ("white", 255)] {
        fs::create_dir_all(format!("{data}/{class}")).unwrap();
        for k in 0..10 {
            let image = gradus::image::Image::filled(32, 32, [shade, k, 0]);
            image.save_png(format!("{data}/{class}/{k}.png")).unwrap();
        }
    }
    done(&["train", "alexnet", "--data", &data, "--epochs", "1", "--batch", "8", "--out", &run]);
    fs::write(format!("{data}/black/3.png"), "no picture").unwrap();
    let out = gradus(&["train", "--resume", &run], None);
    let said = text(&out);
    assert!(out.status.code() == Some(2) && said.contains("3.png") && !said.contains("--data"), "{said}");
    fs::rename(&data, folder.path().join("elsewhere")).unwrap();
    refused(&["train", "--resume", &run], &[&data, "where it is now with --data"]);
}

/// Weights so large that the network's answer is no number: whoever is asked says so, and names the picture.
#[test]
fn an_answer_that_is_no_number_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run").to_str().unwrap().to_string();
    begin(&run, &["--epochs", "1"]);
    let best = Path::new(&run).join("weights/best.safetensors");
    let loaded = checkpoint::load(&best).unwrap();
    let mut tensors = loaded.tensors;
    for name in ["features.0.weight", "classifier.6.weight"] {
        let raw = &tensors[name];
        let large: Vec<f32> = raw.to_f32().iter().map(|v| v * 1e30).collect();
        let large = checkpoint::RawTensor::from_f32(raw.shape(), &large);
        tensors.insert(name.into(), large);
    }
    checkpoint::save(&best, &tensors, &loaded.metadata).unwrap();
    let picture = format!("{run}/train_batch0.png");
    for args in [&["predict", &run, &picture][..], &["evaluate", &run, "--data", "synthetic:48"]] {
        let out = gradus(args, None);
        let said = text(&out);
        assert!(!out.status.success() && out.stdout.is_empty(), "{args:?}: {said}");
        assert!(said.contains("not finite; the first of it: the result of "), "{args:?}: {said}");
    }
}
