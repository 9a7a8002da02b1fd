//! Files of plots.

use crate::Error;
use dunlin_sim::{MADE_BY, Report};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Makes the folder, and sees whether files can be made there.
pub(super) fn prepare(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder)
        .and_then(|()| tempfile::tempfile_in(folder).map(drop))
        .map_err(|error| {
            let folder = folder.display();
            Error::failed(format!(
                "cannot write plots into {folder}: {error}; choose another folder with --plot"
            ))
        })
}

/// Writes the plots and answers their paths. Plots of an earlier run are written over, other files are not.
pub(super) fn write(folder: &Path, report: &Report) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for (name, svg) in dunlin_sim::plots(report) {
        let path = folder.join(name);
        let shown = path.display();
        if !may_write(&path) {
            return Err(Error::failed(format!(
                "{shown} is there and is no plot of `dunlin sim`: move it, or choose another folder with --plot"
            )));
        }
        std::fs::write(&path, svg)
            .map_err(|error| Error::failed(format!("cannot write {shown}: {error}")))?;
        paths.push(path);
    }
    Ok(paths)
}

/// Whether nothing is there, or a plot of ours, which says so in its first lines.
fn may_write(path: &Path) -> bool {
    let mut start = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => {
            let read = file.take(1_000).read_to_end(&mut start);
            read.is_ok() && String::from_utf8_lossy(&start).contains(MADE_BY)
        }
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn plots_are_written_over_plots_and_over_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("a/b");
        prepare(&folder).expect("it is made");
        let paths = write(&folder, &report()).expect("they are written");
        assert_eq!(paths.len(), 5);
        assert_eq!(write(&folder, &report()).expect("again"), paths);

        std::fs::write(&paths[2], "<svg>somebody's drawing</svg>").expect("written");
        let error = write(&folder, &report()).expect_err("refused").to_string();
        assert!(error.contains("small-7-nodes.svg is there"), "{error}");
        let kept = std::fs::read_to_string(&paths[2]).expect("read");
        assert_eq!(kept, "<svg>somebody's drawing</svg>");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_before_the_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        let error = prepare(&file.join("plots"))
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("file/plots") && error.contains("--plot"),
            "{error}"
        );
    }
}
