fn main() {
    for shape in [
        [4096, 768, 256],
        [4096, 1376, 256],
        [4096, 256, 688],
        [1024, 4096, 256],
        [4096, 1536, 512],
        [4096, 2752, 512],
        [1024, 1024, 1024],
    ] {
        for p in [lm::Precision::F32, lm::Precision::Bf16] {
            print!("{shape:?} {p:?} {:.0} GF  ", lm::product_speed(p, shape, 21) / 1e9);
        }
        println!();
    }
}
