//! Paged attention against the fused kernel on the same sequence, alone and in company.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::aligned::Buffer;

fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Sequences of the same shape in pages of their own, but for a beginning that all share.
struct Cache {
    layout: PageLayout,
    heads: usize,
    /// `[position, q | k | v]` of each sequence.
    rows: Vec<Vec<f32>>,
    pages: Vec<Buffer<u8>>,
    tables: Vec<Vec<u32>>,
}

impl Cache {
    fn new(layout: PageLayout, heads: usize, lengths: &[usize], shared: usize, seed: u32) -> Self {
        let mut cache = Self { layout, heads, rows: vec![], pages: vec![], tables: vec![] };
        let stride = cache.stride();
        let beginning = values(shared * stride, seed);
        for (index, length) in lengths.iter().enumerate() {
            let mut rows = beginning.clone();
            rows.truncate(length * stride);
            rows.extend(values((length - rows.len() / stride) * stride, seed ^ (index as u32 + 1) << 9));
            let shared_pages = shared.min(lengths[0]) / PAGE_POSITIONS;
            let mut table: Vec<u32> =
                cache.tables.first().map_or(vec![], |first| first[..shared_pages].to_vec());
            table.truncate(length / PAGE_POSITIONS);
            for position in table.len() * PAGE_POSITIONS..*length {
                if position % PAGE_POSITIONS == 0 {
                    table.push(cache.pages.len() as u32);
                    cache.pages.push(Buffer::default());
                }
                let row = &rows[position * stride..][..stride];
                let (q, kv) = (heads * layout.d_head, layout.kv_heads * layout.d_head);
                let page = cache.pages[table[position / PAGE_POSITIONS] as usize].sized(layout.bytes());
                layout.write(page, position % PAGE_POSITIONS, &row[q..q + kv], &row[q + kv..]);
            }
            cache.rows.push(rows);
            cache.tables.push(table);
        }
        cache
    }

    fn stride(&self) -> usize {
        (self.heads + 2 * self.layout.kv_heads) * self.layout.d_head
    }

    /// z of queries given as sequence and position.
    fn paged(&self, form: Attention, queries: &[(usize, usize)]) -> Vec<f32> {
        let (stride, bytes) = (self.stride(), self.layout.bytes());
        let q: Vec<f32> = queries
            .iter()
            .flat_map(|(sequence, position)| self.rows[*sequence][position * stride..][..stride].to_vec())
            .collect();
        let pages: Vec<&[u8]> = self.pages.iter().map(|page| &page.as_slice()[..bytes]).collect();
        let queries: Vec<PagedQuery<'_>> = queries
            .iter()
            .map(|(sequence, position)| PagedQuery { pages: &self.tables[*sequence], position: *position })
            .collect();
        let mut z = vec![f32::NAN; queries.len() * self.heads * self.layout.d_head];
        let view = HeadView::new(&q, stride, self.heads, self.layout.d_head);
        form.attend_paged(self.layout, &pages, view, &queries, Outputs::f32(&mut z));
        z
    }

    /// z of the whole of a sequence by the fused kernel.
    fn fused(&self, form: Attention, sequence: usize) -> Vec<f32> {
        let (stride, d_head, kv_heads) = (self.stride(), self.layout.d_head, self.layout.kv_heads);
        let rows = &self.rows[sequence];
        let view = |start: usize, heads| HeadView::new(&rows[start * d_head..], stride, heads, d_head);
        let (q, k, v) =
            (view(0, self.heads), view(self.heads, kv_heads), view(self.heads + kv_heads, kv_heads));
        let length = rows.len() / stride;
        let mut z = vec![f32::NAN; length * self.heads * d_head];
        form.attend(q, k, v, length, 0, Outputs::f32(&mut z));
        z
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Every query has the bits of the fused kernel, in whatever company it is computed.
    #[test]
    fn paged_attention_is_fused_attention(
        group in 1_usize..8, kv_heads in 1_usize..3, d_head in prop_oneof![Just(5_usize), Just(32), Just(40)],
        lengths in prop::collection::vec(1_usize..300, 1..5), shared in 0_usize..280,
        window in prop::option::of(1_usize..200), softcap in prop::option::of(1.0_f32..5.0), narrow: bool,
        seed in any::<u32>(), picks in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..40),
    ) {
        let precision = if narrow { Precision::Bf16 } else { Precision::F32 };
        let layout = PageLayout { kv_heads, d_head, precision };
        let cache = Cache::new(layout, group * kv_heads, &lengths, shared, seed);
        let form = Attention { scale: 0.3, softcap, window, precision, threads: Threads::One };
        let queries: Vec<(usize, usize)> = picks
            .iter()
            .map(|(sequence, position)| {
                let sequence = sequence.index(lengths.len());
                (sequence, position.index(lengths[sequence]))
            })
            .collect();
        let width = group * kv_heads * d_head;
        let together = cache.paged(form, &queries);
        let parallel = cache.paged(Attention { threads: Threads::All, ..form }, &queries);
        prop_assert_eq!(&together, &parallel);
        let whole: Vec<Vec<f32>> = (0..lengths.len()).map(|sequence| cache.fused(form, sequence)).collect();
        for ((sequence, position), z) in queries.iter().zip(together.chunks_exact(width)) {
            prop_assert_eq!(z, &whole[*sequence][position * width..][..width]);
            let alone = cache.paged(form, &[(*sequence, *position)]);
            prop_assert_eq!(z, alone.as_slice());
        }
    }
}

/// A page is written in the layout that the kernels pack themselves.
#[test]
fn a_page_holds_what_is_written_at_its_place() {
    for (precision, step) in [(Precision::F32, 4), (Precision::Bf16, 2)] {
        let layout = PageLayout { kv_heads: 2, d_head: 8, precision };
        let mut page = vec![0_u8; layout.bytes()];
        let mut aligned = Buffer::<u8>::default();
        let bytes = aligned.sized(layout.bytes());
        layout.write(bytes, 77, &[1.0; 16], &[2.0; 16]);
        page.copy_from_slice(bytes);
        let count = |value: f32| match precision {
            Precision::F32 => page.chunks(step).filter(|bytes| **bytes == value.to_ne_bytes()).count(),
            Precision::Bf16 => {
                let bits = bf16::from_f32(value).to_bits().to_ne_bytes();
                page.chunks(step).filter(|bytes| **bytes == bits).count()
            }
        };
        assert_eq!((count(1.0), count(2.0), count(0.0)), (16, 16, page.len() / step - 32));
    }
}
