//! Training: steps, tapes, and what is not a number.

use gradus::data::Ahead;
use gradus::engine::culprit::Shown;
use gradus::engine::trainer::{Tally, Task, Trainer};
use gradus::error::Result;
use gradus_core::nn::Linear;
use gradus_core::optim::{Adam, Optimizer, Sgd};
use gradus_core::{Activation, Layout, Module, Param, Rng, Tape, Tensor, Var, Visitor};
use gradus_models::checkpoint::{self, Metadata, load_exact, save_module, state_dict};
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};

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
    fn steps(&self) -> usize {
        3
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
