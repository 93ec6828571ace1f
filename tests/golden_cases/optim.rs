//! Optimisers and learning-rate schedules.

use super::Op;
use super::run::Run;
use gradus_core::optim::State;
use gradus_core::schedule::Anneal;
use gradus_core::{Adam, Element, OneCycle, Rule, Schedule, Sgd};
use serde_json::{Map, Value};

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![Op::new("optim", optim, 16.0), Op::new("lr_schedule", lr_schedule, 1.0)]
}

/// PyTorch's keyword arguments, each of which must be asked for: an unknown one is an error.
struct Arguments<'a> {
    map: &'a Map<String, Value>,
    asked: Vec<&'static str>,
}

impl<'a> Arguments<'a> {
    fn of(value: &'a Value) -> Self {
        Arguments { map: value.as_object().expect("an object of keyword arguments"), asked: vec!["kind"] }
    }

    fn kind(&self) -> &'a str {
        self.map.get("kind").and_then(Value::as_str).expect("a kind")
    }

    fn get<T>(&mut self, name: &'static str, read: impl Fn(&Value) -> Option<T>, default: T) -> T {
        self.asked.push(name);
        match self.map.get(name) {
            None | Some(Value::Null) => default,
            Some(v) => read(v).unwrap_or_else(|| panic!("{name} = {v}")),
        }
    }

    fn number(&mut self, name: &'static str, default: f64) -> f64 {
        self.get(name, Value::as_f64, default)
    }

    fn count(&mut self, name: &'static str, default: usize) -> usize {
        self.get(name, |v| usize::try_from(v.as_u64()?).ok(), default)
    }

    fn flag(&mut self, name: &'static str, default: bool) -> bool {
        self.get(name, Value::as_bool, default)
    }

    fn finish<T>(self, result: T) -> T {
        let unknown = self.map.keys().find(|k| !self.asked.contains(&k.as_str()));
        assert!(unknown.is_none(), "unknown argument {unknown:?} of {}", self.kind());
        result
    }
}

/// An optimiser of PyTorch's name and keyword arguments.
pub fn rule(arguments: &Value) -> Rule {
    let mut a = Arguments::of(arguments);
    let rule = match a.kind() {
        "sgd" => Sgd {
            lr: a.number("lr", 1e-3),
            momentum: a.number("momentum", 0.0),
            weight_decay: a.number("weight_decay", 0.0),
            dampening: a.number("dampening", 0.0),
            nesterov: a.flag("nesterov", false),
        }
        .into(),
        kind @ ("adam" | "adamw") => {
            let decoupled = kind == "adamw";
            let betas = |v: &Value| Some((v.get(0)?.as_f64()?, v.get(1)?.as_f64()?));
            Adam {
                lr: a.number("lr", 1e-3),
                betas: a.get("betas", betas, (0.9, 0.999)),
                eps: a.number("eps", 1e-8),
                weight_decay: a.number("weight_decay", if decoupled { 0.01 } else { 0.0 }),
                decoupled,
                amsgrad: a.flag("amsgrad", false),
            }
            .into()
        }
        other => panic!("unknown optimizer {other}"),
    };
    // Ascent is descent along the opposite gradient: the caller's affair.
    a.flag("maximize", false);
    a.finish(rule)
}

fn schedule(arguments: &Value) -> Schedule {
    let mut a = Arguments::of(arguments);
    let schedule = match a.kind() {
        "step" => Schedule::Step { step_size: a.count("step_size", 0), gamma: a.number("gamma", 0.1) },
        "multistep" => {
            let list = |v: &Value| v.as_array()?.iter().map(|m| usize::try_from(m.as_u64()?).ok()).collect();
            Schedule::MultiStep {
                milestones: a.get("milestones", list, vec![]),
                gamma: a.number("gamma", 0.1),
            }
        }
        "linear" => Schedule::Linear {
            start_factor: a.number("start_factor", 1.0 / 3.0),
            end_factor: a.number("end_factor", 1.0),
            total_iters: a.count("total_iters", 5),
        },
        "exponential" => Schedule::Exponential { gamma: a.number("gamma", 0.0) },
        "cosine" => Schedule::Cosine { t_max: a.count("T_max", 0), eta_min: a.number("eta_min", 0.0) },
        "onecycle" => {
            let epochs = a.count("epochs", 0) * a.count("steps_per_epoch", 0);
            let default = OneCycle::new(a.number("max_lr", 0.0), a.count("total_steps", epochs));
            let momenta = (a.number("base_momentum", 0.85), a.number("max_momentum", 0.95));
            let anneal = |v: &Value| match v.as_str()? {
                "cos" => Some(Anneal::Cosine),
                "linear" => Some(Anneal::Linear),
                _ => None,
            };
            Schedule::OneCycle(OneCycle {
                pct_start: a.number("pct_start", default.pct_start),
                anneal: a.get("anneal_strategy", anneal, Anneal::Cosine),
                momentum: a.flag("cycle_momentum", true).then_some(momenta),
                div_factor: a.number("div_factor", default.div_factor),
                final_div_factor: a.number("final_div_factor", default.final_div_factor),
                three_phase: a.flag("three_phase", false),
                ..default
            })
        }
        other => panic!("unknown schedule {other}"),
    };
    a.finish(schedule)
}

fn optim<E: Element>(run: &mut Run<E>) {
    let case = run.case;
    let mut rule = rule(case.attr("optimizer").expect("an optimizer"));
    let rates = case.attr("lrs").map(|_| case.numbers("lrs"));
    let mut p = run.constant("p0").data().to_vec();
    let gradients = run.constant("grads");
    let maximize = case.attr("optimizer").and_then(|o| o.get("maximize")).is_some_and(|m| m == true);
    let gradients = if maximize { gradients.map(|g| -g) } else { gradients };
    let mut state = State::default();
    let mut after = Vec::new();
    for (t, g) in gradients.data().chunks(p.len()).enumerate() {
        if let Some(rates) = &rates {
            rule.set_lr(rates[t]);
        }
        rule.step(&mut p, g, &mut state);
        after.extend(p.iter().map(|v| v.to_f64()));
    }
    run.numbers("params", gradients.shape(), after);
}

fn lr_schedule<E: Element>(run: &mut Run<E>) {
    let case = run.case;
    let steps = usize::try_from(case.integer("steps")).expect("a number of steps");
    let (base, schedule) = (case.number("base_lr"), schedule(case.attr("scheduler").expect("a scheduler")));
    run.numbers("lr", &[steps], (0..steps).map(|t| schedule.lr(base, t)).collect());
    if let Schedule::OneCycle(_) = schedule {
        // Without a cycle the momentum stays what the reference's optimiser had.
        let momenta = (0..steps).map(|t| schedule.momentum(t).unwrap_or(0.9)).collect();
        run.numbers("momentum", &[steps], momenta);
    }
}
