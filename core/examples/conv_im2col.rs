//! GFLOP/s of the three passes of convolution by im2col: `conv_im2col THREADS [NAME]`.

use gradus_core::Epilogue;
use gradus_core::buffer::Buffer;
use gradus_core::ops::conv::{ConvSpec, im2col};

/// Processor time of all threads over their number.
fn seconds() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    (t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9) / rayon::current_num_threads() as f64
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let threads = args.first().map_or(1, |s| s.parse().expect("threads"));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("threads");
    let shapes = [
        ("cifar_alex_c1", [256, 32, 32, 3], 64, 3, 2, 1),
        ("cifar_alex_c2", [256, 8, 8, 64], 192, 3, 1, 1),
        ("cifar_alex_c3", [256, 4, 4, 192], 384, 3, 1, 1),
        ("cifar_alex_c4", [256, 4, 4, 384], 256, 3, 1, 1),
        ("cifar_alex_c5", [256, 4, 4, 256], 256, 3, 1, 1),
        ("alex_c1_11x11s4", [16, 224, 224, 3], 64, 11, 4, 2),
        ("alex_c2_5x5", [16, 27, 27, 64], 192, 5, 1, 2),
        ("alex_c3_3x3", [16, 13, 13, 192], 384, 3, 1, 1),
        ("r50_stem_7x7s2", [1, 800, 1088, 3], 64, 7, 2, 3),
        ("r50_l1_3x3", [1, 200, 272, 64], 64, 3, 1, 1),
        ("r50_l1_1x1_64_256", [1, 200, 272, 64], 256, 1, 1, 0),
        ("r50_l2_3x3", [1, 100, 136, 128], 128, 3, 1, 1),
        ("r50_l3_3x3", [1, 50, 68, 256], 256, 3, 1, 1),
        ("r50_l3_1x1_1024_256", [1, 50, 68, 1024], 256, 1, 1, 0),
        ("r50_l4_3x3", [1, 25, 34, 512], 512, 3, 1, 1),
        ("fpn_3x3_p2", [1, 200, 272, 256], 256, 3, 1, 1),
        ("mbv2_1x1_320_1280", [1, 25, 34, 320], 1280, 1, 1, 0),
    ];
    for (name, x, co, k, s, p) in shapes {
        if args.get(1).is_some_and(|a| !name.contains(a.as_str())) {
            continue;
        }
        let spec = ConvSpec::square(x, co, k, s, p);
        let mut buffers = [spec.x_len(), spec.w_len(), spec.y_len()].map(Buffer::<f32>::stale);
        buffers.iter_mut().for_each(|b| b.fill(0.5));
        let [mut x, mut w, mut y] = buffers;
        let mut times = [f64::INFINITY; 3];
        for (pass, time) in times.iter_mut().enumerate() {
            let begin = std::time::Instant::now();
            let mut runs = 0;
            while runs < 4 || begin.elapsed().as_secs_f64() < 0.8 {
                let start = seconds();
                match pass {
                    0 => im2col::forward(&spec, &x, &w, &Epilogue::default(), &mut y),
                    1 => im2col::backward_data(&spec, &y, &w, &mut x),
                    _ => im2col::backward_weight(&spec, &x, &y, &mut w),
                }
                *time = time.min(seconds() - start);
                runs += 1;
            }
        }
        let gf = spec.flops() / 1e9;
        let show = times.map(|t| format!("{:8.2} ms {:6.1}", t * 1e3, gf / t));
        println!("{name:22} {gf:8.3} GF  fwd {}  bwd_d {}  bwd_w {}", show[0], show[1], show[2]);
    }
}
