//! From the bytes of a picture to its pixels. All of it is hostile: how large it says to be is looked at before anything is decoded, and what a
//! decoder may use is bounded.

use std::{io::Cursor, num::NonZeroU64};

use cofferdam_domain::message::Image;
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::fit::Limits;

/// Scans of a JPEG: each goes over all pixels, and needs hardly any bytes.
const MAX_SCANS: usize = 64;

/// A picture's pixels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pixels {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Bytes of a pixel: grey or three colours, and in an even number of them the last is how opaque it is.
    pub(crate) channels: u8,
    pub(crate) bytes: Vec<u8>,
}

/// Its pixels; of one that moves those of its first frame. What is wrong with it otherwise.
pub(crate) fn decode(kind: &str, bytes: &[u8], limits: &Limits) -> Result<Pixels, String> {
    let pixels = match kind {
        "image/png" => png(bytes, limits),
        "image/jpeg" => jpeg(bytes, limits),
        "image/gif" => gif(bytes, limits),
        _ => webp(bytes, limits),
    }?;
    let wanted = u64::from(pixels.width) * u64::from(pixels.height) * u64::from(pixels.channels);
    if pixels.bytes.len() as u64 == wanted {
        Ok(pixels)
    } else {
        Err(malformed("its pixels are not all there"))
    }
}

/// Sees that a picture which people are shown as it is does them no harm: a PNG whose pixels can be decoded and are all there, and that does not move.
pub(crate) fn check_still(bytes: &[u8], limits: &Limits) -> Result<(), String> {
    if Image::kind(bytes) != Some("image/png") {
        return Err("it is no PNG".to_owned());
    }
    decode("image/png", bytes, limits)?;
    let decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: limits.memory() });
    let reader = decoder.read_info().map_err(malformed)?;
    if reader.info().animation_control.is_some() { Err("it moves".to_owned()) } else { Ok(()) }
}

fn malformed(what: impl std::fmt::Display) -> String {
    let what: String = what.to_string().chars().take(200).collect();
    format!("it is malformed ({what})")
}

fn png(bytes: &[u8], limits: &Limits) -> Result<Pixels, String> {
    let mut decoder =
        png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: limits.memory() });
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(malformed)?;
    let (width, height) = reader.info().size();
    limits.check(width, height)?;
    let size = reader.output_buffer_size().ok_or_else(|| malformed("its size"))?;
    let mut bytes = vec![0; size];
    let frame = reader.next_frame(&mut bytes).map_err(malformed)?;
    bytes.truncate(frame.buffer_size());
    let channels = u8::try_from(frame.color_type.samples()).map_err(malformed)?;
    Ok(Pixels { width: frame.width, height: frame.height, channels, bytes })
}

fn jpeg(bytes: &[u8], limits: &Limits) -> Result<Pixels, String> {
    let scans = bytes.windows(2).filter(|pair| *pair == [0xff, 0xda]).count();
    if scans > MAX_SCANS {
        return Err(format!("it comes in more than {MAX_SCANS} scans"));
    }
    let side = limits.side as usize;
    let options = DecoderOptions::default()
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| malformed(format!("{error:?}")))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| malformed("its size"))?;
    let (width, height) = (small(width)?, small(height)?);
    limits.check(width, height)?;
    let bytes = decoder.decode().map_err(|error| malformed(format!("{error:?}")))?;
    Ok(Pixels { width, height, channels: 3, bytes })
}

fn small(side: usize) -> Result<u32, String> {
    u32::try_from(side).map_err(malformed)
}

fn gif(bytes: &[u8], limits: &Limits) -> Result<Pixels, String> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let memory = NonZeroU64::new(limits.memory() as u64).unwrap_or(NonZeroU64::MIN);
    options.set_memory_limit(gif::MemoryLimit::Bytes(memory));
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(malformed)?;
    let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    limits.check(u32::from(decoder.width()), u32::from(decoder.height()))?;
    let mut canvas = vec![0; width * height * 4];
    let frame = decoder.read_next_frame().map_err(malformed)?.ok_or_else(|| malformed("it has no frame"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let row = usize::from(frame.width) * 4;
    if row > 0 && left < width {
        let shown = row.min((width - left) * 4);
        for (number, line) in frame.buffer.chunks_exact(row).enumerate().take(height.saturating_sub(top)) {
            let from = ((top + number) * width + left) * 4;
            if let (Some(place), Some(line)) = (canvas.get_mut(from..from + shown), line.get(..shown)) {
                place.copy_from_slice(line);
            }
        }
    }
    Ok(Pixels { width: small(width)?, height: small(height)?, channels: 4, bytes: canvas })
}

fn webp(bytes: &[u8], limits: &Limits) -> Result<Pixels, String> {
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).map_err(malformed)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    decoder.set_memory_limit(limits.memory());
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let size = decoder.output_buffer_size().ok_or_else(|| malformed("its size"))?;
    let mut bytes = vec![0; size];
    decoder.read_image(&mut bytes).map_err(malformed)?;
    Ok(Pixels { width, height, channels, bytes })
}
