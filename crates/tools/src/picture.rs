//! Pictures for models: of whatever comes from a sandbox or a program, what a model is shown is a picture that was decoded, and no larger than
//! models take. Where it had to be scaled down, the picture as it came is kept beside, for people.
//!
//! What is shown is stored, and the log has its digest: it is made once, so a request that is made again is the same.

mod decode;
mod encode;
mod fit;
mod shrink;
mod xwd;

use cofferdam_domain::{BlobRef, message::Image};
use tokio::{sync::Semaphore, task::spawn_blocking};

use self::{
    decode::{Pixels, check_still},
    fit::{Fitted, Limits, fit},
    shrink::shrink,
};
pub(crate) use self::{fit::MAX_FILE, shrink::smaller, xwd::longest as longest_screen};
use crate::tool::Blobs;

/// How many are decoded at once in a process: each needs memory for all of its pixels.
static AT_WORK: Semaphore = Semaphore::const_new(2);

/// A picture that was kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// As a model is shown it.
    pub(crate) image: Image,
    /// As it came, where that is not the same.
    pub(crate) whole: Option<BlobRef>,
    /// What was done with it, where something was.
    pub(crate) note: Option<String>,
}

/// Why a picture is not kept that could be.
const NO_PLACE: &str = "there is no place to keep it";

/// Keeps a picture as it can be shown to a model; why it cannot, in words for one.
pub(crate) async fn keep(blobs: &dyn Blobs, bytes: Vec<u8>) -> Result<Kept, String> {
    let _turn = AT_WORK.acquire().await;
    let looked = spawn_blocking(move || {
        let fitted = fit(&bytes, &Limits::OF_MODELS);
        (bytes, fitted)
    });
    // Should a decoder have a defect, it is this picture's.
    let (bytes, fitted) = looked.await.map_err(|_| "it cannot be decoded".to_owned())?;
    let fitted = fitted?;
    let whole = blobs.put(&bytes).await.ok_or(NO_PLACE)?;
    match fitted {
        Fitted::AsItIs { media_type } => {
            let image = Image { media_type: media_type.to_owned(), blob: whole };
            Ok(Kept { image, whole: None, note: None })
        }
        Fitted::Scaled { media_type, bytes, from, to } => {
            let blob = blobs.put(&bytes).await.ok_or(NO_PLACE)?;
            let note = format!("{} by {} pixels, shown as {} by {}", from.0, from.1, to.0, to.1);
            let image = Image { media_type: media_type.to_owned(), blob };
            Ok(Kept { image, whole: Some(whole), note: Some(note) })
        }
    }
}

/// Keeps a PNG as it came, for people; why it cannot.
pub(crate) async fn keep_as_it_is(blobs: &dyn Blobs, bytes: Vec<u8>) -> Result<Image, String> {
    let _turn = AT_WORK.acquire().await;
    let looked = spawn_blocking(move || {
        let fine = check_still(&bytes, &Limits::OF_MODELS);
        (bytes, fine)
    });
    let (bytes, fine) = looked.await.map_err(|_| "it cannot be decoded".to_owned())?;
    fine?;
    let blob = blobs.put(&bytes).await.ok_or(NO_PLACE)?;
    Ok(Image { media_type: encode::MEDIA_TYPE.to_owned(), blob })
}

/// Keeps what a display of this size shows, from the file in which it has that: at the size at which a model is shown it, and whole.
pub(crate) async fn keep_screen(
    blobs: &dyn Blobs,
    file: Vec<u8>,
    (width, height): (u32, u32),
    shown: (u32, u32),
) -> Result<(Image, Image), String> {
    let _turn = AT_WORK.acquire().await;
    let drawn = spawn_blocking(move || {
        let bytes = xwd::colours(&file, width, height)?;
        let whole = Pixels { width, height, channels: 3, bytes };
        let small = if shown == (width, height) {
            None
        } else {
            Some(encode::png(&shrink(&whole, shown.0, shown.1))?)
        };
        Ok::<_, String>((small, encode::png(&whole)?))
    });
    let (small, whole) = drawn.await.map_err(|_| "it cannot be decoded".to_owned())??;
    let whole =
        Image { media_type: encode::MEDIA_TYPE.to_owned(), blob: blobs.put(&whole).await.ok_or(NO_PLACE)? };
    let shown = match small {
        Some(small) => Image { blob: blobs.put(&small).await.ok_or(NO_PLACE)?, ..whole.clone() },
        None => whole.clone(),
    };
    Ok((shown, whole))
}

#[cfg(test)]
mod tests;
