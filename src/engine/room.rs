//! Whether a step of training fits into memory, told before the first one instead of by a system that ends the
//! process after minutes.
//!
//! A step of one image and one of two are taken for it, without descending. What the second has in use at once
//! beyond the first is what each image needs, together with its pixels in the batches that are loaded meanwhile;
//! what is left of the first is needed once. Beside it stand the optimiser's tensors and, when the state is saved,
//! a copy of what is in it.

use gradus_core::optim::Optimizer;
use gradus_core::{Element, Module, Slot, Tensor};

use crate::error::{Error, Result};
use crate::memory;

const GIB: f64 = (1u64 << 30) as f64;

/// Bytes that a training takes, beyond those of its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// Whatever the batch.
    fixed: usize,
    /// For each image of a step.
    each: usize,
}

impl Need {
    /// From the bytes that steps of one image and of two have at once.
    pub fn of([one, two]: [usize; 2], net: &mut impl Module<f32>, optimizer: &Optimizer) -> Need {
        let each = two.saturating_sub(one);
        let (mut all, mut learned) = (0, 0);
        net.for_each_param(|_, p| {
            all += 4 * p.value.len();
            learned += if p.trainable { 4 * p.value.len() } else { 0 };
        });
        let moments = optimizer.rule.state_names().len() * learned;
        Need { fixed: one.saturating_sub(each) + 2 * moments + all, each }
    }

    fn bytes(self, batch: usize) -> f64 {
        self.fixed as f64 + batch as f64 * self.each as f64
    }

    /// Error: with so many bytes free, a step of `batch` images does not fit.
    pub fn must_fit(self, batch: usize, free: u64) -> Result<()> {
        let bytes = self.bytes(batch);
        if bytes <= free as f64 {
            return Ok(());
        }
        let gib = |bytes: f64| bytes / GIB;
        let what = format!(
            "no memory: training with --batch {batch} takes about {:.1} GiB, and {:.1} GiB are free",
            gib(bytes),
            gib(free as f64)
        );
        let fits = (free as f64 - self.fixed as f64) / self.each.max(1) as f64;
        let remedy = match fits >= 1.0 {
            true => format!("--batch {} or less fits", two_digits(fits as usize)),
            false => "not even --batch 1 fits: end other programs, or choose smaller images".into(),
        };
        Err(Error::failure(what).remedy(remedy))
    }

    /// Error: a step of `batch` images does not fit into the memory that the system has left. Where it does not
    /// tell, all fits.
    pub fn must_fit_here(self, batch: usize) -> Result<()> {
        detail!(
            "training with --batch {batch} takes about {} MiB beside its weights",
            self.bytes(batch) as u64 >> 20
        );
        memory::free().map_or(Ok(()), |free| self.must_fit(batch, free))
    }
}

/// Batches whose pixels are there at once: at work, loaded, and in the making.
pub const BATCHES: usize = 4;

/// Of what is free, what a step may take that tries what one takes: the rest is for all that is no tensor.
const TRIED: f64 = 0.9;

/// The most bytes in use at once while a step of so many images is taken, beyond those before. The network is
/// left as it was: batch norm in training takes what it sees into its buffers. Error: the step needs more than
/// there is.
pub fn peak<N: Module<f32>>(
    net: &mut N,
    images: usize,
    step: impl FnOnce(&N) -> Result<()>,
) -> Result<usize> {
    let free = memory::free().map_or(f64::INFINITY, |free| TRIED * free as f64);
    let mut buffers: Vec<Tensor> = Vec::new();
    net.for_each(|_, slot| {
        if let Slot::Buffer(buffer) = slot {
            buffers.push(buffer.clone());
        }
    });
    let tried = f32::arena().peak_of(free as usize, || step(net));
    let mut buffers = buffers.into_iter();
    net.for_each(|_, slot| {
        if let Slot::Buffer(buffer) = slot
            && let Some(before) = buffers.next()
        {
            *buffer = before;
        }
    });
    let (done, most) = tried.map_err(|lacking| {
        let what = format!("no memory: training with --batch {images} takes more than the {:.1} GiB that are free: {lacking}", free / GIB);
        Error::failure(what).remedy("end other programs, or choose smaller images")
    })?;
    done.map(|()| most)
}

/// At most n, and no more exact than the estimate.
fn two_digits(n: usize) -> usize {
    let unit = (0..20).map(|k| 10usize.pow(k)).find(|unit| n / unit < 100).unwrap_or(1);
    n / unit * unit
}

#[cfg(test)]
mod tests {
    use super::{Need, two_digits};

    #[test]
    fn what_does_not_fit_names_what_does() {
        let need = Need { fixed: 1 << 30, each: 1 << 20 };
        assert!(need.must_fit(1024, 2 << 30).is_ok());
        let said = need.must_fit(4096, 2 << 30).unwrap_err().to_string();
        assert!(said.contains("--batch 4096 takes about 5.0 GiB, and 2.0 GiB are free"), "{said}");
        assert!(said.contains("--batch 1000 or less fits"), "{said}");
        let said = need.must_fit(1, 1 << 30).unwrap_err().to_string();
        assert!(said.contains("not even --batch 1"), "{said}");
        assert_eq!([0, 7, 99, 100, 1024, 12_999].map(two_digits), [0, 7, 99, 100, 1000, 12_000]);
    }
}
