//! Which instruction sets this processor offers, found once at run time.
//!
//! AMX needs three consents: the processor's (CPUID), the operating system's (the tile bits of XCR0) and, on
//! Linux, a request by the process itself (`arch_prctl(ARCH_REQ_XCOMP_PERM)`), because its 8 KiB of tile state
//! enlarge every signal frame.

use std::fmt;
use std::sync::OnceLock;

/// The instructions that the kernels run on, slowest first.
///
/// A matrix product takes the whole choice; element-wise kernels and f32 products distinguish only portable code,
/// AVX2 and AVX-512.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// Code that every processor runs; bf16 is widened to f32.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors; bf16 is widened to f32.
    Avx512,
    /// 512-bit dot products of bf16 pairs, and of four bytes.
    Avx512Bf16,
    /// Products of 16 × 32 tiles of bf16.
    Amx,
}

impl Backend {
    /// Every backend, slowest first.
    pub const ALL: [Self; 5] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::Amx];

    /// The fastest backend of this processor.
    pub fn best() -> Self {
        static BEST: OnceLock<Backend> = OnceLock::new();
        *BEST.get_or_init(|| Self::ALL.into_iter().rev().find(|b| b.detect()).unwrap_or(Self::Portable))
    }

    /// Whether this processor runs the backend. Each backend includes the slower ones.
    pub fn is_available(self) -> bool {
        self <= Self::best()
    }

    /// Whether bf16 products are faster than f32 products on this backend.
    pub fn multiplies_bf16(self) -> bool {
        self >= Self::Avx512Bf16
    }

    #[cfg(target_arch = "x86_64")]
    fn detect(self) -> bool {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        // Every processor with bf16 dot products has those of bytes, which came before.
        let avx512_bf16 =
            avx512 && is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vnni");
        match self {
            Self::Portable => true,
            Self::Avx2 => avx2,
            Self::Avx512 => avx512,
            Self::Avx512Bf16 => avx512_bf16,
            Self::Amx => avx512_bf16 && amx::is_usable(),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detect(self) -> bool {
        self == Self::Portable
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "AVX2 + FMA",
            Self::Avx512 => "AVX-512",
            Self::Avx512Bf16 => "AVX-512 with bf16 dot products",
            Self::Amx => "AMX bf16 tiles",
        })
    }
}

/// One line for reports: the processor's name, its usable cores and the backend in use.
pub fn cpu_description() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores, {}", brand(), Backend::best())
}

#[cfg(target_arch = "x86_64")]
fn brand() -> String {
    use std::arch::x86_64::__cpuid;
    const BRAND_LEAVES: std::ops::RangeInclusive<u32> = 0x8000_0002..=0x8000_0004;
    if __cpuid(0x8000_0000).eax < *BRAND_LEAVES.end() {
        return std::env::consts::ARCH.to_owned();
    }
    let bytes: Vec<u8> = BRAND_LEAVES
        .map(__cpuid)
        .flat_map(|r| [r.eax, r.ebx, r.ecx, r.edx])
        .flat_map(u32::to_le_bytes)
        .take_while(|&byte| byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(not(target_arch = "x86_64"))]
fn brand() -> String {
    std::env::consts::ARCH.to_owned()
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    use std::arch::asm;
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    /// CPUID leaf 7, EDX: bit 22 is AMX-BF16, bit 24 AMX-TILE.
    const TILES_AND_BF16: u32 = 1 << 22 | 1 << 24;
    /// XCR0: bit 17 is tile configuration, bit 18 tile data.
    const TILE_STATE: u32 = 1 << 17 | 1 << 18;
    const SYS_ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_TILE_DATA: i64 = 18;

    pub(super) fn is_usable() -> bool {
        let has_leaf_7 = __cpuid(0).eax >= 7;
        has_leaf_7
            && __cpuid_count(7, 0).edx & TILES_AND_BF16 == TILES_AND_BF16
            && enabled_state() & TILE_STATE == TILE_STATE
            && request_permission()
    }

    /// The lower half of XCR0: the register state that the operating system saves.
    fn enabled_state() -> u32 {
        let low: u32;
        // SAFETY: AVX-512 was detected before, which implies that the operating system enabled XGETBV. The
        // instruction writes EAX and EDX only.
        unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack)) };
        low
    }

    /// Asks Linux to let this process use tile data, once for all threads. Older kernels refuse.
    fn request_permission() -> bool {
        let status: i64;
        // SAFETY: the system call reads two integers and touches no memory of ours; the kernel clobbers RCX and
        // R11 only.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") SYS_ARCH_PRCTL => status,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_TILE_DATA,
                out("rcx") _,
                out("r11") _,
                options(nostack)
            );
        }
        status == 0
    }
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
mod amx {
    pub(super) fn is_usable() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn availability_is_downward_closed() {
        assert!(Backend::Portable.is_available());
        for pair in Backend::ALL.windows(2) {
            assert!(!pair[1].is_available() || pair[0].is_available());
        }
    }

    #[test]
    fn description_names_the_backend() {
        assert!(cpu_description().ends_with(&Backend::best().to_string()));
    }
}
