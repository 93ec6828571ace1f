use gradus_core::Epilogue;
use gradus_core::buffer::Buffer;
use gradus_core::gemm::*;
fn seconds() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}
fn main() {
    for (m, n, k) in [
        (96, 48, 64),
        (96, 48, 160),
        (96, 48, 192),
        (96, 48, 256),
        (96, 48, 512),
        (96, 384, 64),
        (96, 384, 128),
        (96, 384, 192),
        (96, 384, 256),
        (96, 384, 512),
        (96, 64, 576),
        (96, 32, 256),
        (96, 16, 256),
        (96, 1024, 512),
        (512, 512, 512),
        (1024, 512, 512),
    ] {
        let (mut a, mut b, mut c) = (Buffer::stale(m * k), Buffer::stale(k * n), Buffer::<f32>::stale(m * n));
        a.fill(0.5);
        b.fill(0.25);
        let p = Packed::new(Matrix::new(&b, k, n));
        let mut best = f64::INFINITY;
        let inner = (5e7 / (2 * m * n * k) as f64).ceil() as usize;
        for _ in 0..300 {
            let s = seconds();
            for _ in 0..inner {
                gemm_packed_serial(Matrix::new(&a, m, k), &p, &mut c, n, &Epilogue::default());
            }
            best = best.min((seconds() - s) / inner as f64);
        }
        println!("{m:5} {n:5} {k:5} {:6.1}", 2.0 * (m * n * k) as f64 / best / 1e9);
    }
}
