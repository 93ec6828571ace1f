//! What a picture takes while it is decoded. Alone in its file: the allocator counts what the process holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use gradus::image::{Image, Limits};

/// The system's allocator, which counts.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn take(bytes: usize) {
    MOST.fetch_max(HELD.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: memory is the system's; only sizes are looked at.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_sub(layout.size(), Relaxed);
        take(size);
        unsafe { System.realloc(memory, layout, size) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A JPEG file of side x side blocks of one shade with long comments: progressive, a scan of means and one of
/// the rest for each of so many components.
fn jpeg(side: u16, components: u8) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    let mut add = |marker: u8, content: &[u8]| {
        out.extend([0xff, marker]);
        out.extend((content.len() as u16 + 2).to_be_bytes());
        out.extend(content);
    };
    (0..512).for_each(|_| add(0xfe, &[b'.'; 65_000]));
    let [a, b] = (8 * side).to_be_bytes();
    add(0xdb, &[&[0][..], &[8; 64]].concat());
    let own = (1..=components).flat_map(|c| [c, 0x11, 0]);
    add(0xc2, &[8, a, b, a, b, components].into_iter().chain(own).collect::<Vec<u8>>());
    // One code in each table, a zero: no step, and a block's end.
    add(0xc4, &[&[0x00, 1][..], &[0; 16]].concat());
    add(0xc4, &[&[0x10, 1][..], &[0; 16]].concat());
    for component in 1..=components {
        for [first, last] in [[0, 0], [1, 63]] {
            out.extend([0xff, 0xda, 0, 8, 1, component, 0, first, last, 0]);
            out.extend(vec![0; usize::from(side) * usize::from(side) / 8]);
        }
    }
    out.extend([0xff, 0xd9]);
    out
}

/// Coefficients take twice what the samples take, copies of them on the way to another thread at most as much
/// again, and the planes what the samples take: five times as much, and a little for tables. A copy of the
/// file would be too much.
#[test]
fn a_jpeg_takes_the_memory_that_its_limits_tell() {
    for components in [1, 3] {
        let file = jpeg(128, components);
        let samples = (1 << 20) * usize::from(components);
        // Whole, and without its end marker, which is decoded again.
        for bytes in [&file[..], &file[..file.len() - 2]] {
            let before = HELD.load(Relaxed);
            MOST.store(before, Relaxed);
            let image = Image::decode(bytes, &Limits::default()).unwrap();
            let most = MOST.load(Relaxed) - before;
            assert_eq!((image.width(), image.pixel(1023, 1023)[0]), (1024, 128));
            assert!(most <= 5 * samples + (1 << 18), "{most} bytes for {samples} samples");
        }
    }
}
