use std::path::Path;

use crate::read::Compression;

/// What a file is to be, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// pcap, not pcapng.
    pub pcap: bool,
    /// Compressed with.
    pub compression: Compression,
}

impl Layout {
    /// `x.pcap.gz` is pcap in gzip; anything that does not say pcap is pcapng.
    pub fn of(path: &Path) -> Self {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_ascii_lowercase();
        let (stem, compression) = [
            (".gz", Compression::Gzip),
            (".zst", Compression::Zstd),
            (".lz4", Compression::Lz4),
        ]
        .into_iter()
        .find_map(|(suffix, kind)| Some((name.strip_suffix(suffix)?, kind)))
        .unwrap_or((&name, Compression::None));
        Self {
            pcap: [".pcap", ".cap", ".dmp"]
                .iter()
                .any(|suffix| stem.ends_with(suffix)),
            compression,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_suffix() {
        let of = |name: &str| Layout::of(Path::new(name));
        assert_eq!(
            of("-"),
            Layout {
                pcap: false,
                compression: Compression::None
            }
        );
        assert_eq!(
            of("a.pcapng"),
            Layout {
                pcap: false,
                compression: Compression::None
            }
        );
        assert_eq!(
            of("d/a.PCAP.zst"),
            Layout {
                pcap: true,
                compression: Compression::Zstd
            }
        );
        assert_eq!(
            of("a.cap.lz4"),
            Layout {
                pcap: true,
                compression: Compression::Lz4
            }
        );
        assert_eq!(
            of("a.gz"),
            Layout {
                pcap: false,
                compression: Compression::Gzip
            }
        );
    }
}
