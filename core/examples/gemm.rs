//! GFLOP/s of matrix products against the machine's peak: `gemm [THREADS [m,n,k ...]]`.

use gradus_core::Epilogue;
use gradus_core::buffer::Buffer;
use gradus_core::gemm::{Matrix, gemm, peak::peak_gflops};
use std::time::Instant;

/// Processor time of all threads over their number: what the machine would take were it idle otherwise; or wall time.
fn seconds() -> f64 {
    if std::env::var_os("WALL").is_some() {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        return START.get_or_init(Instant::now).elapsed().as_secs_f64();
    }
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    (t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9) / rayon::current_num_threads() as f64
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let threads = args.first().map_or(1, |s| s.parse().expect("threads"));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("threads");
    let mut sizes: Vec<Vec<usize>> =
        args.iter().skip(1).map(|s| s.split(',').map(|v| v.parse().expect("m,n,k")).collect()).collect();
    if sizes.is_empty() {
        let all = [
            [1024, 1024, 1024],
            [512, 512, 512],
            [256, 256, 256],
            [128, 128, 128],
            [64, 64, 64],
            [32, 32, 32],
            [16, 16, 16],
            [4096, 4096, 256],
            [4096, 192, 576],
            [54400, 64, 576],
            [54400, 256, 64],
            [3400, 256, 1024],
            [850, 512, 4608],
            [1000, 1000, 1000],
            [1023, 1025, 1027],
            [33, 4096, 512],
            [256, 4096, 4096],
            [16, 4096, 4096],
            [1, 4096, 4096],
            [4096, 10, 256],
            [256, 10, 4096],
            [17, 17, 17],
        ];
        sizes = all.iter().map(|s| s.to_vec()).collect();
    }
    let mut peak = peak_gflops(50);
    println!("peak {peak:.1} on {threads}");
    for size in sizes {
        let [m, n, k] = size[..] else { panic!("m,n,k") };
        let (mut a, mut b, mut c) = (Buffer::stale(m * k), Buffer::stale(k * n), Buffer::<f32>::stale(m * n));
        a.fill(0.5);
        b.fill(0.25);
        let work = 2.0 * (m * n * k) as f64;
        let mut rates = [0f64; 4];
        for (t, rate) in rates.iter_mut().enumerate() {
            let a = if t & 1 == 0 { Matrix::new(&a, m, k) } else { Matrix::new(&a, k, m).t() };
            let b = if t & 2 == 0 { Matrix::new(&b, k, n) } else { Matrix::new(&b, n, k).t() };
            let mut best = f64::INFINITY;
            let begin = Instant::now();
            let inner = (1e6 / work).ceil() as usize;
            while begin.elapsed().as_secs_f64() < 0.3 {
                let start = seconds();
                for _ in 0..inner {
                    gemm(a, b, &mut c, &Epilogue::default());
                }
                best = best.min((seconds() - start) / inner as f64);
            }
            *rate = work / best / 1e9;
        }
        peak = peak.max(peak_gflops(10));
        let [nn, tn, nt, tt] = rates;
        println!(
            "{m:6} {n:6} {k:6}  nn {nn:6.1} {:3.0}%  tn {tn:6.1}  nt {nt:6.1}  tt {tt:6.1}",
            100.0 * nn / peak
        );
    }
    println!("peak {peak:.1}");
}
