//! Pictures that are too large, broken, or made to hurt whoever decodes them.

use std::sync::Mutex;

use async_trait::async_trait;
use cofferdam_domain::{Digest, message::Image};

use super::{
    decode::{Pixels, check_still, decode},
    encode,
    fit::{Fitted, Limits, fit},
    keep,
};
use crate::tool::Blobs;

const SMALL: Limits = Limits { longest: 64, bytes: 20_000, side: 1_000, pixels: 500_000 };

fn painted(width: u32, height: u32, channels: u8) -> Pixels {
    let byte = |number: u32| (number.wrapping_mul(2_654_435_761) >> 24) as u8;
    let bytes = (0..width * height * u32::from(channels)).map(|number| byte(number / 97)).collect();
    Pixels { width, height, channels, bytes }
}

fn webp(pixels: &Pixels) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut bytes);
    encoder.encode(&pixels.bytes, pixels.width, pixels.height, image_webp::ColorType::Rgba8).unwrap();
    bytes
}

fn gif(pixels: &Pixels) -> Vec<u8> {
    let (width, height) = (pixels.width as u16, pixels.height as u16);
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, width, height, &[0, 0, 0, 255, 255, 255]).unwrap();
    let dots = pixels.bytes.iter().map(|byte| byte & 1).collect::<Vec<u8>>();
    encoder.write_frame(&gif::Frame::from_indexed_pixels(width, height, dots, None)).unwrap();
    drop(encoder);
    bytes
}

/// 60 by 30 pixels, and of four inks.
const JPEG: &[u8] = include_bytes!("samples/small.jpg");
const INKS: &[u8] = include_bytes!("samples/small-cmyk.jpg");
/// 300 by 100 pixels, and in several scans.
const LARGE: &[u8] = include_bytes!("samples/large.jpg");
const SCANS: &[u8] = include_bytes!("samples/large-grey.jpg");

fn of_all_kinds(width: u32, height: u32) -> Vec<Vec<u8>> {
    let photographs = if width > 100 { [LARGE, SCANS] } else { [JPEG, INKS] };
    let mut all = drawn(width, height);
    all.extend(photographs.map(<[u8]>::to_vec));
    all
}

fn drawn(width: u32, height: u32) -> Vec<Vec<u8>> {
    vec![
        encode::png(&painted(width, height, 4)).unwrap(),
        encode::png(&painted(width, height, 1)).unwrap(),
        webp(&painted(width, height, 4)),
        gif(&painted(width, height, 1)),
    ]
}

#[test]
fn what_fits_stays_as_it_is() {
    for bytes in of_all_kinds(60, 30) {
        let media_type = Image::kind(&bytes).unwrap();
        assert_eq!(fit(&bytes, &SMALL), Ok(Fitted::AsItIs { media_type }));
    }
}

#[test]
fn what_is_too_large_is_scaled_down_to_the_same_bytes_each_time() {
    for bytes in of_all_kinds(300, 100) {
        let first = fit(&bytes, &SMALL).unwrap();
        let Fitted::Scaled { media_type, bytes: scaled, from, to } = &first else { panic!("{first:?}") };
        assert_eq!((*from, *to), ((300, 100), (64, 21)));
        assert_eq!(Image::kind(scaled), Some(*media_type));
        let seen = decode(media_type, scaled, &SMALL).unwrap();
        assert_eq!((seen.width, seen.height), *to);
        assert_eq!(fit(&bytes, &SMALL).unwrap(), first);
    }
}

#[test]
fn what_has_too_many_bytes_gets_fewer() {
    let noise = |channels: u8| {
        let mut pixels = painted(64, 64, channels);
        let mut state = 1_u32;
        for byte in &mut pixels.bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        encode::png(&pixels).unwrap()
    };
    let few = Limits { bytes: 6_000, ..SMALL };
    for channels in 1..=4 {
        let Fitted::Scaled { bytes, from, to, .. } = fit(&noise(channels), &few).unwrap() else {
            continue;
        };
        assert!(bytes.len() <= few.bytes && from == (64, 64) && to.0 < 64, "{channels}: {to:?}");
    }
    let none = Limits { bytes: 10, ..SMALL };
    assert!(fit(&noise(3), &none).unwrap_err().contains("small enough"));
}

