//! [`RawTensor`]: a tensor as a file holds it, bytes with a shape and an element type.
//!
//! Element `(i0, i1, ...)` of a tensor of shape `(d0, d1, ...)` stands at byte `size * ((i0 * d1 + i1) * d2 +
//! ...)`, row-major and little-endian. Keeping the bytes makes reading, gathering and writing independent of
//! the element type and exact to the bit; numbers appear only when they are asked for.

use byteorder::{ByteOrder, LE};
use gradus_core::memory;
use half::{bf16, f16};
use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// One byte; zero is false, anything else true.
    Bool,
}

impl Dtype {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    /// Whether the elements are floating-point numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16)
    }

    /// Bytes of a tensor of this type and `shape`; `None` where a product of dimensions overflows, which
    /// those of an empty tensor may do too: whoever multiplies them in any order is safe.
    pub fn bytes_of(self, shape: &[usize]) -> Option<usize> {
        let bytes = shape.iter().try_fold(self.size(), |bytes, &dim| bytes.checked_mul(dim.max(1)))?;
        Some(if shape.contains(&0) { 0 } else { bytes })
    }
}

impl fmt::Display for Dtype {
    /// PyTorch's name: `float32`, `int64`, ...
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F64 => "float64",
            Dtype::F32 => "float32",
            Dtype::F16 => "float16",
            Dtype::Bf16 => "bfloat16",
            Dtype::I64 => "int64",
            Dtype::I32 => "int32",
            Dtype::I16 => "int16",
            Dtype::I8 => "int8",
            Dtype::U8 => "uint8",
            Dtype::Bool => "bool",
        })
    }
}

/// A tensor as a checkpoint holds it: contiguous, row-major, little-endian bytes, in PyTorch's layout
/// (convolution weights are `[out, in / groups, height, width]`). An empty shape is a scalar.
#[derive(Clone, PartialEq, Eq)]
pub struct RawTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl RawTensor {
    /// A tensor from its bytes.
    ///
    /// # Panics
    /// When `bytes` is not as long as `shape` and `dtype` ask.
    #[track_caller]
    pub fn new(dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) -> Self {
        assert_eq!(
            dtype.bytes_of(&shape),
            Some(bytes.len()),
            "RawTensor::new: {} bytes for {dtype} of shape {shape:?}",
            bytes.len()
        );
        RawTensor { dtype, shape, bytes }
    }

    #[track_caller]
    fn encode<T>(dtype: Dtype, shape: &[usize], values: &[T], write: impl Fn(&[T], &mut [u8])) -> Self {
        let mut bytes = memory::filled("weights", 0, values.len() * dtype.size());
        write(values, &mut bytes);
        Self::new(dtype, shape.to_vec(), bytes)
    }

