//! Tensors too big for a file: their shape, norm, sum, and a sample of their values.

use super::run::{Run, permute};
use gradus_core::{Element, Gradients, Module, Tensor};

/// The flat index of the k-th value of a sample.
fn index(k: usize, numel: usize) -> usize {
    ((k as u128 * 2_654_435_761) % numel as u128) as usize
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

impl<E: Element> Run<'_, E> {
    /// The values of `full` at the sampled places, as many as expected.
    fn sample(&self, full: &str, values: &[f64]) -> Vec<f64> {
        let n = self.case.get(&format!("out.{full}")).map_or(0, |t| t.numel());
        (0..n).map(|k| values[index(k, values.len())]).collect()
    }

    /// A tensor whose elements are in PyTorch's order and shape: whole or sampled, as the file has it.
    pub fn sampled_values(&mut self, name: &str, shape: &[usize], values: Vec<f64>) {
        if !self.case.has(&format!("out.{name}.sample")) {
            return self.numbers(name, shape, values);
        }
        let full = |what: &str| format!("{name}.{what}");
        let length = norm(&values);
        let sum = values.iter().sum();
        let sample = self.sample(&full("sample"), &values);
        self.integers(&full("shape"), &[shape.len()], shape.iter().map(|&d| d as i64).collect());
        self.numbers(&full("norm"), &[], vec![length]);
        // A sum may cancel: its error is one of so many terms of the mean square.
        let scale = length * (values.len() as f64).sqrt();
        self.numbers_of_scale(&full("sum"), &[], vec![sum], Some(scale));
        self.numbers(&full("sample"), &[sample.len()], sample);
    }

    /// A tensor whose elements are in PyTorch's order, under PyTorch's shape.
    pub fn sampled(&mut self, name: &str, shape: &[usize], t: &Tensor<E>) {
        self.sampled_values(name, shape, t.data().iter().map(|v| v.to_f64()).collect());
    }

    /// The norm and a sample of each parameter's gradient. One that is zero by structure is noise beside the
    /// greatest.
    pub fn parameter_gradients(&mut self, net: &mut impl Module<E>, gradients: &Gradients<E>) {
        let expected = |name: &str| Some(self.case.get(&format!("out.gradnorm.{name}"))?.to_f64()[0]);
        let greatest = self.case.names("out.gradnorm.").into_iter().filter_map(expected).fold(0.0, f64::max);
        let mut found = Vec::new();
        net.for_each_param(|name, p| {
            let Some(g) = gradients.param(p) else { return };
            let values: Vec<f64> = g.data().iter().map(|v| v.to_f64()).collect();
            let axes = p.layout.axes();
            let values =
                if axes.is_empty() { values } else { permute(&p.layout.view(g.shape()), &values, axes).1 };
            found.push((name.to_string(), values));
        });
        for (name, values) in found {
            let norm_name = format!("out.gradnorm.{name}");
            let want =
                self.case.get(&norm_name).unwrap_or_else(|| panic!("a gradient of {name} is not expected"));
            let scale = (want.to_f64()[0] < 1e-9 * greatest).then_some(greatest);
            let sample = self.sample(&format!("gradsample.{name}"), &values);
            self.numbers_of_scale(&format!("gradnorm.{name}"), &[], vec![norm(&values)], scale);
            self.numbers_of_scale(&format!("gradsample.{name}"), &[sample.len()], sample, scale);
        }
    }
}
