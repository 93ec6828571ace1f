//! burn on the work of `gradus bench alexnet` and `gradus bench conv`. JSON on standard output.
//! usage: RAYON_NUM_THREADS=2 gradus-peer-burn alexnet|conv

mod conv;
#[path = "../../timing.rs"]
mod timing;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Int, Tensor};
use serde_json::Value;
use timing::{BATCH, alexnet_report, median};

#[derive(Module, Debug)]
struct AlexNet {
    convolutions: Vec<Conv2d>,
    pool: MaxPool2d,
    dropout: Dropout,
    linears: Vec<Linear>,
}

impl AlexNet {
    fn new(device: &Device) -> Self {
        let conv = |c_in, c_out, stride| {
            Conv2dConfig::new([c_in, c_out], [3, 3])
                .with_stride([stride; 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        let linear = |n_in, n_out| LinearConfig::new(n_in, n_out).init(device);
        AlexNet {
            convolutions: vec![
                conv(3, 64, 2),
                conv(64, 192, 1),
                conv(192, 384, 1),
                conv(384, 256, 1),
                conv(256, 256, 1),
            ],
            pool: MaxPool2dConfig::new([2, 2]).init(),
            dropout: DropoutConfig::new(0.5).init(),
            linears: vec![linear(1024, 4096), linear(4096, 4096), linear(4096, 10)],
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = images;
        for (i, conv) in self.convolutions.iter().enumerate() {
            x = conv.forward(x);
            if [0, 1, 4].contains(&i) {
                x = self.pool.forward(x);
            }
            x = relu(x);
        }
        let x = self.dropout.forward(x.flatten(1, 3));
        let x = self.dropout.forward(relu(self.linears[0].forward(x)));
        self.linears[2].forward(relu(self.linears[1].forward(x)))
    }
}

fn alexnet() -> Value {
    let plain = Device::flex();
    plain.seed(0);
    let device = plain.clone().autodiff();
    // Moved into each step and out of it, so that the parameters have one owner and may be updated in place.
    let mut net = Some(AlexNet::new(&device));
    let mut adam = AdamConfig::new().with_epsilon(1e-8).init();
    let loss = CrossEntropyLossConfig::new().init(&device);
    let draw = |device| Tensor::<4>::random([BATCH, 3, 32, 32], Distribution::Normal(0.0, 1.0), device);
    let images = draw(&device);
    let labels = Tensor::<1, Int>::random([BATCH], Distribution::Uniform(0.0, 10.0), &device);

    let train = median(3, 7, || {
        let current = net.take().unwrap();
        let grads = loss.forward(current.forward(images.clone()), labels.clone()).backward();
        let grads = GradientsParams::from_grads(grads, &current);
        net = Some(adam.step(1e-3, current, grads));
    });
    let (net, images) = (net.unwrap().valid(), draw(&plain));
    let infer = median(2, 7, || {
        net.forward(images.clone());
    });
    alexnet_report(train, infer)
}

fn main() {
    let result = match std::env::args().nth(1).as_deref() {
        Some("alexnet") => alexnet(),
        Some("conv") => conv::run(),
        _ => panic!("usage: gradus-peer-burn alexnet|conv"),
    };
    println!("{result:#}");
}