    /// A float32 tensor. Panics as [`RawTensor::new`] does.
    #[track_caller]
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        Self::encode(Dtype::F32, shape, values, LE::write_f32_into)
    }

    /// A float64 tensor. Panics as [`RawTensor::new`] does.
    #[track_caller]
    pub fn from_f64(shape: &[usize], values: &[f64]) -> Self {
        Self::encode(Dtype::F64, shape, values, LE::write_f64_into)
    }

    /// An int64 tensor, as counters are. Panics as [`RawTensor::new`] does.
    #[track_caller]
    pub fn from_i64(shape: &[usize], values: &[i64]) -> Self {
        Self::encode(Dtype::I64, shape, values, LE::write_i64_into)
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// The elements, row-major and little-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements as f32: the same bits for float32, exact for float16, bfloat16 and integers up to 16
    /// bits, and rounded to nearest (through f64) otherwise. Booleans are 0 and 1.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => self.decode::<4, _>(LE::read_f32),
            _ => self.to_f64().into_iter().map(|v| v as f32).collect(),
        }
    }

    /// The elements as f64: exact for all types but int64 beyond 2^53, which is rounded to nearest.
    pub fn to_f64(&self) -> Vec<f64> {
        match self.dtype {
            Dtype::F64 => self.decode::<8, _>(LE::read_f64),
            Dtype::F32 => self.decode::<4, _>(|b| LE::read_f32(b).into()),
            Dtype::F16 => self.decode::<2, _>(|b| f16::from_bits(LE::read_u16(b)).to_f64()),
            Dtype::Bf16 => self.decode::<2, _>(|b| bf16::from_bits(LE::read_u16(b)).to_f64()),
            _ => self.integers().into_iter().map(|v| v as f64).collect(),
        }
    }

    /// The elements as i64, booleans as 0 and 1; `None` for floating-point tensors.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        (!self.dtype.is_float()).then(|| self.integers())
    }

    fn integers(&self) -> Vec<i64> {
        match self.dtype {
            Dtype::I64 => self.decode::<8, _>(LE::read_i64),
            Dtype::I32 => self.decode::<4, _>(|b| LE::read_i32(b).into()),
            Dtype::I16 => self.decode::<2, _>(|b| LE::read_i16(b).into()),
            Dtype::I8 => self.decode::<1, _>(|b| (b[0] as i8).into()),
            Dtype::U8 => self.decode::<1, _>(|b| b[0].into()),
            Dtype::Bool => self.decode::<1, _>(|b| (b[0] != 0).into()),
            Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {
                unreachable!("{} holds no integers", self.dtype)
            }
        }
    }

    /// Each element of N bytes by `read`. Their number is known where this is compiled: no length is compared
    /// while it runs.
    fn decode<const N: usize, T>(&self, read: impl Fn(&[u8]) -> T) -> Vec<T> {
        let (elements, rest) = self.bytes.as_chunks::<N>();
        debug_assert!(N == self.dtype.size() && rest.is_empty());
        let mut decoded = memory::room("weights", elements.len());
        decoded.extend(elements.iter().map(|bytes| read(bytes)));
        decoded
    }
}

impl fmt::Debug for RawTensor {
    /// Type and shape; the elements could be millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawTensor({} {:?})", self.dtype, self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_are_exact_where_promised() {
        let bits = [0x3f80_0000_u32, 0x0000_0001, 0x7f80_0001, 0xff80_0000, 0x8000_0000];
        let values = bits.map(f32::from_bits);
        let back = RawTensor::from_f32(&[5], &values).to_f32();
        assert_eq!(back.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);

        let half = RawTensor::new(Dtype::F16, vec![3], vec![0x00, 0x3c, 0x01, 0x00, 0xff, 0x7b]);
        assert_eq!(half.to_f64(), [1.0, 2f64.powi(-24), 65504.0]);
        let brain = RawTensor::new(Dtype::Bf16, vec![2], vec![0x80, 0x3f, 0x49, 0xc0]);
        assert_eq!(brain.to_f64(), [1.0, -3.140625]);
        assert_eq!(RawTensor::from_i64(&[], &[i64::MIN]).to_i64(), Some(vec![i64::MIN]));
        assert_eq!(RawTensor::new(Dtype::I8, vec![2], vec![0xff, 2]).to_i64(), Some(vec![-1, 2]));
        assert_eq!(RawTensor::new(Dtype::Bool, vec![2], vec![0, 3]).to_f32(), [0.0, 1.0]);
        assert_eq!(RawTensor::from_f64(&[1], &[0.5]).to_i64(), None);
    }

    #[test]
    fn dimensions_may_be_zero_but_not_overflow() {
        assert_eq!(Dtype::F32.bytes_of(&[3, 2, 0]), Some(0));
        assert_eq!(Dtype::F32.bytes_of(&[usize::MAX, 2, 0]), None);
        assert_eq!(Dtype::F32.bytes_of(&[usize::MAX / 2, 2]), None);
        assert_eq!(Dtype::F32.bytes_of(&[]), Some(4));
    }

    #[test]
    #[should_panic(expected = "7 bytes for float32 of shape [2]")]
    fn a_wrong_length_is_a_programming_error() {
        RawTensor::new(Dtype::F32, vec![2], vec![0; 7]);
    }
}
