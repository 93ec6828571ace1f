//! The tile unit of x86-64 (AMX): a 16 x 32 tile of bf16 times one of 32 x 16, added to 16 x 16 sums of f32,
//! by one instruction.
//!
//! `tdpbf16ps c, a, b` adds to c_ij, for i, j < 16, the sum over t < 16 of a_i,2t b_2t,j, made by fused
//! multiply-adds, and the sum of a_i,2t+1 b_2t+1,j, made alike; rounding is to nearest, subnormal numbers
//! count as 0 (Intel, "Architecture instruction set extensions programming reference", ch. 3). A tile of b
//! holds the pair b_2t,j, b_2t+1,j in one word. The compiler knows no tiles: whatever it does between two
//! blocks of assembly leaves them alone.

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

/// The calling thread's tile registers, configured as 16 rows of 64 bytes each, until this is dropped.
pub(crate) struct ConfiguredTiles(PhantomData<*const ()>);

#[repr(C, align(64))]
struct Palette([u8; 64]);

impl ConfiguredTiles {
    /// Configures them.
    ///
    /// # Safety
    /// [`is_available`] is true of this machine, and no other value of this type is alive on this thread.
    pub unsafe fn configure() -> ConfiguredTiles {
        let mut palette = Palette([0; 64]);
        palette.0[0] = 1;
        for tile in 0..8 {
            (palette.0[16 + 2 * tile], palette.0[48 + tile]) = (64, 16);
        }
        // SAFETY: the processor has the instruction by the contract; it reads the 64 bytes of the palette,
        // which is one that it accepts: number 1, and 8 tiles of 16 rows of 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &palette, options(nostack, readonly)) };
        ConfiguredTiles(PhantomData)
    }
}

impl Drop for ConfiguredTiles {
    fn drop(&mut self) {
        // SAFETY: a value of this type exists only where the processor has tiles.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Where a product of tiles reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    /// Chunks of [2][TILE]: 2 x 16 rows of the left operand.
    pub left: *const u8,
    /// Chunks of [vectors][TILE].
    pub right: *const u8,
    /// The chunks to multiply, in order.
    pub chunks: &'a [u32],
    /// 32 rows of 32 sums.
    pub out: *mut f32,
}

/// The loads of one or two tiles of rows (`a1`, `a2`), of one or two of columns (`b1`, `b2`), and their
/// products.
#[rustfmt::skip]
macro_rules! code {
    (a1) => { "tileloadd tmm4, [{p} + {s}]" };
    (a2) => { "tileloadd tmm4, [{p} + {s}]\ntileloadd tmm5, [{p} + {s} + 1024]" };
    (b1) => { "tileloadd tmm6, [{q} + {s}]" };
    (b2) => { "tileloadd tmm6, [{q} + {s}]\ntileloadd tmm7, [{q} + {s} + 1024]" };
    (a1 b1) => { "tdpbf16ps tmm0, tmm4, tmm6" };
    (a1 b2) => { "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7" };
    (a2 b1) => { "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm2, tmm5, tmm6" };
    (a2 b2) => { concat!(code!(a1 b2), "\ntdpbf16ps tmm2, tmm5, tmm6\ntdpbf16ps tmm3, tmm5, tmm7") };
}

/// The loop over chunks around the products of one chunk.
macro_rules! over_chunks {
    ($job:ident, $b_step:literal, $($line:expr),+) => {
        asm!(
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "2:",
            "mov {q:e}, dword ptr [{list}]",
            "imul {p}, {q}, 2048",
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

/// out = left · right over the chunks, for `halves` tiles of 16 rows and `vectors` of 16 columns; what lies
/// beyond them in `out` is 0.
///
/// # Safety
/// The thread holds [`ConfiguredTiles`]. For each number q of `chunks` the 2·TILE bytes of `left`
/// from q·2·TILE on are readable, and the vectors·TILE bytes of `right` from q·vectors·TILE on. `out` has
/// 32·32 numbers, which nobody else reads or writes meanwhile.
#[inline]
pub(crate) unsafe fn tile_product(job: Job<'_>, halves: usize, vectors: usize) {
    if job.chunks.is_empty() {
        // SAFETY: `out` has 32·32 numbers.
        return unsafe { job.out.write_bytes(0, 32 * 32) };
    }
    // SAFETY: the tiles are configured. The loop runs once for each of the chunks, of which there is one at
    // least; its loads read one or two whole tiles from the chunk's place in `left` and in `right`, as the
    // contract has them. The stores write 16 rows of 64 bytes, 128 bytes apart, from (0, 0), (0, 16), (16, 0)
    // and (16, 16) of the 32 x 32 numbers of `out` on.
    unsafe {
        match (halves, vectors) {
            (2, 2) => over_chunks!(job, "2048", code!(a2), code!(b2), code!(a2 b2)),
            (2, 1) => over_chunks!(job, "1024", code!(a2), code!(b1), code!(a2 b1)),
            (1, 2) => over_chunks!(job, "2048", code!(a1), code!(b2), code!(a1 b2)),
            (1, 1) => over_chunks!(job, "1024", code!(a1), code!(b1), code!(a1 b1)),
            _ => unreachable!("one or two tiles each way"),
        }
    }
}
