//! Which instructions of the processor are used, found out once when the program runs.

use std::sync::atomic::{AtomicU8, Ordering};

/// Instruction sets that the kernels are compiled for. All give the same bytes, but for bf16 products that are smaller
/// than the smallest normal fp32 or larger than the largest: [`Level::Avx512Bf16`] treats the small ones as zero, as
/// the instruction is defined, and [`Level::Portable`] rounds them before it adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Plain Rust, on any processor.
    Portable = 1,
    /// x86-64 with AVX2 and FMA.
    Avx2 = 2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512 = 3,
    /// The same with the dot product of bf16 pairs.
    Avx512Bf16 = 4,
}

static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl Level {
    /// All levels, slowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// The best level of this processor.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return match wide {
                    true if is_x86_feature_detected!("avx512bf16") => Self::Avx512Bf16,
                    true => Self::Avx512,
                    false => Self::Avx2,
                };
            }
        }
        Self::Portable
    }

    /// The level in use: the best one, or the one that [`Level::choose`] named.
    #[inline]
    pub fn current() -> Self {
        match CHOSEN.load(Ordering::Relaxed) {
            1 => Self::Portable,
            2 => Self::Avx2,
            3 => Self::Avx512,
            4 => Self::Avx512Bf16,
            _ => {
                let best = Self::best();
                CHOSEN.store(best as u8, Ordering::Relaxed);
                best
            }
        }
    }

    /// Uses this level from now on, or the best one where the processor lacks it. For comparisons and tests.
    pub fn choose(self) {
        CHOSEN.store(self.min(Self::best()) as u8, Ordering::Relaxed);
    }
}

/// Compiles the body of a function for each instruction set and calls the one for the processor at hand.
///
/// The body must be plain loops over slices (closures do not inherit the instruction set), and must not depend
/// on fused multiplication except through `mul_add`, so that every copy gives the same bytes.
macro_rules! dispatched {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident $(<$($generic:ident: $bound:ident),+>)? ($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        #[expect(unsafe_code, reason = "functions compiled for the instruction sets that were found at run time")]
        $visibility fn $name $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
            fn avx512 $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? { body$(::<$($generic),+>)?($($argument),*) }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? { body$(::<$($generic),+>)?($($argument),*) }

            match $crate::kernel::Level::current() {
                // SAFETY: the level says that the processor has these instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::kernel::Level::Avx512 | $crate::kernel::Level::Avx512Bf16 => unsafe { avx512$(::<$($generic),+>)?($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernel::Level::Avx2 => unsafe { avx2$(::<$($generic),+>)?($($argument),*) },
                _ => body$(::<$($generic),+>)?($($argument),*),
            }
        }
    };
}
pub(crate) use dispatched;
