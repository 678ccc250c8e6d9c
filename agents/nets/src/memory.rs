//! Freed memory stays with the program.

#![allow(
    unsafe_code,
    reason = "setting a parameter of the allocator is a foreign call"
)]

/// Lets the C library keep what libtorch frees, up to a gigabyte of it, for the tensors that come next.
///
/// glibc gives large blocks back to the system at once, which then has to clear every page of the next tensor anew: a
/// tenth of the time of a forward pass of BERT-base on a processor. A program calls this once, before it starts threads.
/// On other C libraries it does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const LARGEST_BLOCK: i32 = 32 << 20; // more than that glibc does not accept
        const KEPT: i32 = 1 << 30;
        const AT_ONCE: i32 = 64 << 20;
        // SAFETY: `mallopt` takes any parameter and value, and refuses what it does not know.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST_BLOCK);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
            libc::mallopt(libc::M_TOP_PAD, AT_ONCE);
        }
    }
}
