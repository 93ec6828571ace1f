//! Learning-rate schedules: η(t), a closed form of the base rate η₀ and the number t of steps taken so far.
//!
//! The formulas are `torch.optim.lr_scheduler`'s. Whether a step is a batch or an epoch is the caller's
//! choice; two schedules on top of each other (a warm-up and a decay) are `warmup.lr(decay.lr(base, epoch),
//! batch)`.

use crate::elementary;
use std::f64::consts::PI;

/// The shape between the extremes of a one-cycle schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anneal {
    /// Half a period of a cosine.
    #[default]
    Cosine,
    /// A straight line.
    Linear,
}

impl Anneal {
    /// From `a` at x = 0 to `b` at x = 1.
    fn between(self, a: f64, b: f64, x: f64) -> f64 {
        match self {
            Anneal::Cosine => b + (a - b) / 2.0 * (1.0 + elementary::cos(PI * x)),
            Anneal::Linear => a + (b - a) * x,
        }
    }
}

/// One rise and one long fall of the learning rate, while the momentum does the opposite (Smith and Topin,
/// *Super-convergence*, 2018; `OneCycleLR`). `OneCycle { pct_start: 0.2, ..OneCycle::new(0.1, 1000) }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    /// The highest rate. The first is `max_lr / div_factor`, the last that over `final_div_factor`.
    pub max_lr: f64,
    /// The length of the cycle.
    pub total_steps: usize,
    /// The part of the cycle in which the rate rises.
    pub pct_start: f64,
    /// The shape of rise and fall.
    pub anneal: Anneal,
    /// The least and the greatest momentum; `None` leaves the momentum alone.
    pub momentum: Option<(f64, f64)>,
    /// The highest over the first rate.
    pub div_factor: f64,
    /// The first over the last rate.
    pub final_div_factor: f64,
    /// Whether the fall mirrors the rise, before a third phase goes down to the last rate.
    pub three_phase: bool,
}

impl OneCycle {
    /// With PyTorch's defaults: 30 % rise by cosine, momentum between 0.85 and 0.95, factors 25 and 10⁴, two
    /// phases.
    pub fn new(max_lr: f64, total_steps: usize) -> Self {
        OneCycle {
            max_lr,
            total_steps,
            pct_start: 0.3,
            anneal: Anneal::Cosine,
            momentum: Some((0.85, 0.95)),
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
        }
    }

    /// The rate at step t.
    pub fn lr(&self, t: usize) -> f64 {
        let first = self.max_lr / self.div_factor;
        let last = first / self.final_div_factor;
        let levels = [first, self.max_lr, if self.three_phase { first } else { last }, last];
        self.at(t, levels)
    }

    /// The momentum at step t, if the cycle has one.
    pub fn momentum(&self, t: usize) -> Option<f64> {
        self.momentum.map(|(low, high)| self.at(t, [high, low, high, high]))
    }

    /// The value at t of what passes through these levels at the ends of the phases.
    fn at(&self, t: usize, levels: [f64; 4]) -> f64 {
        let total = self.total_steps as f64;
        let peak = self.pct_start * total - 1.0;
        let mirror = 2.0 * self.pct_start * total - 2.0;
        let end = total - 1.0;
        let ends = if self.three_phase { [peak, mirror, end] } else { [peak, end, end] };
        let t = (t as f64).min(end);
        let phase = ends.iter().position(|&e| t <= e).unwrap_or(2);
        let start = if phase == 0 { 0.0 } else { ends[phase - 1] };
        let length = ends[phase] - start;
        let x = if length > 0.0 { (t - start) / length } else { 1.0 };
        self.anneal.between(levels[phase], levels[phase + 1], x)
    }
}

/// How the learning rate changes with the steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Schedule {
    /// η₀
    #[default]
    Constant,
    /// η₀ γ^⌊t/n⌋ (`StepLR`)
    Step {
        /// n
        step_size: usize,
        /// γ
        gamma: f64,
    },
    /// η₀ γ^(the number of milestones up to t) (`MultiStepLR`)
    MultiStep {
        /// The steps at which the rate falls, in any order; one that is named twice counts twice.
        milestones: Vec<usize>,
        /// γ
        gamma: f64,
    },
    /// η₀ times a factor that goes along a line and then stays: a warm-up (`LinearLR`)
    Linear {
        /// The factor at t = 0.
        start_factor: f64,
        /// The factor from `total_iters` on.
        end_factor: f64,
        /// The length of the line.
        total_iters: usize,
    },
    /// η₀ γ^t (`ExponentialLR`)
    Exponential {
        /// γ
        gamma: f64,
    },
    /// η_min + (η₀ − η_min) (1 + cos(π t/T))/2 (Loshchilov and Hutter, 2017, one period; `CosineAnnealingLR`)
    Cosine {
        /// T; the rate rises again after it.
        t_max: usize,
        /// η_min
        eta_min: f64,
    },
    /// One cycle, whatever η₀ is.
    OneCycle(OneCycle),
}

