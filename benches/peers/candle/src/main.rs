//! candle on the work of `gradus bench alexnet`. JSON on standard output.
//! usage: RAYON_NUM_THREADS=2 gradus-peer-candle

#[path = "../../timing.rs"]
mod timing;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{
    AdamW, Conv2d, Conv2dConfig, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, conv2d, linear,
    loss, ops,
};
use timing::{BATCH, alexnet_report, median};

struct AlexNet {
    convolutions: Vec<Conv2d>,
    linears: Vec<Linear>,
}

impl AlexNet {
    fn new(weights: VarBuilder) -> Result<Self> {
        let conv = |i, c_in, c_out, stride| {
            let config = Conv2dConfig { padding: 1, stride, ..Default::default() };
            conv2d(c_in, c_out, 3, config, weights.pp(format!("conv{i}")))
        };
        let linear = |i, n_in, n_out| linear(n_in, n_out, weights.pp(format!("linear{i}")));
        Ok(AlexNet {
            convolutions: vec![
                conv(0, 3, 64, 2)?,
                conv(1, 64, 192, 1)?,
                conv(2, 192, 384, 1)?,
                conv(3, 384, 256, 1)?,
                conv(4, 256, 256, 1)?,
            ],
            linears: vec![linear(0, 1024, 4096)?, linear(1, 4096, 4096)?, linear(2, 4096, 10)?],
        })
    }

    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = images.clone();
        for (i, conv) in self.convolutions.iter().enumerate() {
            x = conv.forward(&x)?;
            if [0, 1, 4].contains(&i) {
                x = x.max_pool2d(2)?;
            }
            x = x.relu()?;
        }
        let dropout = |x: Tensor| if train { ops::dropout(&x, 0.5) } else { Ok(x) };
        let x = dropout(x.flatten_from(1)?)?;
        let x = dropout(self.linears[0].forward(&x)?.relu()?)?;
        self.linears[2].forward(&self.linears[1].forward(&x)?.relu()?)
    }
}

fn main() -> Result<()> {
    let device = Device::Cpu;
    let variables = VarMap::new();
    let net = AlexNet::new(VarBuilder::from_varmap(&variables, DType::F32, &device))?;
    // AdamW without decay of the weights is Adam.
    let rule = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..Default::default() };
    let mut adam = AdamW::new(variables.all_vars(), rule)?;
    let images = Tensor::randn(0f32, 1.0, (BATCH, 3, 32, 32), &device)?;
    let labels = Tensor::rand(0f32, 10.0, BATCH, &device)?.to_dtype(DType::U32)?;

    let step = |adam: &mut AdamW| {
        let loss = loss::cross_entropy(&net.forward(&images, true)?, &labels)?;
        adam.backward_step(&loss)
    };
    let train = median(3, 7, || step(&mut adam).unwrap());

    // The same weights as constants, so that nothing is recorded.
    let constants = variables.data().lock().unwrap().iter().map(|(k, v)| (k.clone(), v.detach())).collect();
    let fixed = AlexNet::new(VarBuilder::from_tensors(constants, DType::F32, &device))?;
    let infer = median(2, 7, || drop(fixed.forward(&images, false).unwrap()));
    println!("{:#}", alexnet_report(train, infer));
    Ok(())
}
