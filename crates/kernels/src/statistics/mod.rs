//! Statistics of many units at once, over windows of tokens: rows `[token, width]`, one column per unit.
//!
//! Every unit's numbers are computed in the order of the tokens and without fused operations, so they are
//! the same bits on every processor; a wide processor only takes more units at a time.

mod exact_sums;
mod histogram;
mod token_sums;
#[cfg(target_arch = "x86_64")]
mod wide;
mod window;

pub use exact_sums::{ExactSums, LIMBS};
pub use histogram::{BUCKETS, bucket, bucket_edges};
pub use token_sums::{
    PRODUCT_LIMIT, STEPS_LIMIT, add_on_grid, add_products, add_tokens, from_steps, on_grid,
};
pub use window::WindowStatistics;

/// Defines a function whose body is compiled for AVX-512, for AVX2 and for any processor, and chosen when
/// it runs. The body holds plain arithmetic only, which gives the same result in all three.
macro_rules! for_each_processor {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) {
            #[inline(always)]
            fn body($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $type),*) { body($($arg),*); }

                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) { body($($arg),*); }

                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the processor has every feature that the function is compiled for.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has every feature that the function is compiled for.
                    return unsafe { avx2($($arg),*) };
                }
            }
            body($($arg),*);
        }
    };
}
use for_each_processor;
