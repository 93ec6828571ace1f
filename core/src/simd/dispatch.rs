//! Which instruction set: asked of the processor once, or forced by `GRADUS_ISA`.

use super::portable::Portable;
use super::vector::{Kernel, Simd};
use std::fmt;
use std::sync::OnceLock;

/// An instruction set for which kernels are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Any machine.
    Portable,
    /// aarch64 with NEON: every one of them, but for those without floating point.
    Neon,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ, VL.
    Avx512,
    /// The same, with dot products of bf16 (AVX512-BF16) for matrix products in mixed precision.
    Avx512Bf16,
    /// AVX-512, with AMX's tiles of bf16 for matrix products.
    Amx,
}

impl Isa {
    /// Every instruction set, of each machine the best last.
    pub const ALL: [Isa; 6] = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16, Isa::Amx];

    /// The name that `GRADUS_ISA` takes.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512bf16",
            Isa::Amx => "amx",
        }
    }

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            Isa::Neon => cfg!(all(target_arch = "aarch64", target_feature = "neon")),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && Isa::Avx2.is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Isa::Avx512.is_available() && is_x86_feature_detected!("avx512bf16"),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Isa::Avx512.is_available() && super::amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// What `GRADUS_ISA` asks for, else the best of this machine.
    ///
    /// # Errors
    /// The name is unknown, or this machine lacks the instruction set.
    pub fn from_env() -> Result<Isa, String> {
        let Ok(name) = std::env::var("GRADUS_ISA") else {
            return Ok(Isa::ALL.into_iter().rev().find(|i| i.is_available()).unwrap_or(Isa::Portable));
        };
        let isa = Isa::ALL.into_iter().find(|i| i.name() == name);
        let isa = isa.ok_or_else(|| {
            format!("GRADUS_ISA={name}: not one of amx, avx512bf16, avx512, avx2, neon, portable")
        })?;
        if isa.is_available() { Ok(isa) } else { Err(format!("GRADUS_ISA={name}: this processor lacks it")) }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

static ISA: OnceLock<Isa> = OnceLock::new();

/// The instruction set in use. Panics with [`Isa::from_env`]'s error if `GRADUS_ISA` asks for what is not
/// there.
pub fn isa() -> Isa {
    *ISA.get_or_init(|| Isa::from_env().unwrap_or_else(|e| panic!("{e}")))
}

pub(crate) fn dispatch_f32_on<K: Kernel<f32>>(isa: Isa, kernel: K) -> K::Output {
    match isa {
        // SAFETY: is_available() found the instruction set on this processor.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx if isa.is_available() => unsafe { run_avx512(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if isa.is_available() => unsafe { run_avx2(kernel) },
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        Isa::Neon => kernel.run(super::neon::Neon(())),
        _ => on_arrays(kernel),
    }
}

pub(crate) fn dispatch_f64_on<K: Kernel<f64>>(_: Isa, kernel: K) -> K::Output {
    on_arrays(kernel)
}

/// The portable path. A fused multiply-add is an instruction of every aarch64, but on x86-64 a call into the
/// C library, the same bits at a hundredth of the speed, unless the code around it is compiled for FMA.
fn on_arrays<E, K: Kernel<E>>(kernel: K) -> K::Output
where
    Portable: Simd<E>,
{
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("fma") {
        // SAFETY: FMA, which comes with AVX, was found on this processor.
        return unsafe { run_arrays_fma(kernel) };
    }
    kernel.run(Portable)
}

/// Not for AVX2: there are processors with FMA that lack it, and the others have [`Isa::Avx2`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,fma")]
fn run_arrays_fma<E, K: Kernel<E>>(kernel: K) -> K::Output
where
    Portable: Simd<E>,
{
    kernel.run(Portable)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn run_avx512<K: Kernel<f32>>(kernel: K) -> K::Output {
    kernel.run(super::avx512::Avx512(()))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel<f32>>(kernel: K) -> K::Output {
    kernel.run(super::avx2::Avx2(()))
}
