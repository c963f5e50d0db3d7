//! Compiles one function body for several instruction sets and picks the version at run time.
//!
//! The body is ordinary Rust over slices and `[f32; 16]` lanes; the compiler vectorises it for the features of
//! the function it is inlined into. Functions that the body calls must be `#[inline(always)]` to take part.

/// Defines a function whose body is compiled for AVX-512, AVX2 + FMA and the build's own target.
macro_rules! multiversion {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $return:ty)? $body:block) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $return)? {
            #[inline(always)]
            fn body($($argument: $type),*) $(-> $return)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $return)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $return)? {
                body($($argument),*)
            }

            match $crate::detect::Backend::best() {
                #[cfg(target_arch = "x86_64")]
                $crate::detect::Backend::Avx512
                | $crate::detect::Backend::Avx512Bf16
                | $crate::detect::Backend::Amx => {
                    // SAFETY: these backends are chosen only after all features of `avx512` were detected.
                    unsafe { avx512($($argument),*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::detect::Backend::Avx2 => {
                    // SAFETY: this backend is chosen only after AVX2 and FMA were detected.
                    unsafe { avx2($($argument),*) }
                }
                _ => body($($argument),*),
            }
        }
    };
}

pub(crate) use multiversion;
