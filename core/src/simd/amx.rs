//! The tile unit of x86-64 (AMX): a 16 x 32 tile of bf16 times one of 32 x 16, added to 16 x 16 sums of f32, by one
//! instruction.
//!
//! `tdpbf16ps c, a, b` adds to c_ij, for i, j < 16, the sum over t < 16 of a_i,2t b_2t,j, made by fused multiply-adds, and the
//! sum of a_i,2t+1 b_2t+1,j, made alike; rounding is to nearest, subnormal numbers count as 0 (Intel, "Architecture
//! instruction set extensions programming reference", ch. 3). A tile of b holds the pair b_2t,j, b_2t+1,j in one word.
//! The compiler knows no tiles: whatever it does between two blocks of assembly leaves them alone.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// The bytes of a tile: 16 rows of 64.
pub(crate) const TILE: usize = 1024;

/// Whether the processor has tiles of bf16, and the system lets this process use them.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
        #[allow(unused_unsafe)]
        // SAFETY: every x86-64 has the instruction.
        let (most, features) = unsafe { (__cpuid_count(0, 0).eax, __cpuid_count(7, 0).edx) };
        most >= 7 && features & BF16_AND_TILES == BF16_AND_TILES && permitted()
    })
}

/// Asks the system for the tiles' registers, which it saves only for those who asked.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    use std::ffi::c_long;
    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }
    const ARCH_PRCTL: c_long = 158;
    const ARCH_REQ_XCOMP_PERM: c_long = 0x1023;
    const XFEATURE_XTILEDATA: c_long = 18;
    // SAFETY: the call takes two numbers and touches no memory of ours.
    !cfg!(miri) && unsafe { syscall(ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) } == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// The calling thread's tiles, all of 16 rows of 64 bytes, until dropped.
pub(crate) struct Tiles(PhantomData<*const ()>);

#[repr(C, align(64))]
struct Palette([u8; 64]);

impl Tiles {
    /// # Safety
    /// The machine has tiles; the thread has configured none.
    pub unsafe fn configure() -> Tiles {
        let mut palette = Palette([0; 64]);
        palette.0[0] = 1;
        for tile in 0..8 {
            (palette.0[16 + 2 * tile], palette.0[48 + tile]) = (64, 16);
        }
        // SAFETY: the instruction reads 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &palette, options(nostack, readonly)) };
        Tiles(PhantomData)
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the machine has tiles.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Where a product of tiles reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    /// Chunks of [plane][2][TILE]: 2 x 16 rows of the left operand.
    pub left: *const u8,
    /// Chunks of [plane][vectors][TILE].
    pub right: *const u8,
    /// The chunks to multiply, in order.
    pub chunks: &'a [u32],
    /// 32 rows of 32 sums.
    pub out: *mut f32,
}

/// Loads, products and stores for one (A: 16 rows) or two (B: 32) tiles of rows by one or two of columns.
macro_rules! a1 {
    ($at:literal) => {
        concat!("tileloadd tmm4, [{p} + {s} + ", $at, "]")
    };
}
macro_rules! a2 {
    ($at:literal) => {
        concat!("tileloadd tmm4, [{p} + {s} + ", $at, "]\ntileloadd tmm5, [{p} + {s} + 1024 + ", $at, "]")
    };
}
macro_rules! b1 {
    ($at:literal) => {
        concat!("tileloadd tmm6, [{q} + {s} + ", $at, "]")
    };
}
macro_rules! b2 {
    ($at:literal) => {
        concat!("tileloadd tmm6, [{q} + {s} + 2*", $at, "]\ntileloadd tmm7, [{q} + {s} + 1024 + 2*", $at, "]")
    };
}
macro_rules! t11 {
    () => {
        "tdpbf16ps tmm0, tmm4, tmm6"
    };
}
macro_rules! t12 {
    () => {
        "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7"
    };
}
macro_rules! t21 {
    () => {
        "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm2, tmm5, tmm6"
    };
}
macro_rules! t22 {
    () => { "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7\ntdpbf16ps tmm2, tmm5, tmm6\ntdpbf16ps tmm3, tmm5, tmm7" };
}

/// The loop over chunks around the products of one chunk.
macro_rules! over_chunks {
    ($job:ident, $a_step:literal, $b_step:literal, $($line:expr),+) => {
        asm!(
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "2:",
            "mov {q:e}, dword ptr [{list}]",
            concat!("imul {p}, {q}, ", $a_step),
            concat!("imul {q}, {q}, ", $b_step),
            "add {p}, {a}",
            "add {q}, {b}",
            $($line,)+
            "add {list}, 4",
            "dec {n}",
            "jnz 2b",
            "add {s}, {s}",
            "tilestored [{out} + {s}], tmm0",
            "tilestored [{out} + {s} + 64], tmm1",
            "tilestored [{out} + {s} + 2048], tmm2",
            "tilestored [{out} + {s} + 2112], tmm3",
            p = out(reg) _,
            q = out(reg) _,
            a = in(reg) $job.left,
            b = in(reg) $job.right,
            s = inout(reg) 64usize => _,
            list = inout(reg) $job.chunks.as_ptr() => _,
            n = inout(reg) $job.chunks.len() => _,
            out = in(reg) $job.out,
            options(nostack),
        )
    };
}

/// A chunk of three planes: the six products that matter, the small ones first.
macro_rules! six {
    ($job:ident, $a:ident, $b:ident, $t:ident, $b_step:literal) => {
        over_chunks!(
            $job,
            "6144",
            $b_step,
            $a!("4096"),
            $b!("0"),
            $t!(),
            $a!("2048"),
            $t!(),
            $b!("1024"),
            $t!(),
            $a!("0"),
            $t!(),
            $b!("2048"),
            $t!(),
            $b!("0"),
            $t!()
        )
    };
}

/// A chunk of one plane.
macro_rules! one {
    ($job:ident, $a:ident, $b:ident, $t:ident, $b_step:literal) => {
        over_chunks!($job, "2048", $b_step, $a!("0"), $b!("0"), $t!())
    };
}

/// out = left · right over the chunks, for `halves` tiles of 16 rows and `vectors` of 16 columns; what lies beyond them
/// in `out` is 0. With three planes a number is their sum, and products below 2^-23 of the greatest are left out.
///
/// # Safety
/// The thread's tiles are configured. Both operands hold every chunk of `planes` planes, `out` 32 x 32 numbers.
#[inline]
pub(crate) unsafe fn multiply(job: Product<'_>, planes: usize, halves: usize, vectors: usize) {
    if job.chunks.is_empty() {
        // SAFETY: the caller's.
        return unsafe { job.out.write_bytes(0, 32 * 32) };
    }
    // SAFETY: the caller's; every address is a whole tile of a chunk, or of `out`.
    unsafe {
        match (planes, halves, vectors) {
            (3, 2, 2) => six!(job, a2, b2, t22, "6144"),
            (3, 2, 1) => six!(job, a2, b1, t21, "3072"),
            (3, 1, 2) => six!(job, a1, b2, t12, "6144"),
            (3, 1, 1) => six!(job, a1, b1, t11, "3072"),
            (1, 2, 2) => one!(job, a2, b2, t22, "2048"),
            (1, 2, 1) => one!(job, a2, b1, t21, "1024"),
            (1, 1, 2) => one!(job, a1, b2, t12, "2048"),
            (1, 1, 1) => one!(job, a1, b1, t11, "1024"),
            _ => unreachable!("three planes or one, one or two tiles each way"),
        }
    }
}
