//! The frame protocol: acknowledged message logging over TCP, as `docs/frames.md` describes it.

pub mod decode;
pub mod settings;
pub mod wire;

pub use settings::FrameSettings;
