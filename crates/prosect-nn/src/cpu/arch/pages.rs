//! Large pages: the engine reads tensors of hundreds of megabytes in many streams at once, and with pages of 4 KiB the
//! processor spends up to a tenth of its time finding them.
#![expect(unsafe_code, reason = "a system call that no safe function makes")]

/// Asks the system to back this memory with large pages, which changes nothing but the speed. Best before the first touch.
pub(crate) fn advise_large_pages(memory: &mut [f32]) {
    #[cfg(target_os = "linux")]
    {
        use std::ffi::{c_int, c_void};
        unsafe extern "C" {
            fn madvise(start: *mut c_void, len: usize, advice: c_int) -> c_int;
        }
        const MADV_HUGEPAGE: c_int = 14;
        const LARGE_PAGE: usize = 2 << 20;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(memory);
        let first = bytes.as_ptr().align_offset(LARGE_PAGE);
        if first < bytes.len() {
            let len = (bytes.len() - first) / LARGE_PAGE * LARGE_PAGE;
            // SAFETY: these whole pages belong to `memory` alone; the advice keeps their contents. A refusal is no harm.
            unsafe { madvise(bytes[first..].as_mut_ptr().cast(), len, MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}
