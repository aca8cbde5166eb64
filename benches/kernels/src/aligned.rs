//! Seeded data at the start of a cache line.
//!
//! Owns where vectors lie and what is in them, so that every rival reads the same.

/// Vectors that start at a cache line, as an allocator for numerics would give them.
pub struct Aligned {
    floats: Vec<f32>,
    from: usize,
    n: usize,
}

impl Aligned {
    /// Seeded numbers between -1 and 1.
    pub fn random(n: usize, seed: u64) -> Self {
        let mut floats = vec![0.0; n + 16];
        let from = floats.as_ptr().align_offset(64);
        let mut state = seed;
        for x in &mut floats[from..from + n] {
            let factor = 6_364_136_223_846_793_005;
            state = state.wrapping_mul(factor).wrapping_add(1_442_695_040_888_963_407);
            *x = (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0;
        }
        Self { floats, from, n }
    }

    pub fn get(&self) -> &[f32] {
        &self.floats[self.from..][..self.n]
    }

    pub fn get_mut(&mut self) -> &mut [f32] {
        &mut self.floats[self.from..][..self.n]
    }
}