impl Schedule {
    /// The learning rate after t steps, from the base rate.
    pub fn lr(&self, base: f64, t: usize) -> f64 {
        // Beyond 2³¹ steps a power differs from the one at 2³¹ in nothing that a schedule is used for.
        let power = |gamma: f64, n: usize| elementary::powi(gamma, i32::try_from(n).unwrap_or(i32::MAX));
        match self {
            Schedule::Constant => base,
            Schedule::Step { step_size, gamma } => base * power(*gamma, t / (*step_size).max(1)),
            Schedule::MultiStep { milestones, gamma } => {
                base * power(*gamma, milestones.iter().filter(|&&m| m <= t).count())
            }
            Schedule::Linear { start_factor, end_factor, total_iters } => {
                let x =
                    if *total_iters == 0 { 0.0 } else { t.min(*total_iters) as f64 / *total_iters as f64 };
                base * (start_factor + (end_factor - start_factor) * x)
            }
            Schedule::Exponential { gamma } => base * power(*gamma, t),
            Schedule::Cosine { t_max, eta_min } => {
                let x = t as f64 / (*t_max).max(1) as f64;
                eta_min + (base - eta_min) * (1.0 + elementary::cos(PI * x)) / 2.0
            }
            Schedule::OneCycle(cycle) => cycle.lr(t),
        }
    }

    /// The momentum after t steps, where the schedule sets one.
    pub fn momentum(&self, t: usize) -> Option<f64> {
        match self {
            Schedule::OneCycle(cycle) => cycle.momentum(t),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() <= 1e-15 + 1e-13 * want.abs(), "{got} {want}");
    }

    #[test]
    fn steps_fall_where_they_should() {
        let step = Schedule::Step { step_size: 3, gamma: 0.1 };
        let multi = Schedule::MultiStep { milestones: vec![7, 4, 7], gamma: 0.5 };
        for (t, s, m) in
            [(0, 1.0, 1.0), (2, 1.0, 1.0), (3, 0.1, 1.0), (4, 0.1, 0.5), (6, 0.01, 0.5), (7, 0.01, 0.125)]
        {
            close(step.lr(0.2, t), 0.2 * s);
            close(multi.lr(0.2, t), 0.2 * m);
        }
        close(Schedule::Exponential { gamma: 0.9 }.lr(2.0, 2), 1.62);
        close(Schedule::Constant.lr(0.3, 99), 0.3);
    }

    #[test]
    fn a_warm_up_reaches_the_base_rate_and_stays() {
        let s = Schedule::Linear { start_factor: 0.001, end_factor: 1.0, total_iters: 8 };
        close(s.lr(0.02, 0), 0.00002);
        close(s.lr(0.02, 4), 0.02 * 0.5005);
        close(s.lr(0.02, 8), 0.02);
        close(s.lr(0.02, 100), 0.02);
    }

    #[test]
    fn a_cosine_goes_down_and_up_again() {
        let s = Schedule::Cosine { t_max: 12, eta_min: 0.001 };
        close(s.lr(0.1, 0), 0.1);
        close(s.lr(0.1, 6), 0.0505);
        close(s.lr(0.1, 4), 0.001 + 0.099 * 0.75);
        close(s.lr(0.1, 12), 0.001);
        close(s.lr(0.1, 24), 0.1);
    }

    #[test]
    fn a_cycle_passes_its_levels() {
        let c = OneCycle::new(0.1, 20);
        // The peak is at 0.3 * 20 - 1 = 5, the end at 19.
        for (t, lr, m) in [(0, 0.004, 0.95), (5, 0.1, 0.85), (12, (0.1 + 4e-7) / 2.0, 0.9), (19, 4e-7, 0.95)]
        {
            close(c.lr(t), lr);
            close(c.momentum(t).unwrap(), m);
        }
        close(c.lr(25), 4e-7);
        let three = OneCycle { three_phase: true, anneal: Anneal::Linear, momentum: None, ..c };
        for (t, lr) in [(0, 0.004), (1, 0.004 + 0.096 / 5.0), (5, 0.1), (10, 0.004), (19, 4e-7)] {
            close(three.lr(t), lr);
        }
        assert_eq!(three.momentum(3), None);
        let s = Schedule::OneCycle(c);
        assert_eq!((s.lr(123.0, 3), s.momentum(3)), (c.lr(3), c.momentum(3)));
    }
}