#[test]
fn a_small_file_that_says_it_is_large_is_refused_before_it_is_decoded() {
    let mut png = Vec::new();
    drop(png::Encoder::new(&mut png, 60_000, 60_000).write_header().unwrap());
    let mut jpeg = JPEG.to_vec();
    let frame = jpeg.windows(2).position(|pair| pair[0] == 0xff && (0xc0..=0xc2).contains(&pair[1])).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    let mut gif = gif(&painted(8, 8, 1));
    gif[6..10].fill(0xff);
    let vp8x = [16, 0, 0, 0, 0xff, 0x3f, 0, 0xff, 0x3f, 0];
    let webp = [b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0".as_slice(), &vp8x].concat();
    for bomb in [png, jpeg, gif, webp] {
        let why = fit(&bomb, &Limits::OF_MODELS).unwrap_err();
        assert!(why.contains("pixels") || why.contains("malformed"), "{:?}: {why}", Image::kind(&bomb));
    }
    let mut scans = JPEG.to_vec();
    scans.truncate(scans.len() - 2);
    scans.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0].repeat(100));
    assert!(fit(&scans, &SMALL).unwrap_err().contains("scans"));
}

#[test]
fn what_people_are_shown_as_it_came_is_a_png_that_does_not_move() {
    let still = encode::png(&painted(60, 30, 3)).unwrap();
    assert_eq!(check_still(&still, &SMALL), Ok(()));
    assert!(check_still(JPEG, &SMALL).unwrap_err().contains("no PNG"));
    assert!(check_still(&still[..still.len() / 2], &SMALL).unwrap_err().contains("malformed"));
    assert!(
        check_still(&encode::png(&painted(1_001, 1, 1)).unwrap(), &SMALL).unwrap_err().contains("pixels")
    );
    let mut moving = Vec::new();
    let mut encoder = png::Encoder::new(&mut moving, 2, 1);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0, 0]).unwrap();
    writer.write_image_data(&[9, 9]).unwrap();
    writer.finish().unwrap();
    assert_eq!(check_still(&moving, &SMALL), Err("it moves".to_owned()));
}

#[test]
fn what_is_broken_is_told_and_harms_nobody() {
    for whole in of_all_kinds(60, 30) {
        let kind = Image::kind(&whole);
        for length in [12, 20, whole.len() / 2] {
            // Some decoders make what they can of half a picture.
            if let Err(why) = fit(&whole[..length], &SMALL) {
                assert!(why.contains("malformed") || why.contains("pixels"), "{kind:?} {length}: {why}");
            }
        }
        for place in (0..whole.len()).step_by(7) {
            let mut other = whole.clone();
            other[place] ^= 0x55;
            fit(&other, &SMALL).ok();
        }
    }
    assert!(
        fit(&[b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 100]].concat(), &SMALL)
            .unwrap_err()
            .contains("malformed")
    );
    assert!(fit(b"<svg onload=alert(1)>", &SMALL).unwrap_err().contains("no PNG"));
}

#[derive(Default)]
struct Shelf(Mutex<Vec<Vec<u8>>>);

#[async_trait]
impl Blobs for Shelf {
    async fn put(&self, content: &[u8]) -> Option<cofferdam_domain::BlobRef> {
        self.0.lock().unwrap().push(content.to_vec());
        Some(cofferdam_domain::BlobRef { digest: Digest::of(content), size: content.len() as u64 })
    }
}

#[tokio::test]
async fn the_whole_picture_is_kept_beside_what_is_shown() {
    let shelf = Shelf::default();
    let small = encode::png(&painted(20, 20, 3)).unwrap();
    let kept = keep(&shelf, small.clone()).await.unwrap();
    assert_eq!((kept.image.blob.digest, kept.whole.is_none(), kept.note), (Digest::of(&small), true, None));
    let large = encode::png(&painted(2_000, 40, 1)).unwrap();
    let kept = keep(&shelf, large.clone()).await.unwrap();
    assert_eq!(kept.whole.unwrap().digest, Digest::of(&large));
    assert_ne!(kept.image.blob.digest, Digest::of(&large));
    assert_eq!(kept.note.unwrap(), "2000 by 40 pixels, shown as 1568 by 31");
    assert!(keep(&shelf, b"no picture".to_vec()).await.is_err());
}
