//! An input read piece by piece: what is short is filled up with zeros, so that every input means something.

/// What is left of an input.
pub struct Bytes<'a>(pub &'a [u8]);

/// Numbers at which programs err.
const EDGES: [i128; 24] = [
    -(1 << 63),
    -(1 << 53),
    -(1 << 31) - 1,
    -(1 << 31),
    -2,
    -1,
    99,
    1000,
    1024,
    65_535,
    65_536,
    100_001,
    1_000_001,
    (1 << 24) + 1,
    (1 << 29) + 1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 53) + 1,
    1 << 61,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
];

impl<'a> Bytes<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Of so many, or of what is left.
    pub fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// Below `n`, which is at most 65,536.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.u16()) % n.max(1)
    }

    /// A whole number, small or at an edge.
    pub fn integer(&mut self) -> i128 {
        match self.byte() {
            kind @ 0..24 => EDGES[usize::from(kind)],
            24..64 => i64::from_le_bytes(self.array()).into(),
            64..128 => self.u16().into(),
            kind => i128::from(kind) - 128,
        }
    }

    /// A number of any kind, NaN and infinity too.
    pub fn float(&mut self) -> f64 {
        match self.byte() {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => -f64::INFINITY,
            3 => -0.0,
            4 => f64::MIN_POSITIVE / 2.0,
            5 => f64::MAX,
            6..40 => f64::from_le_bytes(self.array()),
            40..80 => self.integer() as f64,
            80..170 => f64::from(self.u16() as i16) / 64.0,
            kind => f64::from(kind) - 170.0,
        }
    }

    /// So many bytes as text, whatever they are.
    pub fn text(&mut self, n: usize) -> String {
        String::from_utf8_lossy(self.take(n)).into_owned()
    }
}
