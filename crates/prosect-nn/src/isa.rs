//! The instruction sets that kernels exist for, and which of them this machine has.

use std::fmt;
use std::str::FromStr;

use crate::cpu::arch;
use crate::error::NetworkError;

/// Plain work that is compiled once for each instruction set, so that the compiler may use its vectors.
///
/// Additions and multiplications are never drawn together: every instruction set gives the same bits.
pub trait PlainWork {
    /// Does it. Must be `#[inline(always)]`, and so must what it calls and should be compiled with it.
    fn run(self);
}

/// An instruction set. Results agree between them within rounding, not bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, runs everywhere.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512F.
    Avx512,
}

impl Isa {
    /// All of them, the slowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The fastest one that this processor has.
    pub fn detect() -> Self {
        Self::ALL
            .into_iter()
            .rev()
            .find(|isa| isa.is_available())
            .unwrap_or(Self::Portable)
    }

    /// Does `work` with this instruction set, or with plain instructions where the processor lacks it.
    pub fn run<W: PlainWork>(self, work: W) {
        let isa = if self.is_available() {
            self
        } else {
            Self::Portable
        };
        arch::run_plain(isa, work);
    }

    /// Those that this processor has, the slowest first.
    pub fn available() -> Vec<Self> {
        Self::ALL
            .into_iter()
            .filter(|isa| isa.is_available())
            .collect()
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && Self::Avx2.is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The name as the command line and `run.json` write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Refuses an instruction set that this processor lacks.
    pub(crate) fn require_available(self) -> Result<(), NetworkError> {
        if self.is_available() {
            return Ok(());
        }
        let available = Self::available()
            .iter()
            .map(|isa| isa.name())
            .collect::<Vec<_>>()
            .join(", ");
        Err(NetworkError::MissingIsa {
            isa: self.name(),
            available,
        })
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = NetworkError;

    fn from_str(name: &str) -> Result<Self, NetworkError> {
        Self::ALL
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| NetworkError::UnsupportedParameter {
                node: "instruction set".to_owned(),
                what: format!("{name:?} (known are portable, avx2, avx512)"),
            })
    }
}
