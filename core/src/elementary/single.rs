//! The functions in f32: those of f64, rounded, but for a few arguments each.

use super::double;

/// `function even|odd|plain of its f64 [(argument, result), ..];` in bits. An even function has the same
/// result for -x, an odd one its negative.
macro_rules! rounded {
    ($($name:ident $kind:ident of $double:path [$(($x:literal, $y:literal)),*];)*) => { $(
        #[inline(always)]
        pub(crate) fn $name(x: f32) -> f32 {
            let y = ($double(f64::from(x)) as f32).to_bits();
            #[allow(unused_variables)]
            let (bits, sign) = rounded!(@$kind x);
            $( let y = if bits == $x { $y ^ sign } else { y }; )*
            f32::from_bits(y)
        }
    )* };
    (@plain $x:ident) => { ($x.to_bits(), 0) };
    (@even $x:ident) => { ($x.to_bits() & 0x7fff_ffff, 0) };
    (@odd $x:ident) => { ($x.to_bits() & 0x7fff_ffff, $x.to_bits() & 0x8000_0000) };
}

rounded! {
    exp plain of double::exp [];
    ln plain of double::ln [
        (0x3c41_3d3a, 0xc08e_158f), (0x4117_8feb, 0x400f_e5e7), (0x4c5d_65a5, 0x418f_034b),
        (0x65d8_90d3, 0x4254_d1f9), (0x6f31_a8ec, 0x4284_5a89)
    ];
    ln_1p plain of double::ln_1p [
        (0x3540_0003, 0x353f_ffff), (0x3710_001b, 0x370f_fff3), (0x3efd_81ad, 0x3ecd_eee1),
        (0x4107_8feb, 0x400f_e5e7), (0x65d8_90d3, 0x4254_d1f9), (0x6f31_a8ec, 0x4284_5a89),
        (0xb53f_fffd, 0xb540_0001), (0xb70f_ffe5, 0xb710_000d), (0xbb0e_c8c4, 0xbb0e_f0a5)
    ];
    tanh odd of double::tanh [];
    sigmoid plain of sigmoid_not_in_the_middle [(0xba92_8601, 0x3eff_db5f)];
    sin odd of double::sin [(0x4619_9998, 0xbeb1_fa5d)];
    cos even of double::cos [(0x5f18_b878, 0x3f7f_14bb), (0x6115_cb11, 0x3f78_142f)];
    atan odd of double::atan [(0x3d8d_6b23, 0x3d8d_31c3)];
    erf odd of double::erf [];
}

/// σ(x) = 1/2 + x/4 - x³/48 + ..: below 2^-16 the cube is no part of the f64 result, and where 1/2 + x/4 is
/// the middle between two numbers of f32 it alone says which of them is nearer. The next f64 towards 1/2 says
/// the same.
#[inline(always)]
fn sigmoid_not_in_the_middle(x: f64) -> f64 {
    let y = double::sigmoid(x);
    let back = if x > 0.0 { y.to_bits() - 1 } else { y.to_bits() + 1 };
    if x.abs() < 1.52587890625e-5 && x != 0.0 { f64::from_bits(back) } else { y }
}
