//! Where NaN or infinity came from.
//!
//! A run that meets one goes on to nothing: it stops. That there is one is seen in a step (`trainer.rs`) by
//! the loss, by what the network predicts and by the gradients, which no NaN in images or weights leaves
//! finite. Only then is the
//! first tensor looked for that holds one, in the order in which a step meets them: the images, the weights
//! by name, the ops' results.

use gradus_core::{Module, NotFinite, Tape};

/// Names that are told; the others are counted.
const NAMED: usize = 4;

/// An image of a batch, as the network is shown it.
pub struct Shown<'a> {
    /// Its file's or its own name.
    pub name: String,
    /// Its numbers.
    pub pixels: &'a [f32],
}

impl Shown<'_> {
    fn is_finite(&self) -> bool {
        self.pixels.iter().all(|v| v.is_finite())
    }
}

/// The names of some images: the first few, and how many more.
pub fn names(images: &[Shown]) -> String {
    let named: Vec<&str> = images.iter().take(NAMED).map(|image| image.name.as_str()).collect();
    let more = images.len() - named.len();
    named.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// The first of these images that is not finite.
pub fn bad_image<'a>(images: &'a [Shown]) -> Option<&'a str> {
    images.iter().find(|image| !image.is_finite()).map(|image| image.name.as_str())
}

/// The first tensor that is not finite, of images, weights and the results of `forward` on a tape of these.
pub fn first<N: Module<f32>>(
    images: &[Shown],
    net: &mut N,
    tape: Tape,
    forward: impl FnOnce(&N, &mut Tape),
) -> Option<NotFinite> {
    let image = bad_image(images).map(|name| NotFinite::new(format!("the image {name}")));
    image.or_else(|| NotFinite::in_module(net)).or_else(|| {
        let mut g = tape.watching();
        forward(net, &mut g);
        g.not_finite()
    })
}

/// The end of a message: what was found first.
pub fn told(first: Option<NotFinite>) -> String {
    first.map(|bad| format!("; the first of it: {bad}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::{Activation, Tensor, Visitor, nn::Linear};

    struct Net(Linear);

    impl Module for Net {
        fn visit(&mut self, v: &mut Visitor<'_, f32>) {
            v.child("layer", &mut self.0);
        }
    }

    #[test]
    fn images_are_blamed_before_weights_and_weights_before_results() {
        let mut net = Net(Linear::new(Tensor::full([2, 1], 1e38), true));
        let mut blame = |pixels: [f32; 2], weight: f32| {
            net.0.weight.value = Tensor::full([2, 1], weight);
            let images = ["a.png", "b.png"].map(|name| Shown { name: name.into(), pixels: &pixels });
            let found = first(&images, &mut net, Tape::infer(), |net, g| {
                net.0.forward(g, Tensor::from_slice([1, 2], &pixels).into(), Activation::None);
            });
            found.map(|f| f.what)
        };
        assert_eq!(blame([1.0, f32::NAN], f32::NAN).unwrap(), "the image a.png");
        assert_eq!(blame([1.0, 2.0], f32::INFINITY).unwrap(), "layer.weight");
        assert_eq!(blame([3.0, 3.0], 1e38).unwrap(), "the result of linear 1");
        assert_eq!(blame([1.0, 1.0], 1.0), None);
    }

    #[test]
    fn a_few_names_stand_for_many() {
        let all: Vec<Shown> = (0..6).map(|i| Shown { name: i.to_string(), pixels: &[] }).collect();
        assert_eq!(names(&all), "0, 1, 2, 3 and 2 more");
        assert_eq!(names(&all[..2]), "0, 1");
    }
}
